"""Batches of arrays in memory or in files, in an order that a seed decides."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad.mapped import take_rows


class Loader:
    """Yields batches of arrays; each iteration is an epoch with an order of its own.

    The orders are those of a `Trainer` with this `batch_size` and `seed`. Of a memory-mapped
    array only the rows of a batch are read.

    Args:
        *arrays: as many rows each.
        batch_size: how many rows a batch has; the last one may have fewer.
        shuffle: whether the order is drawn anew for each epoch.
        seed: of the orders.
        drop_last: whether a last batch with fewer rows is left out.

    Raises:
        ValueError: if there is no array, their rows differ in number, or `batch_size` is less
            than 1.

    >>> for x, y in Loader(np.arange(3.0), np.arange(3), batch_size=2, shuffle=False):
    ...     print(x, y)
    [0. 1.] [0 1]
    [2.] [2]

    """

    def __init__(
        self,
        *arrays: NDArray[Any],
        batch_size: int,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        rows = {len(array) for array in arrays}
        if len(rows) != 1:
            raise ValueError(f"the arrays have {sorted(rows)} rows; pass arrays of as many each.")
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size}; pass 1 or more.")
        self.arrays, self.rows = arrays, rows.pop()
        self.batch_size, self.shuffle, self.drop_last = batch_size, shuffle, drop_last
        self._random = np.random.default_rng(seed)

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return (self.rows if self.drop_last else self.rows + self.batch_size - 1) // self.batch_size

    def __iter__(self) -> Iterator[tuple[NDArray[Any], ...]]:
        """Yield the batches of an epoch, a copy of the rows of each array."""
        order = self._random.permutation(self.rows) if self.shuffle else np.arange(self.rows)
        for i in range(len(self)):
            rows = order[i * self.batch_size : (i + 1) * self.batch_size]
            yield tuple(take_rows(array, rows) for array in self.arrays)
