"""Inputs: the rows of each batch, gathered by a kernel from arrays in memory and in files."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad.lift.ir.groups import identity
from liftgrad.mapped import is_mapped, take_rows

Array = NDArray[Any]


class Gather:
    """The kernel that gathers an input's rows of a batch, and its arguments.

    Args:
        array: the data, a sample in each row.
        target: where the rows of a batch go, in the dtype of the program.
        layout: the places in `target` of the program's numbers, if they are permuted.
        size: how many samples a batch has.
        batched: whether the program is mapped over the samples, which then stand innermost.
        order: holds the address of the batch's sample numbers.
        addresses: of the gathering kernels, by name.

    """

    def __init__(
        self,
        array: Array,
        target: Array,
        layout: Array | None,
        size: int,
        batched: bool,
        order: Array,
        addresses: Mapping[str, int],
    ) -> None:
        self.dtype = target.dtype
        bits = 8 * target.itemsize  # indices have 64, whatever the dtype
        self.code = int(addresses[f"gather{bits}"])
        self.words = np.zeros(6, np.uint64)
        self.update(array)
        columns = self.source.shape[1]
        if batched:
            places = identity(columns) if layout is None else layout
            grid = places[None, :] * size + identity(size)[:, None]
        else:
            places = identity(columns * size) if layout is None else layout
            grid = places.reshape(size, columns)
        self.places = np.ascontiguousarray(grid)
        self.words[1:] = (
            *(target.ctypes.data, order.ctypes.data),
            *(size, columns, self.places.ctypes.data),
        )

    def update(self, array: Array) -> None:
        """Take the data of another run. Rows of a file are read when a batch needs them."""
        self.source = array.reshape(len(array), -1)
        self.mapped = is_mapped(self.source)
        if not self.mapped:
            self._show(self.source)

    def read(self, rows: NDArray[np.int64]) -> None:
        """Copy these rows from the file; the kernel then counts them from 0."""
        self._show(take_rows(self.source, rows))

    def _show(self, rows: Array) -> None:
        self.shown = np.ascontiguousarray(rows, self.dtype)
        """What the kernel reads."""
        self.words[0] = self.shown.ctypes.data
