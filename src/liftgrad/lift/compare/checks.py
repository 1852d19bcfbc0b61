"""Checks: a program's first results are compared with those of the function itself, run eagerly.

A function is traced once for many calls, and there is no end of what it may do meanwhile that
decides its way without our seeing it. So the first result of a program is compared with the eager
engine's, and the first one for other numbers, where that is cheap. What differs is refused.
"""

import gc
import math
import os
import random
from collections.abc import Callable, Collection, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import Any

import numpy as np

from liftgrad.copying import copy_value
from liftgrad.engine import Value
from liftgrad.errors import LiftError
from liftgrad.lift.call.flatten import substitute
from liftgrad.lift.call.leaves import LeafGroup, LeafKind
from liftgrad.lift.call.results import flatten_result
from liftgrad.lift.capture.tracing import tracing
from liftgrad.lift.pipeline import Built
from liftgrad.lift.run.results import samples_of
from liftgrad.lift.tracebacks import is_refusal
from liftgrad.lift.user_code import line_of

Run = Callable[[dict[str, Any], dict[Any, Any]], Any]
"""Calls the function with arguments by name, and what stands for other objects in its copies."""
_MOST_OPERATIONS, _MOST_DIFFERENTIATED = 20_000, 8_000
"""Of programs that are checked, and with their gradients: some 10 ms of the eager engine."""
_TOLERANCE = {"float64": 1e-9, "float32": 1e-3}
"""What rounding is let differ without a closer look, relative to the result."""


def is_checked(
    check: bool | None, built: Built, groups: Sequence[LeafGroup], *, by_identity: bool = False
) -> bool:
    """Tell whether a program is compared with the eager engine: always, never, or if it is cheap.

    Random numbers cannot be drawn twice; and of results for each sample only the numbers that a
    function returns alone are in the same order. One that may tell objects apart by means that
    stand-ins evade is compared at any size.

    Raises:
        LiftError: if LIFTGRAD_CHECK is something else than 0 or 1.

    """
    said = os.environ.get("LIFTGRAD_CHECK", "")
    if said not in ("", "0", "1"):
        raise LiftError(
            f"LIFTGRAD_CHECK={said!r}: set it to 1 to compare all lifted programs with the eager "
            "engine, to 0 for none, or not at all for those that are quick to compare."
        )
    wanted = check if check is not None else {"0": False, "1": True}.get(said)
    several = any(built.batched_outputs) and built.outputs + len(built.fixed) > 1
    if wanted is False or built.draws or several:
        return False
    return bool(wanted) or by_identity or _operations(built, groups) <= _MOST_OPERATIONS


def is_differentiated(built: Built, groups: Sequence[LeafGroup]) -> bool:
    """Tell whether a checked program's gradient is compared, too: of one Value, if it is cheap."""
    of_value = built.single and not built.plain_outputs[0] and not built.batched_outputs[0]
    return of_value and _operations(built, groups) <= _MOST_DIFFERENTIATED


def _operations(built: Built, groups: Sequence[LeafGroup]) -> int:
    return built.scalar_operations * samples_of(list(groups), built.batched_groups)


@dataclass
class Outcome:
    """What one call gave, eagerly or lifted."""

    results: list[Any]
    """Its numbers, and what else it returned, one after another."""
    gradients: dict[int, list[float]] | None = None
    """The gradient of the one result by each parameter, by their leaf groups, if it was taken."""


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
    """Return how what a program gives is not what the function itself gives; "": it is.

    Args:
        run: calls the function eagerly.
        explain: says where the two part, from the eager and the lifted outcome, if they do.
        dtype: that the program computes in.
        arguments: of the function, by name.
        groups: their numbers.
        lifted: what the program gave.
        by_identity: whether the function may tell objects apart by means that stand-ins evade.

    """
    tolerance = _TOLERANCE[dtype]
    try:
        eager = eagerly(run, arguments, groups, lifted.gradients)
        if by_identity:
            own = eagerly(run, arguments, groups, own=True).results
            if not _are_close(own, eager.results, tolerance):
                return _BY_IDENTITY
    except ArithmeticError:
        return ""  # of Python's numbers, where ours go on with infinity as IEEE 754 has it
    what, a, b = "", eager.results, lifted.results
    alike = _are_close(a, b, tolerance)
    if alike and eager.gradients is not None and lifted.gradients is not None:
        what = "the gradient "
        a, b = (
            [x for part in outcome.gradients.values() for x in part]  # type: ignore[union-attr]
            for outcome in (eager, lifted)
        )
        largest = max((abs(x) for x in a if math.isfinite(x)), default=0.0)
        alike = all(
            abs(x - y) <= 1e3 * tolerance * largest or not math.isfinite(x) or not math.isfinite(y)
            for x, y in zip(a, b, strict=True)
        )
    place = "" if alike else explain(eager, lifted)
    if not place:
        return ""
    if what:  # those that differ, and not the first ones
        pairs = [(x, y) for x, y in zip(a, b, strict=True) if not _is_close(x, y, tolerance)]
        a, b = [x for x, _ in pairs], [y for _, y in pairs]
    return (
        f"gives {what}{_shown(a)}, and {_shown(b)} when it is lifted, for the same arguments: "
        f"{place}"
    )


