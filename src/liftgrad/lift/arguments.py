"""Arguments: what a call hands over, taken apart into numbers and structure, and put together again.

    Values                      parameters; one group of leaves for each argument that holds any
    floats                      inputs; one group for each argument
    arrays of floats            inputs; a group each
    arrays of integers          indices known at run time; a group each
    ints, strings, bools, None  static: another value is another program
    lists, tuples, dicts, Modules and other objects with attributes: taken apart

`read` gives the numbers and a key that is equal for calls that one program can serve;
`substitute` gives the same arguments with traced values in place of the numbers.
"""

import copy
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from liftgrad.engine import Value
from liftgrad.errors import LiftError
from liftgrad.lift.naming import LeafNames
from liftgrad.nn import Module

Kind = Literal["parameter", "input", "index"]


@dataclass(slots=True)
class LeafGroup:
    """Leaves of one kind that belong together, in the order in which they were met."""

    name: str
    kind: Kind
    values: list[Any] = field(default_factory=list)
    """The Values, or the floats; for an array, none."""
    names: list[str] = field(default_factory=list)
    """The path of each of the values within the arguments."""
    array: NDArray[Any] | None = None

    @property
    def size(self) -> int:
        """How many numbers."""
        return len(self.values) if self.array is None else self.array.size

    def leaf_names(self) -> LeafNames:
        """Return what the numbers are called, without the numbers."""
        if self.array is not None:
            return LeafNames(self.name, shape=self.array.shape)
        return LeafNames(self.name, self.names)

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
    kept: list[Any]
    """Objects that the key knows by identity; whoever stores the key must keep them alive."""
    containers: list[Any]
    """The lists and dicts that were taken apart, and the attributes of objects."""


@dataclass(slots=True, frozen=True)
class Place:
    """Where a number of the arguments went."""

    group: int
    position: int


def read(arguments: dict[str, Any]) -> Reading:
    """Take the arguments apart.

    Raises:
        LiftError: if something in them cannot take part in a lifted function.

    """
    reader = _Reader()
    for name, argument in arguments.items():
        reader.open(name)
        reader.take(argument, name)
    return Reading(tuple(reader.key), reader.groups, reader.kept, reader.containers)


def substitute(
    arguments: dict[str, Any],
    leaf: Callable[[int, int], Any],
    array: Callable[[int, tuple[int, ...], Kind], Any],
) -> dict[str, Any]:
    """Return the arguments with `leaf(group, position)` and `array(group, shape, kind)` inside."""
    reader = _Reader()
    result = {}
    for name, argument in arguments.items():
        reader.open(name)
        reader.leaf, reader.make_array = leaf, array
        result[name] = reader.take(argument, name)
    return result


class _Reader:
    """Walks through arguments; with `leaf` set it rebuilds what it walks through."""

    def __init__(self) -> None:
        self.key: list[Any] = []
        self.groups: list[LeafGroup] = []
        self.kept: list[Any] = []
        self.containers: list[Any] = []
        self.leaf: Callable[[int, int], Any] | None = None
        self.make_array: Callable[[int, tuple[int, ...], Kind], Any] | None = None
        self.places: dict[int, Place] = {}
        self.done: dict[int, Any] = {}
        self.argument = ""
        self.open_groups: dict[Kind, int] = {}

    def open(self, name: str) -> None:
        self.argument = name
        self.open_groups = {}
        self.key.append(name)

    def group(self, kind: Kind) -> int:
        number = self.open_groups.get(kind)
        if number is None:
            number = self.open_groups[kind] = len(self.groups)
            self.groups.append(LeafGroup(self.argument, kind))
        return number

    def take(self, x: Any, path: str, static_floats: bool = False) -> Any:
        if isinstance(x, Value):
            return self.take_value(x, path)
        kind = type(x)
        if x is None or kind in (int, bool, str, bytes):
            self.key.append(x if kind is not bool else str(x))
            return x
        if isinstance(x, float | np.floating):
            if static_floats:
                self.key.append(float(x).hex())
                return x
            return self.take_float(float(x), path)
        if isinstance(x, np.integer | np.bool_):
            self.key.append(x.item())
            return x
        if isinstance(x, np.ndarray):
            return self.take_array(x, path)
        if isinstance(x, list | tuple):
            self.key.append((kind, len(x)))
            self.containers.append(x)
            items = [self.take(item, f"{path}.{i}", static_floats) for i, item in enumerate(x)]
            if self.leaf is None:
                return None
            return kind(*items) if hasattr(x, "_fields") else kind(items)
        if isinstance(x, dict):
            self.key.append((kind, *x))
            self.containers.append(x)
            entries = {k: self.take(v, f"{path}.{k}", static_floats) for k, v in x.items()}
            return entries
        if isinstance(x, Module) or (hasattr(x, "__dict__") and not isinstance(x, _OPAQUE)):
            return self.take_object(x, path)
        self.key.append(id(x))
        self.kept.append(x)
        return x

    def take_value(self, x: Value, path: str) -> Any:
        place = self.places.get(id(x))
        if place is None:
            number = self.group("parameter")
            group = self.groups[number]
            place = self.places[id(x)] = Place(number, len(group.values))
            group.values.append(x)
            group.names.append(path)
        self.key.append(place)
        return self.leaf(place.group, place.position) if self.leaf else None

    def take_float(self, x: float, path: str) -> Any:
        number = self.group("input")
        group = self.groups[number]
        group.values.append(x)
        group.names.append(path)
        self.key.append(float)
        return self.leaf(number, len(group.values) - 1) if self.leaf else None

    def take_array(self, x: NDArray[Any], path: str) -> Any:
        if x.dtype.kind not in "fiub":
            raise LiftError(
                f"the argument {path} is an array of {x.dtype}; a lifted function takes arrays of "
                "floats (inputs) and of integers (indices)."
            )
        if x.dtype.kind == "b":
            return self.take(x.tolist(), path)
        kind: Kind = "input" if x.dtype.kind == "f" else "index"
        number = len(self.groups)
        self.groups.append(LeafGroup(path, kind, array=x))
        self.key.append((kind, x.shape))
        return self.make_array(number, x.shape, kind) if self.make_array else None

    def take_object(self, x: Any, path: str) -> Any:
        if id(x) in self.done:
            self.key.append(("again", list(self.done).index(id(x))))
            return self.done[id(x)]
        self.key.append((type(x), *vars(x)))
        self.containers.append(vars(x))
        clone = copy.copy(x) if self.leaf else None
        self.done[id(x)] = clone
        for name, attribute in vars(x).items():
            taken = self.take(attribute, f"{path}.{name}", static_floats=True)
            if clone is not None:
                vars(clone)[name] = taken
        return clone


_OPAQUE = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.MethodType)


def flatten_result(result: Any) -> tuple[list[Any], Callable[[Iterator[Any]], Any]]:
    """Return the leaves of a nested result and a function that builds it from others."""
    if isinstance(result, list | tuple):
        parts = [flatten_result(item) for item in result]
        kind = type(result)

        def build(numbers: Iterator[Any]) -> Any:
            items = [rebuild(numbers) for _, rebuild in parts]
            return kind(*items) if hasattr(result, "_fields") else kind(items)

        return [leaf for leaves, _ in parts for leaf in leaves], build
    if isinstance(result, dict):
        keys = list(result)
        leaves, rebuild = flatten_result(list(result.values()))
        return leaves, lambda numbers: dict(zip(keys, rebuild(numbers), strict=True))
    return [result], next
