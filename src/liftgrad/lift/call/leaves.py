"""Leaves: the numbers of a call, in groups that belong together."""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from liftgrad.lift.call.leaf_names import LeafNames, Listed, written_out

LeafKind = Literal["parameter", "input", "index"]


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

    def leaf_names(self) -> LeafNames:
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


def has_rows(x: Any, rows: int | None) -> bool:
    """Return whether `x` is an array of that many rows, such as data to cut batches from."""
    return rows is not None and isinstance(x, np.ndarray) and x.ndim > 0 and len(x) == rows
