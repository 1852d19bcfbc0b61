"""Snapshots: hashable copies of baked-in objects, equal iff retracing would bake in the same."""

import types
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import numpy as np

from liftgrad.engine import Value
from liftgrad.lift.call.classes import attributes_of, has_users_attributes, is_collection


@dataclass(slots=True, frozen=True)
class Snapshot:
    """A static argument: an object as it was, everything in it included."""

    contents: Any

    @classmethod
    def of(cls, x: Any) -> Self:
        """Return the snapshot of an object, which does not change when the object does."""
        return cls(snapshot(x))


def snapshot(x: Any, within: tuple[int, ...] = ()) -> Any:
    """Return an object's contents as something hashable; `within` are the objects around it."""
    cls: Any = type(x)
    if isinstance(x, float | np.floating):
        return float, float(x).hex()
    if id(x) in within:
        return within.index(id(x))
    inner = (*within, id(x))
    if isinstance(x, list | tuple):
        return cls, *[snapshot(item, inner) for item in x]
    if isinstance(x, dict):
        return cls, *[(key, snapshot(item, inner)) for key, item in x.items()]
    if isinstance(x, np.ndarray) and x.dtype.kind in "biuf":
        return cls, x.shape, x.dtype.str, x.tobytes()
    if isinstance(x, np.ndarray) and x.dtype == object:
        return cls, x.shape, *[snapshot(item, inner) for item in x.flat]
    if isinstance(x, set | frozenset):
        return cls, frozenset(snapshot(item, inner) for item in x)
    if isinstance(x, types.MethodType):
        return cls, _Identity(x.__func__), snapshot(x.__self__, inner)
    if isinstance(x, partial):
        return cls, *[snapshot(held, inner) for held in (x.func, x.args, x.keywords)]
    if cls.__hash__ is None and is_collection(cls):
        items = x.items() if isinstance(x, Mapping) else x
        return cls, *[snapshot(item, inner) for item in items]
    if isinstance(x, Value):
        return _Identity(x)
    if has_users_attributes(cls):
        return cls, *[(name, snapshot(item, inner)) for name, item in attributes_of(x).items()]
    return (cls, x) if cls in (int, bool, str, bytes, type(None)) else _Identity(x)


class _Identity:
    """An object that equals nothing but itself."""

    __slots__ = ("known",)

    def __init__(self, known: Any) -> None:
        self.known = known

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and other.known is self.known

    def __hash__(self) -> int:
        return id(self.known)
