"""The Values of recording mode, whose graph is on a recording.

A `Recorded` is the result of an operation: a recording, and an index on it. An `Adopted` is a leaf
Value whose index the current recording knows: its class is changed meanwhile, since the recording
must forget it when its `data` is set. Both hold recording and index in the slots of a Value.
`operators` gives them the operators that record.
"""

import threading
from typing import Any, cast

from liftgrad import ops
from liftgrad.engine import Value
from liftgrad.lift.machine.nodes import INPUT, OPERATION_OF, operands, power_by, unpack
from liftgrad.ops import Operation
from liftgrad.record.recording import Recording, differentiate


class Current(threading.local):
    """What the current thread is recording."""

    recording: Recording | None = None
    depth = 0
    """How many `with recording()` blocks the thread is in."""

    def close(self) -> None:
        """End the current recording."""
        if self.recording is not None:
            self.recording.close()
            self.recording = None

    def begin(self) -> Recording:
        """End the current recording and begin another, which adopts the likely leaves at once."""
        carried = self.recording.carried if self.recording is not None else []
        self.close()
        recording = self.recording = Recording()
        recording.adopt([v for v in dict.fromkeys(carried) if can_be_adopted(v)], Adopted)
        return recording


current = Current()


def can_be_adopted(x: Any) -> bool:
    """Whether this is a plain Value, a leaf, and has a plain number."""
    return type(x) is Value and not x._prev and not x._operation and type(x.data) is float


class Adopted(Value):
    """A leaf that has an index on a recording."""

    __slots__ = ()
    _copied_as = Value
    _recording = Value.__dict__["_prev"]
    _index = Value.__dict__["_operation"]

    def _set_data(self, number: Any) -> None:
        recording = getattr(self, "_recording", None)
        if recording is not None:
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
    """The result of an operation that was recorded; its number is computed when asked for."""

    __slots__ = ()
    _copied_as = Value
    _recording = Value.__dict__["_prev"]
    _index = Value.__dict__["_operation"]
    __init__ = object.__init__

    @property
    def data(self) -> float:
        """The number."""
        recording, index = self._recording, int(self._index)
        if index >= recording.done:
            recording.compute()
            if not current.depth:
                current.close()
        return recording.values[index]  # type: ignore[no-any-return]

    @data.setter
    def data(self, number: float) -> None:
        # From here on this is an eager Value, through which gradients go to what it was made of.
        made: Any = Recorded()
        made._recording, made._index = self._recording, self._index
        made._recording.objects.pop(int(made._index), None)
        grad, label, own = self.grad, self.label, cast("Any", self)
        own.__class__ = Value
        own._prev, own._operation = (made,), ops.total
        own._keep(number, [made.data])
        own.data, own.grad, own.label = number, grad, label

    @property
    def grad(self) -> Any:
        """d(what `backward` was called on) / d(this)."""
        return self._recording.gradient(int(self._index))

    @grad.setter
    def grad(self, gradient: Any) -> None:
        self._recording.own_grads[int(self._index)] = gradient

    @property
    def label(self) -> str:
        """A name for pictures and messages."""
        return self._recording.labels.get(int(self._index), "")  # type: ignore[no-any-return]

    @label.setter
    def label(self, label: str) -> None:
        self._recording.labels[int(self._index)] = label

    def backward(self, *, create_graph: bool = False) -> None:
        """Set the gradients of all that this was made of; see `Value.backward`."""
        recording, index = self._recording, int(self._index)
        recording.compute()
        recording.close()
        if create_graph or recording.mixed or self._made_by.constant:
            super().backward(create_graph=create_graph)
        else:
            differentiate(recording, index)

    def __hash__(self) -> int:
        # Several objects may stand for one node; where graphs are walked they count as one.
        return hash((self._recording.serial, self._index))

    def __eq__(self, other: object) -> Any:
        if isinstance(other, Recorded):
            return self._recording is other._recording and self._index == other._index
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
        return OPERATION_OF[unpack(self._recording.node(int(self._index))).code]

    @property
    def _operation(self) -> Operation | str:  # type: ignore[override]
        operation = self._made_by
        if operation.constant:
            return ""
        if operation is power_by:
            exponent = unpack(self._recording.node(int(self._index))).b
            return ops.power_constant(self._recording.values[exponent])
        return operation

    @property
    def _prev(self) -> tuple[Value, ...]:  # type: ignore[override]
        recording = self._recording
        if self._made_by.constant:
            return ()
        return tuple([_at(recording, index) for index in self._operands])

    @property
    def _operands(self) -> list[int]:
        """The indices of the nodes that this was made of."""
        node = unpack(self._recording.node(int(self._index)))
        indices = operands(node, self._recording.sequences)
        if OPERATION_OF[node.code] is power_by:
            indices.pop()  # elsewhere the exponent belongs to the operation
        return indices

    @property
    def _numbers(self) -> tuple[float, ...]:
        return tuple([self._recording.values[i] for i in (int(self._index), *self._operands)])


def as_value(x: Any) -> Value:
    """Return an operand for a graph of Values: one Value for each node."""
    if x.__class__ is Recorded:
        return cast("Value", x._recording.objects.setdefault(int(x._index), x))
    return x if isinstance(x, Value) else Value(x)


def _at(recording: Recording, index: int) -> Value:
    """Return a node as a Value, always the same one while it is in use."""
    known = recording.objects.get(index)
    if known is not None:
        return cast("Value", known)
    if unpack(recording.node(index)).code != INPUT:
        made: Any = Recorded()
        made._recording, made._index = recording, float(index)
    elif index in recording.foreign:
        made = recording.foreign[index]
    else:
        leaf = recording.leaves.get(float(index))
        made = Value(recording.values[index]) if leaf is None else leaf
    recording.objects[index] = made
    return cast("Value", made)
