"""Names: what Value, float, type, max and min mean in a function that is traced.

`Value(x)`, `float(x)`, `type(x)`, `max(...)` and `min(...)` would need numbers that are not known
yet. In the copies of the user's functions, these names stand for what gives the same program: a
constant, the number itself, the class that a traced value stands for, a selection.
"""

import weakref
from collections.abc import Callable, Iterable
from functools import reduce
from typing import Any

import numpy as np

from liftgrad import ops
from liftgrad.engine import Value
from liftgrad.lift.stand_ins.indices import TracedIndex
from liftgrad.lift.stand_ins.values import Condition, TracedNumber, TracedValue
from liftgrad.lift.trace.tape import Tape
from liftgrad.lift.user_code import refused
from liftgrad.numbers import to_float
from liftgrad.protocols import is_on_tape, stands_for_number
from liftgrad.variable import Variable


def traced_builtins(tape: Tape) -> dict[Any, Any]:
    """Return what takes the place of the class Value and of some builtins, for one tape."""
    # Classes are reference cycles, which wait for the collector; the tape must not wait with them.
    reference = weakref.ref(tape)
    value_class = _stand_in(Value, lambda *args, **kwargs: _new_value(reference(), *args, **kwargs))
    float_class = _stand_in(float, _as_float)
    classes = {Value: value_class, float: float_class}
    tape.classes = classes  # so that `x.__class__` is one of them, too

    def type_of(x: Any, *arguments: Any, **keywords: Any) -> Any:
        if arguments:
            return type(x, *arguments, **keywords)
        cls = x.__class__ if is_on_tape(x) else type(x)
        return classes.get(cls, cls)

    builtins: tuple[Any, ...] = (float, type, max, min)
    return {
        Value: value_class,
        **dict(zip(builtins, (float_class, _stand_in(type, type_of), _max, _min), strict=True)),
    }


def _stand_in(original: type, call: Callable[..., Any]) -> type:
    """Return a class that equals another one, and has its instances and attributes."""

    class Kind(type):
        def __call__(cls, *arguments: Any, **keywords: Any) -> Any:
            return call(*arguments, **keywords)

        def __instancecheck__(cls, x: Any) -> bool:
            return isinstance(x, original)

        def __subclasscheck__(cls, kind: Any) -> bool:
            return issubclass(kind, original)

        def __eq__(cls, other: object) -> bool:
            return other is cls or other is original

        def __hash__(cls) -> int:
            return hash(original)

        def __getattr__(cls, name: str) -> Any:
            return getattr(original, name)

    # A subclass, so that isinstance(x, original) holds if x.__class__ is this one. NumPy asks
    # anything that may be a type for its `dtype`.
    extra = {"dtype": np.dtype(float)} if original is float else {}
    return Kind(original.__name__, () if original is type else (original,), extra)


def _new_value(
    tape: Tape | None,
    data: Any,
    _children: Iterable[Any] = (),
    _op: Any = "",
    label: str = "",  # noqa: ARG001, no picture shows it
) -> Any:
    """Return a constant; that of a traced number is the number, detached.

    No gradient flows on, as none flows from an eager Value to the float that it was made of.
    """
    assert tape is not None
    if tuple(_children):
        raise refused(
            "a Value is made with operands of its own here, whose derivative cannot be followed; "
            "compute it with operators and liftgrad.functional."
        )
    if stands_for_number(data):
        return TracedValue(tape, ops.detach(_as_float(data))._index)
    if type(data) is Variable:
        return ops.detach(data)
    return TracedValue(tape, tape.constant(to_float(data)))


def _as_float(x: Any = 0.0) -> Any:
    """Return a number, known or not, as a float."""
    if type(x) is TracedNumber:
        return TracedNumber(x._tape, x._index, float)
    if type(x) in (TracedIndex, Condition):
        number = x._number()
        return TracedNumber(number._tape, number._index, float)
    return float(x)


def _max(*arguments: Any, **options: Any) -> Any:
    """Return Python's max, also of traced numbers."""
    items = list(arguments[0]) if len(arguments) == 1 else list(arguments)
    if options or not any(is_on_tape(x) for x in items):
        return max(*(arguments if len(arguments) > 1 else [items]), **options)
    if any(type(x) is TracedValue or isinstance(x, Value) for x in items):
        return reduce(lambda best, x: ops.where(x > best, x, best), items)
    # Without a gradient, order matters for nan only, which Python returns if it comes first.
    first, *others = items
    return ops.largest(first, *[ops.where(x == x, x, -np.inf) for x in others])  # noqa: PLR0124


def _min(*arguments: Any, **options: Any) -> Any:
    """Return Python's min, also of traced numbers."""
    items = list(arguments[0]) if len(arguments) == 1 else list(arguments)
    if options or not any(is_on_tape(x) for x in items):
        return min(*(arguments if len(arguments) > 1 else [items]), **options)
    if any(type(x) is TracedValue or isinstance(x, Value) for x in items):
        return reduce(lambda best, x: ops.where(x < best, x, best), items)
    return -_max([-x for x in items])
