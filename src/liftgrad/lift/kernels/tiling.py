"""How a nest's loops run: the dimension that is cut into vectors, and the tiles around it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
    loads,
)

Dimension = tuple[str, int]
"""("row", d), ("reduced", d), ("sample", 0) of the rows or ("sample", 1) of a reduction."""
Point = tuple[tuple[Dimension, int], ...]
"""Shifts from the block's corner along the tiled dimensions, sorted."""
SAMPLES = -1
"""The extent of a dimension of samples: known at run time."""


@dataclass(slots=True)
class Tiling:
    """How a nest's loops run."""

    vector: Dimension | None
    tiles: dict[Dimension, int] = field(default_factory=dict)


class Strides:
    """How far apart the neighbours that an access reads lie, along each dimension."""

    def __init__(self, nest: Nest, buffers: Sequence[Buffer]) -> None:
        self.nest, self.buffers = nest, buffers

    def steps(self, access: Access) -> dict[Dimension, int]:
        """Return the access's stride along each dimension on which it depends."""
        rows = len(self.nest.extents)
        named: dict[Dimension, int] = {}
        for d, stride in enumerate(access.strides):
            if stride:
                named[("row", d) if d < rows else ("reduced", d - rows)] = stride
        return named

    def batched(self, access: Access) -> bool:
        """Tell whether each sample has a number of its own."""
        return self.buffers[access.buffer].batched

    def along(self, access: Access, dimension: Dimension) -> int | None:
        """Return an access's stride in memory; None: not a constant one."""
        if access.index is not None and self.along(access.index, dimension) != 0:
            return None
        if dimension[0] == "sample":
            return 1 if self.batched(access) else 0
        stride = self.steps(access).get(dimension, 0)
        return None if stride and (access.table is not None or self.batched(access)) else stride


def tiling(
    nest: Nest, strides: Strides, extents: Mapping[Dimension, int], width: int, registers: int
) -> Tiling:
    """Choose the dimension of the vectors, which have `width` lanes, and the tiles around it."""
    return _Chooser(nest, strides, extents, width, registers).plan()


def vector_of(
    reduce: Reduce, strides: Strides, along: dict[Dimension, int], width: int
) -> Dimension | None:
    """Return the dimension along which a reduction can run in whole vectors."""
    accesses = list(loads(reduce.body))
    good = [
        d
        for d, extent in along.items()
        if all(strides.along(x, d) in (0, 1) for x in accesses)
        and (extent == SAMPLES or extent * 2 >= width)
    ]
    return max(good, key=lambda d: (along[d] == SAMPLES, along[d]), default=None)


class _Chooser:
    def __init__(
        self,
        nest: Nest,
        strides: Strides,
        extents: Mapping[Dimension, int],
        width: int,
        registers: int,
    ) -> None:
        self.nest, self.strides, self.extents = nest, strides, extents
        self.width, self.registers = width, registers

    def plan(self) -> Tiling:
        """Choose the dimension of the vectors and the tiles around it."""
        nest = self.nest
        if nest.out.index is not None:
            # Two rows may meet in one target: one after the other.
            return Tiling(None)
        accesses = [*loads(nest.body), nest.out]
        rows = [d for d, extent in self.extents.items() if extent == SAMPLES or extent > 1]
        smooth = [
            d
            for d in rows
            if self.strides.along(nest.out, d) == 1
            and all(self.strides.along(x, d) in (0, 1) for x in accesses)
            and (self.extents[d] == SAMPLES or self.extents[d] * 2 >= self.width)
        ]
        reductions = list(_reductions(nest.body))
        if smooth:
            vector = max(smooth, key=lambda d: (self.extents[d] == SAMPLES, self.extents[d]))
            return self.tile(vector, reductions)
        for reduction in reductions:
            along = {("reduced", d): e for d, e in enumerate(reduction.extents)}
            if reduction.samples:
                along["sample", 1] = SAMPLES
            if vector_of(reduction, self.strides, along, self.width) is not None:
                return self.tile_reduced()
        candidates = [
            d for d in rows if self.extents[d] == SAMPLES or self.extents[d] * 2 >= self.width
        ]
        if candidates and not self.out_collides(candidates):

            def rough(d: Dimension) -> int:
                return sum(self.strides.along(x, d) not in (0, 1) for x in accesses)

            vector = min(candidates, key=rough)
            return self.tile(vector, reductions)
        return Tiling(None)

    def out_collides(self, candidates: list[Dimension]) -> bool:
        """Tell whether lanes could write to one place."""
        return self.nest.out.table is not None and self.nest.accumulate and bool(candidates)

    def tile(self, vector: Dimension, reductions: list[Reduce]) -> Tiling:
        """Tile around vectors along a dimension of the rows."""
        wide = self.registers >= 32
        if not reductions:
            return Tiling(vector, {vector: self.fitting(vector, 2)})
        vectors = self.fitting(vector, 2)
        inner = [x for r in reductions for x in loads(r.body)]
        shared = {
            d: sum(
                not self.strides.along(x, d) and bool(self.strides.along(x, vector)) for x in inner
            )
            for d, extent in self.extents.items()
            if d != vector and extent != SAMPLES and extent > 1
        }
        best = max(shared, key=lambda d: (shared[d], self.extents[d]), default=None)
        if best is None or not shared[best]:
            return Tiling(vector, {vector: self.fitting(vector, 4)})
        size = min(self.extents[best], 8 if wide else 4)
        return Tiling(vector, {best: size, vector: vectors})

    def fitting(self, dimension: Dimension, count: int) -> int:
        """Return how many vectors, at most `count`, suit an extent."""
        extent = self.extents[dimension]
        if extent == SAMPLES:
            return count
        return max(1, min(count, -(-extent // self.width)))

    def tile_reduced(self) -> Tiling:
        """Tile the rows around a reduction that runs in vectors."""
        rows = [d for d, e in self.extents.items() if e != SAMPLES and e > 1]
        rows.sort(key=lambda d: -self.extents[d])
        limit = 4 if self.registers >= 32 else 2
        plan = Tiling(("reduced", 0))
        for d in rows[:2]:
            plan.tiles[d] = min(self.extents[d], limit)
        return plan


def _reductions(expression: Expression) -> list[Reduce]:
    match expression:
        case Reduce():
            return [expression]
        case Apply(operands=operands):
            return [r for x in operands for r in _reductions(x)]
        case Load() | Number():
            return []
        case _:
            assert_never(expression)
