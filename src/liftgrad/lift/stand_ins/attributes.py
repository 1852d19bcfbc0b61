"""Attributes: what stand-ins for Values and numbers have by name.

`hasattr` and `getattr` find what they would find eagerly: a number has a number's attributes and
none of a Value's; a Value has what the user added to its class. To look these up when they are
asked for, in `__getattr__`, would slow down all other attributes.
"""

from typing import Any

import numpy as np

from liftgrad.engine import Value
from liftgrad.lift.stand_ins.refusals import (
    AS_INTEGER,
    AS_KEY,
    IN_WHOLE_NUMBERS,
    refuse,
    refuse_branch,
)
from liftgrad.lift.stand_ins.scalars import TracedScalar
from liftgrad.lift.trace.nodes import CONSTANT, LEAF
from liftgrad.lift.trace.tape import Tape
from liftgrad.lift.user_code import refused
from liftgrad.operators import Operators
from liftgrad.ops import OPERATIONS

ASKED_BY_NUMPY = ("__array_interface__", "__array_struct__", "__array_priority__", "__array__")
"""Attributes that NumPy looks for in anything; without them it makes arrays of objects."""


class ValueAttributes(TracedScalar):
    """What a stand-in for a Value has in common with it, besides arithmetic."""

    __slots__ = ()

    @property
    def _given(self) -> Value | None:
        """The argument that it stands for, if it stands for one."""
        operation, *leaf = self._tape.nodes[self._index]
        return self._tape.argument(*leaf) if operation is LEAF else None

    @property
    def __class__(self) -> Any:
        """The class of what it stands for, which `isinstance` asks for."""
        given = self._given
        cls = Value if given is None or issubclass(Value, type(given)) else type(given)
        return self._tape.classes.get(cls, cls)

    @__class__.setter
    def __class__(self, _: Any) -> None:
        raise refused("the class of a traced value is set; make a Value before the call.")

    @property
    def grad(self) -> Any:
        """Refused."""
        raise refused(_GRADIENT)

    @grad.setter
    def grad(self, _: Any) -> None:
        raise refused(_GRADIENT)

    @property
    def label(self) -> str:
        """Refused; it may be set, but no picture shows it."""
        raise refused(
            "the label of a Value is read in a lifted function, which would keep the present text "
            "for all calls; pass the text as an argument."
        )

    @label.setter
    def label(self, label: str) -> None:
        pass

    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        raise refused(
            "the attributes of a Value are read in a lifted function, which would keep their "
            "present values for all calls; pass them as arguments."
        )

    def backward(self, **_: Any) -> None:
        """Refused."""
        raise refused(_GRADIENT)

    @property
    def _backward(self) -> Any:
        raise refused(_GRADIENT)

    @_backward.setter
    def _backward(self, _: Any) -> None:
        raise refused(
            "an operation of your own is made in a lifted function, which cannot follow its "
            "derivative; compute it with operators and liftgrad.functional."
        )

    @property
    def _prev(self) -> tuple[Any, ...]:
        """The operands; none for a leaf, which is how a Module knows its parameters."""
        node = self._tape.nodes[self._index]
        if node[0] is LEAF or node[0] is CONSTANT:
            return ()
        return tuple([type(self)(self._tape, operand) for operand in node[1:]])


class NumberAttributes(TracedScalar):
    """What a stand-in for a number has in common with it, besides arithmetic."""

    __slots__ = ("_class",)

    def __init__(self, tape: Tape, index: int, cls: type) -> None:
        self._tape = tape
        self._index = index
        self._class = cls
        """The class of the number that it stands for."""

    @property
    def __class__(self) -> Any:
        """The class of what it stands for, which `isinstance` asks for."""
        return self._tape.classes.get(self._class, self._class)

    @__class__.setter
    def __class__(self, _: Any) -> None:
        raise refused("the class of a traced number is set; make another number instead.")

    @property
    def _prev(self) -> tuple[Any, ...]:
        """Itself, so that no Module takes it for a parameter."""
        return (self,)

    def _known(self, name: str) -> Any:
        """Return an attribute, if it is known without the number."""
        cls = self._class
        if not hasattr(cls, name) or name in ASKED_BY_NUMPY:
            advice = f"; write functional.{name}(x)" if name in OPERATIONS else ""
            raise AttributeError(f"'{cls.__name__}' object has no attribute {name!r}{advice}")
        if name in _KNOWN:
            return _KNOWN[name](self)
        raise refused(
            f".{name} of a number, which is not known while the program is being recorded; compute "
            "with operators and functions of liftgrad.functional."
        )

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, _memo: Any) -> Any:
        return self

    def __bool__(self) -> bool:  # noqa: PLE0304, it never returns
        refuse_branch()


def know_attributes(classes: set[type]) -> None:
    """Give stand-ins what the user added to these classes of Values, one of which may be Value."""
    for cls in classes:
        for name in {name for c in cls.__mro__ for name in vars(c)} - _ATTRIBUTES:
            if not hasattr(ValueAttributes, name):
                setattr(ValueAttributes, name, _Added(name))


def have_attributes_of_numbers(cls: type) -> None:
    """Let instances of a class look the public attributes of numbers up by `_known(name)`."""
    for name in _PUBLIC:
        setattr(cls, name, _known(name))


class _Added:
    """An attribute that the user gave the class Value, or has in a class of their own."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, traced: TracedScalar, _owner: type) -> Any:
        cls: Any = traced.__class__
        attribute = next((vars(c)[self.name] for c in cls.__mro__ if self.name in vars(c)), None)
        if attribute is None:
            raise AttributeError(f"'{cls.__name__}' object has no attribute {self.name!r}")
        return attribute.__get__(traced, cls) if hasattr(attribute, "__get__") else attribute


def _known(name: str) -> property:
    def ask(self: Any) -> Any:
        return self._known(name)

    return property(ask)


def _no_graph(name: str) -> property:
    def ask(_: TracedScalar) -> Any:
        raise refused(
            f"{name} of a traced value, which has no graph while the program is being recorded; "
            "return it and look at what the call returns."
        )

    return property(ask)


_GRADIENT = (
    "backward() or .grad in a lifted function, whose gradient is taken outside of it; return the "
    "loss, call backward() on what the call returns, and then the optimiser's step()."
)
_ATTRIBUTES = {name for c in Value.__mro__ for name in vars(c)}
"""What Values have by themselves."""
_KNOWN: dict[str, Any] = {
    "real": lambda x: x,
    "conjugate": lambda x: lambda: x,
    "item": lambda x: lambda: type(x)(x._tape, x._index, type(x._class(0).item())),
    "dtype": lambda x: np.dtype(x._class),
    "shape": lambda _: (),
    "ndim": lambda _: 0,
    "size": lambda _: 1,
}
_PUBLIC = {
    name
    for cls in (Operators, float, int, np.float64, np.float32, np.int64, np.bool_)
    for name in dir(cls)
    if not name.startswith("_")
}
have_attributes_of_numbers(NumberAttributes)
for _name in ("_op", "_operation", "_adjoints", "_numbers"):
    setattr(ValueAttributes, _name, _no_graph(_name))
refuse(NumberAttributes, ("round", "trunc", "floor", "ceil", *IN_WHOLE_NUMBERS), AS_INTEGER)
refuse(NumberAttributes, ("hash",), AS_KEY)
