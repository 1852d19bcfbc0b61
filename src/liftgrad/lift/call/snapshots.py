"""Static: snapshots of what a program bakes in, equal while another run would bake in the same."""

import copyreg
import sys
import types
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np

from liftgrad.engine import Value
from liftgrad.nn import Module

_LIBRARIES = ("site-packages", "dist-packages")


@dataclass(slots=True, frozen=True)
class Static:
    """An argument that is static as a whole."""

    snapshot: Any


class _Same:
    """An object that is known by its identity."""

    __slots__ = ("known",)

    def __init__(self, known: Any) -> None:
        self.known = known

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.known is self.known

    def __hash__(self) -> int:
        return id(self.known)


def snapshot(x: Any, within: tuple[int, ...] = ()) -> Any:
    """Return something hashable that does not change when `x` does."""
    kind: Any = type(x)
    if isinstance(x, float | np.floating):
        return float, float(x).hex()
    if id(x) in within:
        return within.index(id(x))
    inner = (*within, id(x))
    if isinstance(x, list | tuple):
        return kind, *[snapshot(item, inner) for item in x]
    if isinstance(x, dict):
        return kind, *[(key, snapshot(item, inner)) for key, item in x.items()]
    if isinstance(x, np.ndarray) and x.dtype.kind in "biuf":
        return kind, x.shape, x.dtype.str, x.tobytes()
    if isinstance(x, np.ndarray) and x.dtype == object:
        return kind, x.shape, *[snapshot(item, inner) for item in x.flat]
    if isinstance(x, set | frozenset):
        return kind, frozenset(snapshot(item, inner) for item in x)
    if isinstance(x, types.MethodType):
        return kind, _Same(x.__func__), snapshot(x.__self__, inner)
    if isinstance(x, partial):
        return kind, *[snapshot(part, inner) for part in (x.func, x.args, x.keywords)]
    if kind.__hash__ is None and is_sized(kind):
        items = x.items() if isinstance(x, Mapping) else x
        return kind, *[snapshot(item, inner) for item in items]
    if isinstance(x, Value):
        return _Same(x)
    if has_users_attributes(kind):
        slots = {name: getattr(x, name) for name in slots_of(kind) if hasattr(x, name)}
        attributes = {**slots, **getattr(x, "__dict__", {})}
        return kind, *[(name, snapshot(item, inner)) for name, item in attributes.items()]
    return (kind, x) if kind in (int, bool, str, bytes, type(None)) else _Same(x)


@lru_cache(maxsize=1024)
def is_sized(kind: Any) -> bool:
    """Tell whether objects of a class show all that they hold when one goes through them."""
    return issubclass(kind, Mapping | Sequence | AbstractSet)  # a deque and a bytearray are, too


@lru_cache(maxsize=1024)
def slots_of(kind: Any) -> tuple[str, ...]:
    """Return the names of all slots of a class."""
    return tuple(copyreg._slotnames(kind))  # type: ignore[attr-defined]


@lru_cache(maxsize=1024)
def is_users_class(kind: Any) -> bool:
    """Tell whether a class was defined by the user rather than by a library."""
    module = sys.modules.get(kind.__module__)
    return module is not None and is_users(vars(module))


@lru_cache(maxsize=1024)
def has_users_attributes(kind: Any) -> bool:
    """Tell whether objects of a class have attributes that the user knows."""
    return issubclass(kind, Module | types.SimpleNamespace) or is_users_class(kind)


def is_users(space: Mapping[str, Any]) -> bool:
    """Tell whether these are the globals of the user's own code, not of Python, liftgrad, ..."""
    package = str(space.get("__name__")).partition(".")[0]
    if package == "liftgrad" or package in sys.stdlib_module_names:
        return False
    return not any(place in str(space.get("__file__", "")) for place in _LIBRARIES)
