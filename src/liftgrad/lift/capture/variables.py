"""Variables: the names by which functions and classes know things, and what these stand for."""

import dis
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self


@dataclass(slots=True, frozen=True)
class Source:
    """A variable: a cell of a closure, or a name in a module's globals or a class."""

    cell: types.CellType | None
    space: Mapping[str, Any]
    name: str

    def value(self) -> Any:
        """Return what it is bound to now, or None if it is not."""
        if self.cell is None:
            return self.space.get(self.name)
        return contents_of(self.cell)

    def lookup(self) -> tuple[Callable[[Any], Any], Any]:
        """Return a function and its argument that give the value, at the least cost."""
        if self.cell is None:
            return self.space.get, self.name
        return contents_of, self.cell

    def identity(self) -> tuple[Any, ...]:
        """Return what tells it apart from other variables."""
        return id(self.cell), id(self.space), self.name


@dataclass(slots=True, frozen=True)
class Default:
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
        return Default.value, self

    def identity(self) -> tuple[Any, ...]:
        """Return what tells it apart from others."""
        return id(self.function), self.place


def contents_of(cell: types.CellType, unbound: Any = None) -> Any:
    """Return what a variable of a closure is bound to."""
    try:
        return cell.cell_contents
    except ValueError:  # not bound yet
        return unbound


@lru_cache(maxsize=1024)
def attributes_of_class(kind: type) -> Mapping[str, Any]:
    """Return the attributes of a class, always by the same object."""
    return vars(kind)


def variables_of(function: types.FunctionType) -> Iterator[Source]:
    """Yield what a function knows from its closure and its module's globals."""
    space = function.__globals__
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        yield Source(cell, space, name)
    names = _arguments(function.__code__, ("LOAD_GLOBAL",))
    if "globals" in names:
        names |= texts_in(function.__code__) & space.keys()
    for name in sorted(names):
        yield Source(None, space, name)


def attributes_of_function(function: types.FunctionType) -> Iterator[Source]:
    """Yield the attributes that somebody gave a function."""
    for name in vars(function):
        if name != "__wrapped__":
            yield Source(None, vars(function), name)


def defaults_of(function: types.FunctionType) -> Iterator[Default]:
    """Yield the defaults of a function's parameters."""
    name = function.__name__
    for i in range(len(function.__defaults__ or ())):
        yield Default(function, i, f"{name}'s default {i}")
    for key in function.__kwdefaults__ or {}:
        yield Default(function, key, f"{name}'s {key}")


def set_default(function: types.FunctionType, place: int | str, value: Any) -> None:
    """Give a parameter, by its place or name, another default."""
    if isinstance(place, int):
        defaults = list(function.__defaults__ or ())
        defaults[place] = value
        function.__defaults__ = tuple(defaults)
    else:
        assert function.__kwdefaults__ is not None
        function.__kwdefaults__[place] = value


@lru_cache(maxsize=1024)
def names_in(code: types.CodeType) -> frozenset[str]:
    """Return all names in a function that may be attributes, with the functions inside of it."""
    return frozenset(code.co_names).union(*map(names_in, _inner(code)))


@lru_cache(maxsize=1024)
def texts_in(code: types.CodeType) -> frozenset[str]:
    """Return the texts in a function, by which `getattr` or `globals()` may find a name."""
    texts = {x for x in code.co_consts if isinstance(x, str) and x.isidentifier()}
    return frozenset(texts.union(*map(texts_in, _inner(code))))


def imported_by(function: types.FunctionType) -> set[str]:
    """Return the names that modules which a function imports when it runs may have."""
    package = str(function.__globals__.get("__package__") or "").split(".")
    names: set[str] = set()
    for name in _arguments(function.__code__, _IMPORTS):
        parts = name.split(".")
        names.update(".".join(parts[: i + 1]) for i in range(len(parts)))
        # One relative to the package, or to one that holds it.
        names.update(".".join([*package[: i + 1], name]).rstrip(".") for i in range(len(package)))
    return names


@dataclass(slots=True, frozen=True)
class Mentioned:
    """What the code of some functions mentions."""

    names: frozenset[str]
    """All names in it."""
    attributes: frozenset[str]
    """Those among them of attributes that it reads."""
    imports: frozenset[str]
    """The modules that it imports when it runs."""

    @classmethod
    def by(cls, functions: Iterable[types.FunctionType]) -> Self:
        """Return what these functions mention."""
        codes = [f.__code__ for f in functions]
        return cls(
            frozenset[str]().union(*map(names_in, codes)),
            frozenset[str]().union(*(_arguments(c, _ATTRIBUTES) for c in codes)),
            frozenset[str]().union(*(_arguments(c, _IMPORTS) for c in codes)),
        )


_ATTRIBUTES = ("LOAD_ATTR", "LOAD_METHOD", "IMPORT_FROM")
_IMPORTS = ("IMPORT_NAME",)


@lru_cache(maxsize=2048)
def _arguments(code: types.CodeType, instructions: tuple[str, ...]) -> frozenset[str]:
    """Return the names in these instructions of a function, and of those inside of it."""
    names = {i.argval for i in dis.get_instructions(code) if i.opname in instructions}
    return frozenset(names.union(*(_arguments(inner, instructions) for inner in _inner(code))))


def _inner(code: types.CodeType) -> list[types.CodeType]:
    return [x for x in code.co_consts if isinstance(x, types.CodeType)]
