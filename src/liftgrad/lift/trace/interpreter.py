"""Tape numbers: a tape computed operation by operation, as the eager engine would."""

import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from liftgrad import ops
from liftgrad.lift.trace.tape import (
    BATCH_TOTAL,
    CONSTANT,
    LEAF,
    SAMPLES_LEAF,
    TABLE,
    TAKE,
    Tape,
    number_of,
)
from liftgrad.numbers import plain
from liftgrad.ops import Operation

Apply = Callable[[Operation, Sequence[Any]], Any]


def computed(tape: Tape, leaves: list[Any], apply: Apply) -> list[Any]:
    """Return each node's number, or the list of its numbers for all samples, as eagerly.

    Args:
        tape: the operations.
        leaves: the numbers of each leaf group, by position.
        apply: computes an operation on numbers such as these.

    """
    groups = tape.given
    samples = max((len(groups[i].array) for i in tape.batched), default=1)  # type: ignore[arg-type]
    numbers: list[Any] = []
    for operation, *operands in tape.nodes:
        if operation is LEAF:
            group, position = operands
            numbers.append(float(samples) if group == SAMPLES_LEAF else leaves[group][position])
        elif operation is CONSTANT:
            numbers.append(number_of(operands[0]))
        elif operation is BATCH_TOTAL:
            terms = numbers[operands[0]]
            terms = terms if isinstance(terms, list) else [terms] * samples
            numbers.append(apply(ops.total, terms))
        elif operation is TABLE:
            numbers.append(0.0)
        elif operation is TAKE:
            rows = [numbers[i] for i in (operands[0], *tape.nodes[operands[1]][1:])]
            numbers.append(_for_samples(lambda index, *row: row[int(index)], rows, samples))
        else:
            run = partial(_apply, apply, operation)
            numbers.append(_for_samples(run, [numbers[i] for i in operands], samples))
    return numbers


def _apply(apply: Apply, operation: Operation, *given: Any) -> Any:
    return apply(operation, given)


def forward(operation: Operation, given: Sequence[Any]) -> Any:
    """Compute an operation on floats."""
    return operation.forward(*given)


def shaken(jitter: float, seed: int) -> Apply:
    """Return what computes operations on operands that are off by up to that, relatively."""
    uniform = random.Random(seed).uniform

    def apply(operation: Operation, given: Sequence[Any]) -> Any:
        if operation in ops.CONDITIONS or operation is ops.from_index:
            return operation.forward(*given)
        return operation.forward(*[x * (1.0 + uniform(-jitter, jitter)) for x in given])

    return apply


def as_eagerly(operation: Operation, given: Sequence[Any]) -> Any:
    """Compute an operation on Values, of which conditions look at the numbers."""
    if operation in ops.CONDITIONS:
        return operation.forward(*map(plain, given))
    if operation is ops.select:
        return ops.where(bool(given[0]), *given[1:])
    return operation(*given)


def _for_samples(function: Callable[..., Any], given: list[Any], samples: int) -> Any:
    """Return a function's result, or the list of its results for all samples."""
    if not any(isinstance(x, list) for x in given):
        return function(*given)
    rows = [x if isinstance(x, list) else [x] * samples for x in given]
    return [function(*row) for row in zip(*rows, strict=True)]


def floats(tape: Tape) -> list[Any]:
    """Return the numbers of each leaf group, those of mapped arrays as a list for each position."""
    result: list[Any] = []
    for i, group in enumerate(tape.given):
        if i in tape.batched:
            assert group.array is not None
            result.append(group.array.reshape(len(group.array), -1).T.astype(float).tolist())
        else:
            result.append(group.numbers().astype(float).tolist())
    return result


def each(x: Any) -> list[float]:
    """Return a node's numbers as a list, of one where all samples share it."""
    return x if isinstance(x, list) else [x]
