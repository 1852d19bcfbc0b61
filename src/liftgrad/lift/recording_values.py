"""The Values of recording mode, and how operations on them are noted down.

A `Recorded` is the result of an operation: a tape, and a number on it. An `Adopted` is a leaf
Value that the tape at hand knows by number: its class is changed while that is so, since setting
its `data` must make the tape forget it. The slots of a Value are free to hold tape and number.
"""

import threading
from types import CodeType, FunctionType
from typing import Any, cast

from liftgrad import ops
from liftgrad.engine import Value
from liftgrad.lift.recording_machine import BITS, CODES, INPUT, OPERATION_OF, power_by, unpack
from liftgrad.lift.recording_tape import SHIFT, ZERO, ClosedTapeError, Tape, differentiate
from liftgrad.numbers import to_float
from liftgrad.ops import Operation

_LONG = 1 << 17
"""A tape of which so many nodes are computed is followed by another where nothing goes on."""


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
        # Each once, and only those that are leaves of the plain kind still.
        once = dict.fromkeys(carried)
        tape.adopt([v for v in once if type(v) is Value and not v._prev], Adopted)
        return tape


here = Here()
_PACKED = {operation: float(code << 2 * BITS) for operation, code in CODES.items()}
"""What a node of an operation is without its operands."""


class Adopted(Value):
    """A leaf that a tape knows by number."""

    __slots__ = ()
    _copied_as = Value
    _tape = Value.__dict__["_prev"]
    _index = Value.__dict__["_operation"]
    _number = Value.__dict__["data"]

    @property
    def data(self) -> float:
        """The number."""
        return self._number  # type: ignore[no-any-return]

    @data.setter
    def data(self, number: Any) -> None:
        self._tape.changed = True
        self._release()
        self.data = number

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
        tape, node = self._tape, int(self._index)
        tape.compute()
        tape.view[node] = number

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
        unchanged = not tape.changed
        tape.close()
        if unchanged:
            tape.changed = False
        if create_graph or tape.mixed or self._made_by.constant:
            super().backward(create_graph=create_graph)
        else:
            differentiate(tape, node)

    def __hash__(self) -> int:
        # Several objects may stand for one node; where graphs are walked they count as one.
        return hash((self._tape.serial, self._index))

    __eq__ = Value.__eq__

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
        node = unpack(tape.node(int(self._index)))
        operation = self._made_by
        if operation.constant:
            return ()
        if operation.arity is None:
            numbers = tape.operand_numbers(node.b, node.a)
        else:
            numbers = [node.a, node.b][: 1 if operation is power_by else operation.arity]
        return tuple([_at(tape, number) for number in numbers])


def _as_value(x: Any) -> Value:
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
        leaf = tape.leaf_of(number)
        made = Value(tape.view[number]) if leaf is None else leaf
    tape.objects[number] = made
    return cast("Value", made)


# --- noting down -----------------------------------------------------------------------------


def record(operation: Operation, *operands: Any) -> Any:
    """Note down an operation of any kind on operands of any kind, one of them a Value."""
    for x in operands:
        if not isinstance(x, Value) and hasattr(x, "_apply"):
            return x._apply(operation, *operands)  # a traced value's turn
    exponent = operation.parameter
    code = _PACKED.get(operation)
    if code is None and exponent is None:  # an operation of the user's own
        values = tuple([_as_value(x) for x in operands])
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
    if kind is Recorded or kind is Adopted:
        if x._tape is tape:
            return x._index  # type: ignore[no-any-return]
        if kind is Recorded:
            return tape.link(_as_value(x), x._tape, x._index)
    elif _can_be_adopted(x):
        # Known from now on, until its number is set or the tape is closed.
        tape.adopt([x], Adopted)
        return x._index  # type: ignore[no-any-return]
    if isinstance(x, Value):
        # Others are read each time that they are used.
        tape.mixed |= bool(x._prev)
        tape.changed = True
        return tape.leaf(x)
    if kind is int and x == 0:
        return ZERO
    return tape.input(to_float(x))


def _can_be_adopted(x: Any) -> bool:
    """Tell whether it is a plain Value, a leaf, and has a plain number."""
    return x.__class__ is Value and not x._prev and x._operation == "" and x.data.__class__ is float


def _apply(self: Any, operation: Operation, *operands: Any) -> Any:
    """Apply an operation, the most frequent cases first: all operands are on the tape."""
    tape = self._tape
    code = _PACKED.get(operation)
    if code is None or tape.done >= _LONG:
        return record(operation, *operands)
    try:
        if operation.arity == 1:
            made: Any = Recorded()
            made._tape = tape
            made._index = tape.size = tape.size + 1.0
            tape.pending.append(code + self._index * SHIFT)
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
    except (AttributeError, ClosedTapeError):  # there are operands that are on no tape
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


# The methods below spell out one and the same thing in order to be fast. The number is taken, and
# the node appended, with no call in between, so that no other thread comes between them.
# The interpreter's speed is what a recorded program's speed depends on, hence no helper either.


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
        except ClosedTapeError:
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
        except ClosedTapeError:
            return record(operation, other, self)
        return made

    return _with_own_caches(method)


def _binary_of_adopted(operation: Operation) -> Any:
    """Return a leaf's method for the same; what two leaves come to may begin a new tape."""
    code = _PACKED[operation]

    def method(self: Any, other: Any) -> Any:
        if type(other) is Recorded:
            tape = other._tape
            if self._tape is tape:
                try:
                    made: Any = Recorded()
                    made._tape = tape
                    made._index = tape.size = tape.size + 1.0
                    tape.pending.append(code + self._index * SHIFT + other._index)
                except ClosedTapeError:
                    return record(operation, self, other)
                return made
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
        except ClosedTapeError:
            return record(operation, self)
        return made

    return _with_own_caches(method)


def _add_operators() -> None:
    for operation in ops.OPERATIONS.values():
        if operation.arity == 1:
            setattr(Recorded, operation.name, _unary(operation))
        elif operation.arity == 2:
            setattr(Recorded, operation.name, _binary(operation))
    names = {"add": ops.add, "sub": ops.subtract, "mul": ops.multiply, "truediv": ops.divide}
    for name, operation in names.items():
        setattr(Recorded, f"__{name}__", _binary(operation))
        setattr(Recorded, f"__r{name}__", _reflected(operation))
        setattr(Adopted, f"__{name}__", _binary_of_adopted(operation))
    for name, operation in {"neg": ops.negate, "abs": ops.absolute}.items():
        setattr(Recorded, f"__{name}__", _unary(operation))
    for kind in (Recorded, Adopted):
        setattr(kind, "_apply", _with_own_caches(_apply))  # noqa: B010, mypy's method-assign


_add_operators()
