"""Closure: what a function finds outside of its arguments, treated as arguments all the same.

Modules, Values, numbers and containers that a function (or a function it calls, if defined in the
same module) knows from its closure or its module's globals are looked up at every call, so that
rebinding them is seen. For tracing, copies of the functions are made that see traced stand-ins.

Of the user's other code, methods and functions of other modules, no copies are made. The numbers
that it finds in globals and class attributes are static: rebinding them makes another program. So
does rebinding a name to another function, class or module.
"""

import builtins
import itertools
import operator
import sys
import threading
import types
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache, partial
from typing import Any

import numpy as np

from liftgrad.engine import Value
from liftgrad.lift.call.classes import (
    has_attributes_only,
    is_collection,
    is_iterator,
    is_users_class,
)
from liftgrad.lift.call.snapshots import Snapshot
from liftgrad.lift.capture.mutation import Copies, Originals
from liftgrad.lift.capture.purity import refusing_impurity
from liftgrad.lift.capture.reachable import reach
from liftgrad.lift.capture.variables import (
    Default,
    Mentioned,
    Source,
    attributes_of_class,
    attributes_of_function,
    contents_of,
    defaults_of,
    imported_by,
    names_in,
    set_default,
    texts_in,
    variables_of,
)
from liftgrad.lift.forks import fork_safe_lock
from liftgrad.lift.user_code import is_users_module
from liftgrad.nn import Module

_DATA = (Value, Module, list, tuple, dict, set, frozenset, float, int, str, bytes, np.ndarray)
CODE = "its functions"
"""The name of the argument that tells apart what code the function's names stand for."""


class Wrapper:
    """A callable that stands for a function."""

    function: Callable[..., Any]


