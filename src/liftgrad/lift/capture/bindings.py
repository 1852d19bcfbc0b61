"""Bindings: the names by which functions and classes know objects, and what is bound to them."""

import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from liftgrad.lift.purity.mentions import globals_in, texts_in


@dataclass(slots=True, frozen=True)
class Binding:
    """A variable: a cell of a closure, or a name in a module's globals or in a class."""

    cell: types.CellType | None
    namespace: Mapping[str, Any]
    name: str

    def value(self) -> Any:
        """Return what is bound to the name now, or None."""
        if self.cell is None:
            return self.namespace.get(self.name)
        return contents_of(self.cell)

    def lookup(self) -> tuple[Callable[[Any], Any], Any]:
        """Return a function and its argument that give the value, at the least cost."""
        if self.cell is None:
            return self.namespace.get, self.name
        return contents_of, self.cell

    def identity(self) -> tuple[Any, ...]:
        """Return what distinguishes it from other bindings."""
        return id(self.cell), id(self.namespace), self.name


@dataclass(slots=True, frozen=True)
class Default:
    """The default of a parameter, which is given by its position or name."""

    function: types.FunctionType
    parameter: int | str
    name: str

    def value(self) -> Any:
        """Return the default as it is now."""
        if isinstance(self.parameter, int):
            return (self.function.__defaults__ or ())[self.parameter]
        return (self.function.__kwdefaults__ or {})[self.parameter]

    def lookup(self) -> tuple[Callable[[Any], Any], Any]:
        """Return a function and its argument that give the value."""
        return Default.value, self

    def identity(self) -> tuple[Any, ...]:
        """Return what distinguishes this default from other bindings."""
        return id(self.function), self.parameter


def contents_of(cell: types.CellType, unbound: Any = None) -> Any:
    """Return what a variable of a closure is bound to."""
    try:
        return cell.cell_contents
    except ValueError:  # not bound yet
        return unbound


@lru_cache(maxsize=1024)
def attributes_of_class(cls: type) -> Mapping[str, Any]:
    """Return the attributes of a class, always the same mapping."""
    return vars(cls)


def variables_of(function: types.FunctionType) -> Iterator[Binding]:
    """Yield the variables of a function's closure, and of its module that it mentions."""
    namespace = function.__globals__
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        yield Binding(cell, namespace, name)
    names = globals_in(function.__code__)
    if "globals" in names:
        names |= texts_in(function.__code__) & namespace.keys()
    for name in sorted(names):
        yield Binding(None, namespace, name)


def attributes_of_function(function: types.FunctionType) -> Iterator[Binding]:
    """Yield the attributes that somebody gave a function."""
    for name in vars(function):
        if name != "__wrapped__":
            yield Binding(None, vars(function), name)


def defaults_of(function: types.FunctionType) -> Iterator[Default]:
    """Yield the defaults of a function's parameters."""
    name = function.__name__
    for i in range(len(function.__defaults__ or ())):
        yield Default(function, i, f"{name}'s default {i}")
    for key in function.__kwdefaults__ or {}:
        yield Default(function, key, f"{name}'s {key}")


def set_default(function: types.FunctionType, parameter: int | str, value: Any) -> None:
    """Give a parameter of a function, by its position or name, another default."""
    if isinstance(parameter, int):
        defaults = list(function.__defaults__ or ())
        defaults[parameter] = value
        function.__defaults__ = tuple(defaults)
    else:
        assert function.__kwdefaults__ is not None
        function.__kwdefaults__[parameter] = value
