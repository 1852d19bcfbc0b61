"""The recorder: any operation on operands of any kind becomes a node of the current recording."""

from contextlib import suppress
from typing import Any

from liftgrad.engine import Value
from liftgrad.lift.machine.nodes import BITS, CODES, SHIFT, power_by
from liftgrad.numbers import to_float
from liftgrad.ops import Operation
from liftgrad.protocols import has_operators
from liftgrad.record.recording import ZERO, ClosedError, Recording
from liftgrad.record.values import Adopted, Recorded, as_value, can_be_adopted, current

LONG = 1 << 17
"""Once a recording has this many computed nodes, an operation on none of its results starts a new
one."""
PACKED = {operation: float(code << 2 * BITS) for operation, code in CODES.items()}
"""An operation's node, as far as it does not depend on the operands."""


def record(operation: Operation, *operands: Any) -> Any:
    """Record any operation on any operands, one of them a Value."""
    for x in operands:
        if not isinstance(x, Value) and has_operators(x):
            return x._apply(operation, *operands)  # a traced value's turn
    exponent = operation.parameter
    code = PACKED.get(operation)
    if code is None and exponent is None:  # an operation of the user's own
        values = tuple([as_value(x) for x in operands])
        number = operation.forward(*[v.data for v in values])
        return Value(number) if operation.constant else Value(number, values, operation)
    while True:
        recording = _recording_for(operands)
        try:
            indices = [_index(recording, x) for x in operands]
            made: Any = Recorded()
            made._recording = recording
            if operation.arity is None:
                assert code is not None
                made._index = recording.sequence(code, indices)
                return made
            if code is None:
                assert exponent is not None
                indices.append(recording.input(exponent))
            a, b = indices if len(indices) == 2 else (*indices, 0.0)
            made._index = recording.last = recording.last + 1.0
            recording.pending.append((PACKED[power_by] if code is None else code) + a * SHIFT + b)
        except ClosedError:  # by another thread, which goes on with one of its results
            continue
        return made


def _recording_for(operands: tuple[Any, ...]) -> Recording:
    """Return the current recording; a new one if it is closed, or long and no operand is on it."""
    recording: Recording | None = current.recording
    if recording is not None and recording.open:
        if recording.done < LONG:
            return recording
        if any(x.__class__ is Recorded and x._recording is recording for x in operands):
            return recording
    return current.begin()


def _index(recording: Recording, x: Any) -> float:
    """Return an operand's index on the recording; what is from outside is recorded as an input."""
    cls = x.__class__
    if cls is float:
        return recording.input(x)
    if cls is Recorded:
        other = x._recording
        return x._index if other is recording else recording.link(as_value(x), other, x._index)
    if cls is Adopted:
        with suppress(AttributeError):  # another thread has released it at this moment
            if x._recording is recording:
                return x._index  # type: ignore[no-any-return]
    elif can_be_adopted(x):
        # Its index is known from now on, until it is set or the recording is closed.
        return recording.adopt([x], Adopted)
    if isinstance(x, Value):
        # Others are read each time that they are used.
        recording.mixed |= bool(x._prev)
        return recording.leaf(x)
    if cls is int and x == 0:
        return ZERO
    return recording.input(to_float(x))
