"""Mentions: the names, texts and imports that the bytecode of functions mentions."""

import dis
import types
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Self


@dataclass(slots=True, frozen=True)
class Mentions:
    """What the code of some functions mentions."""

    names: frozenset[str]
    """All names in it."""
    attributes: frozenset[str]
    """Those of attributes that it reads."""
    imports: frozenset[str]
    """The modules that it imports when it runs."""

    @classmethod
    def of(cls, functions: Iterable[types.FunctionType]) -> Self:
        """Return what these functions mention."""
        codes = [f.__code__ for f in functions]
        return cls(
            frozenset[str]().union(*map(names_in, codes)),
            frozenset[str]().union(*(arguments_of(c, _ATTRIBUTES) for c in codes)),
            frozenset[str]().union(*(arguments_of(c, _IMPORTS) for c in codes)),
        )


@lru_cache(maxsize=1024)
def names_in(code: types.CodeType) -> frozenset[str]:
    """Return all names in a function, those of attributes included; nested functions count."""
    return frozenset(code.co_names).union(*map(names_in, _nested(code)))


@lru_cache(maxsize=1024)
def texts_in(code: types.CodeType) -> frozenset[str]:
    """Return the texts in a function that `getattr` or `globals()` may use as names."""
    texts = {x for x in code.co_consts if isinstance(x, str) and x.isidentifier()}
    return frozenset(texts.union(*map(texts_in, _nested(code))))


def globals_in(code: types.CodeType) -> frozenset[str]:
    """Return the names in a function that Python looks up in its module's globals."""
    return arguments_of(code, ("LOAD_GLOBAL",))


def imported_by(function: types.FunctionType) -> set[str]:
    """Return the full names that the modules which a function imports when it runs may have."""
    package = str(function.__globals__.get("__package__") or "").split(".")
    names: set[str] = set()
    for name in arguments_of(function.__code__, _IMPORTS):
        path = name.split(".")
        names.update(".".join(path[: i + 1]) for i in range(len(path)))
        # An import may be relative to the function's package, or to one around it.
        names.update(".".join([*package[: i + 1], name]).rstrip(".") for i in range(len(package)))
    return names


@lru_cache(maxsize=2048)
def arguments_of(code: types.CodeType, instructions: tuple[str, ...]) -> frozenset[str]:
    """Return the names that these instructions have, in a function and those nested in it."""
    names = {i.argval for i in dis.get_instructions(code) if i.opname in instructions}
    return frozenset(names.union(*(arguments_of(inner, instructions) for inner in _nested(code))))


_ATTRIBUTES = ("LOAD_ATTR", "LOAD_METHOD", "IMPORT_FROM")
_IMPORTS = ("IMPORT_NAME",)


def _nested(code: types.CodeType) -> list[types.CodeType]:
    return [x for x in code.co_consts if isinstance(x, types.CodeType)]
