"""Kernels: a loop nest as LLVM IR text.

Each kernel takes one pointer to its arguments: the address of the first element of every access,
the number of samples, each access's distance in memory between elements of a batched group, and
the addresses of the tables.

A nest is run in blocks. One dimension is cut into vectors (stride 1 or 0 in all accesses where
possible): a dimension of the rows, or one that is reduced, whose lanes are added up at the end.
Dimensions of the rows along which loaded vectors are shared are tiled, so that a block of results
stays in registers while the reduction runs (Goto & van de Geijn, 2008). Ends are masked.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from liftgrad import ops
from liftgrad.lift import vector_math
from liftgrad.lift.program import (
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
from liftgrad.lift.target import Target

Dimension = tuple[str, int]
"""("row", d), ("reduced", d), ("sample", 0) of the rows or ("sample", 1) of a reduction."""
Point = tuple[tuple[Dimension, int], ...]
"""Shifts from the block's corner along the tiled dimensions, sorted."""
SAMPLES = -1
"""The extent of a dimension of samples: known at run time."""


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


@dataclass(slots=True)
class _Plan:
    """How a nest's loops run."""

    vector: Dimension | None
    tiles: dict[Dimension, int] = field(default_factory=dict)


def kernel(nest: Nest, buffers: Sequence[Buffer], target: Target, dtype: str) -> Kernel:
    """Return the kernel that runs the nest; its name in the text is @kernel."""
    return _Emitter(nest, buffers, target, dtype).run()


