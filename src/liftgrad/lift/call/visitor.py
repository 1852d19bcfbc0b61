"""Visitor: walks through arguments, collects their numbers and their key, and copies them."""

import copy
import types
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad.engine import Value
from liftgrad.errors import LiftError, TraceError
from liftgrad.lift.call.classes import (
    has_attributes_only,
    has_users_attributes,
    is_iterator,
    slots_of,
)
from liftgrad.lift.call.iterators import RefusedIterator
from liftgrad.lift.call.keys import STATIC, LeafPosition
from liftgrad.lift.call.leaves import LeafGroup, LeafKind
from liftgrad.nn import Module
from liftgrad.protocols import is_on_tape
from liftgrad.variable import Variable


class Visitor:
    """Visits arguments; given what makes stand-ins, each method returns a copy with those."""

    def __init__(
        self,
        leaves: Callable[[int, int, int], list[Any]] | None = None,
        array: Callable[[int, LeafKind], Any] | None = None,
    ) -> None:
        self.leaves, self.array = leaves, array
        self.key: list[Any] = []
        self.groups: list[LeafGroup] = []
        self.containers: list[Any] = []
        self.classes: set[type] = set()
        self.opaque: list[tuple[str, Any]] = []
        self.complete = True
        self.differentiated = False
        self.leaf_of: dict[int, tuple[int, int]] = {}
        """The group and the position of each Value, by its id."""
        self.stand_ins: list[list[Any]] = []
        """What stands for the Values and floats, by group and position."""
        self.visited: dict[int, tuple[int, Any]] = {}
        """Objects and containers by id, each with its number and its copy.

        What is met twice has one copy: the function sees the same object, too.
        """
        self.identities = 0
        """How often a Value or an object was met, which are known by their identity."""
        self.copies: list[tuple[str, Any]] = []
        self.argument = ""
        self.open_groups: dict[LeafKind, int] = {}
        """The groups that the current argument's Values and floats go to."""

    def begin(self, name: str) -> None:
        """Begin with the argument of a name."""
        self.argument = name
        self.open_groups = {}
        self.key.append(name)

    def visit(self, x: Any, path: str, static_floats: bool = False) -> Any:
        """Visit anything, by the method for its class.

        Args:
            x: part of an argument.
            path: by which it is reached from the arguments.
            static_floats: whether floats are part of the program, as an object's attributes are.

        """
        cls: Any = type(x)
        return _method_for(cls)(self, x, path, static_floats)

    def visit_value(self, x: Value, path: str, _static_floats: bool) -> Any:
        """Visit a Value, which may have been met before."""
        self.identities += 1
        leaf = self.leaf_of.get(id(x))
        if leaf is None:
            index = self.group("parameter")
            group = self.groups[index]
            leaf = self.leaf_of[id(x)] = index, len(group.values)
            group.values.append(x)
            group.listed.append((path, None))
        self.key.append(LeafPosition(*leaf))
        return self.stand_in(*leaf) if self.leaves else None

    def visit_values(self, xs: Sequence[Value], path: str) -> list[Any] | None:
        """Visit a list of Values at once, as most of a network's come; None if not all are new."""
        ids = list(map(id, xs))
        if not self.leaf_of.keys().isdisjoint(ids) or len(set(ids)) < len(xs):
            return None
        index = self.group("parameter")
        group = self.groups[index]
        first, count = len(group.values), len(xs)
        positions = range(first, first + count)
        self.leaf_of.update(zip(ids, zip(repeat(index), positions, strict=False), strict=True))
        group.values += xs
        group.listed.append((path, count))
        self.key.append(Value)  # which leaves they are follows from the entries before
        self.identities += 1
        if self.leaves is None:
            return []
        made = self.leaves(index, first, count)
        self.stand_ins[index] += made
        return made

    def visit_static(self, x: Any, _path: str, _static_floats: bool) -> Any:
        """Visit what is part of the program."""
        self.key.append((x.__class__, x))
        return x

    def visit_numpy_static(self, x: Any, _path: str, _static_floats: bool) -> Any:
        """Visit an integer or bool of NumPy, which counts as Python's."""
        self.key.append((type(x.item()), x.item()))
        return x

    def visit_float(self, x: Any, path: str, static_floats: bool) -> Any:
        """Visit a float of Python or NumPy."""
        x = float(x)
        if static_floats:
            self.key.append((float, x.hex()))
            return x
        index = self.group("input")
        group = self.groups[index]
        group.values.append(x)
        group.listed.append((path, None))
        self.key.append(float)
        return self.stand_in(index, len(group.values) - 1) if self.leaves else None

    def visit_array(self, x: NDArray[Any], path: str, static_floats: bool) -> Any:
        """Visit an array of any dtype."""
        if isinstance(x, np.ma.MaskedArray | np.matrix):
            raise LiftError(
                f"the argument {path} is a {type(x).__name__}, and would be used as a plain array; "
                "pass a plain array."
            )
        if x.dtype == object:
            return self.visit_objects(x, path, static_floats)
        if x.dtype.kind not in "fiub":
            raise LiftError(
                f"the argument {path} is an array of {x.dtype}; a lifted function takes arrays of "
                "floats (inputs) and of integers (indices)."
            )
        if x.dtype.kind == "b":
            self.complete = False
            return self.visit(x.tolist(), path, static_floats)
        kind: LeafKind = "input" if x.dtype.kind == "f" else "index"
        group = len(self.groups)
        self.groups.append(LeafGroup(path, kind, array=x))
        self.stand_ins.append([])
        # The elements' type decides what isinstance says, and how integers overflow.
        usual = x.dtype in (np.float64, np.int64)
        self.key.append((kind, x.shape) if usual else (kind, x.shape, x.dtype.str))
        return self.array(group, kind) if self.array else None

    def visit_objects(self, x: NDArray[Any], path: str, static_floats: bool) -> Any:
        """Visit an array of objects."""
        self.key.append((np.ndarray, *x.shape))
        self.complete = False  # a later call cannot compare it with a copy
        items = np.empty(x.shape, object)
        for index, item in np.ndenumerate(x):
            name = ".".join(map(str, (path, *index)))
            items[index] = self.visit(item, name, static_floats)
        return self.copied(path, items) if self.leaves else None

    def visit_sequence(self, x: Any, path: str, static_floats: bool) -> Any:
        """Visit a list or tuple, which may be a named one."""
        cls = type(x)
        self.key.append((cls, len(x)))
        self.containers.append(x)
        items = None
        if x and all(_method_for(cls) is Visitor.visit_value for cls in set(map(type, x))):
            items = self.visit_values(x, path)
        if items is None:
            items = [self.visit(item, f"{path}.{i}", static_floats) for i, item in enumerate(x)]
        if self.leaves is None:
            return None
        return self.copied(path, cls(*items) if hasattr(x, "_fields") else cls(items))

    def visit_dict(self, x: dict[Any, Any], path: str, static_floats: bool) -> Any:
        """Visit a dict, or an object of a class derived from dict."""
        keys = list(x)
        if all(map(_is_plain, keys)):
            self.key.append((type(x), *x))
            copies = keys
        else:  # a Value that is a key has a stand-in, which is the copy's key
            self.key.append((type(x), len(x)))
            copies = [self.visit(k, f"{path}.{i}", True) for i, k in enumerate(keys)]
        self.containers.append(x)
        entries = {
            new: self.visit(x[k], f"{path}.{k if new is k else i}", static_floats)
            for i, (k, new) in enumerate(zip(keys, copies, strict=True))
        }
        if self.leaves is None or type(x) is dict:
            return self.copied(path, entries)
        clone = copy.copy(x)
        clone.clear()
        clone.update(entries)
        return self.copied(path, clone)

    def visit_set(self, x: Any, path: str, _static_floats: bool) -> Any:
        """Visit a set or frozenset."""
        self.containers.append(x)
        if all(map(_is_plain, x)):
            self.key.append((type(x), frozenset(x)))
            return self.copied(path, x if self.leaves is None else type(x)(x))
        self.key.append((type(x), len(x)))
        # In the order in which Values were met: a set's own order differs from model to model.
        items = sorted(x, key=lambda item: self.leaf_of.get(id(item), (len(self.groups), 0)))
        copies = [self.visit(item, f"{path}.{i}", True) for i, item in enumerate(items)]
        return self.copied(path, x if self.leaves is None else type(x)(copies))

    def visit_partial(self, x: "partial[Any]", path: str, static_floats: bool) -> Any:
        """Visit a partial: its function and the arguments that it holds."""
        self.complete = False
        held = self.visit((x.func, x.args, x.keywords), path, static_floats)
        return partial(held[0], *held[1], **held[2]) if self.leaves else None

    def visit_method(self, x: types.MethodType, path: str, static_floats: bool) -> Any:
        """Visit a bound method: its function and its object."""
        cls: Any = type(x.__self__)
        if not has_users_attributes(cls):
            return self.visit_other(x, path, static_floats)
        self.key.append(types.MethodType)
        function, instance = self.visit(x.__func__, path), self.visit(x.__self__, path)
        return types.MethodType(function, instance) if self.leaves else None

    def visit_object(self, x: Any, path: str, _static_floats: bool) -> Any:
        """Visit an object by its attributes."""
        if self.is_visited(x):
            return self.visited[id(x)][1]
        self.identities += 1
        cls: Any = type(x)
        self.classes.add(cls)
        attributes = getattr(x, "__dict__", {})
        slots = [name for name in slots_of(cls) if hasattr(x, name)]
        self.key.append((cls, *attributes, *slots))
        self.containers.append(attributes)
        self.complete = self.complete and not slots
        empty = cls if cls is types.SimpleNamespace else partial(object.__new__, cls)
        clone = empty() if self.leaves else None
        self.remember(x, clone)
        for name in [*attributes, *slots]:
            attribute = attributes[name] if name in attributes else getattr(x, name)
            copied = self.visit(attribute, f"{path}.{name}", static_floats=True)
            if clone is None:
                continue
            if name in attributes:
                vars(clone)[name] = copied
            else:
                object.__setattr__(clone, name, copied)  # works for frozen dataclasses, too
        return self.copied(path, clone)

    def visit_other(self, x: Any, path: str, static_floats: bool) -> Any:
        """Visit an object that cannot be taken apart."""
        cls: Any = type(x)
        if cls is Variable:
            self.differentiated = True
            return x
        if is_on_tape(x):
            raise TraceError(
                f"{path} holds a traced value of an earlier call, which has no number any more; "
                "return it from the lifted function instead of storing it."
            )
        iterates = hasattr(x, "__next__") and not static_floats
        if cls.__hash__ is None or hasattr(x, "__array__") or iterates:
            raise LiftError(
                f"{path} is a {cls.__name__}, and a lifted function could not see it change; "
                "pass numbers, NumPy arrays, Values, Modules, or lists, tuples and dicts of them."
            )
        self.opaque.append((path, x))
        self.key.append((cls, x))
        return RefusedIterator(path) if self.leaves and is_iterator(cls) else x

    def group(self, kind: LeafKind) -> int:
        """Return the index of the argument's group of this kind, a new one for the first leaf."""
        index = self.open_groups.get(kind)
        if index is None:
            index = self.open_groups[kind] = len(self.groups)
            self.groups.append(LeafGroup(self.argument, kind))
            self.stand_ins.append([])
        return index

    def stand_in(self, group: int, position: int) -> Any:
        """Return what stands for a leaf, which is made when it is first asked for."""
        assert self.leaves is not None
        made = self.stand_ins[group]
        if position == len(made):
            made += self.leaves(group, position, 1)
        return made[position]

    def copied(self, path: str, copied: Any) -> Any:
        """List a copy if it can be mutated, and return it."""
        if self.leaves is not None and not isinstance(copied, tuple | frozenset):
            self.copies.append((path, copied))
        return copied

    def is_visited(self, x: Any) -> bool:
        """Return whether an object or container was met before; if so, the key says which it is."""
        if id(x) not in self.visited:
            return False
        self.identities += 1
        self.key.append(("again", self.visited[id(x)][0]))
        return True

    def remember(self, x: Any, copied: Any) -> None:
        """Remember the copy of an object or container, in case that is met again."""
        self.visited[id(x)] = len(self.visited), copied


