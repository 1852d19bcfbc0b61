"""Flat arguments: a call's arguments as groups of numbers and a key of their structure."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from liftgrad.lift.call.keys import Key, with_shapes
from liftgrad.lift.call.leaves import LeafGroup, has_rows


@dataclass(slots=True)
class FlatArguments:
    """The numbers of one call, and the key of the programs that can serve it."""

    key: Key
    groups: list[LeafGroup]
    containers: list[Any]
    """The lists, dicts and sets that were taken apart, and the attributes of objects."""
    classes: set[type]
    """The classes of the objects that were taken apart."""
    opaque: list[tuple[str, Any]]
    """Objects that are not data and were not taken apart, such as functions, with their paths."""
    complete: bool
    """Whether the groups and containers show everything that the arguments consist of."""
    differentiated: bool
    """Whether a function is being differentiated by some of the numbers."""

    def with_rows(
        self, chosen: Callable[[NDArray[Any]], NDArray[Any]], rows: int
    ) -> "FlatArguments":
        """Return these with `chosen(array)` in place of each array of that many rows."""
        groups = [
            replace(group, array=chosen(group.array))
            if group.array is not None and has_rows(group.array, rows)
            else group
            for group in self.groups
        ]
        return replace(self, key=with_shapes(self.key, _shapes(groups)), groups=groups)

    def open_key(self, batched: Collection[int]) -> Key:
        """Return the key with the first extent of the arrays of these groups left open."""
        shapes = [
            ("samples", *group.array.shape[1:]) if i in batched else group.array.shape
            for i, group in enumerate(self.groups)
            if group.array is not None
        ]
        return with_shapes(self.key, shapes)


def _shapes(groups: Iterable[LeafGroup]) -> list[tuple[int, ...]]:
    return [group.array.shape for group in groups if group.array is not None]
