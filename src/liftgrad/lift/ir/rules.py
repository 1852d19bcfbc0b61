"""Rules: invariants that the two languages share. Each function yields what is wrong, as text."""

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from liftgrad import ops
from liftgrad.lift.ir.groups import Indices
from liftgrad.ops import Operation

Sort = Literal["number", "condition", "index"]
"""What an element may be: conditions are for selections, indices for takes and puts."""


def is_sequence(positions: Indices) -> bool:
    """Return whether positions are in one dimension and of the type of all index sequences."""
    return positions.dtype == np.int64 and positions.ndim == 1


def outside(positions: Indices, size: int, where: str) -> Iterator[str]:
    """Yield the first position that is not one of `size` elements."""
    wrong = positions[(positions < 0) | (positions >= size)]
    if wrong.size:
        yield f"position {wrong.flat[0]} in {where}, of {size} elements, is outside"


def problems_of_operands(operation: Operation, sorts: Sequence[Sort]) -> Iterator[str]:
    """Yield what is wrong with what an operation is applied to."""
    if len(sorts) != operation.arity:
        yield f"{operation.name} takes {operation.arity} operands and has {len(sorts)}"
        return
    for j, sort in enumerate(sorts):
        asked = _asked(operation, j)
        if sort != asked:
            yield f"operand {j} of {operation.name} is {named(sort)} instead of {named(asked)}"


def named(sort: Sort) -> str:
    """Return a sort with its article."""
    return f"an {sort}" if sort == "index" else f"a {sort}"


def _asked(operation: Operation, operand: int) -> Sort:
    """Return what an operand of an operation is to be."""
    if operation is ops.from_index:
        return "index"
    if operation in (ops.logical_and, ops.logical_or, ops.logical_not):
        return "condition"
    return "condition" if operation is ops.select and operand == 0 else "number"
