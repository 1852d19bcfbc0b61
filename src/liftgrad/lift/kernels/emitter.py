"""The emitter: decides how a loop nest runs, and has a writer write it.

A nest is run in blocks. One dimension is cut into vectors (stride 1 or 0 in all accesses where
possible): a dimension of the rows, or one that is reduced, whose lanes are added up at the end.
Dimensions of the rows along which loaded vectors are shared are tiled, so that a block of results
stays in registers while the reduction runs (Goto & van de Geijn, 2008). Ends are masked.

For a writer without vectors, a nest is run as it is written, one number at a time.
"""

from collections.abc import Sequence
from typing import assert_never

from liftgrad import ops
from liftgrad.lift.ir.nests import (
    Access,
    Apply,
    Buffer,
    Expression,
    Load,
    Nest,
    Number,
    Reduce,
)
from liftgrad.lift.kernels.accesses import Accesses
from liftgrad.lift.kernels.block import Block
from liftgrad.lift.kernels.loops import Loops
from liftgrad.lift.kernels.reductions import reduced
from liftgrad.lift.kernels.tiling import SAMPLES, Dimension, Point, Tiling, tiling
from liftgrad.lift.kernels.writer import VectorWriter, Writer


def emit(
    nest: Nest, buffers: Sequence[Buffer], write: Writer, vectors: VectorWriter | None = None
) -> tuple[list[Access], list[int]]:
    """Write the nest; return the accesses and the tables that are the kernel's arguments.

    Args:
        nest: the nest.
        buffers: the program's.
        write: what writes single numbers, and loops.
        vectors: what writes vectors; None: the language has none.

    """
    emitter = _Emitter(nest, buffers, write, vectors)
    emitter.run()
    return emitter.accesses.numbered, emitter.accesses.tables


class _Emitter:
    def __init__(
        self, nest: Nest, buffers: Sequence[Buffer], write: Writer, vectors: VectorWriter | None
    ) -> None:
        self.nest, self.write, self.vectors = nest, write, vectors
        extents: dict[Dimension, int] = {
            ("row", d): extent for d, extent in enumerate(nest.extents)
        }
        if nest.batched:
            extents["sample", 0] = SAMPLES
        self.block = Block(1 if vectors is None else vectors.width)
        self.loops = Loops(write, vectors, self.block, extents)
        self.accesses = Accesses(nest, buffers, write, vectors, self.block)

    def run(self) -> None:
        """Write the whole nest."""
        extents, strides = self.loops.extents, self.accesses.strides
        plan = Tiling(None)
        if self.vectors is not None:
            plan = tiling(self.nest, strides, extents, self.vectors.width, self.vectors.registers)
        grid = [d for d in extents if d in plan.tiles]
        others = [d for d in extents if d not in plan.tiles]

        def tiles(_: list[str]) -> list[str]:
            self.tiled(grid, plan, {})
            return []

        self.loops.over(others, [], tiles)

    def tiled(self, grid: list[Dimension], plan: Tiling, sizes: dict[Dimension, int]) -> None:
        """Write the blocks along the tiled dimensions."""
        if not grid:
            self.write_block(plan, sizes)
            return
        dimension, rest = grid[0], grid[1:]

        def body(size: int, _: list[str]) -> list[str]:
            self.tiled(rest, plan, {**sizes, dimension: size})
            return []

        size = plan.tiles[dimension]
        self.loops.in_blocks(dimension, size, [], body, vector=dimension == plan.vector)

    def write_block(self, plan: Tiling, sizes: dict[Dimension, int]) -> None:
        """Write one block of results, of these sizes along the tiled dimensions."""
        block, out = self.block, self.nest.out
        block.memo = {}
        points: list[Point] = [()]
        for dimension, size in sizes.items():
            step = block.width if dimension == plan.vector else 1
            points = [(*p, (dimension, j * step)) for p in points for j in range(size)]
        block.vector = plan.vector if plan.vector in sizes else None
        values = self.evaluate(self.nest.body, points)
        for point, value in zip(points, values, strict=True):
            result = value
            if self.nest.accumulate:
                before = self.accesses.load(out, point)
                result = self.write.apply(ops.add, (before, value), block.lanes)
            self.accesses.store(out, point, result)
        block.vector = None

    def evaluate(self, expression: Expression, points: list[Point]) -> list[str]:
        """Return the expression's value at each point, computed once where points share it."""
        lanes = self.block.lanes
        match expression:
            case Number(value=value):
                return [self.write.literal(value, lanes)] * len(points)
            case Load(access=access):
                return [self.accesses.load(access, point) for point in points]
            case Apply(operation=operation, operands=operands):
                columns = [self.evaluate(x, points) for x in operands]
                return [
                    self.block.once(
                        (operation, row, self.block.vector),
                        lambda r=row: self.write.apply(operation, r, lanes),  # type: ignore[misc]
                    )
                    for row in zip(*columns, strict=True)
                ]
            case Reduce():
                return reduced(expression, points, self.loops, self.accesses, self.evaluate)
            case _:
                assert_never(expression)
