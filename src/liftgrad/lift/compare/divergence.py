"""Divergence: where a function and the program that was traced from it go different ways.

Only asked once their results differ. The function is traced again, and its tape computed operation
by operation, as the eager engine would: if that gives the eager results, only rounding differs, or
the machine code is wrong. Otherwise the lines that both ran are compared, and then the numbers that
they computed.
"""

import math
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

from liftgrad.engine import Value
from liftgrad.lift.compare.difference import GRADIENT_TOLERANCE
from liftgrad.lift.compare.eager_arithmetic import (
    Apply,
    computed_eagerly,
    each,
    leaf_numbers,
    on_floats,
    on_values,
    shaken,
    with_shaken_derivatives,
)
from liftgrad.lift.compare.eager_run import Outcome
from liftgrad.lift.pipeline import Built
from liftgrad.lift.trace.lined_tape import LinedTape
from liftgrad.lift.trace.tape import Tape
from liftgrad.lift.user_code import is_users_file, user_line

_JITTER = {"float64": 1e-10, "float32": 1e-3}
"""Relative changes of operands, far above rounding, so that results change by more than that."""
_SEEDS = 5
_EXACT = 1e-9
"""The relative error of a gradient in float64 whose terms do not cancel."""


def where_they_diverge(
    tape: LinedTape,
    trace: Callable[[], Built],
    run: Callable[[float, int], Outcome],
    eager: Outcome,
    lifted: Outcome,
    dtype: str,
) -> str:
    """Return where a program and the function itself diverge, or "" if only rounding differs.

    Args:
        tape: an empty one, for the arguments of the call.
        trace: traces the function on that tape.
        run: calls the function itself, its parameters off by a relative jitter from a seed.
        eager: what the function gave.
        lifted: what the program gave.
        dtype: the program's.

    """
    built: list[Built] = []
    traced_lines = _lines(lambda: built.append(trace()))
    numbers = computed_eagerly(tape, leaf_numbers(tape), on_floats)
    if _same(_results(tape, built[0], numbers), eager.results):
        exact = _gradient(tape, eager, on_values)
        spread = _spread_of_gradient(tape, exact, eager, run, _JITTER[dtype])
        if _is_gradient(exact, eager, spread, _EXACT):
            right = _is_gradient(lifted.gradient, eager, spread, GRADIENT_TOLERANCE[dtype])
            right = right and _is_rounding(tape, built[0], eager, lifted, dtype)
            return "" if right else _MISCOMPILED
    eager_lines = _lines(lambda: run(0.0, 0))
    for i, (a, b) in enumerate(zip(eager_lines, traced_lines, strict=False)):
        if a != b and i:
            return f"they diverge after {eager_lines[i - 1]}. {_ADVICE}"
    known = {
        (getattr(node[0], "name", ""), _rounded(x))
        for node, of_node in zip(tape.nodes, numbers, strict=True)
        for x in each(of_node)
    }
    for line, name, number in _operations(lambda: run(0.0, 0)):
        if (name, _rounded(number)) not in known:
            return f"{name} gives {number:.12g} in {line}, but not when it is lifted. {_ADVICE}"
    return f"where they diverge is not known. {_ADVICE}"


_ADVICE = (
    "A lifted function runs once for many calls, on numbers that are not known yet; pass what its "
    "branches depend on as an int, str or bool, or choose with where(condition, a, b)."
)
_MISCOMPILED = (
    "the recorded program is right and its machine code is not, which is a fault of liftgrad's; "
    "please report it, and use lift(backend='numpy') meanwhile."
)


def _results(tape: Tape, built: Built, numbers: list[Any]) -> list[Any]:
    """Return the results in the function's order."""
    nodes = iter(tape.outputs)
    results: list[Any] = []
    for i in range(built.outputs + len(built.fixed)):
        results += [built.fixed[i]] if i in built.fixed else each(numbers[next(nodes)])
    return results


def _same(a: Sequence[Any], b: Sequence[Any]) -> bool:
    """Return whether results are equal but for the order of a few additions."""
    return len(a) == len(b) and all(
        x == y or _rounded(x) == _rounded(y) for x, y in zip(a, b, strict=True)
    )


