"""Closure: what a function finds outside of its arguments, which counts as arguments, too.

Modules, Values, numbers and containers that a function (or a function it calls, if defined in the
same module) knows from its closure or its module's globals are looked up at every call, so that
rebinding them is seen. For tracing, the functions are copied, and the copies see stand-ins.

The user's other code, methods and functions of other modules, is not copied. The numbers that it
finds in globals and class attributes are static: to rebind them makes another program. So does
rebinding a name to another function, class or module.
"""

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
from liftgrad.lift.capture.bindings import Binding
from liftgrad.lift.capture.discovery import Discovery, is_code
from liftgrad.lift.capture.function_copies import FunctionCopies
from liftgrad.lift.forks import fork_safe_lock
from liftgrad.lift.purity.mutation import Copies, Originals
from liftgrad.lift.purity.reachable import Named, reach
from liftgrad.lift.purity.refusing import refusing_impurity
from liftgrad.nn import Module

CODE = "its functions"
"""The name of the argument that is the version of the code that the function's names stand for."""


class Closure:
    """What a function captures.

    Args:
        function: the function.
        taken: the names of its arguments, which differ from those of what it captures.

    """

    def __init__(self, function: Callable[..., Any], taken: frozenset[str]) -> None:
        assert isinstance(function, types.FunctionType)
        self.function = function
        self.taken = taken
        self.classes: set[type] = set()
        """The classes of its arguments, whose methods it may call."""
        self.passed: dict[int, Any] = {}
        """Functions, methods and classes among its arguments, which it may call, too, by id."""
        self.versions: dict[int, list[Any]] = {}
        """What code its names stood for, by the number of the version."""
        self._numbers = itertools.count()
        self.find_variables()

    def values(self) -> dict[str, Any]:
        """Return what is captured now, by name."""
        if self._constant is not None:
            lookups, values = self._constant
            for get, name, value in lookups:
                if get(name) is not value:
                    break
            else:
                return values
        found, code = self._look_up()
        if not _are_same(code, self.versions[self.version]):
            self.find_variables()
            found, _ = self._look_up()
        if self.version:
            found[CODE] = self.version
        return found

    def add_code(self, classes: Iterable[type], opaque: Iterable[tuple[str, Any]]) -> bool:
        """Note the user's code among the arguments; return whether some of it is new.

        Args:
            classes: of the objects among the arguments.
            opaque: what of the arguments is not taken apart, such as functions, with its paths.

        """
        # Of a method, the function: a bound method is a new object each time it is asked for.
        passed = {id(getattr(x, "__func__", x)): x for _, x in opaque if is_code(x)}
        new = {c for c in classes if c not in self.classes and is_users_class(c)}
        if not new and passed.keys() == self.passed.keys():
            return False
        self.classes |= new
        self.passed = passed  # only these: functions that are made for each call would pile up
        self.find_variables()
        return True

    def call(
        self,
        values: dict[str, Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        stand_ins: Mapping[Any, Any],
        opaque: Iterable[tuple[str, Any]],
    ) -> Any:
        """Call the function with these values in place of those that it captures.

        Args:
            values: by name.
            args: by position.
            kwargs: by name.
            stand_ins: what takes the place of other objects, such as the class Value and Python's
                builtins.
            opaque: what of the arguments has no stand-in, with its paths.

        Raises:
            TraceError: if the function reads or changes what a later call may find different.

        """
        values = {name: x for name, x in values.items() if name in self.found.substituted}
        copies = FunctionCopies(self.found, values, stand_ins)
        unchanged = Copies(copies.variables())
        namespaces, mentions = self.found.namespaces.values(), self.found.mentions
        originals = self._known_beside(values)
        with refusing_impurity(self.function, opaque, originals, namespaces, mentions):
            result = copies.of(self.function)(*args, **kwargs)
        unchanged.check()
        if not self.found.pending_imports.isdisjoint(sys.modules):
            self.find_variables()
        return result

    def call_unchecked(
        self,
        values: dict[str, Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        stand_ins: Mapping[Any, Any],
    ) -> Any:
        """Call the function as `call` does, once it is known to be pure."""
        values = {name: x for name, x in values.items() if name in self.found.substituted}
        copies = FunctionCopies(self.found, values, stand_ins)
        namespaces, names = self.found.namespaces.values(), self.found.mentions.names
        originals = Originals(namespaces, self._known_beside(values), names)
        try:
            return copies.of(self.function)(*args, **kwargs)
        finally:
            originals.put_back()  # what objects of other modules stored in themselves

    @property
    def by_identity(self) -> bool:
        """Whether it may tell Values apart in ways that stand-ins evade: by id(), in other code."""
        static = ((name, binding.value()) for name, binding in self.found.static.items())
        return "id" in self.found.mentions.names or any(
            isinstance(x, dict | set | frozenset) and any(isinstance(key, Value) for key in x)
            for _, x in reach(static)
        )

    def find_variables(self) -> None:
        """Find the variables, from what the names that lead to them are bound to now."""
        with _finding:
            passed = [*self.classes, *self.passed.values()]
            self.found = Discovery(self.function, self.taken, passed)
            values, code = self._look_up()
            same = [i for i, version in self.versions.items() if _are_same(code, version)]
            self.version = same[0] if same else next(self._numbers)
            self.versions[self.version] = code
            if len(self.versions) > _MOST_VERSIONS:
                # Its number is never given again: programs that were built for it are not found.
                del self.versions[next(iter(self.versions))]
            self._constant: tuple[list[tuple[Any, Any, Any]], dict[str, Any]] | None = None
            """How to look up all names, and `values()` if they are bound as they are now.

            That is so if no data is captured; None if some is, which may change within, and which
            this must not keep alive.
            """
            if not values:
                lookups = [binding.lookup() for binding in self.found.bindings()]
                version = {CODE: self.version} if self.version else {}
                self._constant = [(get, name, get(name)) for get, name in lookups], version

    def _look_up(self) -> tuple[dict[str, Any], list[Any]]:
        """Return the data that the names stand for now, by name, and the code."""
        values: dict[str, Any] = {}
        code = []
        for name, binding in self.found.substituted.items():
            value = binding.value()
            cls: Any = value.__class__
            if _is_data(cls) or _is_mutable(cls) or _is_method_of_data(value):
                values[name] = value
                continue
            code.append(value)
            if isinstance(value, partial):  # which may call a library's function with numbers
                values[f"{name}'s arguments"] = Snapshot.of(value)
            if _has_state(cls):
                values[f"{name}'s attributes"] = Snapshot.of(vars(value))
        for name, binding in self.found.static.items():
            value = binding.value()
            cls = value.__class__
            if _is_data(cls) or (_is_mutable(cls) and is_collection(cls)):
                values[name] = Snapshot.of(value)
            elif isinstance(value, partial) or _is_method_of_data(value):
                values[name] = Snapshot.of(value)
                code.append(value)
            elif _is_mutable(cls) and binding.name in self.found.mentions.names:
                values[name] = value  # refused, as it is among arguments
            else:
                code.append(value)
                if _has_state(cls):
                    values[f"{name}'s attributes"] = Snapshot.of(vars(value))
        return values, code

    def _known_beside(self, values: Mapping[str, Any]) -> list[Named]:
        """Return the variables that are not copied, and what they stand for."""
        bindings = list(self.found.static.items())
        # Functions that are not copied see the originals of what the copies have copies of.
        shared = len(self.found.code) > len(self.found.copied)
        bindings += [x for x in self.found.substituted.items() if shared or x[0] not in values]
        return [
            *((name, binding.value()) for name, binding in bindings),
            *((name, binding.cell) for name, binding in bindings if isinstance(binding, Binding)),
        ]


_finding = fork_safe_lock()
_MOST_VERSIONS = 64
_DATA = (Value, Module, list, tuple, dict, set, frozenset, float, int, str, bytes, np.ndarray)


@lru_cache(maxsize=1024)
def _is_data(cls: Any) -> bool:
    """Return whether instances of a class are data, whose contents count as arguments."""
    return issubclass(cls, (*_DATA, np.generic)) or (
        (is_users_class(cls) or cls is types.SimpleNamespace) and has_attributes_only(cls)
    )


def _is_method_of_data(x: Any) -> bool:
    if not isinstance(x, types.MethodType):
        return False
    cls: Any = type(x.__self__)
    return _is_data(cls)


@lru_cache(maxsize=1024)
def _is_mutable(cls: Any) -> bool:
    """Return whether instances of a class, of which there are no copies, are made to be changed."""
    return not issubclass(cls, type) and (cls.__hash__ is None or is_iterator(cls))


@lru_cache(maxsize=1024)
def _has_state(cls: Any) -> bool:
    """Return whether instances of a class of some library have attributes that may be set."""
    package = cls.__module__.partition(".")[0]
    if package == "liftgrad" or (hasattr(cls, "__get__") and not is_users_class(cls)):
        return False
    if issubclass(cls, type | types.ModuleType | partial):
        return False
    return cls.__dictoffset__ != 0 or issubclass(cls, threading.local)


def _are_same(a: list[Any], b: list[Any]) -> bool:
    return len(a) == len(b) and all(map(operator.is_, a, b))
