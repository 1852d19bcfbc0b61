"""Evaluation: a tape computed node by node, in an arithmetic for numbers of some sort.

On floats or Values the results are the eager engine's; arrays hold the numbers of all samples.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from liftgrad.lift.trace.nodes import (
    BATCH_TOTAL,
    CONSTANT,
    LEAF,
    SAMPLES_LEAF,
    TABLE,
    TAKE,
    number_of,
)
from liftgrad.lift.trace.tape import Tape
from liftgrad.ops import Operation


class Arithmetic(Protocol):
    """Computes with numbers of one sort, each for all samples or with a number for each sample."""

    def constant(self, number: float) -> Any:
        """Return a number for all samples."""

    def apply(self, operation: Operation, operands: Sequence[Any]) -> Any:
        """Return an operation's result, for each sample if one of the operands is for each."""

    def take(self, index: Any, table: Sequence[Any]) -> Any:
        """Return the element of the table at the index."""

    def total_over_samples(self, number: Any) -> Any:
        """Return the sum of the samples' numbers."""


def evaluate(tape: Tape, leaves: Sequence[Any], arithmetic: Arithmetic) -> list[Any]:
    """Return the number of each node of a tape; of a table, the list of its elements' numbers.

    Args:
        tape: the operations.
        leaves: the numbers of each leaf group, by position.
        arithmetic: computes with them.

    """
    samples = float(batch_size(tape))
    numbers: list[Any] = []
    for operation, *operands in tape.nodes:
        number: Any
        if operation is LEAF:
            group, position = operands
            if group == SAMPLES_LEAF:
                number = arithmetic.constant(samples)
            else:
                number = leaves[group][position]
        elif operation is CONSTANT:
            number = arithmetic.constant(number_of(operands[0]))
        elif operation is TABLE:
            number = [numbers[i] for i in operands]
        elif operation is TAKE:
            index, table = operands
            number = arithmetic.take(numbers[index], numbers[table])
        elif operation is BATCH_TOTAL:
            number = arithmetic.total_over_samples(numbers[operands[0]])
        else:
            number = arithmetic.apply(operation, [numbers[i] for i in operands])
        numbers.append(number)
    return numbers


def batch_size(tape: Tape) -> int:
    """Return how many samples the arrays have that were mapped over, 1 if there are none."""
    return max(tape.batched.values(), default=1)


def leaf_arrays(tape: Tape) -> list[NDArray[Any]]:
    """Return the numbers of the arguments' leaf groups, of shape (size,), or (size, samples)."""
    return [
        group.numbers_by_sample() if i in tape.batched else group.numbers()
        for i, group in enumerate(tape.given)
    ]
