"""Eager arithmetic: the numbers of a tape's nodes, as the eager engine computes them."""

import random
from collections.abc import Callable, Sequence
from typing import Any

from liftgrad import ops
from liftgrad.engine import Value
from liftgrad.lift.trace.evaluation import evaluate, leaf_arrays
from liftgrad.lift.trace.tape import Tape
from liftgrad.numbers import plain
from liftgrad.ops import Operation

Apply = Callable[[Operation, Sequence[Any]], Any]


def computed_eagerly(tape: Tape, leaves: list[Any], apply: Apply) -> list[Any]:
    """Return each node's number, or the list of its numbers for all samples, as eagerly.

    Args:
        tape: the operations.
        leaves: the numbers of each leaf group, by position.
        apply: computes an operation on numbers such as these.

    """
    return evaluate(tape, leaves, _Eagerly(apply))


class _Eagerly:
    """Computes one number after another; what differs from sample to sample is a list."""

    def __init__(self, apply: Apply) -> None:
        self._apply = apply

    def constant(self, number: float) -> float:
        return number

    def apply(self, operation: Operation, operands: Sequence[Any]) -> Any:
        return _for_samples(lambda *given: self._apply(operation, given), operands)

    def take(self, index: Any, table: Sequence[Any]) -> Any:
        return _for_samples(lambda i, *elements: elements[int(i)], [index, *table])

    def total_over_samples(self, number: list[Any]) -> Any:
        return self._apply(ops.total, number)


def _for_samples(function: Callable[..., Any], operands: Sequence[Any]) -> Any:
    """Return a function's result, or the list of its results for all samples."""
    samples = next((len(x) for x in operands if isinstance(x, list)), None)
    if samples is None:
        return function(*operands)
    rows = [x if isinstance(x, list) else [x] * samples for x in operands]
    return [function(*row) for row in zip(*rows, strict=True)]


def on_floats(operation: Operation, operands: Sequence[Any]) -> Any:
    """Compute an operation on floats."""
    return operation.forward(*operands)


def on_values(operation: Operation, operands: Sequence[Any]) -> Any:
    """Compute an operation on Values; conditions compare their numbers."""
    if operation in ops.CONDITIONS:
        return operation.forward(*map(plain, operands))
    if operation is ops.select:
        return ops.where(bool(operands[0]), *operands[1:])
    return operation(*operands)


def shaken(jitter: float, seed: int) -> Apply:
    """Return an `apply` for floats whose operands are off by up to a relative jitter."""
    uniform = random.Random(seed).uniform

    def apply(operation: Operation, operands: Sequence[Any]) -> Any:
        if operation in ops.CONDITIONS or operation is ops.from_index:
            return on_floats(operation, operands)
        return on_floats(operation, [x * (1.0 + uniform(-jitter, jitter)) for x in operands])

    return apply


def with_shaken_derivatives(jitter: float, seed: int) -> Apply:
    """Return an `apply` for Values whose derivatives are off by up to a relative jitter."""
    uniform = random.Random(seed).uniform

    def apply(operation: Operation, operands: Sequence[Any]) -> Any:
        return on_values(
            operation,
            [
                x + uniform(-jitter, jitter) * (x - x.data) if isinstance(x, Value) else x
                for x in operands
            ],
        )

    return apply


def leaf_numbers(tape: Tape) -> list[Any]:
    """Return the numbers of each leaf group, those of mapped arrays as a list for each position."""
    return [numbers.astype(float).tolist() for numbers in leaf_arrays(tape)]


def each(x: Any) -> list[float]:
    """Return a node's numbers as a list, of one where all samples share it."""
    return x if isinstance(x, list) else [x]
