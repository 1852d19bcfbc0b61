"""Batches: which samples each step sees."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Order = NDArray[np.int64]


class Batches:
    """Cuts epochs into batches, in an order that is drawn anew for each epoch.

    Args:
        size: how many samples a batch has; an epoch's last one may be smaller.
        shuffle: whether the order is drawn; else the samples come as they stand.
        seed: of the order.

    """

    def __init__(self, size: int, shuffle: bool, seed: int) -> None:
        self.size, self.shuffle = size, shuffle
        self.random = np.random.default_rng(seed)
        self.rows = 0
        self.order: Order = np.zeros(0, np.int64)
        """What is left of the epoch."""

    def take(self, rows: int, steps: int) -> Iterator[Order]:
        """Yield the next batches of data with so many rows."""
        for _ in range(steps):
            self._begin(rows)
            batch, self.order = self.order[: self.size], self.order[self.size :]
            yield batch

    def sizes(self, rows: int) -> list[int]:
        """Return the sizes that batches have."""
        return sorted({min(self.size, rows), rows % self.size} - {0})

    def share_of_last(self) -> float:
        """Return how large the last batch of an epoch is, in relation to the others."""
        return (self.rows % self.size or self.size) / self.size

    def rest(self, rows: int) -> list[Order]:
        """Return the batches that are left of the epoch, without taking them."""
        self._begin(rows)
        return [self.order[i : i + self.size] for i in range(0, len(self.order), self.size)]

    def drop(self, count: int) -> None:
        """Take batches away."""
        self.order = self.order[count * self.size :]

    def _begin(self, rows: int) -> None:
        if rows != self.rows:
            self.rows, self.order = rows, np.zeros(0, np.int64)
        if not len(self.order):
            self.order = self.random.permutation(rows) if self.shuffle else np.arange(rows)
