"""Arguments: what a call hands over, taken apart into numbers and structure, and put together.

    Values                      parameters; one group of leaves for each argument that holds any
    floats                      inputs; one group for each argument
    arrays of floats            inputs; a group each
    arrays of integers          indices known at run time; a group each
    arrays of objects           nested lists of what is in them, such as Values
    ints, strings, bools, None  static: another value is another program
    lists, tuples, dicts, Modules and other objects with attributes: taken apart; the floats among
                                an object's attributes are static
    bound methods, partials     taken apart, too, if they are of the user's objects
    other objects               static, known by their equality

`read` gives the numbers and a key that is equal for calls that one program can serve;
`substitute` gives the same arguments with traced values in place of the numbers.
"""

import copy
import enum
import gc
import types
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad.derivatives import Variable
from liftgrad.engine import Value
from liftgrad.errors import LiftError, TraceError
from liftgrad.lift.call.iterators import Passing, is_iterator
from liftgrad.lift.call.snapshots import has_users_attributes, slots_of
from liftgrad.lift.call.structure import STATIC, Kind, LeafGroup, Place, Reading
from liftgrad.nn import Module
from liftgrad.ops import Operation
from liftgrad.protocols import is_on_tape, stands_for_array


def read(arguments: dict[str, Any]) -> Reading:
    """Take the arguments apart.

    Raises:
        LiftError: if something in them cannot take part in a lifted function.

    """
    reader = _Reader()
    collecting = gc.isenabled()
    gc.disable()  # all that is made here is kept
    try:
        for name, argument in arguments.items():
            reader.open(name)
            try:
                reader.take(argument, name)
            except RecursionError:
                raise LiftError(
                    f"{name} is nested too deeply, or a list in it holds itself; make it flatter."
                ) from None
    finally:
        if collecting:
            gc.enable()
    return Reading(
        tuple(reader.key),
        reader.groups,
        reader.containers,
        reader.classes,
        reader.others,
        reader.whole,
        reader.nested,
    )


def substitute(
    arguments: dict[str, Any],
    leaves: Callable[[int, int, int], list[Any]],
    array: Callable[[int, Kind], Any],
) -> tuple[dict[str, Any], list[tuple[str, Any]]]:
    """Return the arguments with what stands for their numbers inside.

    Numbers become the elements of `leaves(group, first, count)`, arrays `array(group, kind)`.
    Beside them, the lists, dicts, sets and objects that were made for that, each with its path.
    """
    reader = _Reader()
    result = {}
    for name, argument in arguments.items():
        reader.open(name)
        reader.leaves, reader.make_array = leaves, array
        result[name] = reader.take(argument, name)
    return result, reader.made


