"""Seen: the numbers that a program was called with, until it is called with others."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad.lift.call.structure import LeafGroup

_PATIENCE = 1000
"""Calls with the same numbers after which no others are waited for."""


class Seen:
    """The numbers of a program's first call, until it is called with others."""

    def __init__(self, *, by_identity: bool = False) -> None:
        self.by_identity = by_identity
        """Whether its function may tell objects apart by means that stand-ins evade."""
        self.numbers: list[NDArray[Any]] | None = None
        self.same = 0
        """How many later calls had the same."""

    def is_new(self, groups: Sequence[LeafGroup]) -> bool:
        """Tell whether a call's numbers are the first ones, or other than these."""
        if self.numbers is None:
            self.numbers = [group.numbers().copy() for group in groups]
            return True
        now = [group.numbers() for group in groups]
        if not all(map(_is_alike, self.numbers, now)):
            self.same = _PATIENCE
            return True
        self.same += 1
        return False

    @property
    def enough(self) -> bool:
        """Whether there were others, or are unlikely to come."""
        return self.same >= _PATIENCE


def _is_alike(a: NDArray[Any], b: NDArray[Any]) -> bool:
    return np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
