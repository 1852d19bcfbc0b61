"""Segments: a loop over time cut into stretches in which every step runs the same nests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, pairwise, product
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
    stores,
    with_accesses,
)
from liftgrad.lift.kernels.registers import Place
from liftgrad.lift.kernels.tiling import (
    SAMPLES,
    TIME,
    Dimension,
    Strides,
    Tiling,
    dimensions,
    rows_of,
    tiling,
    tiling_in_loop,
    tiling_over_samples,
    vector_of,
)

_UNROLLED = 1500
"""Instructions, roughly, that a step's nests may have when they are written out."""
_CALL, _TABLE = 60, 15
"""Instructions, roughly, of a mathematical function and of looking up rows."""
_GATHERED = 96
"""Vectors that may be gathered before the first step, such as the columns of a matrix."""


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
    steps: tuple[int, int]
    """The first step in which it runs, and the one behind the last."""
    unrolled: bool = False
    """Whether its loops within the step are written out."""
    cost: int = 0
    """Roughly how many instructions it has."""

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
    first: Sequence[StepNest] = ()
    """Nests that run in the first step instead of the heads."""
    heads: Mapping[Place, Place] = field(default_factory=dict)
    """Places at which each step but the first finds what the one before had at others."""

    @property
    def steps(self) -> int:
        """The number of steps."""
        return self.stop - self.start


def step_nests(
    loop: TimeLoop, buffers: Sequence[Buffer], width: int | None, registers: int
) -> list[StepNest]:
    """Return a loop's nests as its steps run them.

    Args:
        loop: the loop.
        buffers: the program's.
        width: the lanes of a vector; None: there are no vectors.
        registers: how many vectors the processor holds.

    """
    planner = _Planner(loop, buffers, width, registers)
    nests = [planner.step_nest(timed) for timed in loop.body]
    planner.unroll(nests)
    return nests


def joined(loop: TimeLoop, nests: Sequence[StepNest]) -> Segment:
    """Return a loop as one segment, in which some nests run in some steps only."""
    for nest in nests:
        if nest.steps != (0, loop.steps):
            # Nothing of it can be kept in registers.
            nest.unrolled = False
    return Segment(0, loop.steps, nests)


def segments(loop: TimeLoop, nests: Sequence[StepNest]) -> list[Segment]:
    """Return a loop's segments in the order in which they run."""
    cuts = sorted({0, loop.steps, *(cut for nest in nests for cut in nest.steps)})
    found = [
        Segment(start, stop, [x for x in nests if x.steps[0] <= start and stop <= x.steps[1]])
        for start, stop in pairwise(cuts)
    ]
    return found[::-1] if loop.backwards else found


