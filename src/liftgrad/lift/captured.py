"""Captured: what a function finds outside of its arguments, treated as arguments all the same.

Modules, Values, numbers and containers that a function (or a function it calls, if defined in the
same module) knows from its closure or its module's globals are looked up at every call, so that
rebinding them is seen. For tracing, copies of the functions are made that see traced stand-ins.
"""

import dis
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from liftgrad.engine import Value
from liftgrad.nn import Module

_DATA = (Value, Module, list, tuple, dict, float, int, str, bool, np.ndarray, np.generic)


@dataclass(slots=True, frozen=True)
class _Source:
    """A variable: a cell of a closure, or a name in a module's globals."""

    cell: types.CellType | None
    space: dict[str, Any]
    name: str

    def value(self) -> Any:
        """Return what it is bound to now, or None if it is not."""
        if self.cell is None:
            return self.space.get(self.name)
        return _contents(self.cell)


class Captured:
    """The variables that a function captures; `taken` are names that its arguments have."""

    def __init__(self, function: Callable[..., Any], taken: frozenset[str]) -> None:
        self.function = function
        self.sources: dict[str, _Source] = {}
        self.functions: dict[int, types.FunctionType] = {}
        self.taken = taken
        if isinstance(function, types.FunctionType):
            self._visit(function)

    def values(self) -> dict[str, Any]:
        """Return what is captured now, by name."""
        found = {name: source.value() for name, source in self.sources.items()}
        return {name: value for name, value in found.items() if isinstance(value, _DATA)}

    def call(self, values: dict[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call the function with these values in the places of those it captures."""
        if not values:
            return self.function(*args, **kwargs)
        cells: dict[int, types.CellType] = {}
        spaces: dict[int, dict[str, Any]] = {}
        copies: dict[int, types.FunctionType] = {}
        for number, function in self.functions.items():
            space = spaces.setdefault(id(function.__globals__), dict(function.__globals__))
            closure = [cells.setdefault(id(c), types.CellType()) for c in function.__closure__ or ()]
            copies[number] = copy = types.FunctionType(
                function.__code__, space, function.__name__, function.__defaults__, tuple(closure)
            )
            copy.__kwdefaults__ = function.__kwdefaults__
        for function in self.functions.values():
            for cell in function.__closure__ or ():
                contents = _contents(cell)
                if contents is not None:
                    cells[id(cell)].cell_contents = copies.get(id(contents), contents)
        for space in spaces.values():
            space.update({n: copies[id(v)] for n, v in space.items() if id(v) in copies})
        for name, value in values.items():
            source = self.sources[name]
            if source.cell is None:
                spaces[id(source.space)][source.name] = value
            else:
                cells[id(source.cell)].cell_contents = value
        return copies[id(self.function)](*args, **kwargs)

    def _visit(self, function: types.FunctionType) -> None:
        if id(function) in self.functions:
            return
        self.functions[id(function)] = function
        space = function.__globals__
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        sources = [_Source(cell, space, name) for name, cell in cells]
        sources += [_Source(None, space, name) for name in sorted(_globals(function.__code__))]
        for source in sources:
            value = source.value()
            if isinstance(value, types.FunctionType):
                if value.__globals__ is space:
                    self._visit(value)
            elif not isinstance(value, type | types.ModuleType) and not self._known(source):
                self.sources[self._free_name(source.name)] = source

    def _known(self, source: _Source) -> bool:
        return any(
            known.cell is source.cell and known.space is source.space and known.name == source.name
            for known in self.sources.values()
        )

    def _free_name(self, name: str) -> str:
        while name in self.taken or name in self.sources:
            name += "'"
        return name


def _contents(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not bound yet
        return None


def _globals(code: types.CodeType) -> set[str]:
    """Return the names of the globals that a function reads, with the functions inside of it."""
    names = {i.argval for i in dis.get_instructions(code) if i.opname == "LOAD_GLOBAL"}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _globals(constant)
    return names
