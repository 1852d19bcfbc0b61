"""Memory-mapped arrays, of which only the rows that are being read should take memory."""

import math
import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_MEMORY = 256 << 20
"""The most bytes of a file that should be in this process's memory at a time."""
_AROUND = 2 << 20
"""Bytes that Linux may map around an address that is read: a huge page."""
_COPIES = 32 << 20
"""Bytes of rows that are worth one call."""


def is_mapped(array: Array) -> bool:
    """Return whether an array is a `np.memmap`, a slice of one, or a view of it."""
    return _map_of(array)[0] is not None


def rows_at_once(array: Array) -> int:
    """Return how many rows to copy at a time."""
    return max(1, _COPIES // max(1, _row_bytes(array)))


def is_much(rows: int, array: Array) -> bool:
    """Return whether that many rows of an array are more than should be in memory at a time."""
    return rows * _row_bytes(array) > _MEMORY


def take_rows(array: Array, rows: NDArray[np.int64]) -> Array:
    """Return a copy of some rows, and release the pages of a mapped array.

    >>> take_rows(np.array([[1.0], [2.0], [3.0]]), np.array([2, 0])).tolist()
    [[3.0], [1.0]]
    """
    if not is_mapped(array):
        return array[rows]
    taken = np.empty((len(rows), *array.shape[1:]), array.dtype)
    some = max(1, _MEMORY // (_AROUND + _row_bytes(array)))
    for start in range(0, len(rows), some):
        taken[start : start + some] = array[rows[start : start + some]]
        let_go(array)
    return taken


def let_go(array: Array) -> None:
    """Release the pages of a mapped array that this process has read.

    The system may keep them in its page cache. Where the system cannot be asked (Windows), or where
    the map holds changes that the file does not have, nothing happens.
    """
    pages, private = _map_of(array)
    if pages is not None and not private and hasattr(mmap, "MADV_DONTNEED"):
        pages.madvise(mmap.MADV_DONTNEED)


def _row_bytes(array: Array) -> int:
    return array.dtype.itemsize * math.prod(array.shape[1:])


def _map_of(array: Array) -> tuple[mmap.mmap | None, bool]:
    """Return the memory map below an array, and whether changes to it stay in memory."""
    base: Any = array
    private = False
    while isinstance(base, np.ndarray):
        private = private or getattr(base, "mode", None) == "c"
        base = base.base
    return (base, private) if isinstance(base, mmap.mmap) else (None, False)
