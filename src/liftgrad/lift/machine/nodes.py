"""Nodes: an operation and its operands as one number.

A node is one float64, an exact integer: its operation's code and two fields of 23 bits, `a` and
`b`. They are the indices of the operands; for an operation on a sequence, how many operands there
are and where they begin in the list of such operands; for an input, its position in the list of
inputs. Lists of floats become arrays at once.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from liftgrad import ops
from liftgrad.ops import Operation, where

BITS = 23
LIMIT = 1 << BITS
"""The most nodes of a recording, and the most operands of operations on sequences."""
SHIFT = float(1 << BITS)
"""What the field `a` is multiplied by."""
INPUT = 0
"""The code of an input, which is no operation's result."""

power_by: Operation = Operation(
    "power_by",
    ops.power.forward,
    lambda g, y, a, b: (where(b == 0.0, 0.0, g * (b * ops.power(a, b - 1.0))), 0.0),
    "{0}^{1}",
    "**",
    arity=2,
)
"""x**exponent with any constant exponent, which is an input of its own."""
_EXPONENTS = (2.0, 3.0, -1.0, -2.0, 0.5, -0.5)
"""Exponents of operations of their own."""
TABLE: tuple[Operation, ...] = (
    *ops.OPERATIONS.values(),
    *[ops.power_constant(exponent) for exponent in _EXPONENTS],
    power_by,
)
CODES = {operation: code for code, operation in enumerate(TABLE, 1)}
OPERATION_OF = {code: operation for operation, code in CODES.items()}
CHOICES = {
    operation: code
    for code, operation in enumerate(
        (*sorted(ops.CONDITIONS, key=lambda x: x.name), ops.select, ops.detach), len(TABLE) + 1
    )
}
"""The codes of operations that are not recorded, but are on tapes of programs. Conditions are 1 or
0; a choice is one on a sequence: the condition and two numbers."""


class Node(NamedTuple):
    """The fields of a node."""

    code: int
    a: int
    b: int


def unpack(node: float) -> Node:
    """Return a node's fields."""
    bits = int(node)
    return Node(bits >> 2 * BITS, bits >> BITS & LIMIT - 1, bits & LIMIT - 1)


def operands(node: Node, sequences: Sequence[float] | NDArray[np.float64]) -> list[int]:
    """Return the indices of a node's operands."""
    arity = OPERATION_OF[node.code].arity
    if arity is None:
        return [int(x) for x in sequences[node.b : node.b + node.a]]
    return [node.a, node.b][:arity]


class Arrays(NamedTuple):
    """A recording's memory."""

    nodes: NDArray[np.float64]
    inputs: NDArray[np.float64]
    """Numbers from outside."""
    sequences: NDArray[np.float64]
    """The operands of operations on sequences."""
    values: NDArray[np.float64]
