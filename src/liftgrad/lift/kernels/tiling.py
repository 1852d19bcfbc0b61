"""Tiling: the dimension of a nest that is cut into vectors, and the tiles around it."""

from collections.abc import Callable, Mapping, Sequence
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
"""("row", d), ("reduced", d), ("sample", 0) of rows, ("sample", 1) of a reduction, or TIME."""
TIME: Dimension = ("time", 0)
"""The first dimension of a nest in a loop over time, before its rows."""
Point = tuple[tuple[Dimension, int], ...]
"""Shifts from the block's corner along the tiled dimensions, sorted."""
SAMPLES = -1
"""The extent of a dimension of samples, whose number is known at run time."""


@dataclass(slots=True)
class Tiling:
    """How a nest's loops run."""

    vector: Dimension | None
    """The dimension of the rows that is cut into vectors; None: there is none."""
    tiles: dict[Dimension, int] = field(default_factory=dict)
    """The size of a block along each tiled dimension, in vectors along that of the vectors."""


class Strides:
    """How far apart in memory the neighbours are that an access reads along each dimension."""

    def __init__(self, rows: Sequence[Dimension], buffers: Sequence[Buffer]) -> None:
        self.rows, self.buffers = rows, buffers
        self._steps: dict[int, dict[Dimension, int]] = {}
        """By the identities of the nest's accesses, each of which is asked for many times."""

    def steps(self, access: Access) -> dict[Dimension, int]:
        """Return the access's stride along each dimension on which it depends."""
        named = self._steps.get(id(access))
        if named is None:
            rows = len(self.rows)
            named = self._steps[id(access)] = {
                self.rows[d] if d < rows else ("reduced", d - rows): stride
                for d, stride in enumerate(access.strides)
                if stride
            }
        return named

    def batched(self, access: Access) -> bool:
        """Whether an access reads another number for each sample."""
        return self.buffers[access.buffer].batched

    def along(self, access: Access, dimension: Dimension) -> int | None:
        """Return an access's stride in memory; None: it is not constant."""
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


def tiling_in_loop(
    nest: Nest,
    strides: Strides,
    extents: Mapping[Dimension, int],
    width: int,
    registers: int,
    fixed: Callable[[Access], bool],
) -> Tiling:
    """Choose vectors and tiles for a nest in a loop over time.

    Vectors run along rows, the better if the step before left them in registers, even where that
    takes gathering from what is fixed, which is gathered but once.
    """
    return _Chooser(nest, strides, extents, width, registers, fixed).plan()


def tiling_over_samples(
    nest: Nest, strides: Strides, extents: Mapping[Dimension, int], width: int, registers: int
) -> Tiling:
    """Choose the tiles of the rows where vectors run over samples, whatever that costs."""
    return _Chooser(nest, strides, extents, width, registers).over_samples()


def rows_of(nest: Nest) -> dict[Dimension, int]:
    """Return the extents of a nest's rows."""
    return {("row", d): extent for d, extent in enumerate(nest.extents)}


def dimensions(reduce: Reduce) -> dict[Dimension, int]:
    """Return the extents of the dimensions over which a reduction runs."""
    extents: dict[Dimension, int] = {("reduced", d): e for d, e in enumerate(reduce.extents)}
    if reduce.samples:
        extents["sample", 1] = SAMPLES
    return extents


def vector_of(reduce: Reduce, strides: Strides, width: int) -> Dimension | None:
    """Return the dimension along which a reduction can run in whole vectors."""
    extents, accesses = dimensions(reduce), list(loads(reduce.body))
    good = [
        d
        for d, extent in extents.items()
        if all(strides.along(x, d) in (0, 1) for x in accesses) and _fills(extent, width)
    ]
    return _longest(good, extents)


def _fills(extent: int, width: int) -> bool:
    """Whether a dimension is long enough for vectors."""
    return extent == SAMPLES or extent * 2 >= width


def _longest(chosen: Sequence[Dimension], extents: Mapping[Dimension, int]) -> Dimension | None:
    """Return the longest of some dimensions: the samples, if they are among them."""
    return max(chosen, key=lambda d: (extents[d] == SAMPLES, extents[d]), default=None)


class _Chooser:
    def __init__(
        self,
        nest: Nest,
        strides: Strides,
        extents: Mapping[Dimension, int],
        width: int,
        registers: int,
        fixed: Callable[[Access], bool] = lambda _: False,
    ) -> None:
        self.nest, self.strides, self.extents, self.fixed = nest, strides, extents, fixed
        self.width, self.many_registers = width, registers >= 32

    def plan(self) -> Tiling:
        """Choose the dimension of the vectors and the tiles around it."""
        nest, along = self.nest, self.strides.along
        if nest.out.index is not None:
            # Two rows may add to one element: one after the other.
            return Tiling(None)
        accesses = [*loads(nest.body), nest.out]
        rows = [
            d
            for d, extent in self.extents.items()
            if extent not in (0, 1) and _fills(extent, self.width)
        ]
        contiguous = [
            d
            for d in rows
            if along(nest.out, d) == 1
            and all(along(x, d) in (0, 1) or self.fixed(x) for x in accesses)
        ]
        reductions = list(_reductions(nest.body))
        vector = _longest(contiguous, self.extents)
        if vector is not None:
            return self.tile(vector, reductions)
        if any(vector_of(x, self.strides, self.width) is not None for x in reductions):
            return self.tile_reduced()
        lanes_may_meet = nest.out.table is not None and nest.accumulate
        if rows and not lanes_may_meet:

            def gathers(d: Dimension) -> int:
                return sum(along(x, d) not in (0, 1) for x in accesses)

            return self.tile(min(rows, key=gathers), reductions)
        return Tiling(None)

    def over_samples(self) -> Tiling:
        """Tile around vectors of samples."""
        return self.tile(("sample", 0), list(_reductions(self.nest.body)))

    def tile(self, vector: Dimension, reductions: list[Reduce]) -> Tiling:
        """Tile around vectors along a dimension of the rows."""
        if not reductions:
            return Tiling(vector, {vector: self.fitting(vector, 2)})
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
        size = min(self.extents[best], 8 if self.many_registers else 4)
        return Tiling(vector, {best: size, vector: self.fitting(vector, 2)})

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
        limit = 4 if self.many_registers else 2
        return Tiling(None, {d: min(self.extents[d], limit) for d in rows[:2]})


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
