"""Loader: batches of arrays in memory or in files, in a seeded order."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad.mapped import take_rows


class Loader:
    """Yields batches of arrays; each iteration is an epoch in its own order.

    The orders are those of a `Trainer` with this `batch_size` and `seed`. Of a memory-mapped
    array only a batch's rows are read.

    Args:
        *arrays: of the same number of rows.
        batch_size: how many rows a batch has; the last one may have fewer.
        shuffle: whether each epoch has a new random order.
        seed: of the orders.
        drop_last: whether to leave out a last batch with fewer rows.

    Raises:
        ValueError: if there is no array, their numbers of rows differ, or `batch_size` is less
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
            raise ValueError(f"the arrays have {sorted(rows)} rows; pass arrays of equal length.")
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size}; pass 1 or more.")
        self.arrays, self.rows = arrays, rows.pop()
        self.batch_size, self.shuffle, self.drop_last = batch_size, shuffle, drop_last
        self._random = np.random.default_rng(seed)

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return (self.rows if self.drop_last else self.rows + self.batch_size - 1) // self.batch_size

    def __iter__(self) -> Iterator[tuple[NDArray[Any], ...]]:
        """Yield the batches of an epoch, copies of rows of each array."""
        order = self._random.permutation(self.rows) if self.shuffle else np.arange(self.rows)
        for i in range(len(self)):
            rows = order[i * self.batch_size : (i + 1) * self.batch_size]
            yield tuple(take_rows(array, rows) for array in self.arrays)
