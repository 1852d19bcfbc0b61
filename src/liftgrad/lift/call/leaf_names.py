"""Leaf names: the names of a call's numbers, by the paths that lead to them in the arguments."""

from collections.abc import Sequence
from dataclasses import dataclass

Listed = tuple[str, int | None]
"""The path of a number and None, or the path of a list of numbers and its length."""


@dataclass(slots=True, frozen=True, eq=False)
class LeafNames:
    """The names of the numbers of one leaf group."""

    name: str
    listed: Sequence["Listed"] = ()
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
