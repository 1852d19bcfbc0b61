"""Compose: the expression for some elements of a group, with those of the groups fused into it.

Index sequences are composed as arrays: element `positions[e]` of an operand reads its own operand
at that operand's positions, taken at `positions[e]`.

Invariant: an expression loads from groups that are kept in memory only, and never more of them than
the elements that were asked for read.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, assert_never

import numpy as np

from liftgrad import ops
from liftgrad.lift.ir.groups import (
    Constants,
    Elementwise,
    Group,
    Indices,
    Largest,
    Leaf,
    Loop,
    Put,
    Runs,
    Sum,
    Take,
)
from liftgrad.lift.ir.nests import Number
from liftgrad.lift.scheduling.draft import Applied, Draft, Loads, Reduced, added

Kind = Literal["sum", "max"]
EVERY = slice(None)
"""All elements of a group, in order."""
_MOST_LENGTHS = 4
"""Different lengths of runs in a loop over time that have nests of their own."""


class Composer:
    """Composes the expressions of a program.

    Args:
        groups: the program's.
        kept: whether each of them is kept in memory.
        again: those that are computed again outside of their loops over time, with those loops.

    """

    def __init__(
        self, groups: Sequence[Group], kept: Sequence[bool | None], again: Mapping[int, Loop]
    ) -> None:
        self.groups, self.kept, self.again = groups, kept, again
        self.loop: Loop | None = None
        """The loop over time whose groups are computed."""

    def draft(self, i: int, positions: Indices) -> Draft:
        """Return the expression for elements of a group, which may be in memory already."""
        group = self.groups[i]
        if isinstance(group, Constants):
            numbers = group.numbers[positions]
            first = numbers.reshape(-1)[0]
            if numbers.size == 1 or (numbers.view(np.int64) == first.view(np.int64)).all():
                return Number(float(first))
        if self.kept[i] and self.again.get(i, self.loop) is self.loop:
            load = Loads(i, positions)
            if is_condition(group):
                return Applied(ops.not_equal, (load, Number(0.0)))
            return load
        return self.computed(i, positions)

    def computed(self, i: int, positions: Indices | slice = EVERY) -> Draft:
        """Return the expression that computes elements of a group from its operands."""
        group = self.groups[i]
        match group:
            case Elementwise(operation=operation, operands=views):
                operands = [self.draft(view.group, view.positions[positions]) for view in views]
                return Applied(operation, tuple(operands))
            case Sum(operands=runs):
                return added([self.run(run, positions, group.batched) for run in runs])
            case Largest(operands=runs):
                terms = [self.run(run, positions, group.batched, "max") for run in runs]
                result = terms[0]
                for term in terms[1:]:
                    result = Applied(ops.maximum, (result, term))
                return result
            case Take(index=index, group=source, table=table):
                chosen = Loads(index.group, index.positions[positions])
                return Loads(source, np.zeros_like(chosen.positions), chosen, table[positions])
            case Leaf() | Constants() | Put():
                raise AssertionError(group)  # is always in memory, or a number
            case _:
                assert_never(group)

    def run(self, run: Runs, rows: Indices | slice, batched: bool, kind: Kind = "sum") -> Draft:
        """Return the reduction of the runs, all of one length, of these rows."""
        length = run.uniform
        assert length is not None
        if length == 1 and (batched or not self.groups[run.group].batched):
            return self.draft(run.group, run.positions[rows])
        return self.reduction(run, run.positions.reshape(-1, length)[rows], batched, kind)

    def runs(self, run: Runs, batched: bool, kind: Kind) -> Iterator[tuple[Indices, Draft]]:
        """Yield rows with the reduction of their runs, or of pieces of these."""
        by = self.runs_in_pieces if self.in_pieces(run) else self.runs_by_length
        return by(run, batched, kind)

    def in_pieces(self, run: Runs) -> bool:
        """Return whether runs have so many lengths that they are reduced piece by piece.

        In a loop over time they are often as long as there were steps so far.
        """
        if self.loop is None:
            return False
        counts = np.bincount(np.diff(run.offsets))  # much quicker than np.unique
        return int(np.count_nonzero(counts[1:])) > _MOST_LENGTHS

    def runs_by_length(
        self, run: Runs, batched: bool, kind: Kind
    ) -> Iterator[tuple[Indices, Draft]]:
        """Yield the rows whose runs have one length, with the reduction of their runs."""
        lengths = np.diff(run.offsets)
        if lengths.max() == 1 and (batched or not self.groups[run.group].batched):
            yield np.nonzero(lengths)[0], self.draft(run.group, run.positions)
            return
        for length in np.unique(lengths):
            if length == 0:
                continue
            rows = np.nonzero(lengths == length)[0]
            elements = run.offsets[rows][:, None] + np.arange(length)
            yield rows, self.reduction(run, run.positions[elements], batched, kind)

    def runs_in_pieces(
        self, run: Runs, batched: bool, kind: Kind
    ) -> Iterator[tuple[Indices, Draft]]:
        """Yield rows, each as often as its run has pieces, with the reduction of a piece.

        The pieces' lengths are powers of two: there are few of these, however many different
        lengths the runs have.
        """
        lengths = np.diff(run.offsets)
        for bit in reversed(range(int(lengths.max()).bit_length())):
            rows = np.nonzero(lengths >> bit & 1)[0]
            if len(rows):
                first = run.offsets[rows] + (lengths[rows] >> bit + 1 << bit + 1)
                elements = first[:, None] + np.arange(1 << bit)
                yield rows, self.reduction(run, run.positions[elements], batched, kind)

    def reduction(self, run: Runs, positions: Indices, batched: bool, kind: Kind) -> Draft:
        """Return the reduction of each row of positions, over the samples if those are reduced."""
        samples = self.groups[run.group].batched and not batched
        if positions.shape[1] == 1 and self.loop is not None and not samples:
            return self.draft(run.group, positions[:, 0])
        body = self.draft(run.group, positions)
        return Reduced(kind, positions.shape[1], body, samples)


def is_condition(group: Group) -> bool:
    """Return whether a group's elements are conditions; if it is kept, they are 1 and 0."""
    return isinstance(group, Elementwise) and group.operation in ops.CONDITIONS