_BY_IDENTITY = (
    "tells Values apart by id() or by a set or dict that another module or class holds, and finds "
    "others when it is lifted, where stand-ins take their places; ask `p in those`, of a set that "
    "is an argument, or in a variable of the function's own module."
)
FAILURES = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, AssertionError)
"""The errors of code that meets what it does not expect."""


def failed_by_lifting(
    run: Run, arguments: dict[str, Any], groups: Sequence[LeafGroup], error: Exception
) -> str:
    """Return the sentence for an error in it that the function itself does not raise, or ""."""
    line = line_of(error)
    if not line or is_refusal(error):
        return ""
    try:
        eagerly(run, arguments, groups)
    except Exception:  # noqa: BLE001, it is the user's
        return ""
    what = str(error).rstrip(".")
    return (
        f"{line}: {type(error).__name__}{': ' if what else ''}{what}, though not if the "
        "function is not lifted. Lifted, it runs on copies of its objects and on numbers that are "
        "not known yet; write this line with operators and functions of liftgrad.functional, or "
        "compute it before the call and pass it."
    )


def eagerly(
    run: Run,
    arguments: dict[str, Any],
    groups: Sequence[LeafGroup],
    differentiated: Collection[int] | None = None,
    jitter: float = 0.0,
    seed: int = 0,
    *,
    own: bool = False,
) -> Outcome:
    """Return what the function itself gives, on copies of its arguments.

    The gradient is taken by these groups of parameters, if any are given and it returns one Value.
    With a jitter, parameters are off by up to that, relatively; `own` are those of the arguments.
    """
    uniform = random.Random(seed).uniform
    copied: dict[int, list[Value]] = {i: [] for i in range(len(groups))}

    def leaves(group: int, first: int, count: int) -> list[Any]:
        values = groups[group].values[first : first + count]
        if groups[group].kind != "parameter" or own:
            return values
        made = list(map(_copy, values))
        if jitter:
            for value in made:
                value.data *= 1.0 + uniform(-jitter, jitter)
        copied[group] += made
        return made

    def array(group: int, _kind: LeafKind) -> Any:
        of_group = groups[group].array
        assert of_group is not None
        usual = of_group.dtype.kind != "f" or of_group.dtype == np.float64
        return of_group if usual else of_group.astype(np.float64)  # as a program computes

    collecting = gc.isenabled()
    gc.disable()  # a graph has no cycles
    tracing.depth += 1  # other lifted functions are plain ones meanwhile
    try:
        copies, _ = substitute(arguments, leaves, array)
        with np.errstate(all="ignore"), redirect_stdout(StringIO()):
            result = run(copies, {})
        outcome = Outcome(numbers_in(result))
        if differentiated is not None and isinstance(result, Value):
            result.backward()
            outcome.gradients = {i: [v.grad for v in copied[i]] for i in differentiated}
        return outcome
    finally:
        tracing.depth -= 1
        if collecting:
            gc.enable()


def numbers_in(result: Any) -> list[Any]:
    """Return the numbers of a result, and what else is in it, one after another."""
    leaves, _ = flatten_result(result)
    items: list[Any] = []
    for leaf in leaves:
        if isinstance(leaf, np.ndarray):
            items += leaf.ravel().tolist()
        else:
            items.append(leaf.data if isinstance(leaf, Value) else leaf)
    return items


def _copy(value: Any) -> Any:
    """Return a leaf of a Value's number, and of its class if that is the user's."""
    if type(value) is Value or value._copied_as is not None:
        return Value(value.data)
    copied = copy_value(value)
    copied._prev, copied._operation = (), ""
    return copied


def _are_close(a: list[Any], b: list[Any], tolerance: float) -> bool:
    return len(a) == len(b) and all(_is_close(x, y, tolerance) for x, y in zip(a, b, strict=True))


def _is_close(eager: Any, lifted: Any, tolerance: float) -> bool:
    """Tell whether two results are one number, or one of what is no number."""
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
