"""Where a kernel's accesses lie in memory, and the instructions that read and write there."""

from collections.abc import Sequence

from liftgrad.lift.ir.nests import Access, Buffer, Nest
from liftgrad.lift.kernels.instructions import Instructions
from liftgrad.lift.kernels.target import Target
from liftgrad.lift.kernels.tiling import Dimension, Point, Strides


class Memory(Instructions):
    """Reads and writes accesses at points of a block, masked at its ends."""

    def __init__(self, nest: Nest, buffers: Sequence[Buffer], target: Target, dtype: str) -> None:
        super().__init__(target, dtype)
        self.nest, self.buffers = nest, buffers
        self.strides = Strides(nest, buffers)
        self.accesses: list[Access] = []
        self.tables: list[int] = []
        self.base: dict[Dimension, str] = {}
        """The block's corner along each dimension: an i64 value."""
        self.masks: dict[tuple[Dimension, int], str] = {}
        """Which lanes of a vector count, where not all do."""

    def mask(self, dimension: Dimension, shift: int, lanes: int) -> None:
        """Switch off the lanes of the vector at `shift` from lane `lanes` on."""
        if lanes < self.width:
            bits = ", ".join(f"i1 {'true' if i < lanes else 'false'}" for i in range(self.width))
            self.masks[dimension, shift] = f"<{bits}>"

    def runtime_mask(self, index: str) -> str:
        """Return which lanes of a vector of samples at an index exist."""
        left = self.emit(f"sub i64 %n, {index}")
        kind = f"<{self.width} x i64>"
        first = self.emit(f"insertelement {kind} poison, i64 {left}, i64 0")
        zeros = f"<{self.width} x i32> zeroinitializer"
        spread = self.emit(f"shufflevector {kind} {first}, {kind} poison, {zeros}")
        lanes = ", ".join(f"i64 {i}" for i in range(self.width))
        return self.emit(f"icmp slt {kind} <{lanes}>, {spread}")

    def mask_of(self, point: Point) -> str | None:
        """Return the mask of the vector at a point, or None where all lanes count."""
        for entry in point:
            if entry[0] == self.vector and entry in self.masks:
                return self.masks[entry]
        return None

    def mask_of_lanes(self, point: Point) -> str:
        """Return the mask of the vector at a point, spelt out where all lanes count."""
        return self.mask_of(point) or "splat (i1 true)"

    def load(self, access: Access, point: Point) -> str:
        """Return the number, or the vector of numbers, that an access reads at a point."""
        point = self.shifts(access, point)
        return self.once(
            ("load", access, point, self.vector), lambda: self.load_anew(access, point)
        )

    def load_anew(self, access: Access, point: Point) -> str:
        """Emit a load, a masked one at a block's end, or a gather where neighbours are apart."""
        kind, element = self.type(self.element(access)), self.element(access)
        along = 0 if self.vector is None else self.strides.along(access, self.vector)
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
        """Emit a store, a masked one at the end of a block, or a scatter."""
        kind = self.type(self.scalar)
        along = 0 if self.vector is None else self.strides.along(access, self.vector)
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

    def sample(self) -> Dimension:
        """Return the dimension of samples that is running."""
        return ("sample", 1) if ("sample", 1) in self.base else ("sample", 0)

    def shifts(self, access: Access, point: Point) -> Point:
        """Return the part of a point on which an access depends."""
        inner = () if access.index is None else self.shifts(access.index, point)
        steps = self.strides.steps(access)
        own = tuple(
            (d, s)
            for d, s in point
            if d in steps or (d[0] == "sample" and self.strides.batched(access))
        )
        return tuple(sorted({*own, *inner}))

    def argument(self, access: Access) -> int:
        """Return an access's place among the kernel's arguments."""
        if access not in self.accesses:
            self.accesses.append(access)
        return self.accesses.index(access)

    def table(self, number: int) -> str:
        """Return a table's address."""
        if number not in self.tables:
            self.tables.append(number)
        return f"%t{self.tables.index(number)}"

    def place(self, access: Access, point: Point) -> tuple[str, str]:
        """Return (constant pointer, i64 position behind it) of the first lane of an access."""
        number = self.argument(access)
        shift = dict(point)
        terms = []
        constant = 0
        for dimension, stride in self.strides.steps(access).items():
            terms.append((self.base[dimension], stride))
            constant += stride * shift.get(dimension, 0)
        position = self.weighted(terms)
        if constant:
            position = self.once(
                ("plus", position, constant), lambda: self.emit(f"add i64 {position}, {constant}")
            )
        return f"%p{number}", position

    def element(self, access: Access) -> str:
        """Return the type of the numbers that an access reads."""
        return "i64" if self.buffers[access.buffer].role == "index" else self.scalar

    def alignment(self, element: str) -> int:
        """Return how numbers of a type are aligned, in bytes."""
        return 4 if element == "float" else 8

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
        if self.strides.batched(access):
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

    def sample_index(self, point: Point) -> str:
        """Return the number of the sample at a point."""
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
        stride = self.strides.steps(access).get(self.vector, 0)
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
        if self.strides.batched(access):
            distance = self.splat("i64", f"%ld{self.argument(access)}")
            positions = self.emit(f"mul {wide} {positions}, {distance}")
            index = self.splat("i64", self.sample_index(point))
            positions = self.emit(f"add {wide} {positions}, {index}")
            if self.vector[0] == "sample":
                lanes = ", ".join(f"i64 {i}" for i in range(self.width))
                positions = self.emit(f"add {wide} {positions}, <{lanes}>")
        return self.emit(f"getelementptr {element}, ptr {pointer}, {wide} {positions}")
