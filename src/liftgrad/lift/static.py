"""Static: snapshots of what a program bakes in, equal while another run would bake in the same."""

import copyreg
import sys
import types
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache
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
    if isinstance(x, set):
        return kind, frozenset(x)
    if kind.__hash__ is None and is_sized(kind):
        items = x.items() if isinstance(x, Mapping) else x
        return kind, *[snapshot(item, inner) for item in items]
    if isinstance(x, Value | Module):
        return _Same(x)
    if is_users_class(kind) or kind is types.SimpleNamespace:
        slots = {name: getattr(x, name) for name in slots_of(kind) if hasattr(x, name)}
        attributes = {**slots, **getattr(x, "__dict__", {})}
        return kind, *[(name, snapshot(item, inner)) for name, item in attributes.items()]
    return (kind, x) if kind in (int, bool, str, bytes, type(None), frozenset) else _Same(x)


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


def is_users(space: Mapping[str, Any]) -> bool:
    """Tell whether these are the globals of the user's own code, not of Python, liftgrad, ..."""
    package = str(space.get("__name__")).partition(".")[0]
    if package == "liftgrad" or package in sys.stdlib_module_names:
        return False
    return not any(place in str(space.get("__file__", "")) for place in _LIBRARIES)
