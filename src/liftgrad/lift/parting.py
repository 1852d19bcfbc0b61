"""Parting: where a function and the program that was traced from it go different ways.

Only asked once their results have differed. The function is traced again, and the tape computed
operation by operation as the eager engine would: if that gives the eager results, the two are one
program and only rounding differs. Otherwise the lines that both ran are compared, and then what
they computed.
"""

import math
import random
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

from liftgrad import ops
from liftgrad.engine import Value
from liftgrad.lift.build import Built
from liftgrad.lift.lined_tape import LinedTape
from liftgrad.lift.reading import LeafGroup
from liftgrad.lift.tape import (
    BATCH_TOTAL,
    CONSTANT,
    LEAF,
    SAMPLES_LEAF,
    TABLE,
    TAKE,
    Tape,
    number_of,
)
from liftgrad.lift.user_code import is_users_file, user_line

_JITTER = {"float64": 1e-10, "float32": 1e-3}
"""Much more than operands are rounded, so that results change by more than rounding does."""
_SHAKES = 3


def where_they_part(
    tape: LinedTape,
    trace: Callable[[], Built],
    run: Callable[[], Any],
    eager: Sequence[Any],
    lifted: Sequence[Any],
    dtype: str,
) -> str:
    """Return where a program and the function itself part, "" if only rounding differs.

    Args:
        tape: an empty one, for the arguments of the call.
        trace: traces the function on that tape.
        run: calls the function itself.
        eager: its results.
        lifted: those of the program.
        dtype: that the program computes in.

    """
    built: list[Built] = []
    traced_lines = _lines(lambda: built.append(trace()))
    numbers = _computed(tape)
    if _same(_results(tape, built[0], numbers), eager):
        return "" if _is_rounding(tape, built[0], eager, lifted, dtype) else _MISCOMPILED
    eager_lines = _lines(run)
    for place, (a, b) in enumerate(zip(eager_lines, traced_lines, strict=False)):
        if a != b and place:
            return f"the two part after {eager_lines[place - 1]}. {_ADVICE}"
    known = {
        (getattr(node[0], "name", ""), _rounded(x))
        for node, its in zip(tape.nodes, numbers, strict=True)
        for x in _each(its)
    }
    for line, name, number in _operations(run):
        if (name, _rounded(number)) not in known:
            return f"{name} gives {number:.12g} in {line}, but not when it is lifted. {_ADVICE}"
    return f"it cannot be told where the two part. {_ADVICE}"


_ADVICE = (
    "A lifted function runs once, on numbers that are not known then, for many calls; pass what "
    "its way depends on as an int, str or bool, or choose with where(condition, a, b)."
)
_MISCOMPILED = (
    "the recorded program is right and its machine code is not, which is a fault of liftgrad's; "
    "please report it, and use lift(backend='numpy') meanwhile."
)


def _results(tape: Tape, built: Built, numbers: list[Any]) -> list[Any]:
    """Return the results in the order in which the function returns them."""
    nodes = iter(tape.outputs)
    results: list[Any] = []
    for place in range(built.outputs + len(built.fixed)):
        results += [built.fixed[place]] if place in built.fixed else _each(numbers[next(nodes)])
    return results


def _same(a: Sequence[Any], b: Sequence[Any]) -> bool:
    """Tell whether two lists of results are equal but for the order of a few additions."""
    return len(a) == len(b) and all(
        x == y or _rounded(x) == _rounded(y) for x, y in zip(a, b, strict=True)
    )


def _is_rounding(
    tape: Tape, built: Built, eager: Sequence[Any], lifted: Sequence[Any], dtype: str
) -> bool:
    """Tell whether the results differ by no more than they do for operands a little off."""
    shaken = [
        _results(tape, built, _computed(tape, _JITTER[dtype], seed)) for seed in range(_SHAKES)
    ]
    for a, b, *others in zip(eager, lifted, *shaken, strict=True):
        if not isinstance(a, float) or not math.isfinite(a) or not math.isfinite(b):
            continue  # in overflow the order of operations decides
        spread = max(abs(float(x) - a) for x in others)
        if abs(float(b) - a) > 10.0 * spread:
            return False
    return True


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


def _computed(tape: Tape, jitter: float = 0.0, seed: int = 0) -> list[Any]:
    """Return each node's number, or the list of its numbers for all samples, as eagerly.

    With a jitter, all operands of operations are off by up to that, relatively.
    """
    groups = tape.given
    samples = max((len(groups[i].array) for i in tape.batched), default=1)  # type: ignore[arg-type]
    leaves = [_leaf_numbers(group, i in tape.batched) for i, group in enumerate(groups)]
    uniform = random.Random(seed).uniform
    numbers: list[Any] = []

    def apply(forward: Callable[..., float], given: Sequence[float]) -> float:
        if jitter:
            given = [x * (1.0 + uniform(-jitter, jitter)) for x in given]
        return forward(*given)

    for operation, *operands in tape.nodes:
        if operation is LEAF:
            group, position = operands
            numbers.append(float(samples) if group == SAMPLES_LEAF else leaves[group][position])
        elif operation is CONSTANT:
            numbers.append(number_of(operands[0]))
        elif operation is BATCH_TOTAL:
            each = numbers[operands[0]]
            terms = each if isinstance(each, list) else [each] * samples
            numbers.append(apply(ops.total.forward, terms))
        elif operation is TABLE:
            numbers.append(0.0)
        elif operation is TAKE:
            rows = [numbers[i] for i in (operands[0], *tape.nodes[operands[1]][1:])]
            numbers.append(_for_samples(lambda i, *row: row[int(i)], rows, samples))
        else:
            forward = operation.forward
            given = [numbers[i] for i in operands]
            exact = operation in ops.CONDITIONS or operation is ops.from_index

            def run(*x: float, exact: bool = exact, forward: Any = forward) -> float:
                return forward(*x) if exact else apply(forward, x)

            numbers.append(_for_samples(run, given, samples))
    return numbers


def _for_samples(function: Callable[..., float], given: list[Any], samples: int) -> Any:
    """Return a function's result, or the list of its results for all samples."""
    if not any(isinstance(x, list) for x in given):
        return function(*given)
    rows = [x if isinstance(x, list) else [x] * samples for x in given]
    return [function(*row) for row in zip(*rows, strict=True)]


def _leaf_numbers(group: LeafGroup, batched: bool) -> list[Any]:
    if batched:
        assert group.array is not None
        return group.array.reshape(len(group.array), -1).T.astype(float).tolist()
    return group.numbers().astype(float).tolist()  # type: ignore[no-any-return]


def _each(x: Any) -> list[float]:
    return x if isinstance(x, list) else [x]


def _rounded(x: Any) -> str:
    """Return a number to as many digits as do not depend on the order of a few additions."""
    return f"{float(x) + 0.0:.11g}" if isinstance(x, float | int) else repr(x)
