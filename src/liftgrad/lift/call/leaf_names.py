"""Leaf names: what the arguments of a call are called, by the paths that lead to them."""

from collections.abc import Sequence
from dataclasses import dataclass

Listed = tuple[str, int | None]
"""The path of a number and None, or that of a list of numbers and how many it holds."""


def written_out(listed: Sequence[Listed]) -> list[str]:
    """Return the path of each number."""
    return [
        path if index is None else f"{path}.{index}"
        for path, count in listed
        for index in ((None,) if count is None else range(count))
    ]


@dataclass(slots=True, frozen=True, eq=False)
class LeafNames:
    """How the arguments call the numbers of one leaf group."""

    name: str
    listed: Sequence["Listed"] = ()
    """Of single numbers."""
    shape: tuple[int, ...] | None = None
    """Of an array."""

    @property
    def paths(self) -> list[str]:
        """The path of each single number."""
        return written_out(self.listed)