class Closure:
    """The variables that a function captures; `taken` are names that its arguments have."""

    def __init__(self, function: Callable[..., Any], taken: frozenset[str]) -> None:
        assert isinstance(function, types.FunctionType)
        self.function = function
        self.taken = taken
        self.classes: set[type] = set()
        """Whose methods the function may call."""
        self.passed: dict[int, Any] = {}
        """Functions, methods and classes among its arguments, which it may call, too, by id."""
        self.states: dict[int, list[Any]] = {}
        """What code the variables stood for, whenever that changed, by the number of the change."""
        self._numbers = itertools.count()
        self.find_variables()

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
            self.find_variables()
            found, _ = self._found()
        if self.state:
            found[CODE] = self.state
        return found

    def watch(self, classes: Iterable[type], others: Iterable[tuple[str, Any]]) -> bool:
        """Look at code of the user's that the function may call; tell whether some is new.

        Args:
            classes: of the objects among the arguments.
            others: what else is among the arguments, such as functions, with its paths.

        """
        # Of a method, the function: a bound one is another object each time it is asked for.
        passed = {id(getattr(x, "__func__", x)): x for _, x in others if _is_code(x)}
        new = {c for c in classes if c not in self.classes and is_users_class(c)}
        if not new and passed.keys() == self.passed.keys():
            return False
        self.classes |= new
        self.passed = passed  # no others: functions that are made for each call would be too many
        self.find_variables()
        return True

    def call(
        self,
        values: dict[str, Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        stand_ins: Mapping[Any, Any],
        others: Iterable[tuple[str, Any]],
    ) -> Any:
        """Call the function with these values in the places of those it captures.

        `stand_ins` are what takes the places of other objects, such as the class Value and
        Python's builtins; `others` is what is among the arguments and has no stand-in, with its
        paths.
        """
        values = {name: x for name, x in values.items() if name in self.sources}
        copies, cells, spaces = self._copies(values, stand_ins)
        names = {
            id(cell): name
            for function in self.functions.values()
            for name, cell in zip(
                function.__code__.co_freevars, function.__closure__ or (), strict=True
            )
        }
        watched = Copies(
            [
                *((names[number], cell) for number, cell in cells.items()),
                *(("", space) for space in spaces.values()),
                *(("", vars(copy)) for copy in copies.values()),
            ]
        )
        known, live = self._known_beside(values), self.spaces.values()
        with refusing_impurity(self.function, others, known, live, self.mentioned):
            result = copies[id(self.function)](*args, **kwargs)
        watched.check()
        if not self._to_come.isdisjoint(sys.modules):
            self.find_variables()
        return result

    def call_unchecked(
        self,
        values: dict[str, Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        stand_ins: Mapping[Any, Any],
    ) -> Any:
        """Call the function as `call` does, once it is known to change nothing."""
        values = {name: x for name, x in values.items() if name in self.sources}
        copies, *_ = self._copies(values, stand_ins)
        live = Originals(self.spaces.values(), self._known_beside(values), self.mentioned.names)
        try:
            return copies[id(self.function)](*args, **kwargs)
        finally:
            live.put_back()  # what objects of other modules noted down

    @property
    def by_identity(self) -> bool:
        """Whether it may tell Values apart where stand-ins are others: by id(), in other code."""
        return "id" in self.mentioned.names or any(
            isinstance(x, dict | set | frozenset) and any(isinstance(key, Value) for key in x)
            for _, x in reach((name, source.value()) for name, source in self.statics.items())
        )

    def _known_beside(self, values: Mapping[str, Any]) -> list[tuple[str, Any]]:
        """Return the variables, and what they stand for, of which the copies have no copy."""
        sources = list(self.statics.items())
        # The originals of what these functions have copies of: others see them.
        shared = len(self.code) > len(self.functions)
        sources += [x for x in self.sources.items() if shared or x[0] not in values]
        return [
            *((name, source.value()) for name, source in sources),
            *((name, source.cell) for name, source in sources if isinstance(source, Source)),
        ]

    def _copies(
        self, values: dict[str, Any], stand_ins: Mapping[Any, Any]
    ) -> tuple[dict[int, types.FunctionType], dict[int, types.CellType], dict[int, dict[str, Any]]]:
        """Return copies of the functions, by id, with the variables of closures and modules."""
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
        places: dict[int, Any] = {
            **copies,
            **{alias: copies[number] for alias, number in self.aliases.items()},
            **{id(original): other for original, other in stand_ins.items()},
        }
        own_builtins = {n: places[id(x)] for n, x in vars(builtins).items() if id(x) in places}
        for function in self.functions.values():
            for cell in function.__closure__ or ():
                contents = contents_of(cell, unbound=cells)
                if contents is not cells:
                    cells[id(cell)].cell_contents = places.get(id(contents), contents)
        for space in spaces.values():
            space.update({n: places[id(v)] for n, v in space.items() if id(v) in places})
            space.update({n: other for n, other in own_builtins.items() if n not in space})
        for name, value in values.items():
            source = self.sources[name]
            if isinstance(source, Default):
                set_default(copies[id(source.function)], source.place, value)
            elif source.cell is None:
                spaces[id(source.space)][source.name] = value
            else:
                cells[id(source.cell)].cell_contents = value
        return copies, cells, spaces

    def _found(self) -> tuple[dict[str, Any], list[Any]]:
        """Return the data that the variables stand for, and the code."""
        found: dict[str, Any] = {}
        code = []
        for name, source in self.sources.items():
            value = source.value()
            kind: Any = value.__class__
            if _is_data(kind) or _changes(kind) or _is_method_of_data(value):
                found[name] = value
                continue
            code.append(value)
            if isinstance(value, partial):  # what it calls may be of a library, and need numbers
                found[f"{name}'s arguments"] = Snapshot.of(value)
            if _has_state(kind):
                found[f"{name}'s attributes"] = Snapshot.of(vars(value))
        for name, source in self.statics.items():
            value = source.value()
            kind = value.__class__
            if _is_data(kind) or (_changes(kind) and is_collection(kind)):
                found[name] = Snapshot.of(value)
            elif isinstance(value, partial) or _is_method_of_data(value):
                found[name] = Snapshot.of(value)
                code.append(value)
            elif _changes(kind) and source.name in self.mentioned.names:
                found[name] = value  # which is refused where it is an argument, and here
            else:
                code.append(value)
                if _has_state(kind):
                    found[f"{name}'s attributes"] = Snapshot.of(vars(value))
        return found, code

    def find_variables(self) -> None:
        """Find the variables, from what the names that lead to them are bound to now."""
        with _looking:
            self.sources: dict[str, Source | Default] = {}
            """Whose data is substituted."""
            self.statics: dict[str, Source | Default] = {}
            """Whose data is static."""
            self.functions: dict[int, types.FunctionType] = {}
            """Those that are copied, by id."""
            self.aliases: dict[int, int] = {}
            """The functions that other objects stand for, all by id."""
            self.code: dict[int, types.FunctionType] = {}
            """The user's functions, copied or not, by id."""
            self.spaces: dict[int, Any] = {}
            """The variables of the user's modules and functions, and classes, by id."""
            self._to_come: set[str] = set()
            """Modules that they import when they run, and nobody has yet."""
            self._known: set[tuple[Any, ...]] = set()
            self._seen: set[int] = set()
            self._visit(self.function)
            for code in [*self.classes, *self.passed.values()]:
                self._watch(code)
            self.mentioned = Mentioned.by(self.code.values())
            """What the user's functions mention."""
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
        self._note(function)
        sources: list[Source | Default] = list(variables_of(function))
        if function is not self.function:
            sources += defaults_of(function)
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
        for attribute in attributes_of_function(function):
            self._add(attribute, self.statics)
        self._watch_names_in_modules(function)

    def _note(self, function: types.FunctionType) -> None:
        """Note that the function may run, and bind the variables of its module."""
        self.code[id(function)] = function
        for space in (function.__globals__, vars(function)):
            self.spaces[id(space)] = space

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
            for base in code.__mro__:  # what has a class at hand may make objects of it
                for name in _CONSTRUCTION:
                    self._watch(vars(base).get(name))
        elif isinstance(code, types.FunctionType) and is_users_module(code.__globals__):
            if id(code) in self._seen or id(code) in self.functions:
                return
            self._seen.add(id(code))
            self._note(code)
            sources: list[Source | Default] = [*variables_of(code), *attributes_of_function(code)]
            for source in [*sources, *defaults_of(code)]:
                self._add(source, self.statics)
                self._watch(source.value())
            self._watch_names_in_modules(code)
        elif id(code) not in self._seen and not isinstance(code, type | types.ModuleType):
            self._seen.add(id(code))
            # A cache of calls has the function that it calls among its attributes.
            inside = [("", code), *getattr(code, "__dict__", {}).items()]
            for _, x in reach(inside):
                kind: Any = type(x)
                if is_users_class(kind):
                    self._watch_class(kind)
                elif x is not code and _is_code(x):
                    self._watch(x)

    def _watch_class(self, kind: type) -> None:
        if id(kind) in self._seen:
            return
        self._seen.add(id(kind))
        self._watch(type(kind))  # its class, which is Python's own but for a metaclass
        own = [c for c in kind.__mro__ if is_users_class(c)]
        self.spaces.update({id(c): c for c in own})
        spaces = [attributes_of_class(c) for c in own]
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
                self._add(Source(None, space, name), self.statics)
                self._watch(space.get(name))

    def _watch_names_in_modules(self, function: types.FunctionType) -> None:
        """Watch module.name, and module.inner.name, for what a function mentions."""
        names = names_in(function.__code__) | texts_in(function.__code__)
        modules = [source.value() for source in variables_of(function)]
        for name in imported_by(function):
            if name in sys.modules:
                modules.append(sys.modules[name])
            else:
                self._to_come.add(name)
        seen: set[int] = set()
        while modules:
            module = modules.pop()
            if not isinstance(module, types.ModuleType) or id(module) in seen:
                continue
            seen.add(id(module))
            space = vars(module)
            if is_users_module(space):
                self.spaces[id(space)] = space
                for name in names & space.keys():
                    inner = Source(None, space, name)
                    self._add(inner, self.statics)
                    self._watch(inner.value())
                    modules.append(inner.value())

    def _add(self, source: Source | Default, sources: dict[str, Source | Default]) -> None:
        if source.identity() not in self._known:
            self._known.add(source.identity())
            name = source.name
            while name in self.taken or name in self.sources or name in self.statics:
                name += "'"
            sources[name] = source


_looking = fork_safe_lock()
_MOST_STATES = 64
_CONSTRUCTION = ("__init__", "__new__", "__post_init__", "__init_subclass__", "__repr__")
_DESCRIPTORS = (types.MemberDescriptorType, types.GetSetDescriptorType)


def _is_code(x: Any) -> bool:
    return isinstance(x, type | types.FunctionType | types.MethodType | Wrapper)


@lru_cache(maxsize=1024)
def _is_data(kind: Any) -> bool:
    """Tell whether objects of a class are data, to be looked into."""
    return issubclass(kind, (*_DATA, np.generic)) or (
        (is_users_class(kind) or kind is types.SimpleNamespace) and has_attributes_only(kind)
    )


def _is_method_of_data(x: Any) -> bool:
    if not isinstance(x, types.MethodType):
        return False
    kind: Any = type(x.__self__)
    return _is_data(kind)


@lru_cache(maxsize=1024)
def _changes(kind: Any) -> bool:
    """Tell whether objects of a class, of which there is no copy, are made to be changed."""
    return not issubclass(kind, type) and (kind.__hash__ is None or is_iterator(kind))


@lru_cache(maxsize=1024)
def _has_state(kind: Any) -> bool:
    """Tell whether objects of a class of some library have attributes that may be set."""
    package = kind.__module__.partition(".")[0]
    if package == "liftgrad" or (hasattr(kind, "__get__") and not is_users_class(kind)):
        return False
    if issubclass(kind, type | types.ModuleType | partial):
        return False
    return kind.__dictoffset__ != 0 or issubclass(kind, threading.local)


def _same(a: list[Any], b: list[Any]) -> bool:
    return len(a) == len(b) and all(map(operator.is_, a, b))
