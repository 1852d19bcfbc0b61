"""Reductions: a sum or a maximum over loops of its own, in registers, along vectors or not."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from math import prod

from liftgrad import ops
from liftgrad.lift.ir.nests import Apply, Expression, Reduce, loads
from liftgrad.lift.kernels.accesses import Accesses
from liftgrad.lift.kernels.lanes import across
from liftgrad.lift.kernels.loops import Loops
from liftgrad.lift.kernels.tiling import SAMPLES, Dimension, Point, dimensions, vector_of

Evaluate = Callable[[Expression, list[Point]], list[str]]


def reduced(
    reduce: Reduce, points: list[Point], loops: Loops, accesses: Accesses, evaluate: Evaluate
) -> list[str]:
    """Write a reduction; return its value at each point."""
    along = dimensions(reduce)
    block = loops.block
    memo, masks, vector = block.memo, block.masks, block.vector
    inner = None
    if vector is None and loops.vectors is not None:
        inner = vector_of(reduce, accesses.strides, block.width)

    read = list(loads(reduce.body))

    def relevant(point: Point) -> Point:
        """Return the part of a point on which the body depends."""
        shifts = {s for access in read for s in accesses.shifts(access, point)}
        return tuple(sorted(shifts))

    loops.extents.update(along)
    needed = sorted({relevant(point) for point in points})
    writing = _Reduction(reduce, loops, evaluate, dict(memo))
    rest = [d for d in along if d != inner]
    if inner is None:
        values = writing.by_rows(rest, needed)
    else:
        block.vector = inner
        values = writing.by_vectors(rest, inner, needed)
    block.memo, block.masks, block.vector = memo, masks, vector
    for dimension in along:
        block.corner.pop(dimension, None)
        loops.extents.pop(dimension, None)
    found = dict(zip(needed, values, strict=True))
    return [found[relevant(point)] for point in points]


@dataclass(slots=True)
class _Reduction:
    """One reduction as it is written."""

    reduce: Reduce
    loops: Loops
    evaluate: Evaluate
    known: dict[object, str]
    """What was computed before its loops."""

    def by_rows(self, dimensions: list[Dimension], points: list[Point]) -> list[str]:
        """Reduce at each point by itself, or in vectors that run along the rows."""
        loops = self.loops
        # Where loops are written out, time is short: several sums hide the addition's latency.
        terms = prod(loops.extents[d] for d in dimensions) if loops.unrolled else 0
        each = 1 if terms < 6 or len(points) > 4 else 2 if terms < 12 else 4
        turns = count()

        def body(sums: list[str]) -> list[str]:
            turn = next(turns) % each
            sums = list(sums)
            sums[turn::each] = self.accumulate(points, sums[turn::each])
            return sums

        sums = loops.over(dimensions, self.start(len(points) * each), body)
        return self.merged(sums, each, loops.block.lanes)

    def by_vectors(
        self, dimensions: list[Dimension], inner: Dimension, points: list[Point]
    ) -> list[str]:
        """Reduce along vectors: several accumulators for each point hide the addition's latency."""
        loops, width = self.loops, self.loops.block.width
        extent = loops.extents[inner]
        each = max(1, 8 // len(points))
        if extent != SAMPLES:
            each = min(each, -(-extent // width))

        def block(count: int, sums: list[str]) -> list[str]:
            """Add `count` vectors to as many of the accumulators of each point."""
            chosen = [i for i in range(len(sums)) if i % each < count]
            shifted = [
                tuple(sorted((*p, (inner, j * width)))) for p in points for j in range(count)
            ]
            ends = self.accumulate(shifted, [sums[i] for i in chosen])
            after = dict(zip(chosen, ends, strict=True))
            return [after.get(i, before) for i, before in enumerate(sums)]

        sums = loops.over(
            dimensions,
            self.start(len(points) * each),
            lambda sums: loops.in_blocks(inner, each, sums, block, vector=True),
        )
        assert loops.vectors is not None
        return across(loops.vectors, self.combine, self.merged(sums, each, width))

    def merged(self, sums: list[str], each: int, lanes: int) -> list[str]:
        """Return one value for each point, of which there are `each` accumulators."""
        while each > 1:
            odd = each % 2
            sums = [
                part
                for first in range(0, len(sums), each)
                for part in (
                    *map(
                        lambda a, b: self.combine(a, b, lanes),
                        sums[first : first + each - odd : 2],
                        sums[first + 1 : first + each : 2],
                    ),
                    *sums[first + each - odd : first + each],
                )
            ]
            each = (each + 1) // 2
        return sums

    def start(self, count: int) -> list[str]:
        """Return accumulators of nothing."""
        neutral = 0.0 if self.reduce.kind == "sum" else float("-inf")
        return [self.loops.write.literal(neutral, self.loops.block.lanes)] * count

    def accumulate(self, points: list[Point], before: list[str]) -> list[str]:
        """Return the accumulators with the body's values at the points added."""
        block, write, vectors = self.loops.block, self.loops.write, self.loops.vectors
        block.memo = dict(self.known)
        # Along the rows, lanes that are switched off are never stored: no need to clear them.
        along_rows = block.vector is None or block.vector[0] == "row"
        summed = not along_rows and block.vector != ("sample", 0)
        masks = [block.mask(point) if summed else None for point in points]
        body = self.reduce.body
        sums = self.reduce.kind == "sum" and not any(masks)
        if sums and isinstance(body, Apply) and body.operation is ops.multiply:
            a, b = (self.evaluate(x, points) for x in body.operands)
            # Contraction is confined to sums: elsewhere x*x - x*x must stay zero.
            return [
                write.multiply_add(x, y, accumulator, block.lanes)
                for x, y, accumulator in zip(a, b, before, strict=True)
            ]
        results = []
        values = self.evaluate(body, points)
        for mask, value, accumulator in zip(masks, values, before, strict=True):
            kept = value
            if mask is not None:
                assert vectors is not None
                kept = vectors.choose(mask, value, self.start(1)[0])
            results.append(self.combine(accumulator, kept, block.lanes))
        return results

    def combine(self, a: str, b: str, lanes: int) -> str:
        """Return the sum or the maximum of two values."""
        operation = ops.add if self.reduce.kind == "sum" else ops.maximum
        return self.loops.write.apply(operation, (a, b), lanes)