class _Reader:
    """Walks through arguments; with `leaves` set it rebuilds what it walks through."""

    def __init__(self) -> None:
        self.key: list[Any] = []
        self.groups: list[LeafGroup] = []
        self.containers: list[Any] = []
        self.classes: set[type] = set()
        self.others: list[tuple[str, Any]] = []
        self.whole = True
        self.nested = False
        self.leaves: Callable[[int, int, int], list[Any]] | None = None
        self.make_array: Callable[[int, Kind], Any] | None = None
        self.places: dict[int, tuple[int, int]] = {}
        """The group and the position of each Value, by its identity."""
        self.stand_ins: list[list[Any]] = []
        """What stands for the Values and floats, by group and position."""
        self.done: dict[int, tuple[int, Any]] = {}
        """Objects and containers by identity: their numbers, and what stands for them.

        What is met again is the same object again, as it is for the function itself.
        """
        self.held = 0
        """How often a Value or an object was met."""
        self.made: list[tuple[str, Any]] = []
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
            self.stand_ins.append([])
        return number

    def stand_in(self, number: int, position: int) -> Any:
        """Return what stands for a number of a group; it is made when it is first asked for."""
        assert self.leaves is not None
        made = self.stand_ins[number]
        if position == len(made):
            made += self.leaves(number, position, 1)
        return made[position]

    def watched(self, path: str, made: Any) -> Any:
        """Note what was made in the place of something that the function must not change."""
        if self.leaves is not None and not isinstance(made, tuple | frozenset):
            self.made.append((path, made))
        return made

    def take(self, x: Any, path: str, static_floats: bool = False) -> Any:
        kind: Any = type(x)
        return _reader_of(kind)(self, x, path, static_floats)

    def again(self, x: Any) -> bool:
        """Tell whether an object or a container was met before; the key then says which."""
        if id(x) not in self.done:
            return False
        self.held += 1
        self.key.append(("again", self.done[id(x)][0]))
        return True

    def met(self, x: Any, stand_in: Any) -> None:
        """Note what stands for an object or a container."""
        self.done[id(x)] = len(self.done), stand_in

    def take_value(self, x: Value, path: str, _static_floats: bool) -> Any:
        self.held += 1
        place = self.places.get(id(x))
        if place is None:
            number = self.group("parameter")
            group = self.groups[number]
            place = self.places[id(x)] = number, len(group.values)
            group.values.append(x)
            group.listed.append((path, None))
        self.key.append(Place(*place))
        return self.stand_in(*place) if self.leaves else None

    def take_values(self, xs: Sequence[Value], path: str) -> list[Any] | None:
        """Take a list of Values at once, as most of a network's come; None if some are not new."""
        identities = list(map(id, xs))
        if not self.places.keys().isdisjoint(identities) or len(set(identities)) < len(xs):
            return None
        number = self.group("parameter")
        group = self.groups[number]
        first, count = len(group.values), len(xs)
        positions = range(first, first + count)
        self.places.update(
            zip(identities, zip(repeat(number), positions, strict=False), strict=True)
        )
        group.values += xs
        group.listed.append((path, count))
        self.key.append(Value)  # where they are follows from what came before them
        self.held += 1
        if self.leaves is None:
            return []
        made = self.leaves(number, first, count)
        self.stand_ins[number] += made
        return made

    def take_static(self, x: Any, _path: str, _static_floats: bool) -> Any:
        self.key.append((x.__class__, x))
        return x

    def take_numpy_static(self, x: Any, _path: str, _static_floats: bool) -> Any:
        self.key.append((type(x.item()), x.item()))
        return x

    def take_float(self, x: Any, path: str, static_floats: bool) -> Any:
        x = float(x)
        if static_floats:
            self.key.append((float, x.hex()))
            return x
        number = self.group("input")
        group = self.groups[number]
        group.values.append(x)
        group.listed.append((path, None))
        self.key.append(float)
        return self.stand_in(number, len(group.values) - 1) if self.leaves else None

    def take_array(self, x: NDArray[Any], path: str, static_floats: bool) -> Any:
        if isinstance(x, np.ma.MaskedArray | np.matrix):
            raise LiftError(
                f"the argument {path} is a {type(x).__name__}, and would be used as a plain array; "
                "pass one."
            )
        if x.dtype == object:
            return self.take_objects(x, path, static_floats)
        if x.dtype.kind not in "fiub":
            raise LiftError(
                f"the argument {path} is an array of {x.dtype}; a lifted function takes arrays of "
                "floats (inputs) and of integers (indices)."
            )
        if x.dtype.kind == "b":
            self.whole = False
            return self.take(x.tolist(), path, static_floats)
        kind: Kind = "input" if x.dtype.kind == "f" else "index"
        number = len(self.groups)
        self.groups.append(LeafGroup(path, kind, array=x))
        self.stand_ins.append([])
        # Elements of other types are other numbers to isinstance, and in whole-number arithmetic.
        usual = x.dtype in (np.float64, np.int64)
        self.key.append((kind, x.shape) if usual else (kind, x.shape, x.dtype.str))
        return self.make_array(number, kind) if self.make_array else None

    def take_objects(self, x: NDArray[Any], path: str, static_floats: bool) -> Any:
        self.key.append((np.ndarray, *x.shape))
        self.whole = False  # a later call cannot compare it with a copy
        made = np.empty(x.shape, object)
        for index, item in np.ndenumerate(x):
            name = ".".join(map(str, (path, *index)))
            made[index] = self.take(item, name, static_floats)
        return self.watched(path, made) if self.leaves is not None else None

    def take_sequence(self, x: Any, path: str, static_floats: bool) -> Any:
        kind = type(x)
        self.key.append((kind, len(x)))
        self.containers.append(x)
        items = None
        if x and all(_reader_of(cls) is _Reader.take_value for cls in set(map(type, x))):
            items = self.take_values(x, path)
        if items is None:
            items = [self.take(item, f"{path}.{i}", static_floats) for i, item in enumerate(x)]
        if self.leaves is None:
            return None
        return self.watched(path, kind(*items) if hasattr(x, "_fields") else kind(items))

    def take_dict(self, x: dict[Any, Any], path: str, static_floats: bool) -> Any:
        keys = list(x)
        if all(map(_is_plain, keys)):
            self.key.append((type(x), *x))
            made = keys
        else:  # what stands for a Value is another key
            self.key.append((type(x), len(x)))
            made = [self.take(k, f"{path}.{i}", True) for i, k in enumerate(keys)]
        self.containers.append(x)
        entries = {
            new: self.take(x[k], f"{path}.{k if new is k else i}", static_floats)
            for i, (k, new) in enumerate(zip(keys, made, strict=True))
        }
        if self.leaves is None or type(x) is dict:
            return self.watched(path, entries)
        clone = copy.copy(x)
        clone.clear()
        clone.update(entries)
        return self.watched(path, clone)

    def take_set(self, x: Any, path: str, _static_floats: bool) -> Any:
        self.containers.append(x)
        if all(map(_is_plain, x)):
            self.key.append((type(x), frozenset(x)))
            return self.watched(path, x if self.leaves is None else type(x)(x))
        self.key.append((type(x), len(x)))
        # In the order in which Values were met; that of a set is another one for another model.
        items = sorted(x, key=lambda item: self.places.get(id(item), (len(self.groups), 0)))
        made = [self.take(item, f"{path}.{i}", True) for i, item in enumerate(items)]
        return self.watched(path, x if self.leaves is None else type(x)(made))

    def take_partial(self, x: "partial[Any]", path: str, static_floats: bool) -> Any:
        self.whole = False
        parts = self.take((x.func, x.args, x.keywords), path, static_floats)
        return partial(parts[0], *parts[1], **parts[2]) if self.leaves else None

    def take_method(self, x: types.MethodType, path: str, static_floats: bool) -> Any:
        """Take a method of one object as the function and the object."""
        kind: Any = type(x.__self__)
        if not has_users_attributes(kind):
            return self.take_other(x, path, static_floats)
        self.key.append(types.MethodType)
        function, its = (self.take(part, path) for part in (x.__func__, x.__self__))
        return types.MethodType(function, its) if self.leaves else None

    def take_object(self, x: Any, path: str, _static_floats: bool) -> Any:
        if self.again(x):
            return self.done[id(x)][1]
        self.held += 1
        kind: Any = type(x)
        self.classes.add(kind)
        attributes = getattr(x, "__dict__", {})
        slots = [name for name in slots_of(kind) if hasattr(x, name)]
        self.key.append((kind, *attributes, *slots))
        self.containers.append(attributes)
        self.whole = self.whole and not slots
        empty = kind if kind is types.SimpleNamespace else partial(object.__new__, kind)
        clone = empty() if self.leaves else None
        self.met(x, clone)
        for name in [*attributes, *slots]:
            attribute = attributes[name] if name in attributes else getattr(x, name)
            taken = self.take(attribute, f"{path}.{name}", static_floats=True)
            if clone is None:
                continue
            if name in attributes:
                vars(clone)[name] = taken
            else:
                object.__setattr__(clone, name, taken)  # a frozen one, too
        return self.watched(path, clone)

    def take_other(self, x: Any, path: str, static_floats: bool) -> Any:
        kind: Any = type(x)
        if kind is Variable:
            self.nested = True
            return x
        if is_on_tape(x):
            raise TraceError(
                f"{path} holds a traced value of an earlier call, which has no number any more; "
                "return it from the lifted function instead of storing it."
            )
        passing = hasattr(x, "__next__") and not static_floats
        if kind.__hash__ is None or hasattr(x, "__array__") or passing:
            raise LiftError(
                f"{path} is a {kind.__name__}, and a lifted function could not see it change; "
                "pass numbers, NumPy arrays, Values, Modules, or lists, tuples and dicts of them."
            )
        self.others.append((path, x))
        self.key.append((kind, x))
        return Passing(path) if self.leaves and is_iterator(kind) else x