class _Planner:
    """Decides how the nests of a loop run within a step."""

    def __init__(
        self, loop: TimeLoop, buffers: Sequence[Buffer], width: int | None, registers: int
    ) -> None:
        self.buffers, self.width, self.registers = buffers, width, registers
        self.steps = loop.steps
        self.paces = {
            timed.nest.out.buffer: timed.nest.out.strides[0]
            for timed in reversed(loop.body)
            if timed.rows is None and timed.nest.extents[0] > 1
        }
        """By how much each buffer's writers move on from step to step."""
        self.written = {access.buffer for access in stores(loop)}
        self.gathered: set[tuple[int, int, int]] = set()
        """The vectors that are gathered before the first step."""

    def step_nest(self, timed: Timed) -> StepNest:
        """Return a nest as each step runs it."""
        nest = timed.nest
        if timed.rows is None and nest.extents[0] == 1:
            # How far a nest of one step would move is of no account: like the others, so that it
            # is seen that they read what it writes.
            nest = with_accesses(nest, self.moving)
        nest = begun_at(nest, -timed.first)
        extents = rows_of(nest)
        names: list[Dimension] = list(extents)
        del extents["row", 0]
        if timed.rows is None:
            extents = {("row", d - 1): extent for (_, d), extent in extents.items()}
            names = [TIME, *extents]
        strides = Strides(names, self.buffers)
        plan = self.plan(nest, extents, strides, gathering=timed.rows is None)
        steps = timed.first, timed.first + timed.nest.extents[0]
        if timed.rows is not None:
            steps = 0, self.steps
        return StepNest(nest, timed.rows, extents, strides, plan, steps)

    def moving(self, access: Access) -> Access:
        """Return an access that moves from step to step as the writers of its buffer do."""
        if access.table is not None or access.index is not None:
            return access
        return replace(access, strides=(self.paces.get(access.buffer, 0), *access.strides[1:]))

    def plan(
        self, nest: Nest, extents: dict[Dimension, int], strides: Strides, *, gathering: bool
    ) -> Tiling:
        """Choose the vectors and the tiles of a nest, which may gather before the first step."""
        if self.width is None:
            return Tiling(None)
        known = extents, self.width, self.registers
        if nest.batched:
            sampled = {**extents, ("sample", 0): SAMPLES}
            plan = tiling_over_samples(nest, strides, sampled, self.width, self.registers)
            plan.tiles.pop(("sample", 0))
            return plan
        if gathering:
            plan = tiling_in_loop(nest, strides, *known, self.fixed)
            gathered = self.gathered | self.gathers(nest.body, extents, strides, plan.vector)
            if len(gathered) <= _GATHERED:
                self.gathered = gathered
                return plan
        return tiling(nest, strides, *known)

    def gathers(
        self,
        expression: Expression,
        extents: dict[Dimension, int],
        strides: Strides,
        vector: Dimension | None,
    ) -> set[tuple[int, int, int]]:
        """Return the vectors that are gathered: buffer, first position and stride of each."""
        match expression:
            case Load(access=access):
                steps = strides.steps(access)
                if vector is None or strides.along(access, vector) in (0, 1):
                    return set()
                if not self.fixed(access):
                    return set()
                assert self.width is not None
                along = [
                    [step * i for i in range(0, extents[d], self.width if d == vector else 1)]
                    for d, step in steps.items()
                ]
                firsts = islice(product(*along), _GATHERED + 1)
                found = {access.offset + sum(position) for position in firsts}
                return {(access.buffer, first, steps[vector]) for first in found}
            case Apply(operands=operands):
                return {g for x in operands for g in self.gathers(x, extents, strides, vector)}
            case Reduce(body=body):
                inner = {**extents, **dimensions(expression)}
                return self.gathers(body, inner, strides, vector)
            case Number():
                return set()
            case _:
                assert_never(expression)

    def fixed(self, access: Access) -> bool:
        """Return whether an access reads the same numbers in every step."""
        known = access.table is None and access.index is None
        return known and not access.strides[0] and access.buffer not in self.written

    def unroll(self, nests: Sequence[StepNest]) -> None:
        """Choose the nests that are written out: the smallest, as long as the text stays short."""
        for nest in nests:
            nest.cost = _cost(nest, self.width or 1)
        # Over samples the text is there twice, and loops are long in themselves.
        limit = _UNROLLED // 2 if any(nest.nest.batched for nest in nests) else _UNROLLED
        total = 0
        for nest in sorted(nests, key=lambda nest: nest.cost):
            total += nest.cost
            # What there are vectors for otherwise is left to the compiler.
            nest.unrolled = nest.rows is None and self.width is not None and total <= limit
            if not nest.unrolled:
                nest.plan = self.plan(nest.nest, nest.extents, nest.strides, gathering=False)
                nest.cost = _cost(nest, self.width or 1, looping=True)


def _cost(nest: StepNest, width: int, *, looping: bool = False) -> int:
    """Return roughly how many instructions a nest has, which are written out or in loops."""

    def of(expression: Expression, vector: Dimension | None) -> int:
        match expression:
            case Apply(operation=operation, operands=operands):
                called = any("@{" in text for text in operation.llvm)
                return (_CALL if called else 1) + sum(of(x, vector) for x in operands)
            case Reduce(body=body):
                inner = vector or vector_of(expression, nest.strides, width)
                extents = dimensions(expression)
                return blocks(extents, inner) * (1 + of(body, inner))
            case Load() | Number():
                return 1
            case _:
                assert_never(expression)

    def blocks(extents: Mapping[Dimension, int], vector: Dimension | None) -> int:
        return (
            1 if looping else prod(-(-e // width) if d == vector else e for d, e in extents.items())
        )

    vector = ("sample", 0) if nest.nest.batched else nest.plan.vector
    return (_TABLE if nest.rows is not None else 0) + blocks(nest.extents, vector) * (
        1 + of(nest.nest.body, vector)
    )
