"""Reachable: objects that lead on to others, through containers, attributes and methods."""

import types
from collections import deque
from collections.abc import Iterable, Iterator
from functools import lru_cache, partial
from typing import Any

import numpy as np

from liftgrad.lift.call.classes import attributes_of, has_users_attributes
from liftgrad.operators import Operators

Named = tuple[str, Any]
"""An object, after the user's name for it."""
_LEAVES = (Operators, float, int, str, bytes, type(None), np.generic)


def reach(named: Iterable[Named]) -> Iterator[Named]:
    """Yield objects and all that is reachable from them, each once, by the user's name for it.

    Numbers, Values and strings are left out. Functions, classes, modules and the objects of
    libraries lead nowhere.
    """
    seen: set[int] = set()
    stack = [(name, x) for name, x in named if not _is_leaf(x.__class__)]
    while stack:
        name, x = stack.pop()
        if id(x) not in seen:
            seen.add(id(x))
            yield name, x
            for key, item in _inside(x):
                if not _is_leaf(item.__class__):
                    stack.append((name if key is None else f"{name}.{key}", item))


def _inside(x: Any) -> list[tuple[Any, Any]]:
    """Return what an object leads to in one step, with names, or None where it has none."""
    inside: list[tuple[Any, Any]] = []
    cls: Any = type(x)
    if issubclass(cls, dict):
        inside += x.items()
    elif issubclass(cls, list | tuple | set | frozenset | deque):
        if not all(map(_is_leaf, set(map(type, x)))):  # most lists are of Values or numbers alone
            inside += enumerate(x)
    elif issubclass(cls, partial):
        inside += [(None, held) for held in (x.func, x.args, x.keywords)]
    elif issubclass(cls, types.MethodType | types.BuiltinMethodType):
        inside.append((None, x.__self__))
    if has_users_attributes(cls):
        inside += attributes_of(x).items()
    return inside


@lru_cache(maxsize=1024)
def _is_leaf(cls: Any) -> bool:
    return issubclass(cls, _LEAVES)
