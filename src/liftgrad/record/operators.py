"""How operations are noted down: the operators of the Values of recording mode."""

from contextlib import suppress
from operator import attrgetter
from types import CodeType, FunctionType
from typing import Any

from liftgrad import ops
from liftgrad.engine import Value
from liftgrad.numbers import to_float
from liftgrad.ops import Operation
from liftgrad.protocols import has_operators
from liftgrad.record.machine import BITS, CODES, power_by
from liftgrad.record.tape import SHIFT, ZERO, ClosedTapeError, Tape
from liftgrad.record.values import Adopted, Recorded, as_value, can_be_adopted, here

_LONG = 1 << 17
"""A tape of which so many nodes are computed is followed by another where nothing goes on."""
_OTHERWISE = (AttributeError, ClosedTapeError)
"""An operand is on no tape, or another thread has closed the tape at this moment."""
_PACKED = {operation: float(code << 2 * BITS) for operation, code in CODES.items()}
"""What a node of an operation is without its operands."""


def record(operation: Operation, *operands: Any) -> Any:
    """Note down an operation of any kind on operands of any kind, one of them a Value."""
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
        tape = _tape_for(operands)
        try:
            numbers = [_number(tape, x) for x in operands]
            made: Any = Recorded()
            made._tape = tape
            if operation.arity is None:
                assert code is not None
                made._index = tape.sequence(code, numbers)
                return made
            if code is None:
                assert exponent is not None
                numbers.append(tape.input(exponent))
            a, b = numbers if len(numbers) == 2 else (*numbers, 0.0)
            made._index = tape.size = tape.size + 1.0
            tape.pending.append((_PACKED[power_by] if code is None else code) + a * SHIFT + b)
        except ClosedTapeError:  # by another thread, which goes on with one of its results
            continue
        return made


def _tape_for(operands: tuple[Any, ...]) -> Tape:
    """Return the tape at hand, a new one if it is closed, or long and none of this goes on."""
    tape: Tape | None = here.tape
    if tape is not None and tape.open:
        if tape.done < _LONG:
            return tape
        if any(x.__class__ is Recorded and x._tape is tape for x in operands):
            return tape
    return here.begin()


def _number(tape: Tape, x: Any) -> float:
    """Return an operand's number on the tape, noting it down if it is from outside."""
    kind = x.__class__
    if kind is float:
        return tape.input(x)
    if kind is Recorded:
        return x._index if x._tape is tape else tape.link(as_value(x), x._tape, x._index)
    if kind is Adopted:
        with suppress(AttributeError):  # another thread has released it at this moment
            if x._tape is tape:
                return x._index  # type: ignore[no-any-return]
    elif can_be_adopted(x):
        # Known from now on, until its number is set or the tape is closed.
        return tape.adopt([x], Adopted)
    if isinstance(x, Value):
        # Others are read each time that they are used.
        tape.mixed |= bool(x._prev)
        return tape.leaf(x)
    if kind is int and x == 0:
        return ZERO
    return tape.input(to_float(x))


def _apply(self: Any, operation: Operation, *operands: Any) -> Any:
    """Apply an operation, the most frequent cases first: all operands are on the tape."""
    code = _PACKED.get(operation)
    if code is None:
        return record(operation, *operands)
    try:
        tape, index = self._tape, self._index
        if tape.done >= _LONG:
            return record(operation, *operands)
        if operation.arity == 1:
            made: Any = Recorded()
            made._tape = tape
            made._index = tape.size = tape.size + 1.0
            tape.pending.append(code + index * SHIFT)
            return made
        if operation.arity is None:
            # Weights and inputs, say: each loop has code of its own, which sees one class.
            half = len(operands) // 2
            numbers = [x._index for x in operands[:half] if x._tape is tape]
            numbers += [x._index for x in operands[half:] if x._tape is tape]
            if len(numbers) == len(operands):
                made = Recorded()
                made._tape = tape
                made._index = tape.sequence(code, numbers)
                return made
    except _OTHERWISE:
        pass
    return record(operation, *operands)


# --- operators -------------------------------------------------------------------------------


