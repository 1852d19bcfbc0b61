"""First numbers: those that a program was first called with, until it is called with others."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad.lift.call.leaves import LeafGroup

_PATIENCE = 1000
"""After this many calls with the same numbers, no others are expected."""


class FirstNumbers:
    """The numbers of a program's first call.

    A program is compared with the eager engine at its first call, and at the first one with other
    numbers.
    """

    def __init__(self) -> None:
        self.numbers: list[NDArray[Any]] | None = None
        self.same = 0
        """How many later calls had the same numbers."""

    def is_new(self, groups: Sequence[LeafGroup]) -> bool:
        """Return whether a call is the first one, or the first with other numbers."""
        if self.numbers is None:
            self.numbers = [group.numbers().copy() for group in groups]
            return True
        now = [group.numbers() for group in groups]
        if not all(map(_are_equal, self.numbers, now)):
            self.same = _PATIENCE
            return True
        self.same += 1
        return False

    @property
    def done(self) -> bool:
        """Whether a call with other numbers has come, or is unlikely to come."""
        return self.same >= _PATIENCE


def _are_equal(a: NDArray[Any], b: NDArray[Any]) -> bool:
    return np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
