"""Reach: what a function can get at from an object, through containers, attributes and methods."""

import types
from collections import deque
from collections.abc import Iterable, Iterator
from functools import lru_cache, partial
from typing import Any

import numpy as np

from liftgrad.lift.call.classes import has_users_attributes, slots_of
from liftgrad.operators import Operators

Named = tuple[str, Any]
_LEAVES = (Operators, float, int, str, bytes, type(None), np.generic)


def reach(named: Iterable[Named]) -> Iterator[Named]:
    """Yield objects and what is inside of them, each once, by the names that the user has for it.

    Numbers, Values and strings are left out, and nothing is looked for inside of functions,
    classes, modules and the objects of libraries.
    """
    seen: set[int] = set()
    stack = [named_so for named_so in named if not _is_leaf(named_so[1].__class__)]
    while stack:
        named_so = stack.pop()
        name, x = named_so
        if id(x) not in seen:
            seen.add(id(x))
            yield named_so
            for key, item in _inside(x):
                if not _is_leaf(item.__class__):
                    stack.append((name if key is None else f"{name}.{key}", item))


def attributes_of(x: Any) -> dict[str, Any]:
    """Return the attributes of an object, and what is in its slots."""
    kind: Any = type(x)
    attributes: dict[str, Any] = getattr(x, "__dict__", {})
    slots = slots_of(kind)
    if not slots:
        return attributes
    return {**attributes, **{name: getattr(x, name) for name in slots if hasattr(x, name)}}


def _inside(x: Any) -> list[tuple[Any, Any]]:
    """Return what is right inside of an object, with names, or None where it has none."""
    inside: list[tuple[Any, Any]] = []
    kind: Any = type(x)
    if issubclass(kind, dict):
        inside += x.items()
    elif issubclass(kind, list | tuple | set | frozenset | deque):
        if not all(map(_is_leaf, set(map(type, x)))):  # most lists are of Values or numbers alone
            inside += enumerate(x)
    elif issubclass(kind, partial):
        inside += [(None, part) for part in (x.func, x.args, x.keywords)]
    elif issubclass(kind, types.MethodType | types.BuiltinMethodType):
        inside.append((None, x.__self__))
    if has_users_attributes(kind):
        inside += attributes_of(x).items()
    return inside


@lru_cache(maxsize=1024)
def _is_leaf(kind: Any) -> bool:
    return issubclass(kind, _LEAVES)