def _with_own_caches(function: Any) -> Any:
    """Return the function with code of its own: the interpreter adapts code to the types it sees.

    Shared by all operators, it would adapt to none.
    """
    code: CodeType = function.__code__
    return FunctionType(
        code.replace(co_name=code.co_name),
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )


# The methods below spell out one and the same thing in order to be fast: a recorded program's speed
# is the interpreter's. The interpreter switches threads at calls only, and at jumps back. So there
# is none between taking a number and appending the node, and none between asking for an operand's
# tape and reading its index, which another thread may take from a leaf.


def _binary(operation: Operation) -> Any:
    """Return a result's method that notes down an operation on it and something."""
    code = _PACKED[operation]

    def method(self: Any, other: Any) -> Any:
        tape = self._tape
        kind = type(other)
        try:
            if kind is Recorded or kind is Adopted:
                if other._tape is not tape:
                    return record(operation, self, other)
                b = other._index
            elif kind is float:
                b = tape.input(other)
            else:
                return record(operation, self, other)
            made: Any = Recorded()
            made._tape = tape
            made._index = tape.size = tape.size + 1.0
            tape.pending.append(code + self._index * SHIFT + b)
        except _OTHERWISE:
            return record(operation, self, other)
        return made

    return _with_own_caches(method)


def _reflected(operation: Operation) -> Any:
    """Return a result's method that notes down an operation on something and it."""
    code = _PACKED[operation]

    def method(self: Any, other: Any) -> Any:
        tape = self._tape
        kind = type(other)
        try:
            if kind is int and not other:
                a = ZERO
            elif kind is float:
                a = tape.input(other)
            else:
                return record(operation, other, self)
            made: Any = Recorded()
            made._tape = tape
            made._index = tape.size = tape.size + 1.0
            tape.pending.append(code + a * SHIFT + self._index)
        except _OTHERWISE:
            return record(operation, other, self)
        return made

    return _with_own_caches(method)


def _binary_of_adopted(operation: Operation) -> Any:
    """Return a leaf's method for the same; what two leaves come to may begin a new tape."""
    code = _PACKED[operation]

    def method(self: Any, other: Any) -> Any:
        kind = type(other)
        try:
            tape, a = self._tape, self._index
            if kind is Recorded or (kind is Adopted and tape.done < _LONG):
                if other._tape is not tape:
                    return record(operation, self, other)
                b = other._index
                made: Any = Recorded()
                made._tape = tape
                made._index = tape.size = tape.size + 1.0
                tape.pending.append(code + a * SHIFT + b)
                return made
        except _OTHERWISE:
            pass
        return record(operation, self, other)

    return _with_own_caches(method)


def _unary(operation: Operation) -> Any:
    """Return a result's method that notes down an operation on it."""
    code = _PACKED[operation]

    def method(self: Any) -> Any:
        tape = self._tape
        try:
            made: Any = Recorded()
            made._tape = tape
            made._index = tape.size = tape.size + 1.0
            tape.pending.append(code + self._index * SHIFT)
        except _OTHERWISE:
            return record(operation, self)
        return made

    return _with_own_caches(method)


class _Methods:
    """The engine's methods that Values of recording mode have in a way of their own."""

    def __init__(self) -> None:
        self.ours: dict[tuple[type, str], Any] = {(Recorded, "backward"): Recorded.backward}

    def add(self, kind: type, name: str, method: Any) -> None:
        """Give a class a method in the engine's place."""
        self.ours[kind, name] = method
        setattr(kind, name, method)

    def close(self) -> None:
        """Note the engine's own, once all have been added."""
        self.look = attrgetter(*[name for _, name in self.ours])
        self.engines = self.seen = self.look(Value)

    def follow(self) -> None:
        """Take over the methods that the program has put in the engine's place, or back.

        Other methods that it adds to Value are inherited anyhow.
        """
        now = self.look(Value)
        if now == self.seen:
            return
        self.seen = now
        for (place, ours), mine, engines in zip(self.ours.items(), now, self.engines, strict=True):
            setattr(*place, ours if mine is engines else mine)


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
    for kind in (Recorded, Adopted):
        setattr(kind, "_apply", _with_own_caches(_apply))  # noqa: B010, mypy's method-assign
    result.close()
    return result


methods = _methods()