def _is_plain(x: Any) -> bool:
    """Tell whether something has no stand-in, as an item of a set or a key of a dict."""
    if isinstance(x, tuple | frozenset):
        return all(map(_is_plain, x))
    kind: Any = type(x)
    return not (isinstance(x, Value) or has_users_attributes(kind))


def _once(take: Callable[..., Any]) -> Callable[..., Any]:
    """Return a reader's method for containers that makes one stand-in for each."""

    def take_once(self: _Reader, x: Any, path: str, static_floats: bool) -> Any:
        if self.again(x):
            return self.done[id(x)][1]
        before = self.held
        stand_in = take(self, x, path, static_floats)
        # Whether rows of plain data are one list or equal ones differs from batch to batch, and
        # of tuples it differs from compiler to compiler.
        own = (static_floats or path == self.argument) and not isinstance(x, tuple | frozenset)
        if self.held > before or own:
            self.met(x, stand_in)
        return stand_in

    return take_once


_READERS: tuple[tuple[Any, Callable[..., Any]], ...] = (
    (Value, _Reader.take_value),
    ((float, np.floating), _Reader.take_float),
    ((np.integer, np.bool_), _Reader.take_numpy_static),
    (np.ndarray, _Reader.take_array),
    ((list, tuple), _once(_Reader.take_sequence)),
    (dict, _once(_Reader.take_dict)),
    ((set, frozenset), _once(_Reader.take_set)),
    (partial, _Reader.take_partial),
    (types.MethodType, _Reader.take_method),
    (Module, _Reader.take_object),
)


