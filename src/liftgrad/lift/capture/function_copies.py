"""Function copies: the functions that are traced, with stand-ins in their variables."""

import builtins
import types
from collections.abc import Mapping
from typing import Any

from liftgrad.lift.capture.bindings import Default, contents_of, set_default
from liftgrad.lift.capture.discovery import Discovery
from liftgrad.lift.purity.reachable import Named


class FunctionCopies:
    """Copies of the functions of a discovery, which share the copies of their variables.

    Args:
        discovery: the functions, and their bindings.
        values: what the bindings get, by their names in the discovery.
        stand_ins: what takes the place of other objects, such as the class Value and Python's
            builtins.

    """

    def __init__(
        self, discovery: Discovery, values: Mapping[str, Any], stand_ins: Mapping[Any, Any]
    ) -> None:
        self._originals = discovery.copied
        self._cells: dict[int, types.CellType] = {}
        self._globals: dict[int, dict[str, Any]] = {}
        self._copies = {key: self._copy(f) for key, f in self._originals.items()}
        self._replace(
            {
                **self._copies,
                **{alias: self._copies[key] for alias, key in discovery.aliases.items()},
                **{id(original): other for original, other in stand_ins.items()},
            }
        )
        for name, value in values.items():
            binding = discovery.substituted[name]
            if isinstance(binding, Default):
                set_default(self._copies[id(binding.function)], binding.parameter, value)
            elif binding.cell is None:
                self._globals[id(binding.namespace)][binding.name] = value
            else:
                self._cells[id(binding.cell)].cell_contents = value

    def of(self, function: types.FunctionType) -> types.FunctionType:
        """Return the copy of a function."""
        return self._copies[id(function)]

    def variables(self) -> list[Named]:
        """Return the cells, globals and attributes of the copies, which hold their variables.

        Globals and attributes, which are dicts, have no name of their own: "".
        """
        names = {
            id(cell): name
            for function in self._originals.values()
            for name, cell in zip(
                function.__code__.co_freevars, function.__closure__ or (), strict=True
            )
        }
        return [
            *((names[key], cell) for key, cell in self._cells.items()),
            *(("", namespace) for namespace in self._globals.values()),
            *(("", vars(function)) for function in self._copies.values()),
        ]

    def _copy(self, function: types.FunctionType) -> types.FunctionType:
        own = self._globals.setdefault(id(function.__globals__), dict(function.__globals__))
        cells = function.__closure__ or ()
        closure = tuple([self._cells.setdefault(id(cell), types.CellType()) for cell in cells])
        copy = types.FunctionType(
            function.__code__, own, function.__name__, function.__defaults__, closure
        )
        copy.__kwdefaults__ = dict(function.__kwdefaults__ or {})
        copy.__dict__.update(function.__dict__)
        return copy

    def _replace(self, others: Mapping[int, Any]) -> None:
        """Fill the copies' variables with what the originals hold, or what replaces that, by id."""
        for function in self._originals.values():
            for cell in function.__closure__ or ():
                contents = contents_of(cell, unbound=_UNBOUND)
                if contents is not _UNBOUND:
                    self._cells[id(cell)].cell_contents = others.get(id(contents), contents)
        own_builtins = {n: others[id(x)] for n, x in vars(builtins).items() if id(x) in others}
        for namespace in self._globals.values():
            namespace.update({n: others[id(x)] for n, x in namespace.items() if id(x) in others})
            namespace.update({n: x for n, x in own_builtins.items() if n not in namespace})


_UNBOUND = object()
