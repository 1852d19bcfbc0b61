"""Attributes: what traced values have by name, as `hasattr` and `getattr` find it.

A number has a number's attributes and none of a Value's; a Value has what the user added to its
class. Looking that up as it is asked for, by `__getattr__`, would slow down all other attributes.
"""

from typing import Any

import numpy as np

from liftgrad.engine import Value
from liftgrad.lift.stand_ins.indices import TracedIndex
from liftgrad.lift.stand_ins.values import TracedNumber, TracedValue
from liftgrad.lift.user_code import refused
from liftgrad.operators import Operators

PUBLIC_OF_NUMBERS = {
    name
    for kind in (Operators, float, int, np.float64, np.float32, np.int64, np.bool_)
    for name in dir(kind)
    if not name.startswith("_")
}


def _known(name: str) -> property:
    """Return a property that says what a traced number knows of the number that it stands for."""

    def ask(self: Any) -> Any:
        return self._known(name)

    return property(ask)


def _no_graph(name: str) -> property:
    def ask(_: TracedValue) -> Any:
        raise refused(
            f"{name} of a traced value, which has no graph while the program is being recorded; "
            "return it and look at what the call returns."
        )

    return property(ask)


class _Added:
    """An attribute that the user gave the class Value, or has in a class of his own."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, traced: TracedValue, _owner: type) -> Any:
        kind: Any = traced.__class__
        attribute = next((vars(c)[self.name] for c in kind.__mro__ if self.name in vars(c)), None)
        if attribute is None:
            raise AttributeError(f"'{kind.__name__}' object has no attribute {self.name!r}")
        return attribute.__get__(traced, kind) if hasattr(attribute, "__get__") else attribute


def know_attributes(kinds: set[type]) -> None:
    """Give traced values what the user gave these classes of Values, which may be Value itself."""
    for kind in kinds:
        for name in {name for c in kind.__mro__ for name in vars(c)} - _ATTRIBUTES:
            if not hasattr(TracedValue, name):
                setattr(TracedValue, name, _Added(name))


for _name in PUBLIC_OF_NUMBERS:
    setattr(TracedNumber, _name, _known(_name))
    setattr(TracedIndex, _name, _known(_name))
for _name in ("_op", "_operation", "_adjoints", "_numbers"):
    setattr(TracedValue, _name, _no_graph(_name))
_ATTRIBUTES = {name for c in Value.__mro__ for name in vars(c)}
"""What Values have by themselves."""
