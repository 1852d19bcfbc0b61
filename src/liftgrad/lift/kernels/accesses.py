"""Where a kernel's accesses lie in memory: how positions are computed, read and written."""

from collections.abc import Sequence

from liftgrad.lift.ir.nests import Access, Buffer, Nest
from liftgrad.lift.kernels.block import Block
from liftgrad.lift.kernels.tiling import Dimension, Point, Strides
from liftgrad.lift.kernels.writer import Element, VectorWriter, Writer


class Accesses:
    """Reads and writes a nest's accesses at points of a block."""

    def __init__(
        self,
        nest: Nest,
        buffers: Sequence[Buffer],
        write: Writer,
        vectors: VectorWriter | None,
        block: Block,
    ) -> None:
        self.buffers, self.write, self.vectors, self.block = buffers, write, vectors, block
        self.strides = Strides(nest, buffers)
        self.numbered: list[Access] = []
        """The accesses in the order of the kernel's arguments."""
        self.tables: list[int] = []
        """The tables in that order."""

    def load(self, access: Access, point: Point) -> str:
        """Return the number, or the vector of numbers, that an access reads at a point."""
        point = self.shifts(access, point)
        return self.block.once(
            ("load", access, point, self.block.vector), lambda: self._load(access, point)
        )

    def _load(self, access: Access, point: Point) -> str:
        element, vector = self._element(access), self.block.vector
        if vector is None:
            return self.write.load(element, self._address(access, point))
        assert self.vectors is not None
        stride = self.strides.along(access, vector)
        if stride == 0:
            value = self.write.load(element, self._address(access, point))
            return self.vectors.spread(element, value)
        mask = self.block.mask(point)
        if stride == 1:
            return self.vectors.load(element, self._address(access, point), mask)
        pointer, positions = self._positions(access, point)
        return self.vectors.gather(element, pointer, positions, mask)

    def store(self, access: Access, point: Point, value: str) -> None:
        """Write a number, or a vector of numbers, where an access lies at a point."""
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

    def shifts(self, access: Access, point: Point) -> Point:
        """Return the part of a point on which an access depends."""
        steps, batched = self.strides.steps(access), self.strides.batched(access)
        own = [x for x in point if x[0] in steps or (batched and x[0][0] == "sample")]
        if access.index is not None:
            own = [*{*own, *self.shifts(access.index, point)}]
        return tuple(sorted(own)) if len(own) > 1 else tuple(own)

    def _element(self, access: Access) -> Element:
        return "index" if self.buffers[access.buffer].role == "index" else "number"

    def _argument(self, access: Access) -> int:
        """Return an access's number among the kernel's arguments."""
        if access not in self.numbered:
            self.numbered.append(access)
        return self.numbered.index(access)

    def _table(self, table: int) -> str:
        """Return a table's address."""
        if table not in self.tables:
            self.tables.append(table)
        return self.write.table(self.tables.index(table))

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
                distance = self.write.distance(self._argument(access))
                position = self.write.times(position, distance)
            position = self._plus(position, self._sample(point))
        self.block.vector = vector
        return self.block.once(
            ("address", pointer, position), lambda: self.write.address(element, pointer, position)
        )

    def _affine(self, access: Access, point: Point) -> tuple[str, str]:
        """Return an access's pointer and the position behind it that its strides give."""
        pointer = self.write.pointer(self._argument(access))
        shift = dict(point)
        position, constant = "0", 0 if access.table is None else access.offset
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
            distance = self.write.distance(self._argument(access))
            positions = vectors.times(positions, distance)
            positions = vectors.plus(positions, vectors.spread("index", self._sample(point)))
            if vector[0] == "sample":
                positions = vectors.plus(positions, vectors.ramp(1))
        return pointer, positions
