"""The Values of recording mode.

A `Recorded` is the result of an operation: a tape, and a number on it. An `Adopted` is a leaf
Value that the tape at hand knows by number: its class is changed while that is so, since setting
its `data` must make the tape forget it. The slots of a Value are free to hold tape and number.
`recording_operators` gives both their operators.
"""

import threading
from typing import Any, cast

from liftgrad import ops
from liftgrad.engine import Value
from liftgrad.ops import Operation
from liftgrad.record.machine import INPUT, OPERATION_OF, operands, power_by, unpack
from liftgrad.record.tape import Tape, differentiate


class Here(threading.local):
    """What the thread at hand is recording."""

    tape: Tape | None = None
    depth = 0
    """How many `with recording()` blocks it is in."""

    def close(self) -> None:
        """End the tape at hand."""
        if self.tape is not None:
            self.tape.close()
            self.tape = None

    def begin(self) -> Tape:
        """End the tape at hand and begin another, with the leaves that are likely to be met."""
        carried = self.tape.carried if self.tape is not None else []
        self.close()
        tape = self.tape = Tape()
        tape.adopt([v for v in dict.fromkeys(carried) if can_be_adopted(v)], Adopted)
        return tape


here = Here()


def can_be_adopted(x: Any) -> bool:
    """Tell whether it is a plain Value, a leaf, and has a plain number."""
    return type(x) is Value and not x._prev and not x._operation and type(x.data) is float


class Adopted(Value):
    """A leaf that a tape knows by number."""

    __slots__ = ()
    _copied_as = Value
    _tape = Value.__dict__["_prev"]
    _index = Value.__dict__["_operation"]

    def _set_data(self, number: Any) -> None:
        tape = getattr(self, "_tape", None)
        if tape is not None:
            self._release()
        self.data = number

    data = property(Value.__dict__["data"].__get__, _set_data, doc="The number.")

    def _release(self) -> None:
        """Be a plain Value again."""
        self.__class__ = Value  # type: ignore[assignment]
        self._prev, self._operation = (), ""

    @property
    def _prev(self) -> tuple[Value, ...]:
        return ()

    @_prev.setter
    def _prev(self, operands: tuple[Value, ...]) -> None:
        self._release()
        self._prev = operands

    @property
    def _operation(self) -> str:
        return ""

    @_operation.setter
    def _operation(self, operation: str) -> None:
        self._release()
        self._operation = operation


class Recorded(Value):
    """The result of an operation that was noted down; its number is computed when asked for."""

    __slots__ = ()
    _copied_as = Value
    _tape = Value.__dict__["_prev"]
    _index = Value.__dict__["_operation"]
    __init__ = object.__init__

    @property
    def data(self) -> float:
        """The number."""
        tape, node = self._tape, int(self._index)
        if node >= tape.done:
            tape.compute()
            if not here.depth:
                here.close()
        return tape.view[node]  # type: ignore[no-any-return]

    @data.setter
    def data(self, number: float) -> None:
        # From here on it is a Value of its own, through which gradients go to what it was.
        was: Any = Recorded()
        was._tape, was._index = self._tape, self._index
        was._tape.objects.pop(int(was._index), None)
        grad, label, own = self.grad, self.label, cast("Any", self)
        own.__class__ = Value
        own._prev, own._operation = (was,), ops.total
        own._keep(number, [was.data])
        own.data, own.grad, own.label = number, grad, label

    @property
    def grad(self) -> Any:
        """d(what `backward` was called on) / d(this)."""
        return self._tape.gradient(int(self._index))

    @grad.setter
    def grad(self, gradient: Any) -> None:
        self._tape.own_grads[int(self._index)] = gradient

    @property
    def label(self) -> str:
        """A name for pictures and messages."""
        return self._tape.labels.get(int(self._index), "")  # type: ignore[no-any-return]

    @label.setter
    def label(self, label: str) -> None:
        self._tape.labels[int(self._index)] = label

    def backward(self, *, create_graph: bool = False) -> None:
        """Set the gradients of all that this was made of; see `Value.backward`."""
        tape, node = self._tape, int(self._index)
        tape.compute()
        tape.close()
        if create_graph or tape.mixed or self._made_by.constant:
            super().backward(create_graph=create_graph)
        else:
            differentiate(tape, node)

    def __hash__(self) -> int:
        # Several objects may stand for one node; where graphs are walked they count as one.
        return hash((self._tape.serial, self._index))

    def __eq__(self, other: object) -> Any:
        if isinstance(other, Recorded):
            return self._tape is other._tape and self._index == other._index
        return Value.__eq__(self, other)

    def __getstate__(self) -> Any:
        state: Any = super().__getstate__()
        attributes, slots = state
        result, *operands = self._numbers
        slots.update(_result=result, _first=operands[0], _second=operands[-1])
        if len(operands) > 2:
            slots["_first"] = operands
        return ({**(attributes or {}), "label": self.label} if self.label else attributes), slots

    @property
    def _made_by(self) -> Operation:
        return OPERATION_OF[unpack(self._tape.node(int(self._index))).code]

    @property
    def _operation(self) -> Operation | str:  # type: ignore[override]
        operation = self._made_by
        if operation.constant:
            return ""
        if operation is power_by:
            exponent = unpack(self._tape.node(int(self._index))).b
            return ops.power_constant(self._tape.view[exponent])
        return operation

    @property
    def _prev(self) -> tuple[Value, ...]:  # type: ignore[override]
        tape = self._tape
        if self._made_by.constant:
            return ()
        return tuple([_at(tape, number) for number in self._operands])

    @property
    def _operands(self) -> list[int]:
        """The numbers of the nodes that it was made of."""
        node = unpack(self._tape.node(int(self._index)))
        numbers = operands(node, self._tape.sequences)
        if (
            OPERATION_OF[node.code] is power_by
        ):  # whose exponent is part of the operation for others
            numbers.pop()
        return numbers

    @property
    def _numbers(self) -> tuple[float, ...]:
        return tuple([self._tape.view[n] for n in (int(self._index), *self._operands)])


def as_value(x: Any) -> Value:
    """Return an operand for a graph of Values: one Value for each node."""
    if x.__class__ is Recorded:
        return cast("Value", x._tape.objects.setdefault(int(x._index), x))
    return x if isinstance(x, Value) else Value(x)


def _at(tape: Tape, number: int) -> Value:
    """Return the node of that number as a Value, always the same one while it is in use."""
    known = tape.objects.get(number)
    if known is not None:
        return cast("Value", known)
    if unpack(tape.node(number)).code != INPUT:
        made: Any = Recorded()
        made._tape, made._index = tape, float(number)
    elif number in tape.foreign:
        made = tape.foreign[number]
    else:
        leaf = tape.leaves.get(float(number))
        made = Value(tape.view[number]) if leaf is None else leaf
    tape.objects[number] = made
    return cast("Value", made)
