"""The operators of the Values of recording mode, which record operations."""

from contextlib import suppress
from operator import attrgetter
from types import CodeType, FunctionType
from typing import Any

from liftgrad import ops
from liftgrad.engine import Value
from liftgrad.numbers import to_float
from liftgrad.ops import Operation
from liftgrad.protocols import has_operators
from liftgrad.record.nodes import BITS, CODES, SHIFT, power_by
from liftgrad.record.recording import ZERO, ClosedError, Recording
from liftgrad.record.values import Adopted, Recorded, as_value, can_be_adopted, current

_LONG = 1 << 17
"""Once a recording has this many computed nodes, an operation on none of its results starts a new
one."""
_OTHERWISE = (AttributeError, ClosedError)
"""An operand is on no recording, or another thread has closed the recording at this moment."""
_PACKED = {operation: float(code << 2 * BITS) for operation, code in CODES.items()}
"""An operation's node, as far as it does not depend on the operands."""


def record(operation: Operation, *operands: Any) -> Any:
    """Record any operation on any operands, one of them a Value."""
    for x in operands:
        if not isinstance(x, Value) and has_operators(x):
            return x._apply(operation, *operands)  # a traced value's turn
    exponent = operation.parameter
    code = _PACKED.get(operation)
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
            recording.pending.append((_PACKED[power_by] if code is None else code) + a * SHIFT + b)
        except ClosedError:  # by another thread, which goes on with one of its results
            continue
        return made


def _recording_for(operands: tuple[Any, ...]) -> Recording:
    """Return the current recording; a new one if it is closed, or long and no operand is on it."""
    recording: Recording | None = current.recording
    if recording is not None and recording.open:
        if recording.done < _LONG:
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


def _apply(self: Any, operation: Operation, *operands: Any) -> Any:
    """Apply an operation, the most frequent cases first: all operands are on one recording."""
    code = _PACKED.get(operation)
    if code is None:
        return record(operation, *operands)
    try:
        recording, index = self._recording, self._index
        if recording.done >= _LONG:
            return record(operation, *operands)
        if operation.arity == 1:
            made: Any = Recorded()
            made._recording = recording
            made._index = recording.last = recording.last + 1.0
            recording.pending.append(code + index * SHIFT)
            return made
        if operation.arity is None:
            # Weights and inputs, say: each loop has bytecode of its own, which sees one class.
            half = len(operands) // 2
            indices = [x._index for x in operands[:half] if x._recording is recording]
            indices += [x._index for x in operands[half:] if x._recording is recording]
            if len(indices) == len(operands):
                made = Recorded()
                made._recording = recording
                made._index = recording.sequence(code, indices)
                return made
    except _OTHERWISE:
        pass
    return record(operation, *operands)


# --- operators -------------------------------------------------------------------------------


def _with_own_caches(function: Any) -> Any:
    """Return the function with a code object of its own.

    CPython specialises code to the types that it meets; shared by all operators, to none.
    """
    code: CodeType = function.__code__
    return FunctionType(
        code.replace(co_name=code.co_name),
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )


# The methods below repeat one another in order to be fast: a recorded program runs at the
# interpreter's speed. The interpreter switches threads only at calls and at backward jumps. So
# there is none between taking an index and appending the node, and none between asking for an
# operand's recording and reading its index, which another thread may take from a leaf.


def _binary(operation: Operation) -> Any:
    """Return a result's method for an operation on it and something else."""
    code = _PACKED[operation]

    def method(self: Any, other: Any) -> Any:
        recording = self._recording
        cls = type(other)
        try:
            if cls is Recorded or cls is Adopted:
                if other._recording is not recording:
                    return record(operation, self, other)
                b = other._index
            elif cls is float:
                b = recording.input(other)
            else:
                return record(operation, self, other)
            made: Any = Recorded()
            made._recording = recording
            made._index = recording.last = recording.last + 1.0
            recording.pending.append(code + self._index * SHIFT + b)
        except _OTHERWISE:
            return record(operation, self, other)
        return made

    return _with_own_caches(method)


