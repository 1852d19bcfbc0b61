"""Loops of a line, fitted to the indices of what it touches, in the user's own order.

Positions in memory and their layouts are the compiler's business. The loops of nests that differ
only in how long they are, such as the rows of causal attention, have lengths that depend on each
other.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from liftgrad.lift.ir import affine
from liftgrad.lift.ir.groups import Indices


@dataclass(slots=True, frozen=True)
class Index:
    """offset + Σ stride_d · index_d over the loops."""

    offset: int
    strides: tuple[int, ...]

    @property
    def loop(self) -> int | None:
        """The loop whose index this is, with nothing added or multiplied; None: no loop."""
        moving = [d for d, stride in enumerate(self.strides) if stride]
        plain = self.offset == 0 and len(moving) == 1 and self.strides[moving[0]] == 1
        return moving[0] if plain else None

    def text(self, letters: Sequence[str]) -> str:
        """Return for example "4i+k", "s-1", "7-s", "3"."""
        return affine.text(self.offset, self.strides, letters)


@dataclass(slots=True, frozen=True, eq=False)
class Loops:
    """Nested loops, outermost first: a column has the index of one loop at each step."""

    columns: tuple[Indices, ...]
    extents: tuple[int, ...] | None = None
    """None: the extents depend on each other."""
    first: int = 0
    """What the outermost loop counts from, if the extents are fixed."""
    step: int = 1
    """By how much it counts."""
    of_steps: bool = False
    """Whether the outermost is over the steps of a loop over time, each with rows of its own."""

    @classmethod
    def rectangular(cls, extents: Sequence[int]) -> "Loops":
        """Return loops of fixed extents."""
        extents = tuple(e for e in extents if e > 1)
        grid = np.indices(extents).reshape(len(extents), math.prod(extents))
        return cls(tuple(grid), extents)

    @classmethod
    def in_steps(cls, steps: Indices) -> "Loops":
        """Return a loop over the steps, and in it one over the rows of each step."""
        return cls((steps, position_within(steps)), of_steps=True)

    def counting(self, steps: Indices) -> "Loops | None":
        """Return these loops of fixed extents, the outermost counting these steps, if it can.

        If there is but one step, no loop counts it.
        """
        index = self.fit(steps)
        if index is None or any(index.strides[1:]):
            return None
        first, step = index.offset, (*index.strides, 0)[0]
        if step == 0:
            return self if (steps == first).all() else None
        columns = (first + step * self.columns[0], *self.columns[1:])
        return Loops(columns, self.extents, first, step)

    def fit(self, sequence: Indices) -> Index | None:
        """Return the sequence as offset and strides, or None if it is not of that form."""
        if self.extents is not None:
            strides = affine.strides(sequence, self.extents)
            if strides is None:
                return None
            outermost, rest = divmod((*strides, 0)[0], self.step)
            if rest:
                return None
            strides = (outermost, *strides[1:]) if strides else ()
            return Index(int(sequence[0]) - outermost * self.first, strides)
        design = np.stack([*self.columns, np.ones_like(sequence)], axis=1).astype(np.float64)
        solution = np.linalg.lstsq(design, sequence.astype(np.float64), rcond=None)[0]
        *steps, offset = (int(x) for x in np.rint(solution))
        found = np.full_like(sequence, offset)
        for step, column in zip(steps, self.columns, strict=True):
            found += step * column
        return Index(offset, tuple(steps)) if (found == sequence).all() else None

    def reversed_where_descending(self, sequence: Indices) -> "Loops":
        """Return these loops, reversed where the sequence counts down along them."""
        index = self.fit(sequence)
        columns = list(self.columns)
        for d, stride in enumerate(index.strides if index else ()):
            if stride < 0:
                columns[d] = columns[d].max() - columns[d]
        result = Loops(tuple(columns))
        changed = any(a is not b for a, b in zip(columns, self.columns, strict=True))
        return result if changed and result.counts() else self

    def lengths(self) -> list[Index | None]:
        """Return each loop's extent as a function of the loops around it; None: not affine."""
        if self.extents is not None:
            return [Index(extent, ()) for extent in self.extents]
        return [
            Loops(self.columns[:d]).fit(_largest(self.columns[:d], column) + 1)
            for d, column in enumerate(self.columns)
        ]

    def longest(self, d: int) -> Indices:
        """Return for each step the extent of a loop while the loops around it stand still."""
        return _largest(self.columns[:d], self.columns[d]) + 1

    def counts(self) -> bool:
        """Whether every loop counts from 0 without a gap, and no step is done twice."""
        before = 1
        for d, column in enumerate(self.columns):
            around = self.columns[:d]
            steps, first = np.unique(np.stack((*around, column)), axis=1, return_index=True)
            starts = first[steps[-1] == 0]
            lengths = _largest(around, column)[starts] + 1
            if len(starts) != before or len(first) != lengths.sum():
                return False
            before = len(first)
        return before == len(self.columns[0])


def position_within(runs: Indices) -> Indices:
    """Return for each element of a sequence how many like it come before it.

    >>> position_within(np.array([0, 0, 1, 2, 2, 2])).tolist()
    [0, 1, 0, 0, 1, 2]

    """
    order = np.argsort(runs, kind="stable")
    ordered = runs[order]
    result = np.empty_like(runs)
    result[order] = np.arange(len(runs)) - np.searchsorted(ordered, ordered)
    return result


def _largest(around: Sequence[Indices], column: Indices) -> Indices:
    """Return for each step the largest index of a loop while the loops around it stand still."""
    if not around:
        return np.full_like(column, column.max())
    _, rows = np.unique(np.stack(around), axis=1, return_inverse=True)
    rows = rows.reshape(-1)
    largest = np.zeros(rows.max() + 1, np.int64)
    np.maximum.at(largest, rows, column)
    return largest[rows]


def row_extents(sequences: Sequence[Indices]) -> tuple[int, ...]:
    """Return extents of rectangular loops over which as many sequences as possible are affine."""
    return affine.common_extents(len(sequences[0]), sequences)


def fit_blocks(blocks: Sequence[Indices], rows: Loops, reduced: Loops | None) -> Index | None:
    """Return blocks of indices as one index over the loops of rows and reduction, or None."""
    heads = rows.fit(np.concatenate([block[:, 0] for block in blocks]))
    if heads is None or reduced is None:
        return heads
    longest = max(blocks, key=lambda block: block.shape[1])[0]
    across = reduced.fit(longest)
    if across is None:
        return None
    for block in blocks:
        if not (block == block[:, :1] + (longest[: block.shape[1]] - longest[0])).all():
            return None
    return Index(heads.offset, (*heads.strides, *across.strides))
