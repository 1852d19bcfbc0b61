"""Segments: a loop over time cut into stretches in which every step runs the same nests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod
from typing import assert_never

from liftgrad.lift.ir.nests import (
    Access,
    Apply,
    Buffer,
    Expression,
    Load,
    Nest,
    Number,
    Reduce,
    Timed,
    TimeLoop,
    begun_at,
    with_accesses,
)
from liftgrad.lift.kernels.tiling import (
    SAMPLES,
    TIME,
    Dimension,
    Strides,
    Tiling,
    dimensions,
    rows_of,
    tiling,
    tiling_over_samples,
    vector_of,
)

_UNROLLED = 1500
"""Instructions, roughly, that a step's nests may have when they are written out."""


@dataclass(slots=True, eq=False)
class StepNest:
    """A nest as each step of a segment runs it."""

    nest: Nest
    """With accesses whose first index is the step itself; of ragged rows, the row."""
    rows: int | None
    """The table in which ragged rows are looked up."""
    extents: dict[Dimension, int]
    """Of the dimensions of the rows within the step, but for ragged ones and samples."""
    strides: Strides
    plan: Tiling
    unrolled: bool = False
    """Whether its loops within the step are written out."""

    def looping(self, width: int) -> bool:
        """Return whether there are loops over its rows when it is written."""
        if self.rows is not None:
            return True

        def single(dimension: Dimension, extent: int) -> bool:
            size = self.plan.tiles.get(dimension)
            if size is None:
                return extent == 1
            return extent < 2 * size * (width if dimension == self.plan.vector else 1)

        return not (self.unrolled or all(single(*pair) for pair in self.extents.items()))


@dataclass(frozen=True, slots=True)
class Segment:
    """Steps from `start` up to, not including, `stop`, and the nests that each of them runs."""

    start: int
    stop: int
    nests: Sequence[StepNest]

    @property
    def steps(self) -> int:
        """The number of steps."""
        return self.stop - self.start


def segments(
    loop: TimeLoop, buffers: Sequence[Buffer], width: int | None, registers: int
) -> list[Segment]:
    """Return a loop's segments in the order in which they run.

    Args:
        loop: the loop.
        buffers: the program's.
        width: the lanes of a vector; None: there are no vectors.
        registers: how many vectors the processor holds.

    """
    paces = _paces(loop)
    nests = [_step_nest(timed, paces, buffers, width, registers) for timed in loop.body]
    _unroll(nests, width)
    ranges = [
        (x.first, x.first + x.nest.extents[0]) if x.rows is None else (0, loop.steps)
        for x in loop.body
    ]
    cuts = sorted({0, loop.steps, *(cut for pair in ranges for cut in pair)})
    found = [
        Segment(
            *(start, stop),
            [
                nest
                for nest, (first, last) in zip(nests, ranges, strict=True)
                if first <= start and stop <= last
            ],
        )
        for start, stop in pairwise(cuts)
    ]
    return found[::-1] if loop.backwards else found


def _paces(loop: TimeLoop) -> dict[int, int]:
    """Return by how much each buffer's writers move on from step to step."""
    return {
        timed.nest.out.buffer: timed.nest.out.strides[0]
        for timed in reversed(loop.body)
        if timed.rows is None and timed.nest.extents[0] > 1
    }


def _step_nest(
    timed: Timed,
    paces: Mapping[int, int],
    buffers: Sequence[Buffer],
    width: int | None,
    registers: int,
) -> StepNest:
    nest, first = timed.nest, timed.first
    if timed.rows is None and nest.extents[0] == 1:
        # How far a nest of one step would move is of no account: like the others, so that it is
        # seen that they read what it writes.
        nest = with_accesses(nest, lambda access: _moving(access, paces))
    nest = begun_at(nest, -first)
    extents = rows_of(nest)
    names: list[Dimension] = list(extents)
    del extents["row", 0]
    if timed.rows is None:
        extents = {("row", d - 1): extent for (_, d), extent in extents.items()}
        names = [TIME, *extents]
    strides = Strides(names, buffers)
    plan = Tiling(None)
    if width is not None and nest.batched:
        sampled = {**extents, ("sample", 0): SAMPLES}
        plan = tiling_over_samples(nest, strides, sampled, width, registers)
        plan.tiles.pop(("sample", 0))
    elif width is not None:
        plan = tiling(nest, strides, extents, width, registers)
    return StepNest(nest, timed.rows, extents, strides, plan)


def _moving(access: Access, paces: Mapping[int, int]) -> Access:
    if access.table is not None or access.index is not None:
        return access
    return replace(access, strides=(paces.get(access.buffer, 0), *access.strides[1:]))


def _unroll(nests: Sequence[StepNest], width: int | None) -> None:
    """Choose the nests that are written out: the smallest, as long as the text stays short."""
    if width is None:
        return  # what there are vectors for otherwise is left to the compiler
    total = 0
    for cost, nest in sorted(((_cost(x, width), x) for x in nests), key=lambda pair: pair[0]):
        total += cost
        nest.unrolled = nest.rows is None and total <= _UNROLLED


def _cost(nest: StepNest, width: int) -> int:
    """Return roughly how many instructions a nest has when it is written out."""

    def of(expression: Expression, vector: Dimension | None) -> int:
        match expression:
            case Apply(operands=operands):
                return 1 + sum(of(x, vector) for x in operands)
            case Reduce(body=body):
                inner = vector or vector_of(expression, nest.strides, width)
                extents = dimensions(expression)
                return blocks(extents, inner) * (1 + of(body, inner))
            case Load() | Number():
                return 1
            case _:
                assert_never(expression)

    def blocks(extents: Mapping[Dimension, int], vector: Dimension | None) -> int:
        return prod(-(-e // width) if d == vector else e for d, e in extents.items())

    vector = ("sample", 0) if nest.nest.batched else nest.plan.vector
    return blocks(nest.extents, vector) * (1 + of(nest.nest.body, vector))
