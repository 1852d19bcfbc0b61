"""Captured: what a function finds outside of its arguments, treated as arguments all the same.

Modules, Values, numbers and containers that a function (or a function it calls, if defined in the
same module) knows from its closure or its module's globals are looked up at every call, so that
rebinding them is seen. For tracing, copies of the functions are made that see traced stand-ins.

Of the user's other code, methods and functions of other modules, no copies are made. The numbers
that it finds in globals and class attributes are static: rebinding them makes another program. So
does rebinding a name to another function, class or module.
"""

import dis
import itertools
import operator
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from liftgrad.engine import Value
from liftgrad.lift.arguments import has_attributes_only
from liftgrad.lift.forks import waited_for
from liftgrad.lift.static import Static, is_users, is_users_class, snapshot
from liftgrad.lift.unchanged import Watched
from liftgrad.nn import Module

_DATA = (Value, Module, list, tuple, dict, set, frozenset, float, int, str, bytes, np.ndarray)
CODE = "its functions"
"""The name of the argument that tells apart what code the function's names stand for."""


class Wrapper:
    """A callable that stands for a function."""

    function: Callable[..., Any]


@dataclass(slots=True, frozen=True)
class _Source:
    """A variable: a cell of a closure, or a name in a module's globals or a class."""

    cell: types.CellType | None
    space: Mapping[str, Any]
    name: str

    def value(self) -> Any:
        """Return what it is bound to now, or None if it is not."""
        if self.cell is None:
            return self.space.get(self.name)
        return _contents(self.cell)

    def lookup(self) -> tuple[Callable[[Any], Any], Any]:
        """Return a function and its argument that give the value, at the least cost."""
        if self.cell is None:
            return self.space.get, self.name
        return _contents, self.cell

    def identity(self) -> tuple[Any, ...]:
        """Return what tells it apart from other variables."""
        return id(self.cell), id(self.space), self.name


@dataclass(slots=True, frozen=True)
class _Default:
    """The default of a parameter."""

    function: types.FunctionType
    place: int | str
    name: str

    def value(self) -> Any:
        """Return what it is now."""
        if isinstance(self.place, int):
            return (self.function.__defaults__ or ())[self.place]
        return (self.function.__kwdefaults__ or {})[self.place]

    def lookup(self) -> tuple[Callable[[Any], Any], Any]:
        """Return a function and its argument that give the value."""
        return _Default.value, self

    def identity(self) -> tuple[Any, ...]:
        """Return what tells it apart from others."""
        return id(self.function), self.place


