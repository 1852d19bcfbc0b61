"""Over time: the nests of a loop, whose outermost dimension is the step.

A group of a loop has the elements of all steps, so a draft has rows of all steps. Where each step
has as many of them, time is a dimension of a nest like any other; so a stretch of steps in which
that is so is a nest. First and last steps, and first and last rows of all steps, are nests of their
own where the rest is affine without them. Where the number of rows changes in between, a table says
where each step's rows begin.

Invariant: each row is computed once, in its own step.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from liftgrad.lift.ir import affine
from liftgrad.lift.ir.groups import Indices, identity
from liftgrad.lift.ir.nests import Nest, Timed
from liftgrad.lift.scheduling.draft import Draft, Loads, all_loads, rows_of
from liftgrad.lift.scheduling.fit import Fitter

_ENDS = 2
"""First steps, and last ones, that may have another number of rows than the rest."""
_MOST_PARTS = 3
"""Nests that the rows of a step are cut into: a beginning, a middle and an end."""
_FEW_ROWS = 4
"""Rows of a step that may be nests of their own: a table would take as long to read."""


@dataclass(frozen=True, slots=True, eq=False)
class RowsOverTime:
    """What a nest of a loop computes, before it is fitted."""

    out: Loads
    body: Draft
    accumulate: bool
    batched: bool
    ends: Indices
    """Where each step's rows begin, and at the end their number."""

    def some(self, chosen: Indices, ends: Indices) -> "RowsOverTime":
        """Return some of the rows, which begin here in each step."""
        out = replace(self.out, positions=self.out.positions[chosen])
        return replace(self, out=out, body=rows_of(self.body, chosen), ends=ends)


def step_of(elements: Indices, offsets: Indices) -> Indices:
    """Return the step of elements of a group, given where each step's begin."""
    each = int(offsets[1])
    if each and (offsets == each * identity(len(offsets))).all():
        return elements // each
    return np.searchsorted(offsets, elements, side="right") - 1


def starts_among(rows: Indices, offsets: Indices) -> Indices:
    """Return where each step's rows begin, and at the end their number.

    Args:
        rows: the rows, in ascending order.
        offsets: where each step's elements begin among all, of which rows are some.

    """
    if rows[-1] - rows[0] == len(rows) - 1:  # without a gap, and quicker for it
        starts: Indices = np.clip(offsets - rows[0], 0, len(rows))
        return starts
    return np.searchsorted(rows, offsets)


def timed_nests(rows: RowsOverTime, fitter: Fitter) -> Iterator[Timed]:
    """Yield the nests that compute rows of a loop, each in its step."""
    counts = np.diff(rows.ends)
    edges = [0, *(np.flatnonzero(np.diff(counts)) + 1).tolist(), len(counts)]
    if any(_ENDS < edge < len(counts) - _ENDS for edge in edges):
        extents = (int(rows.ends[-1]),)
        yield Timed(_nest(rows, extents, fitter), 0, fitter.table(rows.ends))
        return
    for first, stop in [(a, b) for a, b in pairwise(edges) if counts[a]]:
        yield from _nests_of_stretch(_between(rows, first, stop), first, fitter)


def _between(rows: RowsOverTime, first: int, stop: int) -> RowsOverTime:
    """Return the rows of some steps."""
    ends = rows.ends[first : stop + 1]
    if ends[-1] - ends[0] == rows.ends[-1]:
        return replace(rows, ends=ends)
    return rows.some(np.arange(ends[0], ends[-1]), ends - ends[0])


def _nests_of_stretch(rows: RowsOverTime, first: int, fitter: Fitter) -> Iterator[Timed]:
    """Yield the nests of steps that have as many rows each."""
    each = int(rows.ends[1])
    sequences = [fitter.layouts.down_rows(x) for x in (rows.out, *all_loads(rows.body))]
    grids = [sequence.reshape(-1, each) for sequence in sequences]
    extents = _extents(grids)
    if all(fitter.strides(sequence, extents) is not None for sequence in sequences):
        yield Timed(_nest(rows, extents, fitter), first)
        return
    for begin, end in pairwise(_cuts_in_time(grids)):
        some = _between(rows, begin, end)
        for start, stop in pairwise(_cuts_in_rows([grid[begin:end] for grid in grids])):
            few = some
            if stop - start < each:
                chosen = identity((end - begin) * each).reshape(-1, each)[:, start:stop]
                few = some.some(chosen.reshape(-1), identity(end - begin + 1) * (stop - start))
            extents = _extents([grid[begin:end, start:stop] for grid in grids])
            yield Timed(_nest(few, extents, fitter), first + begin)


def _extents(grids: Sequence[Indices]) -> tuple[int, ...]:
    """Return loops over the steps, and over the rows of each."""
    steps, each = grids[0].shape
    if each == 1:
        return (steps,)
    return steps, *affine.common_extents(each, [grid[0] for grid in grids])


def _cuts_in_time(grids: Sequence[Indices]) -> list[int]:
    """Return the steps at which nests begin and end: the first and the last may not be regular."""
    steps = len(grids[0])
    if steps < _MOST_PARTS:
        return [0, steps]
    regular = np.ones(steps - 1, bool)
    for grid in grids:
        forward = grid[1:] - grid[:-1]
        regular &= (forward == forward[len(forward) // 2, 0]).all(axis=1)
    if regular.all() or not regular[1:-1].all():
        return [0, steps]
    return [0, *([] if regular[0] else [1]), *([] if regular[-1] else [steps - 1]), steps]


def _cuts_in_rows(grids: Sequence[Indices]) -> list[int]:
    """Return the rows of a step at which nests begin and end, so that each is affine."""
    each = grids[0].shape[1]
    extents = _extents(grids)
    if all(affine.strides(grid.reshape(-1), extents) is not None for grid in grids):
        return [0, each]
    across = np.stack([np.diff(grid, axis=1) for grid in grids])
    most = each if each <= _FEW_ROWS else _MOST_PARTS
    cuts = [0]
    while cuts[-1] < each and len(cuts) <= most:
        start = cuts[-1]
        alike = (across[:, :, start:] == across[:, :1, start : start + 1]).all(axis=(0, 1))
        cuts.append(start + 1 + (len(alike) if alike.all() else int(alike.argmin())))
    return cuts if cuts[-1] == each else [0, each]


def _nest(rows: RowsOverTime, extents: tuple[int, ...], fitter: Fitter) -> Nest:
    out = fitter.access(rows.out, extents)
    return Nest(extents, rows.batched, out, rows.accumulate, fitter.expression(rows.body, extents))
