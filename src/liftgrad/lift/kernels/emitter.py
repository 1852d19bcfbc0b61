"""Kernels: a loop nest as LLVM IR text.

Each kernel takes one pointer to its arguments: the address of the first element of every access,
the number of samples, each access's distance in memory between elements of a batched group, and
the addresses of the tables.

A nest is run in blocks. One dimension is cut into vectors (stride 1 or 0 in all accesses where
possible): a dimension of the rows, or one that is reduced, whose lanes are added up at the end.
Dimensions of the rows along which loaded vectors are shared are tiled, so that a block of results
stays in registers while the reduction runs (Goto & van de Geijn, 2008). Ends are masked.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
    loads,
)
from liftgrad.lift.kernels.accesses import Memory
from liftgrad.lift.kernels.target import Target
from liftgrad.lift.kernels.tiling import SAMPLES, Dimension, Point, Tiling, tiling, vector_of


@dataclass(slots=True)
class Kernel:
    """IR text and what its caller has to pass."""

    text: str
    accesses: list[Access]
    """The accesses whose first addresses are the arguments, in order."""
    tables: list[int]
    """The tables whose addresses are the last arguments, in order."""
    functions: set[tuple[str, int, str]]
    """(name, width, dtype) of the vector mathematics that it calls."""


def kernel(nest: Nest, buffers: Sequence[Buffer], target: Target, dtype: str) -> Kernel:
    """Return the kernel that runs the nest; its name in the text is @kernel."""
    return _Emitter(nest, buffers, target, dtype).run()


class _Emitter(Memory):
    def __init__(self, nest: Nest, buffers: Sequence[Buffer], target: Target, dtype: str) -> None:
        super().__init__(nest, buffers, target, dtype)
        self.entry_memo: dict[object, str] = {}
        """What was known before the loops of the reduction at hand."""
        self.extents: dict[Dimension, int] = {
            ("row", d): extent for d, extent in enumerate(nest.extents)
        }
        if nest.batched:
            self.extents["sample", 0] = SAMPLES

    # --- the whole kernel --------------------------------------------------------------------

    def run(self) -> Kernel:
        plan = tiling(self.nest, self.strides, self.extents, self.target, self.width)
        rows = list(self.extents)
        grid = [d for d in rows if d in plan.tiles]
        others = [d for d in rows if d not in plan.tiles]

        def outer(remaining: list[Dimension]) -> None:
            if not remaining:
                self.tiled(grid, plan, {})
                return
            dimension = remaining[0]

            def body(index: str, _: list[str]) -> list[str]:
                self.base[dimension] = index
                outer(remaining[1:])
                return []

            self.loop("0", self.extent(dimension), 1, [], body)

        outer(others)
        return self.finish()

    def finish(self) -> Kernel:
        head = ["define void @kernel(ptr noalias readonly %args) {", "entry:"]
        for number in range(len(self.accesses)):
            head.append(f"  %a{number} = getelementptr ptr, ptr %args, i64 {number}")
            head.append(f"  %p{number} = load ptr, ptr %a{number}, align 8")
        count = len(self.accesses)
        head.append(f"  %na = getelementptr ptr, ptr %args, i64 {count}")
        head.append("  %n = load i64, ptr %na, align 8")
        for number in range(count):
            head.append(f"  %la{number} = getelementptr ptr, ptr %args, i64 {count + 1 + number}")
            head.append(f"  %ld{number} = load i64, ptr %la{number}, align 8")
        for number in range(len(self.tables)):
            place = 2 * count + 1 + number
            head.append(f"  %ta{number} = getelementptr ptr, ptr %args, i64 {place}")
            head.append(f"  %t{number} = load ptr, ptr %ta{number}, align 8")
        text = "\n".join([*head, *self.lines, "  ret void", "}"])
        return Kernel(text, self.accesses, self.tables, self.functions)

    def extent(self, dimension: Dimension) -> str:
        extent = self.extents[dimension]
        return "%n" if extent == SAMPLES else str(extent)

    def tiled(self, grid: list[Dimension], plan: Tiling, sizes: dict[Dimension, int]) -> None:
        """Emit the blocks along the tiled dimensions: full ones in a loop, then the rest."""
        if not grid:
            self.block(plan, sizes)
            return
        dimension, rest = grid[0], grid[1:]
        size = plan.tiles[dimension]
        vector = dimension == plan.vector
        step = size * (self.width if vector else 1)

        def full(index: str, _: list[str]) -> list[str]:
            self.base[dimension] = index
            self.tiled(rest, plan, {**sizes, dimension: size})
            return []

        extent = self.extents[dimension]
        if extent == SAMPLES:
            whole = self.emit(f"udiv i64 %n, {step}")
            end = self.emit(f"mul i64 {whole}, {step}")
            self.loop("0", end, step, [], full)
            if step > 1:
                self.sample_tail(
                    dimension, end, lambda: self.tiled(rest, plan, {**sizes, dimension: 1})
                )
            return
        end_number = extent - extent % step
        if end_number == step:
            full("0", [])
        elif end_number:
            self.loop("0", str(end_number), step, [], full)
        if end_number < extent:
            self.base[dimension] = str(end_number)
            left = extent - end_number
            if not vector:
                self.tiled(rest, plan, {**sizes, dimension: left})
                return
            count = -(-left // self.width)
            self.mask(dimension, (count - 1) * self.width, left - (count - 1) * self.width)
            self.tiled(rest, plan, {**sizes, dimension: count})
            self.masks.clear()

    def sample_tail(self, dimension: Dimension, start: str, block: Callable[[], None]) -> None:
        """Emit the vectors at the end of the samples, each masked by what is left."""

        def body(index: str, _: list[str]) -> list[str]:
            self.base[dimension] = index
            self.masks[dimension, 0] = self.runtime_mask(index)
            block()
            self.masks.clear()
            return []

        self.loop(start, "%n", self.width, [], body)

    def block(self, plan: Tiling, sizes: dict[Dimension, int]) -> None:
        """Emit one block of results."""
        self.memo = {}
        points: list[Point] = [()]
        for dimension, size in sizes.items():
            step = self.width if dimension == plan.vector else 1
            points = [(*p, (dimension, j * step)) for p in points for j in range(size)]
        self.vector = plan.vector if plan.vector in sizes else None
        values = self.evaluate(self.nest.body, points)
        for point, value in zip(points, values, strict=True):
            if self.nest.accumulate:
                old = self.load(self.nest.out, point)
                summed = self.emit(f"fadd {self.type(self.scalar)} {old}, {value}")
                self.store(self.nest.out, point, summed)
            else:
                self.store(self.nest.out, point, value)
        self.vector = None

    # --- expressions -------------------------------------------------------------------------

    def evaluate(self, expression: Expression, points: list[Point]) -> list[str]:
        """Return the expression's value at each point, computed once where points share it."""
        match expression:
            case Number(value=value):
                return [self.literal(value)] * len(points)
            case Load(access=access):
                return [self.load(access, point) for point in points]
            case Apply(operation=operation, operands=operands):
                columns = [self.evaluate(x, points) for x in operands]
                return [
                    self.once(
                        (operation, row, self.vector),
                        lambda r=row: self.apply(operation, r),  # type: ignore[misc]
                    )
                    for row in zip(*columns, strict=True)
                ]
            case Reduce():
                return self.reduce(expression, points)

    def reduce(self, reduce: Reduce, points: list[Point]) -> list[str]:
        """Return the reduction at each point; the accumulators are registers."""
        along = {("reduced", d): extent for d, extent in enumerate(reduce.extents)}
        if reduce.samples:
            along["sample", 1] = SAMPLES
        self.extents.update(along)
        inner = vector_of(reduce, self.strides, along, self.width) if self.vector is None else None
        saved_memo, saved_masks = self.memo, self.masks
        self.entry_memo = dict(self.memo)
        saved_vector, self.vector = self.vector, inner or self.vector
        rest = [d for d in along if d != inner]
        needed = sorted({self.relevant(reduce.body, point) for point in points})
        if inner is None:
            values = self.sum_over(reduce, rest, needed, self.start(reduce, len(needed)))
        else:
            values = self.vector_sum(reduce, rest, inner, needed)
            values = self.across(reduce, values)
        self.vector = saved_vector
        self.memo, self.masks = saved_memo, saved_masks
        for dimension in along:
            self.base.pop(dimension, None)
            self.extents.pop(dimension, None)
        found = dict(zip(needed, values, strict=True))
        return [found[self.relevant(reduce.body, point)] for point in points]

    def relevant(self, expression: Expression, point: Point) -> Point:
        """Return the part of a point on which an expression depends."""
        shifts = {s for access in loads(expression) for s in self.shifts(access, point)}
        return tuple(sorted(shifts))

    def start(self, reduce: Reduce, count: int) -> list[str]:
        return [self.literal(0.0 if reduce.kind == "sum" else float("-inf"))] * count

    def sum_over(
        self, reduce: Reduce, rest: list[Dimension], points: list[Point], initial: list[str]
    ) -> list[str]:
        """Emit loops over the dimensions of a reduction; return the accumulated values."""
        if not rest:
            self.memo = dict(self.entry_memo)
            return self.accumulate(reduce, points, initial)
        dimension = rest[0]
        kind = self.type(self.scalar)

        def body(index: str, carried: list[str]) -> list[str]:
            self.base[dimension] = index
            return self.sum_over(reduce, rest[1:], points, carried)

        if self.extents[dimension] == 1:
            return body("0", initial)
        carried = [(kind, value) for value in initial]
        return self.loop("0", self.extent(dimension), 1, carried, body)

    def accumulate(self, reduce: Reduce, points: list[Point], before: list[str]) -> list[str]:
        """Return the accumulators with the body's values at the points added."""
        kind = self.type(self.scalar)
        body = reduce.body
        product = (
            reduce.kind == "sum" and isinstance(body, Apply) and body.operation is ops.multiply
        )
        # Along the rows, lanes that are switched off are never stored: no need to clear them.
        summed = (
            self.vector is not None and self.vector[0] != "row" and self.vector != ("sample", 0)
        )
        masked = summed and any(self.mask_of(point) for point in points)
        if product and not masked:
            assert isinstance(body, Apply)
            a, b = (self.evaluate(x, points) for x in body.operands)
            # Contraction is confined to sums: elsewhere x*x - x*x must stay zero.
            fused = f"call contract {kind} @llvm.fmuladd.{self.suffix()}"
            return [
                self.emit(f"{fused}({kind} {x}, {kind} {y}, {kind} {c})")
                for x, y, c in zip(a, b, before, strict=True)
            ]
        values = self.evaluate(body, points)
        results = []
        for point, value, accumulator in zip(points, values, before, strict=True):
            mask = self.mask_of(point)
            if masked and mask is not None:
                neutral = self.start(reduce, 1)[0]
                lanes = f"<{self.width} x i1> {mask}"
                cleared = self.emit(f"select {lanes}, {kind} {value}, {kind} {neutral}")
                results.append(self.combine(reduce, accumulator, cleared))
            else:
                results.append(self.combine(reduce, accumulator, value))
        return results

    def combine(self, reduce: Reduce, a: str, b: str) -> str:
        if reduce.kind == "sum":
            return self.emit(f"fadd {self.type(self.scalar)} {a}, {b}")
        return self.apply(ops.maximum, (a, b))

    def vector_sum(
        self, reduce: Reduce, rest: list[Dimension], inner: Dimension, points: list[Point]
    ) -> list[str]:
        """Reduce along vectors: several accumulators for each point hide the addition's latency."""
        extent = self.extents[inner]
        vectors = max(1, 8 // len(points))
        if extent != SAMPLES:
            vectors = min(vectors, -(-extent // self.width))
        kind = self.type(self.scalar)
        step = vectors * self.width

        def shifted(count: int) -> list[Point]:
            return [
                tuple(sorted((*p, (inner, j * self.width)))) for p in points for j in range(count)
            ]

        def along(initial: list[str]) -> list[str]:
            def body(index: str, carried: list[str]) -> list[str]:
                self.base[inner] = index
                self.memo = dict(self.entry_memo)
                return self.accumulate(reduce, shifted(vectors), carried)

            def tail(index: str, carried: list[str]) -> list[str]:
                self.base[inner] = index
                self.memo = dict(self.entry_memo)
                self.masks = {(inner, 0): self.runtime_mask(index)}
                firsts = carried[::vectors]
                ends = self.accumulate(reduce, shifted(1), firsts)
                self.masks = {}
                return [
                    ends[i // vectors] if i % vectors == 0 else c for i, c in enumerate(carried)
                ]

            carried = [(kind, value) for value in initial]
            if extent == SAMPLES:
                whole = self.emit(f"udiv i64 %n, {step}")
                end = self.emit(f"mul i64 {whole}, {step}")
                sums = self.loop("0", end, step, carried, body)
                return self.loop(end, "%n", self.width, [(kind, v) for v in sums], tail)
            end_number = extent - extent % step
            sums = initial
            if end_number == step:
                sums = body("0", sums)
            elif end_number:
                sums = self.loop("0", str(end_number), step, carried, body)
            left = extent - end_number
            if left:
                count = -(-left // self.width)
                self.base[inner] = str(end_number)
                self.memo = dict(self.entry_memo)
                self.masks = {}
                self.mask(inner, (count - 1) * self.width, left - (count - 1) * self.width)
                chosen = [i for i in range(len(sums)) if i % vectors < count]
                ends = self.accumulate(reduce, shifted(count), [sums[i] for i in chosen])
                self.masks = {}
                sums = list(sums)
                for i, end_value in zip(chosen, ends, strict=True):
                    sums[i] = end_value
            return sums

        def outer(remaining: list[Dimension], initial: list[str]) -> list[str]:
            if not remaining:
                return along(initial)
            dimension = remaining[0]

            def body(index: str, carried: list[str]) -> list[str]:
                self.base[dimension] = index
                return outer(remaining[1:], carried)

            if self.extents[dimension] == 1:
                return body("0", initial)
            carried = [(kind, value) for value in initial]
            return self.loop("0", self.extent(dimension), 1, carried, body)

        sums = outer(rest, self.start(reduce, len(points) * vectors))
        results = []
        for i in range(len(points)):
            result = sums[i * vectors]
            for j in range(1, vectors):
                result = self.combine(reduce, result, sums[i * vectors + j])
            results.append(result)
        return results

    def across(self, reduce: Reduce, vectors: list[str]) -> list[str]:
        """Return the reduction of each vector's lanes.

        Vectors are merged two by two, each step halving the lanes that one of them still takes,
        so that the steps are shared: 45 instructions instead of 192 for 16 vectors of 16 lanes.
        """
        results: list[str] = []
        for first in range(0, len(vectors), self.width):
            results += self.across_some(reduce, vectors[first : first + self.width])
        return results

    def across_some(self, reduce: Reduce, vectors: list[str]) -> list[str]:
        """Return the reductions of at most as many vectors as one has lanes."""
        count = len(vectors)
        merged = list(vectors)
        while len(merged) & (len(merged) - 1):
            merged.append(merged[0])
        # How many lanes there are, and how many of them still belong to one of the reductions.
        lanes, segment = self.width, self.width
        while segment > 1:
            segment //= 2
            firsts = [i for i in range(lanes) if i // segment % 2 == 0]
            if len(merged) > 1:
                # One segment's halves come together from two vectors.
                pairs = list(zip(merged[::2], merged[1::2], strict=True))
                take = [*firsts, *(i + lanes for i in firsts)]
                merged = [self.halves(reduce, a, b, lanes, take, segment) for a, b in pairs]
            else:
                merged = [self.halves(reduce, merged[0], "poison", lanes, firsts, segment)]
                lanes //= 2
        kind = f"<{lanes} x {self.scalar}>"
        return [self.emit(f"extractelement {kind} {merged[0]}, i64 {i}") for i in range(count)]

    def halves(
        self, reduce: Reduce, a: str, b: str, lanes: int, take: list[int], segment: int
    ) -> str:
        """Return the lanes `take` of a and b combined with those `segment` further on."""
        kind = f"<{lanes} x {self.scalar}>"
        parts = []
        for shift in (0, segment):
            indices = ", ".join(f"i32 {i + shift}" for i in take)
            mask = f"<{len(take)} x i32> <{indices}>"
            parts.append(self.emit(f"shufflevector {kind} {a}, {kind} {b}, {mask}"))
        saved, self.width = self.width, len(take)
        result = self.combine(reduce, *parts)
        self.width = saved
        return result
