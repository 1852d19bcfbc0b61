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
    cls: Any = type(x)
    attributes: dict[str, Any] = getattr(x, "__dict__", {})
    slots = slots_of(cls)
    if not slots:
        return attributes
    return {**attributes, **{name: getattr(x, name) for name in slots if hasattr(x, name)}}


@lru_cache(maxsize=1024)
def slots_of(cls: Any) -> tuple[str, ...]:
    """Return the names of all slots of a class."""
    return tuple(copyreg._slotnames(cls))  # type: ignore[attr-defined]


@lru_cache(maxsize=1024)
def is_users_class(cls: Any) -> bool:
    """Return whether a class was defined by the user rather than by a library."""
    module = sys.modules.get(cls.__module__)
    return module is not None and is_users_module(vars(module))


@lru_cache(maxsize=1024)
def has_users_attributes(cls: Any) -> bool:
    """Return whether instances of a class have attributes that the user set or knows."""
    return issubclass(cls, Module | types.SimpleNamespace) or is_users_class(cls)


@lru_cache(maxsize=1024)
def has_attributes_only(cls: Any) -> bool:
    """Return whether instances hold no state beyond their Python attributes."""
    if issubclass(cls, _OPAQUE) or any(hasattr(cls, name) for name in _SIGNS_OF_MORE):
        return False
    if cls is types.SimpleNamespace:
        return True
    try:
        object.__new__(cls)  # fails if instances have state in C, which Python does not see
    except TypeError:
        return False
    return cls.__dictoffset__ != 0 or bool(slots_of(cls))


@lru_cache(maxsize=1024)
def is_collection(cls: Any) -> bool:
    """Return whether iterating over an instance yields everything that it holds."""
    return issubclass(cls, Mapping | Sequence | AbstractSet)  # a deque and a bytearray are, too


@lru_cache(maxsize=1024)
def is_iterator(cls: Any) -> bool:
    """Return whether iterating consumes an instance; files, which are written to, do not count."""
    return hasattr(cls, "__next__") and not issubclass(cls, io.IOBase)


_OPAQUE = (
    *(type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.MethodType),
    *(enum.Enum, Operation),
)
_SIGNS_OF_MORE = ("__get__", "__array__", "_apply", "_tape")
"""Attributes of functions, of other libraries' arrays, and of traced numbers."""
