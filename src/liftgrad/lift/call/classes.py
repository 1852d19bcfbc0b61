"""Classes: what their instances consist of, and whether the user or a library defined them."""

import copyreg
import enum
import io
import sys
import types
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import Any

from liftgrad.lift.user_code import is_users_module
from liftgrad.nn import Module
from liftgrad.ops import Operation


def attributes_of(x: Any) -> dict[str, Any]:
    """Return the attributes of an object, those in its slots included."""
    kind: Any = type(x)
    attributes: dict[str, Any] = getattr(x, "__dict__", {})
    slots = slots_of(kind)
    if not slots:
        return attributes
    return {**attributes, **{name: getattr(x, name) for name in slots if hasattr(x, name)}}


@lru_cache(maxsize=1024)
def slots_of(kind: Any) -> tuple[str, ...]:
    """Return the names of all slots of a class."""
    return tuple(copyreg._slotnames(kind))  # type: ignore[attr-defined]


@lru_cache(maxsize=1024)
def is_users_class(kind: Any) -> bool:
    """Return whether a class was defined by the user rather than by a library."""
    module = sys.modules.get(kind.__module__)
    return module is not None and is_users_module(vars(module))


@lru_cache(maxsize=1024)
def has_users_attributes(kind: Any) -> bool:
    """Return whether instances of a class have attributes that the user set or knows."""
    return issubclass(kind, Module | types.SimpleNamespace) or is_users_class(kind)


@lru_cache(maxsize=1024)
def has_attributes_only(kind: Any) -> bool:
    """Return whether instances hold no state beyond their Python attributes."""
    if issubclass(kind, _OPAQUE) or any(hasattr(kind, name) for name in _SIGNS_OF_MORE):
        return False
    if kind is types.SimpleNamespace:
        return True
    try:
        object.__new__(kind)  # fails if instances have state in C, which Python does not see
    except TypeError:
        return False
    return kind.__dictoffset__ != 0 or bool(slots_of(kind))


@lru_cache(maxsize=1024)
def is_collection(kind: Any) -> bool:
    """Return whether iterating over an instance yields everything that it holds."""
    return issubclass(kind, Mapping | Sequence | AbstractSet)  # a deque and a bytearray are, too


@lru_cache(maxsize=1024)
def is_iterator(kind: Any) -> bool:
    """Return whether items taken from an instance are gone; a file, also written to, is none."""
    return hasattr(kind, "__next__") and not issubclass(kind, io.IOBase)


_OPAQUE = (
    *(type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.MethodType),
    *(enum.Enum, Operation),
)
_SIGNS_OF_MORE = ("__get__", "__array__", "_apply", "_tape")
"""Attributes of functions, of other libraries' arrays, and of traced numbers."""