class Captured:
    """The variables that a function captures; `taken` are names that its arguments have."""

    def __init__(self, function: Callable[..., Any], taken: frozenset[str]) -> None:
        self.function = function
        self.taken = taken
        self.classes: set[type] = set()
        """Whose methods the function may call."""
        self.states: dict[int, list[Any]] = {}
        """What code the variables stood for, whenever that changed, by the number of the change."""
        self._numbers = itertools.count()
        self.look_around()

    def values(self) -> dict[str, Any]:
        """Return what is captured now, by name."""
        known = self.known
        if known is not None:
            for get, name, value in known[0]:
                if get(name) is not value:
                    break
            else:
                return known[1]
        found, code = self._found()
        if not _same(code, self.states[self.state]):
            self.look_around()
            found, _ = self._found()
        if self.state:
            found[CODE] = self.state
        return found

    def watch(self, classes: Iterable[type]) -> bool:
        """Look at the methods of the user's among these classes; tell whether one is new."""
        new = {c for c in classes if c not in self.classes and is_users_class(c)}
        if new:
            self.classes |= new
            self.look_around()
        return bool(new)

    def call(
        self,
        values: dict[str, Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        value_class: type,
    ) -> Any:
        """Call the function with these values in the places of those it captures.

        `value_class` takes the place of the class Value.
        """
        values = {name: x for name, x in values.items() if name in self.sources}
        if not values and not self._makes_values():
            return self.function(*args, **kwargs)
        cells: dict[int, types.CellType] = {}
        spaces: dict[int, dict[str, Any]] = {}
        copies: dict[int, types.FunctionType] = {}
        for number, function in self.functions.items():
            space = spaces.setdefault(id(function.__globals__), dict(function.__globals__))
            own = function.__closure__ or ()
            closure = [cells.setdefault(id(cell), types.CellType()) for cell in own]
            copies[number] = copy = types.FunctionType(
                function.__code__, space, function.__name__, function.__defaults__, tuple(closure)
            )
            copy.__kwdefaults__ = dict(function.__kwdefaults__ or {})
            copy.__dict__.update(function.__dict__)
        stand_ins: dict[int, Any] = {
            **copies,
            **{alias: copies[number] for alias, number in self.aliases.items()},
            id(Value): value_class,
        }
        for function in self.functions.values():
            for cell in function.__closure__ or ():
                contents = _contents(cell)
                if contents is not None:
                    cells[id(cell)].cell_contents = stand_ins.get(id(contents), contents)
        for space in spaces.values():
            space.update({n: stand_ins[id(v)] for n, v in space.items() if id(v) in stand_ins})
        for name, value in values.items():
            source = self.sources[name]
            if isinstance(source, _Default):
                _set_default(copies[id(source.function)], source.place, value)
            elif source.cell is None:
                spaces[id(source.space)][source.name] = value
            else:
                cells[id(source.cell)].cell_contents = value
        names = {
            id(cell): name
            for function in self.functions.values()
            for name, cell in zip(
                function.__code__.co_freevars, function.__closure__ or (), strict=True
            )
        }
        watched = Watched(
            [
                *((names[number], cell) for number, cell in cells.items()),
                *(("", space) for space in spaces.values()),
            ]
        )
        result = copies[id(self.function)](*args, **kwargs)
        watched.check()
        return result

    def _makes_values(self) -> bool:
        """Tell whether a name in the function, or in those it calls, stands for the class Value."""
        return any(
            source.value() is Value
            for function in self.functions.values()
            for source in _variables(function)
        )

    def _found(self) -> tuple[dict[str, Any], list[Any]]:
        """Return the data that the variables stand for, and the code."""
        found: dict[str, Any] = {}
        code = []
        for name, source in self.sources.items():
            value = source.value()
            if _is_data(value.__class__):
                found[name] = value
            else:
                code.append(value)
        for name, source in self.statics.items():
            value = source.value()
            if _is_data(value.__class__):
                found[name] = Static(snapshot(value))
            else:
                code.append(value)
        return found, code

    def look_around(self) -> None:
        """Find the variables, from what the names that lead to them are bound to now."""
        with _looking:
            self.sources: dict[str, _Source | _Default] = {}
            """Whose data is substituted."""
            self.statics: dict[str, _Source | _Default] = {}
            """Whose data is static."""
            self.functions: dict[int, types.FunctionType] = {}
            """Those that are copied, by id."""
            self.aliases: dict[int, int] = {}
            """The functions that other objects stand for, all by id."""
            self._known: set[tuple[Any, ...]] = set()
            self._seen: set[int] = set()
            if isinstance(self.function, types.FunctionType):
                self._visit(self.function)
            for c in self.classes:
                self._watch_class(c)
            found, code = self._found()
            same = [i for i, state in self.states.items() if _same(code, state)]
            self.state = same[0] if same else next(self._numbers)
            self.states[self.state] = code
            if len(self.states) > _MOST_STATES:
                # Its number is never given again: programs that were built for it are not found.
                del self.states[next(iter(self.states))]
            every = [*self.sources.values(), *self.statics.values()]
            # What is static is looked into at each call; without any, names that are bound to the
            # same objects as now stand for the same data. It must not keep that data alive.
            self.known: tuple[list[tuple[Any, Any, Any]], dict[str, Any]] | None = None
            if not found:
                state = {CODE: self.state} if self.state else {}
                lookups = [source.lookup() for source in every]
                self.known = [(get, name, get(name)) for get, name in lookups], state

    def _visit(self, function: types.FunctionType) -> None:
        """Find what a function captures, which is copied, and what the functions it calls do."""
        if id(function) in self.functions:
            return
        self.functions[id(function)] = function
        sources: list[_Source | _Default] = list(_variables(function))
        if function is not self.function:
            sources += _defaults(function)
        for source in sources:
            self._add(source, self.sources)
            value = source.value()
            called = value.function if isinstance(value, Wrapper) else value
            if isinstance(called, types.FunctionType) and (
                called.__globals__ is function.__globals__
            ):
                self.aliases[id(value)] = id(called)
                self._visit(called)
            else:
                self._watch(called)
        for attribute in _attributes(function):
            self._add(attribute, self.statics)
        self._watch_names_in_modules(function)

    def _watch(self, code: Any) -> None:
        """Find what code that is not copied bakes in, if it is the user's."""
        if isinstance(code, Wrapper):
            code = code.function
        if isinstance(code, types.MethodType | staticmethod | classmethod):
            code = code.__func__
        if isinstance(code, property):
            for accessor in (code.fget, code.fset):
                self._watch(accessor)
        elif isinstance(code, type) and is_users_class(code):
            self._watch_class(code)
        elif isinstance(code, types.FunctionType) and is_users(code.__globals__):
            if id(code) in self._seen or id(code) in self.functions:
                return
            self._seen.add(id(code))
            sources: list[_Source | _Default] = [*_variables(code), *_attributes(code)]
            for source in [*sources, *_defaults(code)]:
                self._add(source, self.statics)
                self._watch(source.value())
            self._watch_names_in_modules(code)

    def _watch_class(self, kind: type) -> None:
        if id(kind) in self._seen:
            return
        self._seen.add(id(kind))
        spaces = [_live(c) for c in kind.__mro__ if is_users_class(c)]
        names = {
            name: None
            for space in spaces
            for name, attribute in space.items()
            if name not in _CONSTRUCTION
            and not isinstance(attribute, _DESCRIPTORS)
            and (not name.startswith("__") or callable(attribute))
        }
        for space in spaces:
            # Also a name that a class has only from its bases, which it may override later.
            for name in names:
                self._add(_Source(None, space, name), self.statics)
                self._watch(space.get(name))

    def _watch_names_in_modules(self, function: types.FunctionType) -> None:
        """Watch module.name for the modules and names that a function mentions."""
        names = _names(function.__code__)
        for source in _variables(function):
            module = source.value()
            if isinstance(module, types.ModuleType) and is_users(vars(module)):
                for name in names & vars(module).keys():
                    inner = _Source(None, vars(module), name)
                    self._add(inner, self.statics)
                    self._watch(inner.value())

    def _add(self, source: _Source | _Default, sources: dict[str, _Source | _Default]) -> None:
        if source.identity() not in self._known:
            self._known.add(source.identity())
            name = source.name
            while name in self.taken or name in self.sources or name in self.statics:
                name += "'"
            sources[name] = source


_looking = waited_for()
_MOST_STATES = 64
_CONSTRUCTION = ("__init__", "__new__", "__post_init__", "__init_subclass__", "__repr__")
_DESCRIPTORS = (types.MemberDescriptorType, types.GetSetDescriptorType)


@lru_cache(maxsize=1024)
def _is_data(kind: Any) -> bool:
    """Tell whether objects of a class are data, to be looked into."""
    return issubclass(kind, (*_DATA, np.generic)) or (
        (is_users_class(kind) or kind is types.SimpleNamespace) and has_attributes_only(kind)
    )


def _same(a: list[Any], b: list[Any]) -> bool:
    return len(a) == len(b) and all(map(operator.is_, a, b))


def _contents(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not bound yet
        return None


@lru_cache(maxsize=1024)
def _live(kind: type) -> Mapping[str, Any]:
    """Return the attributes of a class, always by the same object."""
    return vars(kind)


def _variables(function: types.FunctionType) -> Iterator[_Source]:
    """Yield what a function knows from its closure and its module's globals."""
    space = function.__globals__
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        yield _Source(cell, space, name)
    for name in sorted(_globals(function.__code__)):
        yield _Source(None, space, name)


def _attributes(function: types.FunctionType) -> Iterator[_Source]:
    """Yield the attributes that somebody gave a function."""
    for name in vars(function):
        if name != "__wrapped__":
            yield _Source(None, vars(function), name)


def _defaults(function: types.FunctionType) -> Iterator[_Default]:
    """Yield the defaults of a function's parameters."""
    name = function.__name__
    for i in range(len(function.__defaults__ or ())):
        yield _Default(function, i, f"{name}'s default {i}")
    for key in function.__kwdefaults__ or {}:
        yield _Default(function, key, f"{name}'s {key}")


def _set_default(function: types.FunctionType, place: int | str, value: Any) -> None:
    if isinstance(place, int):
        defaults = list(function.__defaults__ or ())
        defaults[place] = value
        function.__defaults__ = tuple(defaults)
    else:
        assert function.__kwdefaults__ is not None
        function.__kwdefaults__[place] = value


@lru_cache(maxsize=1024)
def _globals(code: types.CodeType) -> frozenset[str]:
    """Return the names of the globals that a function reads, with the functions inside of it."""
    names = {i.argval for i in dis.get_instructions(code) if i.opname == "LOAD_GLOBAL"}
    return frozenset(names.union(*map(_globals, _inner(code))))


@lru_cache(maxsize=1024)
def _names(code: types.CodeType) -> frozenset[str]:
    """Return all names in a function that may be attributes, with the functions inside of it."""
    return frozenset(code.co_names).union(*map(_names, _inner(code)))


def _inner(code: types.CodeType) -> list[types.CodeType]:
    return [x for x in code.co_consts if isinstance(x, types.CodeType)]
