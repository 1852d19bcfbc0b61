"""Over time: the nests of a loop, whose outermost dimension is the step.

A group of a loop has the elements of all steps, so a draft has rows of all steps. Where each step
has as many of them, time is a dimension of a nest like any other; so a stretch of steps in which
that is so is a nest. Where the number changes often, a table says where each step's rows begin.

Invariant: each row is computed once, in its own step.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from liftgrad.lift.ir.groups import Indices
from liftgrad.lift.ir.nests import Nest, Timed
from liftgrad.lift.passes.draft import Draft, Loads, all_loads, rows_of
from liftgrad.lift.passes.fit import Fitter

_MOST_STRETCHES = 3
"""Nests that rows are cut into before they get a table: a beginning, a middle and an end."""


@dataclass(frozen=True, slots=True, eq=False)
class RowsOverTime:
    """What a nest of a loop computes, before it is fitted."""

    out: Loads
    body: Draft
    accumulate: bool
    batched: bool
    ends: Indices
    """Where each step's rows begin, and at the end their number."""


def timed_nests(rows: RowsOverTime, fitter: Fitter) -> Iterator[Timed]:
    """Yield the nests that compute rows of a loop, each in its step."""
    counts = np.diff(rows.ends)
    edges = np.array([0, *(np.flatnonzero(np.diff(counts)) + 1), len(counts)])
    stretches = [(a, b) for a, b in pairwise(edges) if counts[a]]
    if len(stretches) > _MOST_STRETCHES:
        extents = (int(rows.ends[-1]),)
        yield Timed(_nest(rows, extents, fitter), 0, fitter.table(rows.ends))
        return
    for first, stop in stretches:
        some = _between(rows, first, stop)
        yield Timed(_nest(some, _extents(some, fitter), fitter), int(first))


def _between(rows: RowsOverTime, first: int, stop: int) -> RowsOverTime:
    """Return the rows of some steps."""
    ends = rows.ends[first : stop + 1]
    if ends[0] == 0 and ends[-1] == rows.ends[-1]:
        return RowsOverTime(rows.out, rows.body, rows.accumulate, rows.batched, ends)
    chosen = np.arange(ends[0], ends[-1])
    out = Loads(rows.out.group, rows.out.positions[chosen])
    return RowsOverTime(
        out, rows_of(rows.body, chosen), rows.accumulate, rows.batched, ends - ends[0]
    )


def _extents(rows: RowsOverTime, fitter: Fitter) -> tuple[int, ...]:
    """Return loops over the rows, of which each step has as many: steps, then those in a step."""
    steps, each = len(rows.ends) - 1, int(rows.ends[1])
    if each == 1:
        return (steps,)
    chosen = np.arange(each)
    accesses = [*all_loads(rows_of(rows.body, chosen)), *all_loads(rows_of(rows.out, chosen))]
    return steps, *fitter.extents(each, accesses)


def _nest(rows: RowsOverTime, extents: tuple[int, ...], fitter: Fitter) -> Nest:
    out = fitter.access(rows.out, extents)
    return Nest(extents, rows.batched, out, rows.accumulate, fitter.expression(rows.body, extents))
