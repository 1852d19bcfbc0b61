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
    Apply,
    Buffer,
    Expression,
    Load,
    Nest,
    Number,
    Reduce,
)
from liftgrad.lift.kernels.accesses import Accesses
from liftgrad.lift.kernels.arguments import Arguments
from liftgrad.lift.kernels.block import Block
from liftgrad.lift.kernels.loops import Loops
from liftgrad.lift.kernels.reductions import reduced
from liftgrad.lift.kernels.tiling import (
    SAMPLES,
    Dimension,
    Point,
    Strides,
    Tiling,
    rows_of,
    tiling,
)
from liftgrad.lift.kernels.writer import VectorWriter, Writer


def emit(
    nest: Nest, buffers: Sequence[Buffer], write: Writer, vectors: VectorWriter | None = None
) -> Arguments:
    """Write the nest; return the kernel's arguments.

    Args:
        nest: the nest.
        buffers: the program's.
        write: what writes single numbers, and loops.
        vectors: what writes vectors; None: the language has none.

    """
    extents = rows_of(nest)
    strides = Strides(list(extents), buffers)
    if nest.batched:
        extents["sample", 0] = SAMPLES
    block, arguments = Block(1 if vectors is None else vectors.width), Arguments()
    plan = Tiling(None)
    if vectors is not None:
        plan = tiling(nest, strides, extents, vectors.width, vectors.registers)
    loops = Loops(write, vectors, block, extents)
    accesses = Accesses(strides, buffers, write, vectors, block, arguments)
    NestEmitter(nest, loops, accesses, plan).run({})
    return arguments


class NestEmitter:
    """Writes a nest whose tiles are chosen."""

    def __init__(self, nest: Nest, loops: Loops, accesses: Accesses, plan: Tiling) -> None:
        self.nest, self.loops, self.accesses, self.plan = nest, loops, accesses, plan
        self.block, self.write = loops.block, loops.write

    def run(self, sizes: dict[Dimension, int]) -> None:
        """Write the whole nest, in a block of these sizes along dimensions outside of it."""
        tiles, extents = self.plan.tiles, self.loops.extents
        grid = [d for d in extents if d in tiles]
        others = [d for d in extents if d not in tiles]

        def body(_: list[str]) -> list[str]:
            self.tiled(grid, sizes)
            return []

        self.loops.over(others, [], body)

    def tiled(self, grid: list[Dimension], sizes: dict[Dimension, int]) -> None:
        """Write the blocks along the tiled dimensions."""
        plan = self.plan
        if not grid:
            self.write_block(sizes)
            return
        dimension, rest = grid[0], grid[1:]

        def body(size: int, _: list[str]) -> list[str]:
            self.tiled(rest, {**sizes, dimension: size})
            return []

        size = plan.tiles[dimension]
        self.loops.in_blocks(dimension, size, [], body, vector=dimension == plan.vector)

    def write_block(self, sizes: dict[Dimension, int]) -> None:
        """Write one block of results, of these sizes along the tiled dimensions."""
        block, out, plan = self.block, self.nest.out, self.plan
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
