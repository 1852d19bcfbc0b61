"""Loops over the dimensions of a nest, whole or in blocks whose ends are masked."""

from collections.abc import Callable, Sequence

from liftgrad.lift.kernels.block import Block
from liftgrad.lift.kernels.tiling import SAMPLES, Dimension
from liftgrad.lift.kernels.writer import Body, VectorWriter, Writer


class Loops:
    """Writes loops, which move a block along the dimensions that they run over."""

    def __init__(
        self,
        write: Writer,
        vectors: VectorWriter | None,
        block: Block,
        extents: dict[Dimension, int],
        *,
        unrolled: bool = False,
    ) -> None:
        self.write, self.vectors, self.block = write, vectors, block
        self.extents = extents
        """Of the dimensions of the rows, and of the reductions that are being written."""
        self.unrolled = unrolled
        """Whether loops are written out, but for those over samples."""

    def over(
        self,
        dimensions: Sequence[Dimension],
        carried: list[str],
        body: Callable[[list[str]], list[str]],
    ) -> list[str]:
        """Write nested loops over all of some dimensions; return the values carried to the end."""
        if not dimensions:
            return body(carried)
        dimension, extent = dimensions[0], self.extents[dimensions[0]]

        def step(index: str, carried: list[str]) -> list[str]:
            self.block.corner[dimension] = index
            return self.over(dimensions[1:], carried, body)

        if extent == 1:
            return step("0", carried)
        if extent == SAMPLES:
            return self._loop("0", self.write.samples(), 1, carried, step)
        return self._steps(extent, 1, carried, step)

    def in_blocks(
        self,
        dimension: Dimension,
        size: int,
        carried: list[str],
        body: Callable[[int, list[str]], list[str]],
        *,
        vector: bool,
    ) -> list[str]:
        """Write a body for blocks of at most `size` along a dimension: full ones, then the rest.

        The body is given a block's size, in vectors along the dimension of the vectors. There the
        last vector is masked; of samples, whose number is known at run time, each of the rest.
        """
        corner, extent = self.block.corner, self.extents[dimension]
        step = size * (self.block.width if vector else 1)

        def full(index: str, carried: list[str]) -> list[str]:
            corner[dimension] = index
            return body(size, carried)

        if extent == SAMPLES:
            return self._samples_in_blocks(dimension, step, carried, full, body)
        end = extent - extent % step
        if end == step:
            carried = full("0", carried)
        elif end:
            carried = self._steps(end, step, carried, full)
        left = extent - end
        if not left:
            return carried
        corner[dimension] = str(end)
        if not vector:
            return body(left, carried)
        width = self.block.width
        count = -(-left // width)
        last = (count - 1) * width
        if left - last < width:
            assert self.vectors is not None
            self.block.masks[dimension, last] = self.vectors.first(left - last)
            self.block.counts[dimension, last] = left - last
        carried = body(count, carried)
        self.block.masks.clear()
        self.block.counts.clear()
        return carried

    def _samples_in_blocks(
        self,
        dimension: Dimension,
        step: int,
        carried: list[str],
        full: Body,
        body: Callable[[int, list[str]], list[str]],
    ) -> list[str]:
        assert self.vectors is not None
        vectors, block = self.vectors, self.block

        def tail(index: str, carried: list[str]) -> list[str]:
            block.corner[dimension] = index
            block.masks[dimension, 0] = vectors.remaining(index)
            carried = body(1, carried)
            block.masks.clear()
            return carried

        end = vectors.whole(step)
        carried = self._loop("0", end, step, carried, full)
        return self._loop(end, self.write.samples(), block.width, carried, tail)

    def _steps(self, stop: int, step: int, carried: list[str], body: Body) -> list[str]:
        """Write a loop from 0 whose end is known, or each of its steps."""
        if not self.unrolled:
            return self._loop("0", str(stop), step, carried, body)
        for index in range(0, stop, step):
            carried = self._forgotten(body)(str(index), carried)
        return carried

    def _loop(self, start: str, stop: str, step: int, carried: list[str], body: Body) -> list[str]:
        """Write a loop."""
        return self.write.loop(start, stop, step, carried, self._forgotten(body), self.block.lanes)

    def _forgotten(self, body: Body) -> Body:
        """Return a body whose results are forgotten after each step."""

        def step(index: str, carried: list[str]) -> list[str]:
            memo, self.block.memo = self.block.memo, dict(self.block.memo)
            results = body(index, carried)
            self.block.memo = memo
            return results

        return step
