"""Where a kernel's accesses lie in memory: how positions are computed, read and written."""

from collections.abc import Sequence

from liftgrad.lift.ir.nests import Access, Buffer
from liftgrad.lift.kernels.arguments import Arguments
from liftgrad.lift.kernels.block import Block
from liftgrad.lift.kernels.registers import Place, Registers
from liftgrad.lift.kernels.tiling import TIME, Dimension, Point, Strides
from liftgrad.lift.kernels.writer import Element, VectorWriter, Writer


class Accesses:
    """Reads and writes a nest's accesses at points of a block.

    Args:
        strides: the accesses' strides.
        buffers: the program's.
        write: what writes single numbers.
        vectors: what writes vectors, if the language has them.
        block: where the nest is.
        arguments: takes the accesses and tables that come up.
        registers: what is known of memory, in a loop over time.

    """

    def __init__(
        self,
        strides: Strides,
        buffers: Sequence[Buffer],
        write: Writer,
        vectors: VectorWriter | None,
        block: Block,
        arguments: Arguments,
        registers: Registers | None = None,
    ) -> None:
        self.strides, self.buffers, self.block = strides, buffers, block
        self.write, self.vectors = write, vectors
        self.arguments, self.registers = arguments, registers

    def load(self, access: Access, point: Point) -> str:
        """Return the number, or the vector of numbers, that an access reads at a point."""
        point = self.shifts(access, point)
        return self.block.once(
            ("load", access, point, self.block.vector), lambda: self._load(access, point)
        )

    def _load(self, access: Access, point: Point) -> str:
        vector = self.block.vector
        if vector is not None and self.strides.along(access, vector) == 0:
            assert self.vectors is not None
            return self.vectors.spread(self._element(access), self._read(access, point, None))
        return self._read(access, point, vector)

    def _read(self, access: Access, point: Point, vector: Dimension | None) -> str:
        """Return the number or the vector that an access reads, from a register if one has it."""
        if self.registers is None:
            return self.from_memory(access, point, vector)
        place = self._place(access, point, vector)
        value = None if place is None else self.known(place)
        if value is None:
            self.registers.miss(access.buffer, place)
            return self.from_memory(access, point, vector)
        return value

    def known(self, place: Place) -> str | None:
        """Return the number or the vector at a place, if registers have all of it."""
        assert self.registers is not None
        found = self.registers.find(place)
        if found is None:
            return None
        values = self.registers.of(place.buffer).values
        if place in values:
            return values[place]
        numbers = [self._lane(values[source], i, source) for source, i in found]
        if place.lanes == 1:
            return numbers[0]
        assert self.vectors is not None
        return self.vectors.join(numbers)

    def _lane(self, value: str, i: int, place: Place) -> str:
        """Return one of the numbers at a place."""
        if place.lanes == 1:
            return value
        assert self.vectors is not None
        return self.block.once(
            ("lane", value, i),
            lambda: self.vectors.lane(value, i, place.lanes),  # type: ignore[union-attr]
        )

    def from_memory(self, access: Access, point: Point, vector: Dimension | None) -> str:
        """Return a number, or a vector along a dimension, from memory."""
        element = self._element(access)
        if vector is None:
            return self.write.load(element, self._address(access, point))
        assert self.vectors is not None
        mask = self.block.mask(point)
        if self.strides.along(access, vector) == 1:
            return self.vectors.load(element, self._address(access, point), mask)
        pointer, positions = self._positions(access, point)
        return self.vectors.gather(element, pointer, positions, mask)

    def store(self, access: Access, point: Point, value: str) -> None:
        """Write a number, or a vector of numbers, where an access lies at a point."""
        vector = self.block.vector
        if self.registers is not None:
            place = self._place(access, point, vector)
            if not self.registers.store(access.buffer, place, value):
                return
        self.to_memory(access, point, value)

    def to_memory(self, access: Access, point: Point, value: str) -> None:
        """Write a number, or a vector of numbers, in memory."""
        vector = self.block.vector
        if vector is None:
            self.write.store(self._address(access, point), value)
            return
        assert self.vectors is not None
        mask = self.block.mask(point)
        if self.strides.along(access, vector) == 1:
            self.vectors.store(self._address(access, point), value, mask)
            return
        pointer, positions = self._positions(access, point)
        self.vectors.scatter(pointer, positions, value, mask)

    def _place(self, access: Access, point: Point, vector: Dimension | None) -> Place | None:
        """Return where an access lies at a point; None: that is not known as the code is written.

        Of samples only those of one vector are known at a time, and places do not name them.
        """
        if access.table is not None or access.index is not None or self._element(access) == "index":
            return None
        shift = dict(point)
        time, offset, stride = 0, access.offset, 1
        for dimension, step in self.strides.steps(access).items():
            if dimension == TIME:
                time = step
                continue
            corner = self.block.corner[dimension]
            if not corner.isdecimal():
                return None
            offset += step * (int(corner) + shift.get(dimension, 0))
            if dimension == vector:
                stride = step
        if vector is None or vector[0] == "sample":
            sample = shift.get(("sample", 0), 0) if self.strides.batched(access) else 0
            return Place(access.buffer, time, offset, sample=sample)
        return Place(
            *(access.buffer, time, offset, self.block.active(point), stride, self.block.width)
        )

    def shifts(self, access: Access, point: Point) -> Point:
        """Return the part of a point on which an access depends."""
        steps, batched = self.strides.steps(access), self.strides.batched(access)
        own = [x for x in point if x[0] in steps or (batched and x[0][0] == "sample")]
        if access.index is not None:
            own = [*{*own, *self.shifts(access.index, point)}]
        return tuple(sorted(own)) if len(own) > 1 else tuple(own)

    def _element(self, access: Access) -> Element:
        return "index" if self.buffers[access.buffer].role == "index" else "number"

    def _distance(self, access: Access) -> str:
        """Return how far apart in memory an access's elements of a batched group are."""
        return self.write.distance(self.arguments.access(access))

    def _table(self, table: int) -> str:
        """Return a table's address."""
        return self.write.table(self.arguments.table(table))

    # --- one position ------------------------------------------------------------------------

    def _address(self, access: Access, point: Point) -> str:
        """Return the address of an access that is one number, or a vector of neighbours."""
        pointer, position = self._affine(access, point)
        element = self._element(access)
        vector, self.block.vector = self.block.vector, None
        if access.table is not None:
            if access.index is not None:
                position = self._plus(position, self.load(access.index, point))
            table = self._table(access.table)
            position = self.write.load("index", self.write.address("index", table, position))
        elif access.index is not None:
            chosen = self.load(access.index, point)
            if access.step != 1:
                chosen = self.write.times(chosen, str(access.step))
            position = self._plus(position, chosen)
        if self.strides.batched(access):
            if position != "0":
                position = self.write.times(position, self._distance(access))
            position = self._plus(position, self._sample(point))
        self.block.vector = vector
        return self.block.once(
            ("address", pointer, position), lambda: self.write.address(element, pointer, position)
        )

    def _affine(self, access: Access, point: Point) -> tuple[str, str]:
        """Return an access's pointer and the position behind it that its strides give."""
        pointer = self.write.pointer(self.arguments.access(access))
        shift = dict(point)
        position, constant = "0", self.arguments.begin(access)
        for dimension, stride in self.strides.steps(access).items():
            constant += stride * shift.get(dimension, 0)
            index = self.block.corner[dimension]
            if index.isdecimal():
                constant += stride * int(index)
                continue
            term = index
            if stride != 1:
                term = self.block.once(
                    ("times", index, stride),
                    lambda i=index, s=stride: self.write.times(i, str(s)),  # type: ignore[misc]
                )
            position = self._plus_once(position, term)
        return pointer, self._plus_once(position, str(constant))

    def _plus(self, a: str, b: str) -> str:
        """Return the sum of two positions."""
        return b if a == "0" else a if b == "0" else self.write.plus(a, b)

    def _plus_once(self, a: str, b: str) -> str:
        """Return the same, computed once within a block."""
        return self.block.once(("plus", a, b), lambda: self._plus(a, b))

    def _sample(self, point: Point) -> str:
        """Return the number of the sample at a point."""
        dimension = self._samples()
        return self._plus(self.block.corner[dimension], str(dict(point).get(dimension, 0)))

    def _samples(self) -> Dimension:
        """Return the dimension of samples that is running."""
        return ("sample", 1) if ("sample", 1) in self.block.corner else ("sample", 0)

    # --- a vector of positions ---------------------------------------------------------------

    def _positions(self, access: Access, point: Point) -> tuple[str, str]:
        """Return an access's pointer and the positions behind it, one for each lane."""
        vector, vectors = self.block.vector, self.vectors
        assert vector is not None
        assert vectors is not None
        pointer, position = self._affine(access, point)
        positions = vectors.spread("index", position)
        stride = self.strides.steps(access).get(vector, 0)
        if stride:
            positions = vectors.plus(positions, vectors.ramp(stride))
        if access.index is not None:
            chosen = self.load(access.index, point)
            if access.table is None and access.step != 1:
                chosen = vectors.times(chosen, str(access.step))
            positions = vectors.plus(positions, chosen)
        if access.table is not None:
            table = self._table(access.table)
            positions = vectors.gather("index", table, positions, self.block.mask(point))
        if self.strides.batched(access):
            positions = vectors.times(positions, self._distance(access))
            positions = vectors.plus(positions, vectors.spread("index", self._sample(point)))
            if vector[0] == "sample":
                positions = vectors.plus(positions, vectors.ramp(1))
        return pointer, positions