def _is_rounding(tape: Tape, built: Built, eager: Outcome, lifted: Outcome, dtype: str) -> bool:
    """Return whether results differ by no more than small changes of operands change them."""
    nearby = [
        _results(
            tape,
            built,
            computed_eagerly(tape, leaf_numbers(tape), shaken(_JITTER[dtype], seed)),
        )
        for seed in range(_SEEDS)
    ]
    for a, b, *others in zip(eager.results, lifted.results, *nearby, strict=True):
        if not isinstance(a, float) or not math.isfinite(a) or not math.isfinite(b):
            continue  # in overflow the order of operations decides
        spread = max(abs(float(x) - a) for x in others)
        if abs(float(b) - a) > 10.0 * spread:
            return False
    return True


def _is_gradient(
    gradient: list[float], eager: Outcome, spread: list[float], tolerance: float
) -> bool:
    """Return whether a gradient is the function's own but for rounding, if that was taken."""
    largest = max((abs(x) for x in eager.gradient if math.isfinite(x)), default=0.0)
    return all(
        abs(x - y) <= max(tolerance * largest, 100.0 * most)
        for x, y, most in zip(eager.gradient, gradient, spread, strict=True)
        if all(map(math.isfinite, (x, y, most)))
    )


def _spread_of_gradient(
    tape: Tape,
    exact: list[float],
    eager: Outcome,
    run: Callable[[float, int], Outcome],
    jitter: float,
) -> list[float]:
    """Return by how much small changes of parameters, or of derivatives, change the gradient.

    Both are needed. Terms that cancel may do so exactly on a tape, where equal operations are one;
    and those of a softmax cancel whatever its parameters are.
    """
    spread = [0.0] * len(exact)
    for seed in range(_SEEDS if exact else 0):
        nearby = _gradient(tape, eager, with_shaken_derivatives(jitter, seed))
        for own, other in ((eager.gradient, run(jitter, seed).gradient), (exact, nearby)):
            changes = [abs(x - y) for x, y in zip(own, other, strict=True)]
            spread = list(map(max, spread, changes))
    return spread


def _gradient(tape: Tape, eager: Outcome, apply: Apply) -> list[float]:
    """Return the gradient of a tape's one result by the parameters of the eager one, if taken."""
    groups = list(eager.gradients or ())
    leaves = leaf_numbers(tape)
    for i in groups:
        leaves[i] = list(map(Value, leaves[i]))
    result = computed_eagerly(tape, leaves, apply)[tape.outputs[0]] if groups else None
    if isinstance(result, Value):
        result.backward()
    return [v.grad for i in groups for v in leaves[i]]


def _lines(run: Callable[[], Any]) -> list[str]:
    """Return the user's lines that ran, in order."""
    lines: list[str] = []

    def see(frame: FrameType, event: str, _: Any) -> Any:
        filename = frame.f_code.co_filename
        if not is_users_file(filename):
            return None
        if event == "line":
            lines.append(f"{filename}:{frame.f_lineno}")
        return see

    before = sys.gettrace()
    sys.settrace(see)
    try:
        run()
    finally:
        sys.settrace(before)
    return lines


def _operations(run: Callable[[], Any]) -> list[tuple[str, str, float]]:
    """Return the line, operation and result of what the eager engine computed, in order."""
    found: list[tuple[str, str, float]] = []
    code = Value._apply.__code__

    def see(frame: FrameType, event: str, result: Any) -> None:
        if event == "return" and frame.f_code is code and isinstance(result, Value):
            name = frame.f_locals["operation"].name
            found.append((user_line(), name, result.data))

    before = sys.getprofile()
    sys.setprofile(see)
    try:
        run()
    finally:
        sys.setprofile(before)
    return found


def _rounded(x: Any) -> str:
    """Return a number to as many digits as do not depend on the order of a few additions."""
    return f"{float(x) + 0.0:.11g}" if isinstance(x, float | int) else repr(x)
