"""Leaves: the numbers of a call, in groups, and their names by paths in the arguments."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

LeafKind = Literal["parameter", "input", "index"]
Listed = tuple[str, int | None]
"""The path of a number and None, or the path of a list of numbers and its length."""


@dataclass(slots=True)
class LeafGroup:
    """Leaves of one kind, in the order in which they were found."""

    name: str
    kind: LeafKind
    values: list[Any] = field(default_factory=list)
    """The Values, or the floats; empty for an array."""
    listed: list[Listed] = field(default_factory=list)
    """The paths of the values within the arguments, written out only when somebody asks."""
    array: NDArray[Any] | None = None

    @property
    def size(self) -> int:
        """How many leaves there are."""
        return len(self.values) if self.array is None else self.array.size

    def leaf_names(self) -> "LeafNames":
        """Return the names of the leaves, without their numbers."""
        if self.array is not None:
            return LeafNames(self.name, shape=self.array.shape)
        return LeafNames(self.name, self.listed)

    @property
    def names(self) -> list[str]:
        """The path of each of the values."""
        return written_out(self.listed)

    def numbers(self) -> NDArray[Any]:
        """Return the numbers as a flat array."""
        if self.array is not None:
            return self.array.reshape(-1)
        if self.kind == "parameter":
            return np.array([value.data for value in self.values])
        return np.array(self.values, np.float64)

    def numbers_by_sample(self) -> NDArray[Any]:
        """Return the numbers of an array with a sample in each row, of shape (size, samples)."""
        assert self.array is not None
        samples, *shape = self.array.shape
        return self.array.reshape(samples, math.prod(shape)).T


def has_rows(x: Any, rows: int | None) -> bool:
    """Return whether `x` is an array of that many rows, such as data to cut batches from."""
    return rows is not None and isinstance(x, np.ndarray) and x.ndim > 0 and len(x) == rows


@dataclass(slots=True, frozen=True, eq=False)
class LeafNames:
    """The names of the numbers of one leaf group."""

    name: str
    listed: Sequence[Listed] = ()
    """Of single numbers."""
    shape: tuple[int, ...] | None = None
    """Of an array."""

    @property
    def paths(self) -> list[str]:
        """The path of each single number."""
        return written_out(self.listed)


def written_out(listed: Sequence[Listed]) -> list[str]:
    """Return the path of each number.

    >>> written_out([("bias", None), ("weights", 2)])
    ['bias', 'weights.0', 'weights.1']
    """
    return [
        path if index is None else f"{path}.{index}"
        for path, count in listed
        for index in ((None,) if count is None else range(count))
    ]
