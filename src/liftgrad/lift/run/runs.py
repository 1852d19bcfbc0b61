"""Runs: what programs in memory have in common."""

from typing import Any, Protocol

from numpy.typing import NDArray

from liftgrad.lift.pipeline import Built

Seeds = tuple[float, ...]
ONE: Seeds = (1.0,)


def nobody() -> None:
    """Stand in for the weak reference to a call that was collected."""


class Run(Protocol):
    """A program with the numbers of a call."""

    built: Built
    owner: Any
    """The call, referred to weakly."""

    def leaf(self, group: int) -> NDArray[Any]:
        """Return the numbers of a leaf group."""
