"""Reading: what a call's arguments consist of: numbers, and the key of their structure."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from liftgrad.lift.call.leaf_names import LeafNames, Listed, written_out
from liftgrad.lift.call.snapshots import Static

STATIC = (int, bool, str, bytes, type(None), Static)
"""Kinds of arguments that are known by their value, another value being another program."""
Kind = Literal["parameter", "input", "index"]


@dataclass(slots=True)
class LeafGroup:
    """Leaves of one kind that belong together, in the order in which they were met."""

    name: str
    kind: Kind
    values: list[Any] = field(default_factory=list)
    """The Values, or the floats; for an array, none."""
    listed: list[Listed] = field(default_factory=list)
    """The paths of the values within the arguments, written out only when somebody asks."""
    array: NDArray[Any] | None = None

    @property
    def size(self) -> int:
        """How many numbers."""
        return len(self.values) if self.array is None else self.array.size

    def leaf_names(self) -> LeafNames:
        """Return what the numbers are called, without the numbers."""
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


@dataclass(slots=True)
class Reading:
    """The numbers of one call, and the key of the programs that can serve it."""

    key: tuple[Any, ...]
    groups: list[LeafGroup]
    containers: list[Any]
    """The lists, dicts and sets that were taken apart, and the attributes of objects."""
    classes: set[type]
    """The classes of the objects that were taken apart."""
    others: list[tuple[str, Any]]
    """What is neither data nor was taken apart, such as functions, with its paths."""
    whole: bool
    """Whether the groups and containers show all that the arguments consist of."""
    nested: bool
    """Whether there are numbers that a function is being differentiated by."""

    def key_for(self, shapes: Mapping[int, tuple[Any, ...]]) -> tuple[Any, ...]:
        """Return the key with other shapes of some arrays, by their groups' numbers."""
        arrays = iter([i for i, g in enumerate(self.groups) if g.array is not None])
        result = []
        for part in self.key:
            if isinstance(part, tuple) and part[:1] in (("input",), ("index",)):
                kind, shape, *dtype = part
                result.append((kind, shapes.get(next(arrays), shape), *dtype))
            else:
                result.append(part)
        return tuple(result)

    def of_rows(self, chosen: Callable[[NDArray[Any]], NDArray[Any]], rows: int) -> "Reading":
        """Return what would be read if `chosen` stood in the place of each array of `rows` rows."""
        groups = [
            replace(g, array=chosen(g.array))
            if g.array is not None and has_rows(g.array, rows)
            else g
            for g in self.groups
        ]
        shapes = {i: g.array.shape for i, g in enumerate(groups) if g.array is not None}
        return replace(self, key=self.key_for(shapes), groups=groups)

    def key_of_structure(self, batched: Collection[int]) -> tuple[Any, ...]:
        """Return the key with the first extents of these arrays, by their groups, left open."""
        arrays = {i: self.groups[i].array for i in batched}
        return self.key_for(
            {i: ("samples", *x.shape[1:]) for i, x in arrays.items() if x is not None}
        )


@dataclass(slots=True, frozen=True)
class Place:
    """Where in the groups a Value of the arguments is."""

    group: int
    position: int


def has_rows(x: Any, rows: int | None) -> bool:
    """Tell whether something is an array of so many rows, such as data to cut batches from."""
    return rows is not None and isinstance(x, np.ndarray) and x.ndim > 0 and len(x) == rows


def is_among_integers(key: tuple[Any, ...], place: int) -> bool:
    """Tell whether a part of a key is an integer in a list, or a list that begins with one.

    >>> key = ("tokens", (list, 2), (int, 7), (int, 8), "n", (int, 9))
    >>> [is_among_integers(key, place) for place in range(len(key))]
    [False, True, True, True, False, False]
    """
    after = next((part for part in key[place:] if not _is_list(part)), None)
    before = next((part for part in reversed(key[:place]) if not _is_integer(part)), None)
    return _is_integer(after) and (_is_list(key[place]) or _is_list(before))


def _is_integer(part: Any) -> bool:
    return isinstance(part, tuple) and part[:1] == (int,)


def _is_list(part: Any) -> bool:
    kind = part[0] if isinstance(part, tuple) else None
    return isinstance(kind, type) and issubclass(kind, list | tuple)


def describe(part: Any) -> str:
    """Return in words what part of a key says."""
    if isinstance(part, Place):
        return "a Value"
    if isinstance(part, type):
        return f"a {part.__name__}"
    kind, *rest = part
    if kind in ("input", "index"):
        return f"an array of shape {rest[0]}"
    if kind is float:
        return repr(float.fromhex(rest[0]))
    if kind in STATIC:
        return repr(rest[0].snapshot if kind is Static else rest[0])
    if isinstance(kind, type) and issubclass(kind, list | tuple):
        return f"a {kind.__name__} of length {rest[0]}"
    if isinstance(kind, type) and issubclass(kind, dict):
        return f"a {kind.__name__} of {len(rest)}"
    return f"a {kind.__name__}" if isinstance(kind, type) else "another object"
