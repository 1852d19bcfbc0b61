"""Copying and pickling of graphs: of any depth, without recursion, and with identity kept.

Python itself descends from a value to its operands, one nested call for each operation, and gives
up after some hundreds. Here all values of the graph are first created empty, in a list; references
to them, in any order and in cycles, then find them there.
"""

import threading
from collections.abc import Iterator
from copy import copy, deepcopy
from copyreg import __newobj__  # type: ignore[attr-defined]
from typing import Any, ClassVar


def copy_value(value: Any) -> Any:
    """Return a shallow copy: a new value made of the same operands."""
    copied = __newobj__(_kind(value))
    attributes, slots = value.__getstate__()
    slots["_operation"] = copy(slots["_operation"])
    _set_state(copied, (attributes, slots))
    return copied


def deepcopy_value(value: Any, memo: dict[int, Any]) -> Any:
    """Return a copy of the value and of its graph."""
    fresh = [v for v in _reachable(value) if id(v) not in memo]
    for v in fresh:
        memo[id(v)] = __newobj__(_kind(v))
    for v in fresh:
        _set_state(memo[id(v)], deepcopy(v.__getstate__(), memo))
    return memo[id(value)]


def reduce_value(value: Any) -> tuple[Any, ...]:
    """Return what the pickle module asks for: how to create the value empty, then its state."""
    # pickle knows __newobj__ and insists that it creates an object of the same class.
    make = __newobj__ if _kind(value) is type(value) else _new
    if id(value) in _listed.ids:
        return make, (_kind(value),)
    values = _reachable(value)
    return make, (_kind(value),), (_Empty(values), [v.__getstate__() for v in values])


def restore_value(_value: Any, state: tuple[list[Any], list[Any]]) -> None:
    """Give all values of an unpickled graph their states."""
    for value, its_state in zip(*state, strict=True):
        _set_state(value, its_state)


class _Listed(threading.local):
    """The values that this thread is pickling as empty ones at present."""

    def __init__(self) -> None:
        self.ids: set[int] = set()


_listed = _Listed()


class _Empty:
    """Values to be pickled empty, as a list."""

    def __init__(self, values: list[Any]) -> None:
        self.values = values

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (), None, self._one_by_one()

    def _one_by_one(self) -> Iterator[Any]:
        # pickle advances this iterator only while it writes the items.
        ids = {id(value) for value in self.values}
        _listed.ids |= ids
        try:
            yield from self.values
        finally:
            _listed.ids -= ids


def _kind(value: Any) -> type:
    """Return the class of the copy, which a value's class may declare."""
    return value._copied_as or type(value)


def _new(kind: Any) -> Any:
    return kind.__new__(kind)


def _reachable(value: Any) -> list[Any]:
    """Return the value, its graph and their gradients where these are Values."""
    seen = {id(value)}
    values = [value]
    for v in values:
        # A lifted function's result is copied without its operands.
        operands = () if v._copied_alone else v._prev
        for other in (*operands, v.grad) if isinstance(v.grad, Copied) else operands:
            if id(other) not in seen:
                seen.add(id(other))
                values.append(other)
    return values


def _set_state(value: Any, state: tuple[dict[str, Any] | None, dict[str, Any]]) -> None:
    attributes, slots = state
    for name, x in slots.items():
        setattr(value, name, x)
    if attributes:
        vars(value).update(attributes)


class Copied:
    """Base of values that are copied and pickled with their graph."""

    __slots__ = ()
    _copied_as: ClassVar[type | None] = None
    """The class of a copy; None: the same."""
    _copied_alone: ClassVar[bool] = False
    """Whether a copy is a plain number, without its operands."""
    __copy__ = copy_value
    __deepcopy__ = deepcopy_value
    __reduce__ = reduce_value
    __setstate__ = restore_value
