"""Batches: the samples that each step sees."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Order = NDArray[np.int64]


class Batches:
    """Cuts epochs into batches, each epoch in a new order.

    Args:
        size: how many samples a batch has; an epoch's last one may be smaller.
        shuffle: whether the order is random; otherwise it is that of the data.
        seed: of the order.

    """

    def __init__(self, size: int, shuffle: bool, seed: int) -> None:
        self.size, self.shuffle = size, shuffle
        self.random = np.random.default_rng(seed)
        self.rows = 0
        self.order: Order = np.zeros(0, np.int64)
        """The samples that are left of the epoch, in order."""

    def take(self, rows: int, steps: int) -> Iterator[Order]:
        """Yield the next `steps` batches of data with `rows` rows."""
        for _ in range(steps):
            self._begin(rows)
            batch, self.order = self.order[: self.size], self.order[self.size :]
            yield batch

    def sizes(self, rows: int) -> list[int]:
        """Return the sizes that batches can have."""
        return sorted({min(self.size, rows), rows % self.size} - {0})

    def share_of_last(self) -> float:
        """Return the size of an epoch's last batch, as a fraction of the others'."""
        return (self.rows % self.size or self.size) / self.size

    def rest(self, rows: int) -> list[Order]:
        """Return the batches that are left of the epoch, without taking them."""
        self._begin(rows)
        return [self.order[i : i + self.size] for i in range(0, len(self.order), self.size)]

    def drop(self, count: int) -> None:
        """Remove batches from the epoch."""
        self.order = self.order[count * self.size :]

    def _begin(self, rows: int) -> None:
        if rows != self.rows:
            self.rows, self.order = rows, np.zeros(0, np.int64)
        if not len(self.order):
            self.order = self.random.permutation(rows) if self.shuffle else np.arange(rows)