class _Emitter:
    def __init__(self, nest: Nest, buffers: Sequence[Buffer], target: Target, dtype: str) -> None:
        self.nest, self.buffers, self.target, self.dtype = nest, buffers, target, dtype
        self.scalar = "double" if dtype == "float64" else "float"
        self.width = target.lanes(dtype)
        self.lines: list[str] = []
        self.count = 0
        self.accesses: list[Access] = []
        self.tables: list[int] = []
        self.functions: set[tuple[str, int, str]] = set()
        self.base: dict[Dimension, str] = {}
        """The block's corner along each dimension: an i64 value."""
        self.memo: dict[object, str] = {}
        self.entry_memo: dict[object, str] = {}
        """What was known before the loops of the reduction at hand."""
        self.masks: dict[tuple[Dimension, int], str] = {}
        self.vector: Dimension | None = None
        """The dimension along which values are vectors at present; None: they are scalars."""
        self.extents: dict[Dimension, int] = {
            ("row", d): extent for d, extent in enumerate(nest.extents)
        }
        if nest.batched:
            self.extents["sample", 0] = SAMPLES

    # --- text --------------------------------------------------------------------------------

    def emit(self, instruction: str) -> str:
        """Append an instruction; return the name of its result."""
        self.count += 1
        name = f"%v{self.count}"
        self.lines.append(f"  {name} = {instruction}")
        return name

    def once(self, key: object, instruction: Callable[[], str]) -> str:
        """Return the value for a key, made on first use within the block."""
        if key not in self.memo:
            self.memo[key] = instruction()
        return self.memo[key]

    def loop(
        self,
        start: str,
        stop: str,
        step: int,
        carried: list[tuple[str, str]],
        body: Callable[[str, list[str]], list[str]],
    ) -> list[str]:
        """Emit a loop with values carried through it, as (type, initial value); return the last."""
        self.count += 1
        label = f"l{self.count}"
        entry = f"{label}.entry"
        self.lines += [f"  br label %{entry}", f"{entry}:", f"  br label %{label}", f"{label}:"]
        head = len(self.lines)
        index = f"%i{self.count}"
        names = [f"%c{self.count}.{j}" for j in range(len(carried))]
        inside = self.emit(f"icmp slt i64 {index}, {stop}")
        self.lines += [f"  br i1 {inside}, label %{label}.body, label %{label}.exit"]
        self.lines += [f"{label}.body:"]
        saved, self.memo = self.memo, dict(self.memo)
        results = body(index, names)
        self.memo = saved
        following = self.emit(f"add nuw nsw i64 {index}, {step}")
        self.lines += [f"  br label %{label}.latch", f"{label}.latch:", f"  br label %{label}"]
        self.lines += [f"{label}.exit:"]
        phis = [f"  {index} = phi i64 [ {start}, %{entry} ], [ {following}, %{label}.latch ]"]
        for name, (kind, initial), result in zip(names, carried, results, strict=True):
            phis.append(
                f"  {name} = phi {kind} [ {initial}, %{entry} ], [ {result}, %{label}.latch ]"
            )
        self.lines[head:head] = phis
        return names

    @property
    def lanes(self) -> int:
        return 1 if self.vector is None else self.width

    def type(self, element: str) -> str:
        return element if self.vector is None else f"<{self.width} x {element}>"

    def suffix(self, element: str = "") -> str:
        short = element or ("f64" if self.dtype == "float64" else "f32")
        return short if self.vector is None else f"v{self.width}{short}"

    def splat(self, element: str, value: str) -> str:
        """Return a scalar in every lane."""
        if self.vector is None:
            return value
        kind = self.type(element)
        first = self.emit(f"insertelement {kind} poison, {element} {value}, i64 0")
        zeros = f"<{self.width} x i32> zeroinitializer"
        return self.emit(f"shufflevector {kind} {first}, {kind} poison, {zeros}")

    def literal(self, value: float) -> str:
        if self.dtype == "float32":
            value = float(np.float32(value))
        text = f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"
        return text if self.vector is None else f"splat ({self.scalar} {text})"

    # --- the whole kernel --------------------------------------------------------------------

    def run(self) -> Kernel:
        plan = self.plan()
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

    def tiled(self, grid: list[Dimension], plan: _Plan, sizes: dict[Dimension, int]) -> None:
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

    def mask(self, dimension: Dimension, shift: int, lanes: int) -> None:
        """Switch off the lanes of the vector at `shift` from lane `lanes` on."""
        if lanes < self.width:
            bits = ", ".join(f"i1 {'true' if i < lanes else 'false'}" for i in range(self.width))
            self.masks[dimension, shift] = f"<{bits}>"

    def sample_tail(self, dimension: Dimension, start: str, block: Callable[[], None]) -> None:
        """Emit the vectors at the end of the samples, each masked by what is left."""

        def body(index: str, _: list[str]) -> list[str]:
            self.base[dimension] = index
            self.masks[dimension, 0] = self.runtime_mask(index)
            block()
            self.masks.clear()
            return []

        self.loop(start, "%n", self.width, [], body)

    def runtime_mask(self, index: str) -> str:
        left = self.emit(f"sub i64 %n, {index}")
        kind = f"<{self.width} x i64>"
        first = self.emit(f"insertelement {kind} poison, i64 {left}, i64 0")
        zeros = f"<{self.width} x i32> zeroinitializer"
        spread = self.emit(f"shufflevector {kind} {first}, {kind} poison, {zeros}")
        lanes = ", ".join(f"i64 {i}" for i in range(self.width))
        return self.emit(f"icmp slt {kind} <{lanes}>, {spread}")

    def block(self, plan: _Plan, sizes: dict[Dimension, int]) -> None:
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

    # --- memory ------------------------------------------------------------------------------

    def steps(self, access: Access) -> dict[Dimension, int]:
        """Return the access's stride along each dimension on which it depends."""
        rows = len(self.nest.extents)
        named: dict[Dimension, int] = {}
        for d, stride in enumerate(access.strides):
            if stride:
                named[("row", d) if d < rows else ("reduced", d - rows)] = stride
        return named

    def batched(self, access: Access) -> bool:
        return self.buffers[access.buffer].batched

    def sample(self) -> Dimension:
        """Return the dimension of samples that is running."""
        return ("sample", 1) if ("sample", 1) in self.base else ("sample", 0)

    def stride_along(self, access: Access, dimension: Dimension) -> int | None:
        """Return an access's stride in memory; None: not a constant one."""
        if access.index is not None and self.stride_along(access.index, dimension) != 0:
            return None
        if dimension[0] == "sample":
            return 1 if self.batched(access) else 0
        stride = self.steps(access).get(dimension, 0)
        return None if stride and (access.table is not None or self.batched(access)) else stride

    def shifts(self, access: Access, point: Point) -> Point:
        """Return the part of a point on which an access depends."""
        inner = () if access.index is None else self.shifts(access.index, point)
        steps = self.steps(access)
        own = tuple(
            (d, s) for d, s in point if d in steps or (d[0] == "sample" and self.batched(access))
        )
        return tuple(sorted({*own, *inner}))

    def argument(self, access: Access) -> int:
        if access not in self.accesses:
            self.accesses.append(access)
        return self.accesses.index(access)

    def table(self, number: int) -> str:
        if number not in self.tables:
            self.tables.append(number)
        return f"%t{self.tables.index(number)}"

    def place(self, access: Access, point: Point) -> tuple[str, str]:
        """Return (constant pointer, i64 position behind it) of the first lane of an access."""
        number = self.argument(access)
        shift = dict(point)
        terms = []
        constant = 0
        for dimension, stride in self.steps(access).items():
            terms.append((self.base[dimension], stride))
            constant += stride * shift.get(dimension, 0)
        position = self.weighted(terms)
        if constant:
            position = self.once(
                ("plus", position, constant), lambda: self.emit(f"add i64 {position}, {constant}")
            )
        return f"%p{number}", position

    def weighted(self, terms: list[tuple[str, int]]) -> str:
        total = "0"
        for value, stride in terms:
            if value == "0":
                continue
            part = self.once(
                ("times", value, stride),
                lambda v=value, s=stride: v if s == 1 else self.emit(f"mul nsw i64 {v}, {s}"),  # type: ignore[misc]
            )
            before = total
            total = (
                part
                if before == "0"
                else self.once(
                    ("plus", before, part),
                    lambda b=before, p=part: self.emit(f"add nsw i64 {b}, {p}"),  # type: ignore[misc]
                )
            )
        return total

    def element(self, access: Access) -> str:
        return "i64" if self.buffers[access.buffer].role == "index" else self.scalar

    def load(self, access: Access, point: Point) -> str:
        """Return the number, or the vector of numbers, that an access reads at a point."""
        point = self.shifts(access, point)
        return self.once(
            ("load", access, point, self.vector), lambda: self.load_anew(access, point)
        )

    def load_anew(self, access: Access, point: Point) -> str:
        kind, element = self.type(self.element(access)), self.element(access)
        along = 0 if self.vector is None else self.stride_along(access, self.vector)
        if along == 0:
            address = self.address(access, point)
            value = self.emit(f"load {element}, ptr {address}, align {self.alignment(element)}")
            return self.splat(element, value)
        mask = self.mask_of(point)
        if along == 1:
            address = self.address(access, point)
            alignment = self.alignment(element)
            if mask is None:
                return self.emit(f"load {kind}, ptr {address}, align {alignment}")
            masks = f"<{self.width} x i1> {mask}"
            short = "i64" if element == "i64" else ""
            return self.emit(
                f"call {kind} @llvm.masked.load.{self.suffix(short)}.p0"
                f"(ptr align {alignment} {address}, {masks}, {kind} zeroinitializer)"
            )
        addresses = self.addresses(access, point)
        masks = f"<{self.width} x i1> {mask or 'splat (i1 true)'}"
        pointers = f"<{self.width} x ptr>"
        short = "i64" if element == "i64" else ""
        return self.emit(
            f"call {kind} @llvm.masked.gather.{self.suffix(short)}.v{self.width}p0"
            f"({pointers} align {self.alignment(element)} {addresses}, {masks}, "
            f"{kind} zeroinitializer)"
        )

    def store(self, access: Access, point: Point, value: str) -> None:
        kind = self.type(self.scalar)
        along = 0 if self.vector is None else self.stride_along(access, self.vector)
        alignment = self.alignment(self.scalar)
        mask = self.mask_of(point)
        if self.vector is None or along == 1:
            address = self.address(access, point)
            if mask is None or self.vector is None:
                self.lines.append(f"  store {kind} {value}, ptr {address}, align {alignment}")
            else:
                self.lines.append(
                    f"  call void @llvm.masked.store.{self.suffix()}.p0({kind} {value}, "
                    f"ptr align {alignment} {address}, <{self.width} x i1> {mask})"
                )
            return
        addresses = self.addresses(access, point)
        self.lines.append(
            f"  call void @llvm.masked.scatter.{self.suffix()}.v{self.width}p0({kind} {value}, "
            f"<{self.width} x ptr> align {alignment} {addresses}, "
            f"<{self.width} x i1> {mask or 'splat (i1 true)'})"
        )

    def alignment(self, element: str) -> int:
        return 4 if element == "float" else 8

    def mask_of(self, point: Point) -> str | None:
        for entry in point:
            if entry[0] == self.vector and entry in self.masks:
                return self.masks[entry]
        return None

    def address(self, access: Access, point: Point) -> str:
        """Return the address of an access that is one number, or a vector of neighbours."""
        pointer, position = self.place(access, point)
        element = self.element(access)
        saved, self.vector = self.vector, None
        if access.table is not None:
            if access.index is not None:
                position = self.plus(position, self.load(access.index, point))
            table = self.table(access.table)
            slot = self.emit(f"getelementptr i64, ptr {table}, i64 {position}")
            position = self.emit(f"load i64, ptr {slot}, align 8")
        elif access.index is not None:
            chosen = self.load(access.index, point)
            position = self.plus(position, self.emit(f"mul nsw i64 {chosen}, {access.step}"))
        if self.batched(access):
            number = self.argument(access)
            position = self.emit(f"mul nsw i64 {position}, %ld{number}")
            position = self.plus(position, self.sample_index(point))
        self.vector = saved
        if position == "0":
            return pointer
        return self.once(
            ("address", pointer, position),
            lambda: self.emit(f"getelementptr {element}, ptr {pointer}, i64 {position}"),
        )

    def plus(self, a: str, b: str) -> str:
        return b if a == "0" else a if b == "0" else self.emit(f"add nsw i64 {a}, {b}")

    def sample_index(self, point: Point) -> str:
        dimension = self.sample()
        shift = dict(point).get(dimension, 0)
        base = self.base[dimension]
        return base if not shift else self.plus(base, str(shift))

    def addresses(self, access: Access, point: Point) -> str:
        """Return a vector of addresses, one for each lane along the vector's dimension."""
        assert self.vector is not None
        pointer, position = self.place(access, point)
        element, wide = self.element(access), f"<{self.width} x i64>"
        positions = self.splat("i64", position)
        stride = self.steps(access).get(self.vector, 0)
        if stride:
            lanes = ", ".join(f"i64 {i * stride}" for i in range(self.width))
            positions = self.emit(f"add {wide} {positions}, <{lanes}>")
        if access.index is not None:
            chosen = self.load(access.index, point)
            if access.table is None:
                chosen = self.emit(f"mul {wide} {chosen}, splat (i64 {access.step})")
            positions = self.emit(f"add {wide} {positions}, {chosen}")
        if access.table is not None:
            table = self.table(access.table)
            slots = self.emit(f"getelementptr i64, ptr {table}, {wide} {positions}")
            everywhere = f"<{self.width} x i1> {self.mask_of_lanes(point)}"
            positions = self.emit(
                f"call {wide} @llvm.masked.gather.v{self.width}i64.v{self.width}p0"
                f"(<{self.width} x ptr> align 8 {slots}, {everywhere}, {wide} zeroinitializer)"
            )
        if self.batched(access):
            distance = self.splat("i64", f"%ld{self.argument(access)}")
            positions = self.emit(f"mul {wide} {positions}, {distance}")
            index = self.splat("i64", self.sample_index(point))
            positions = self.emit(f"add {wide} {positions}, {index}")
            if self.vector[0] == "sample":
                lanes = ", ".join(f"i64 {i}" for i in range(self.width))
                positions = self.emit(f"add {wide} {positions}, <{lanes}>")
        return self.emit(f"getelementptr {element}, ptr {pointer}, {wide} {positions}")

    def mask_of_lanes(self, point: Point) -> str:
        return self.mask_of(point) or "splat (i1 true)"

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

    def apply(self, operation: ops.Operation, operands: Sequence[str]) -> str:
        kind = self.type(self.scalar)
        if operation is ops.detach:
            return operands[0]
        if operation.parameter is not None:
            return self.power(operands[0], operation.parameter)
        if not operation.llvm:
            self.functions.add((operation.name, self.lanes, self.dtype))
            symbol = vector_math.symbol(operation.name, self.lanes, self.dtype)
            return self.emit(f"call {kind} {symbol}({', '.join(f'{kind} {x}' for x in operands)})")
        results: list[str] = []
        for template in operation.llvm:
            earlier = {f"-{i + 1}": name for i, name in enumerate(reversed(results))}
            text = template.format(
                *operands,
                **earlier,
                T=kind,
                I=self.type("i64"),
                t=self.suffix(),
                mask=self.type("i1"),
                zero=self.literal(0.0),
                true="true" if self.vector is None else "splat (i1 true)",
            )
            results.append(self.emit(text))
        return results[-1]

    def power(self, x: str, exponent: float) -> str:
        """Return x**exponent; small whole exponents multiply, as LLVM's powi does."""
        kind = self.type(self.scalar)
        one = self.literal(1.0)
        if exponent == int(exponent) if abs(exponent) <= 4.0 else False:
            result = one
            for _ in range(abs(int(exponent))):
                result = x if result == one else self.emit(f"fmul {kind} {result}, {x}")
            return result if exponent >= 0 else self.emit(f"fdiv {kind} {one}, {result}")
        if abs(exponent) == 0.5:
            # pow, unlike sqrt, takes -inf to inf and -0 to 0.
            positive = self.emit(f"fadd {kind} {x}, {self.literal(0.0)}")
            root = self.emit(f"call {kind} @llvm.sqrt.{self.suffix()}({kind} {positive})")
            infinite = self.literal(float("inf"))
            below = self.emit(f"fcmp oeq {kind} {x}, {self.literal(float('-inf'))}")
            root = self.emit(f"select {self.type('i1')} {below}, {kind} {infinite}, {kind} {root}")
            return root if exponent > 0 else self.emit(f"fdiv {kind} {one}, {root}")
        self.functions.add(("power", self.lanes, self.dtype))
        symbol = vector_math.symbol("power", self.lanes, self.dtype)
        return self.emit(f"call {kind} {symbol}({kind} {x}, {kind} {self.literal(exponent)})")

    def reduce(self, reduce: Reduce, points: list[Point]) -> list[str]:
        """Return the reduction at each point; the accumulators are registers."""
        along = {("reduced", d): extent for d, extent in enumerate(reduce.extents)}
        if reduce.samples:
            along["sample", 1] = SAMPLES
        self.extents.update(along)
        inner = self.vector_of(reduce, along) if self.vector is None else None
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

    # --- choosing how loops run --------------------------------------------------------------

    def plan(self) -> _Plan:
        """Choose the dimension of the vectors and the tiles around it."""
        nest = self.nest
        if nest.out.index is not None:
            # Two rows may meet in one target: one after the other.
            return _Plan(None)
        accesses = [*loads(nest.body), nest.out]
        rows = [d for d, extent in self.extents.items() if extent == SAMPLES or extent > 1]
        smooth = [
            d
            for d in rows
            if self.stride_along(nest.out, d) == 1
            and all(self.stride_along(x, d) in (0, 1) for x in accesses)
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
            if self.vector_of(reduction, along) is not None:
                return self.tile_reduced()
        candidates = [
            d for d in rows if self.extents[d] == SAMPLES or self.extents[d] * 2 >= self.width
        ]
        if candidates and not self.out_collides(candidates):

            def rough(d: Dimension) -> int:
                return sum(self.stride_along(x, d) not in (0, 1) for x in accesses)

            vector = min(candidates, key=rough)
            return self.tile(vector, reductions)
        return _Plan(None)

    def out_collides(self, candidates: list[Dimension]) -> bool:
        """Tell whether lanes could write to one place."""
        return self.nest.out.table is not None and self.nest.accumulate and bool(candidates)

    def vector_of(self, reduce: Reduce, along: dict[Dimension, int]) -> Dimension | None:
        """Return the dimension along which a reduction can run in whole vectors."""
        accesses = list(loads(reduce.body))
        good = [
            d
            for d, extent in along.items()
            if all(self.stride_along(x, d) in (0, 1) for x in accesses)
            and (extent == SAMPLES or extent * 2 >= self.width)
        ]
        return max(good, key=lambda d: (along[d] == SAMPLES, along[d]), default=None)

    def tile(self, vector: Dimension, reductions: list[Reduce]) -> _Plan:
        """Tile around vectors along a dimension of the rows."""
        wide = self.target.registers >= 32
        if not reductions:
            return _Plan(vector, {vector: self.fitting(vector, 2)})
        vectors = self.fitting(vector, 2)
        inner = [x for r in reductions for x in loads(r.body)]
        shared = {
            d: sum(
                not self.stride_along(x, d) and bool(self.stride_along(x, vector)) for x in inner
            )
            for d, extent in self.extents.items()
            if d != vector and extent != SAMPLES and extent > 1
        }
        best = max(shared, key=lambda d: (shared[d], self.extents[d]), default=None)
        if best is None or not shared[best]:
            return _Plan(vector, {vector: self.fitting(vector, 4)})
        size = min(self.extents[best], 8 if wide else 4)
        return _Plan(vector, {best: size, vector: vectors})

    def fitting(self, dimension: Dimension, count: int) -> int:
        """Return how many vectors, at most `count`, suit an extent."""
        extent = self.extents[dimension]
        if extent == SAMPLES:
            return count
        return max(1, min(count, -(-extent // self.width)))

    def tile_reduced(self) -> _Plan:
        """Tile the rows around a reduction that runs in vectors."""
        rows = [d for d, e in self.extents.items() if e != SAMPLES and e > 1]
        rows.sort(key=lambda d: -self.extents[d])
        limit = 4 if self.target.registers >= 32 else 2
        plan = _Plan(("reduced", 0))
        for d in rows[:2]:
            plan.tiles[d] = min(self.extents[d], limit)
        return plan


def _reductions(expression: Expression) -> list[Reduce]:
    match expression:
        case Reduce():
            return [expression]
        case Apply(operands=operands):
            return [r for x in operands for r in _reductions(x)]
        case _:
            return []
