"""The operators of the Values of recording mode: the most frequent operations, recorded fast."""

from operator import attrgetter
from types import CodeType, FunctionType
from typing import Any

from liftgrad import ops
from liftgrad.engine import Value
from liftgrad.lift.machine.nodes import SHIFT
from liftgrad.ops import Operation
from liftgrad.record.recorder import LONG, PACKED, record
from liftgrad.record.recording import ZERO, ClosedError
from liftgrad.record.values import Adopted, Recorded

_OTHERWISE = (AttributeError, ClosedError)
"""An operand is on no recording, or another thread has closed the recording at this moment."""


def _apply(self: Any, operation: Operation, *operands: Any) -> Any:
    """Apply an operation, the most frequent cases first: all operands are on one recording."""
    code = PACKED.get(operation)
    if code is None:
        return record(operation, *operands)
    try:
        recording, index = self._recording, self._index
        if recording.done >= LONG:
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
    code = PACKED[operation]

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
    code = PACKED[operation]

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
    code = PACKED[operation]

    def method(self: Any, other: Any) -> Any:
        cls = type(other)
        try:
            recording, a = self._recording, self._index
            if cls is Recorded or (cls is Adopted and recording.done < LONG):
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
    code = PACKED[operation]

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
