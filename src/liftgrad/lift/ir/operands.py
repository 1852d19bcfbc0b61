"""Operands: groups that read something else, or of which only some elements are left.

Passes that move groups about, but leave what they compute alone, need no more of them.
"""

from collections.abc import Callable
from typing import assert_never

import numpy as np

from liftgrad.lift.ir.groups import (
    Constants,
    Elementwise,
    Group,
    Indices,
    Largest,
    Leaf,
    Put,
    Runs,
    Sum,
    Take,
    View,
)

Operand = tuple[int, Indices]
"""A group, and positions in it."""


def reading(group: Group, moved: Callable[[int, Indices], Operand]) -> Group:
    """Return a group that reads something else.

    Args:
        group: what it is.
        moved: returns for each operand what is to be read instead of it.

    """
    match group:
        case Elementwise(operation=operation, operands=operands, batched=batched):
            views = tuple(View(*moved(v.group, v.positions)) for v in operands)
            return Elementwise(operation, views, batched)
        case Sum(operands=runs, batched=batched):
            return Sum(tuple(Runs(*moved(r.group, r.positions), r.offsets) for r in runs), batched)
        case Largest(operands=runs, batched=batched):
            return Largest(
                tuple(Runs(*moved(r.group, r.positions), r.offsets) for r in runs), batched
            )
        case Take(index=index, group=source, table=table, batched=batched):
            place = View(*moved(index.group, index.positions))
            source, positions = moved(source, table.reshape(-1))
            return Take(place, source, positions.reshape(table.shape), batched)
        case Put(source=view, index=index, table=table, size=size, batched=batched):
            place = View(*moved(index.group, index.positions))
            return Put(View(*moved(view.group, view.positions)), place, table, size, batched)
        case Leaf() | Constants():
            return group
        case _:
            assert_never(group)


def part(group: Group, rows: slice | Indices) -> Group:
    """Return the group of some of a group's elements, which are in order."""
    match group:
        case Elementwise(operation=operation, operands=operands, batched=batched):
            views = tuple(View(v.group, v.positions[rows]) for v in operands)
            return Elementwise(operation, views, batched)
        case Sum(operands=runs, batched=batched):
            return Sum(tuple(_some(r, rows) for r in runs), batched)
        case Largest(operands=runs, batched=batched):
            return Largest(tuple(_some(r, rows) for r in runs), batched)
        case Take(index=index, group=source, table=table, batched=batched):
            return Take(View(index.group, index.positions[rows]), source, table[rows], batched)
        case Leaf() | Constants() | Put():
            raise AssertionError(group)  # is in no loop
        case _:
            assert_never(group)


def _some(runs: Runs, rows: slice | Indices) -> Runs:
    if isinstance(rows, slice):
        offsets = runs.offsets[rows.start : rows.stop + 1]
        first = offsets[0]
        return Runs(runs.group, runs.positions[first : offsets[-1]], offsets - first)
    lengths = runs.offsets[1:] - runs.offsets[:-1]
    kept = np.zeros(len(lengths), np.bool_)
    kept[rows] = True
    offsets = np.concatenate([[0], np.cumsum(lengths[kept])])
    return Runs(runs.group, runs.positions[np.repeat(kept, lengths)], offsets)


def rows_of_reads(group: Group) -> list[Indices]:
    """Return for each operand, as `views` yields them, which element reads each position."""
    rows = np.arange(group.size, dtype=np.int64)
    match group:
        case Elementwise(operands=operands):
            return [rows] * len(operands)
        case Sum(operands=runs) | Largest(operands=runs):
            return [np.repeat(rows, r.offsets[1:] - r.offsets[:-1]) for r in runs]
        case Take(table=table):
            return [rows, np.repeat(rows, table.shape[1])]
        case Leaf() | Constants() | Put():
            raise AssertionError(group)  # is in no loop
        case _:
            assert_never(group)
