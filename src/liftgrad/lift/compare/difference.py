"""Difference: whether a program gives what its function gives eagerly, or why it does not.

A function is traced once for many calls, and may decide what to do by means that tracing does not
see. So a program's first result is compared with the eager engine's, and so is the first one for
other numbers, where that is cheap. What differs is refused.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from liftgrad.lift.call.leaves import LeafGroup
from liftgrad.lift.compare.eager_run import Outcome, Run, run_eagerly
from liftgrad.lift.tracebacks import is_refusal
from liftgrad.lift.user_code import line_of

FAILURES = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, AssertionError)
"""The errors of code that meets what it does not expect."""
_TOLERANCE = {"float64": 1e-9, "float32": 1e-3}
"""The relative error of a result that counts as rounding without a closer look."""
GRADIENT_TOLERANCE = {"float64": 1e-6, "float32": 1.0}
"""The error of a gradient that counts as rounding, relative to its largest element."""


def difference(
    run: Run,
    explain: Callable[[Outcome, Outcome], str],
    dtype: str,
    arguments: dict[str, Any],
    groups: Sequence[LeafGroup],
    lifted: Outcome,
    *,
    by_identity: bool = False,
) -> str:
    """Return how a program's results differ from the function's own, or "" if they do not.

    Args:
        run: calls the function eagerly.
        explain: says, from the eager and the lifted outcome, where the two diverge, if they do.
        dtype: the program's.
        arguments: of the function, by name.
        groups: their numbers.
        lifted: what the program gave.
        by_identity: whether the function may tell objects apart in ways that stand-ins evade.

    """
    tolerance = _TOLERANCE[dtype]
    try:
        eager = run_eagerly(run, arguments, groups, lifted.gradients)
        if by_identity:
            own = run_eagerly(run, arguments, groups, own=True).results
            if not _are_close(own, eager.results, tolerance):
                return _BY_IDENTITY
    except ArithmeticError:
        return ""  # Python's numbers raise it where Values follow IEEE 754
    what, a, b = "", eager.results, lifted.results
    alike = _are_close(a, b, tolerance)
    if alike and eager.gradients is not None and lifted.gradients is not None:
        what = "the gradient "
        a, b = eager.gradient, lifted.gradient
        largest = max((abs(x) for x in a if math.isfinite(x)), default=0.0)
        alike = all(
            abs(x - y) <= GRADIENT_TOLERANCE[dtype] * largest
            or not math.isfinite(x)
            or not math.isfinite(y)
            for x, y in zip(a, b, strict=True)
        )
    reason = "" if alike else explain(eager, lifted)
    if not reason:
        return ""
    if what:  # show the elements that differ, which may not be the first ones
        pairs = [(x, y) for x, y in zip(a, b, strict=True) if not _is_close(x, y, tolerance)]
        a, b = [x for x, _ in pairs], [y for _, y in pairs]
    return (
        f"gives {what}{_shown(a)}, and {_shown(b)} when it is lifted, for the same arguments: "
        f"{reason}"
    )


def failed_by_lifting(
    run: Run, arguments: dict[str, Any], groups: Sequence[LeafGroup], error: Exception
) -> str:
    """Return a sentence about an error that only lifting brings about, or "" for another one."""
    line = line_of(error)
    if not line or is_refusal(error):
        return ""
    try:
        run_eagerly(run, arguments, groups)
    except Exception:  # noqa: BLE001, it is the user's
        return ""
    what = str(error).rstrip(".")
    return (
        f"{line}: {type(error).__name__}{': ' if what else ''}{what}, but only if the function is "
        "lifted: it then runs on copies of its objects and on numbers that are not known yet; "
        "write this line with operators and functions of liftgrad.functional, or compute it "
        "before the call and pass it."
    )


def _are_close(a: list[Any], b: list[Any], tolerance: float) -> bool:
    return len(a) == len(b) and all(_is_close(x, y, tolerance) for x, y in zip(a, b, strict=True))


def _is_close(eager: Any, lifted: Any, tolerance: float) -> bool:
    """Return whether two results are nearly the same number, or equal if they are no numbers."""
    try:
        a, b = float(eager), float(lifted)
    except (TypeError, ValueError):
        return type(eager) is type(lifted) and bool(eager == lifted)
    if a == b or (math.isnan(a) and math.isnan(b)):
        return True
    return abs(a - b) <= tolerance * max(abs(a), abs(b))


def _shown(results: list[Any]) -> str:
    numbers = [f"{x:.12g}" if isinstance(x, float) else str(x) for x in results]
    return ", ".join(numbers[:4]) + (", ..." if len(numbers) > 4 else "")


_BY_IDENTITY = (
    "tells Values apart by id() or by a set or dict that another module or class holds, which "
    "fails when it is lifted, where stand-ins take their places; ask `p in those` of a set that "
    "is an argument, or a variable of the function's own module."
)