def _once(visit: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method for containers that visits each of them once."""

    def visit_once(self: Visitor, x: Any, path: str, static_floats: bool) -> Any:
        if self.is_visited(x):
            return self.visited[id(x)][1]
        before = self.identities
        copied = visit(self, x, path, static_floats)
        # Whether equal rows of plain data are one list differs from batch to batch, and whether
        # equal tuples are one differs from compiler to compiler: neither belongs into the key.
        own = (static_floats or path == self.argument) and not isinstance(x, tuple | frozenset)
        if self.identities > before or own:
            self.remember(x, copied)
        return copied

    return visit_once


_METHODS: tuple[tuple[Any, Callable[..., Any]], ...] = (
    (Value, Visitor.visit_value),
    ((float, np.floating), Visitor.visit_float),
    ((np.integer, np.bool_), Visitor.visit_numpy_static),
    (np.ndarray, Visitor.visit_array),
    ((list, tuple), _once(Visitor.visit_sequence)),
    (dict, _once(Visitor.visit_dict)),
    ((set, frozenset), _once(Visitor.visit_set)),
    (partial, Visitor.visit_partial),
    (types.MethodType, Visitor.visit_method),
    (Module, Visitor.visit_object),
)


@lru_cache(maxsize=1024)
def _method_for(cls: Any) -> Callable[..., Any]:
    """Return the method that visits instances of a class."""
    if cls in STATIC:
        return Visitor.visit_static
    for classes, method in _METHODS:
        if issubclass(cls, classes):
            return method
    return Visitor.visit_object if has_attributes_only(cls) else Visitor.visit_other


def _is_plain(x: Any) -> bool:
    """Return whether `x`, an item of a set or a key of a dict, needs no stand-in."""
    if isinstance(x, tuple | frozenset):
        return all(map(_is_plain, x))
    cls: Any = type(x)
    return not (isinstance(x, Value) or has_users_attributes(cls))
