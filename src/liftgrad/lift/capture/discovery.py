"""Discovery: what a function, and the user's other code that it may call, knows by name.

Functions of the same module that a function calls are copied with it, so that they see stand-ins.
The user's other code, methods and functions of other modules, is not copied; the data that it
knows is part of the program.
"""

import sys
import types
from collections.abc import Callable, Iterable
from typing import Any

from liftgrad.lift.call.classes import is_users_class
from liftgrad.lift.capture.bindings import (
    Binding,
    Default,
    attributes_of_class,
    attributes_of_function,
    defaults_of,
    variables_of,
)
from liftgrad.lift.purity.mentions import Mentions, imported_by, names_in, texts_in
from liftgrad.lift.purity.reachable import reach
from liftgrad.lift.user_code import is_users_module


class Wrapper:
    """A callable that stands for a function."""

    function: Callable[..., Any]


class Discovery:
    """The names that a function's code can look up, from what they are bound to now.

    Args:
        function: the function.
        taken: the names of its arguments.
        passed: classes, functions and methods among its arguments, which it may call.

    """

    def __init__(
        self, function: types.FunctionType, taken: frozenset[str], passed: Iterable[Any]
    ) -> None:
        self.function, self.taken = function, taken
        self.substituted: dict[str, Binding | Default] = {}
        """Bindings whose data is replaced by stand-ins, in copies of the functions."""
        self.static: dict[str, Binding | Default] = {}
        """Bindings whose data is part of the program."""
        self.copied: dict[int, types.FunctionType] = {}
        """The functions of which copies are made, by id."""
        self.aliases: dict[int, int] = {}
        """Which of them other objects stand for, all by id."""
        self.code: dict[int, types.FunctionType] = {}
        """The user's functions, copied or not, by id."""
        self.namespaces: dict[int, Any] = {}
        """The globals of modules, the attributes of functions, and classes, by id."""
        self.pending_imports: set[str] = set()
        """Modules that the code imports when it runs, and that nothing has imported yet."""
        self._known: set[tuple[Any, ...]] = set()
        self._visited: set[int] = set()
        self._visit_copied(function)
        for code in passed:
            self._visit(code)
        self.mentions = Mentions.of(self.code.values())
        """What the user's functions mention."""

    def bindings(self) -> list[Binding | Default]:
        """Return all bindings."""
        return [*self.substituted.values(), *self.static.values()]

    def _visit_copied(self, function: types.FunctionType) -> None:
        """Visit a function that is copied, and the functions of its module that it calls."""
        if id(function) in self.copied:
            return
        self.copied[id(function)] = function
        self._add_function(function)
        bindings: list[Binding | Default] = list(variables_of(function))
        if function is not self.function:
            bindings += defaults_of(function)
        for binding in bindings:
            self._add(binding, self.substituted)
            value = binding.value()
            called = value.function if isinstance(value, Wrapper) else value
            if isinstance(called, types.FunctionType) and (
                called.__globals__ is function.__globals__
            ):
                self.aliases[id(value)] = id(called)
                self._visit_copied(called)
            else:
                self._visit(called)
        for attribute in attributes_of_function(function):
            self._add(attribute, self.static)
        self._visit_modules(function)

    def _visit(self, code: Any) -> None:
        """Visit code that is not copied, if it is the user's."""
        if isinstance(code, Wrapper):
            code = code.function
        if isinstance(code, types.MethodType | staticmethod | classmethod):
            code = code.__func__
        if isinstance(code, property):
            for accessor in (code.fget, code.fset):
                self._visit(accessor)
        elif isinstance(code, type) and is_users_class(code):
            self._visit_class(code)
            for base in code.__mro__:  # code that knows a class may make objects of it
                for name in _CONSTRUCTION:
                    self._visit(vars(base).get(name))
        elif isinstance(code, types.FunctionType) and is_users_module(code.__globals__):
            if id(code) in self._visited or id(code) in self.copied:
                return
            self._visited.add(id(code))
            self._add_function(code)
            bindings: list[Binding | Default] = [*variables_of(code), *attributes_of_function(code)]
            for binding in [*bindings, *defaults_of(code)]:
                self._add(binding, self.static)
                self._visit(binding.value())
            self._visit_modules(code)
        elif id(code) not in self._visited and not isinstance(code, type | types.ModuleType):
            self._visited.add(id(code))
            # A cache of calls has the function that it calls among its attributes.
            inside = [("", code), *getattr(code, "__dict__", {}).items()]
            for _, x in reach(inside):
                cls: Any = type(x)
                if is_users_class(cls):
                    self._visit_class(cls)
                elif x is not code and is_code(x):
                    self._visit(x)

    def _visit_class(self, cls: type) -> None:
        if id(cls) in self._visited:
            return
        self._visited.add(id(cls))
        self._visit(type(cls))  # its metaclass, which is Python's own for most classes
        own = [c for c in cls.__mro__ if is_users_class(c)]
        self.namespaces.update({id(c): c for c in own})
        namespaces = [attributes_of_class(c) for c in own]
        names = {
            name: None
            for namespace in namespaces
            for name, attribute in namespace.items()
            if name not in _CONSTRUCTION
            and not isinstance(attribute, _DESCRIPTORS)
            and (not name.startswith("__") or callable(attribute))
        }
        for namespace in namespaces:
            # Names that a class inherits, too, which it may override later.
            for name in names:
                self._add(Binding(None, namespace, name), self.static)
                self._visit(namespace.get(name))

    def _visit_modules(self, function: types.FunctionType) -> None:
        """Visit module.name, and module.inner.name, where a function mentions the names."""
        names = names_in(function.__code__) | texts_in(function.__code__)
        modules = [binding.value() for binding in variables_of(function)]
        for name in imported_by(function):
            if name in sys.modules:
                modules.append(sys.modules[name])
            else:
                self.pending_imports.add(name)
        visited: set[int] = set()
        while modules:
            module = modules.pop()
            if not isinstance(module, types.ModuleType) or id(module) in visited:
                continue
            visited.add(id(module))
            namespace = vars(module)
            if is_users_module(namespace):
                self.namespaces[id(namespace)] = namespace
                for name in names & namespace.keys():
                    inner = Binding(None, namespace, name)
                    self._add(inner, self.static)
                    self._visit(inner.value())
                    modules.append(inner.value())

    def _add_function(self, function: types.FunctionType) -> None:
        """Add a function that may run, and may bind variables of its module."""
        self.code[id(function)] = function
        for namespace in (function.__globals__, vars(function)):
            self.namespaces[id(namespace)] = namespace

    def _add(self, binding: Binding | Default, bindings: dict[str, Binding | Default]) -> None:
        if binding.identity() not in self._known:
            self._known.add(binding.identity())
            name = binding.name
            while name in self.taken or name in self.substituted or name in self.static:
                name += "'"
            bindings[name] = binding


def is_code(x: Any) -> bool:
    """Return whether `x` is code that may be the user's: a function, a method or a class."""
    return isinstance(x, type | types.FunctionType | types.MethodType | Wrapper)


_CONSTRUCTION = ("__init__", "__new__", "__post_init__", "__init_subclass__", "__repr__")
_DESCRIPTORS = (types.MemberDescriptorType, types.GetSetDescriptorType)
