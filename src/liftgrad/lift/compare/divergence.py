"""Divergence: where a function and the program that was traced from it go different ways.

Only asked once their results differ. The function is traced again, and its tape computed operation
by operation, as the eager engine would: if that gives the eager results, only rounding differs, or
the machine code is wrong. Otherwise the lines that both ran are compared, and then the numbers that
they computed.
"""

import math
import sys
from collections.abc import Callable, Collection, Sequence
from types import FrameType
from typing import Any

from liftgrad.engine import Value
from liftgrad.lift.compare.eager_arithmetic import (
    Apply,
    computed_eagerly,
    each,
    leaf_numbers,
    on_floats,
    on_values,
    shaken,
)
from liftgrad.lift.compare.eager_run import Outcome
from liftgrad.lift.pipeline import Built
from liftgrad.lift.trace.lined_tape import LinedTape
from liftgrad.lift.trace.tape import Tape
from liftgrad.lift.user_code import is_users_file, user_line

_JITTER = {"float64": 1e-10, "float32": 1e-3}
"""Relative changes of operands, far above rounding, so that results change by more than that."""
_SEEDS = 3


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
    same = _same(_results(tape, built[0], numbers), eager.results)
    if same and _is_gradient(tape, eager, run, _JITTER[dtype]):
        return "" if _is_rounding(tape, built[0], eager, lifted, dtype) else _MISCOMPILED
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
            computed_eagerly(tape, leaf_numbers(tape), shaken(_JITTER[dtype], seed, on_floats)),
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
    tape: Tape, eager: Outcome, run: Callable[[float, int], Outcome], jitter: float
) -> bool:
    """Return whether a tape has the function's gradient, but for rounding, if it was taken.

    The tape's is taken by the eager engine. Terms that cancel do so exactly on a tape, where equal
    operations are one, or in another order; so the two may differ by as much as small changes of
    the parameters change the function's, or small changes of all operands the tape's.
    """
    if eager.gradients is None:
        return True
    groups, own = eager.gradients, eager.gradient
    taped = _gradient(tape, groups, on_values)
    own_nearby = [run(jitter, seed).gradient for seed in range(_SEEDS)]
    taped_nearby = [
        _gradient(tape, groups, shaken(jitter, seed, on_values)) for seed in range(_SEEDS)
    ]
    largest = max((abs(x) for x in own if math.isfinite(x)), default=0.0)
    for a, b, *others in zip(own, taped, *own_nearby, *taped_nearby, strict=True):
        if all(map(math.isfinite, (a, b, *others))):
            spread = max(
                *(abs(x - a) for x in others[:_SEEDS]), *(abs(x - b) for x in others[_SEEDS:])
            )
            if abs(a - b) > max(1e-9 * largest, 100.0 * spread):
                return False
    return True


def _gradient(tape: Tape, groups: Collection[int], apply: Apply) -> list[float]:
    """Return the gradient of a tape's one result by the leaves of these groups."""
    leaves = leaf_numbers(tape)
    for i in groups:
        leaves[i] = list(map(Value, leaves[i]))
    result = computed_eagerly(tape, leaves, apply)[tape.outputs[0]]
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