def _reflected(operation: Operation) -> Any:
    """Return a result's method for an operation on something else and it."""
    code = _PACKED[operation]

    def method(self: Any, other: Any) -> Any:
        recording = self._recording
        cls = type(other)
        try:
            if cls is int and not other:
                a = ZERO
            elif cls is float:
                a = recording.input(other)
            else:
                return record(operation, other, self)
            made: Any = Recorded()
            made._recording = recording
            made._index = recording.last = recording.last + 1.0
            recording.pending.append(code + a * SHIFT + self._index)
        except _OTHERWISE:
            return record(operation, other, self)
        return made

    return _with_own_caches(method)


def _binary_of_adopted(operation: Operation) -> Any:
    """Return a leaf's method for an operation on it and something else.

    An operation on two leaves may begin a new recording.
    """
    code = _PACKED[operation]

    def method(self: Any, other: Any) -> Any:
        cls = type(other)
        try:
            recording, a = self._recording, self._index
            if cls is Recorded or (cls is Adopted and recording.done < _LONG):
                if other._recording is not recording:
                    return record(operation, self, other)
                b = other._index
                made: Any = Recorded()
                made._recording = recording
                made._index = recording.last = recording.last + 1.0
                recording.pending.append(code + a * SHIFT + b)
                return made
        except _OTHERWISE:
            pass
        return record(operation, self, other)

    return _with_own_caches(method)


def _unary(operation: Operation) -> Any:
    """Return a result's method for an operation on it."""
    code = _PACKED[operation]

    def method(self: Any) -> Any:
        recording = self._recording
        try:
            made: Any = Recorded()
            made._recording = recording
            made._index = recording.last = recording.last + 1.0
            recording.pending.append(code + self._index * SHIFT)
        except _OTHERWISE:
            return record(operation, self)
        return made

    return _with_own_caches(method)


class _Methods:
    """The engine's methods which Values of recording mode override."""

    def __init__(self) -> None:
        self.ours: dict[tuple[type, str], Any] = {(Recorded, "backward"): Recorded.backward}

    def add(self, cls: type, name: str, method: Any) -> None:
        """Give a class a method in place of the engine's."""
        self.ours[cls, name] = method
        setattr(cls, name, method)

    def close(self) -> None:
        """Remember the engine's own, once all have been added."""
        self.methods_of = attrgetter(*[name for _, name in self.ours])
        self.engines = self.seen = self.methods_of(Value)

    def follow(self) -> None:
        """Take over the methods of Value that the program has replaced or restored.

        Methods that it adds to Value are inherited anyhow.
        """
        now = self.methods_of(Value)
        if now == self.seen:
            return
        self.seen = now
        for (target, ours), found, engines in zip(
            self.ours.items(), now, self.engines, strict=True
        ):
            setattr(*target, ours if found is engines else found)


def _methods() -> _Methods:
    result = _Methods()
    add = result.add
    for operation in ops.OPERATIONS.values():
        if operation.arity == 1:
            add(Recorded, operation.name, _unary(operation))
        elif operation.arity == 2:
            add(Recorded, operation.name, _binary(operation))
    names = {"add": ops.add, "sub": ops.subtract, "mul": ops.multiply, "truediv": ops.divide}
    for name, operation in names.items():
        add(Recorded, f"__{name}__", _binary(operation))
        add(Recorded, f"__r{name}__", _reflected(operation))
        add(Adopted, f"__{name}__", _binary_of_adopted(operation))
    for name, operation in {"neg": ops.negate, "abs": ops.absolute}.items():
        add(Recorded, f"__{name}__", _unary(operation))
    for cls in (Recorded, Adopted):
        setattr(cls, "_apply", _with_own_caches(_apply))  # noqa: B010, mypy's method-assign
    result.close()
    return result


methods = _methods()