@lru_cache(maxsize=1024)
def _reader_of(kind: Any) -> Callable[..., Any]:
    """Return the reader's method for objects of a class."""
    if kind in STATIC:
        return _Reader.take_static
    for classes, method in _READERS:
        if issubclass(kind, classes):
            return method
    return _Reader.take_object if has_attributes_only(kind) else _Reader.take_other


_OPAQUE = (
    *(type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.MethodType),
    *(enum.Enum, Operation),
)


@lru_cache(maxsize=1024)
def has_attributes_only(kind: Any) -> bool:
    """Tell whether all that there is to objects of a class is attributes that Python code set."""
    if issubclass(kind, _OPAQUE) or any(hasattr(kind, name) for name in _OTHERWISE):
        return False
    if kind is types.SimpleNamespace:
        return True
    try:
        object.__new__(kind)  # which refuses where there is more to an object, unseen in C
    except TypeError:
        return False
    return kind.__dictoffset__ != 0 or bool(slots_of(kind))


_OTHERWISE = ("__get__", "__array__", "_apply", "_tape")
"""What functions, other arrays, and numbers that are not known yet have."""


def flatten_result(result: Any) -> tuple[list[Any], Callable[[Iterator[Any]], Any]]:
    """Return the leaves of a nested result and a function that builds it from others."""
    if stands_for_array(result):  # part of an array argument
        result = list(result)
    if isinstance(result, list | tuple):
        parts = [flatten_result(item) for item in result]
        # The function must not hold on to the result, and to the whole tape with it.
        rebuilds = [rebuild for _, rebuild in parts]
        kind, by_name = type(result), hasattr(result, "_fields")

        def build(numbers: Iterator[Any]) -> Any:
            items = [rebuild(numbers) for rebuild in rebuilds]
            return kind(*items) if by_name else kind(items)

        return [leaf for leaves, _ in parts for leaf in leaves], build
    if isinstance(result, dict):
        keys = list(result)
        leaves, rebuild = flatten_result(list(result.values()))
        return leaves, lambda numbers: dict(zip(keys, rebuild(numbers), strict=True))
    return [result], next
