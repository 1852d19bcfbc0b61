"""The engine: `Value`, a number that remembers how it was computed, for its derivative.

>>> x = Value(3.0)
>>> y = x**3
>>> y.backward()
>>> x.grad
27.0
"""

import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from liftgrad import ops, own
from liftgrad.copying import Copied
from liftgrad.numbers import equal_elements, is_number, to_float
from liftgrad.operators import Operators
from liftgrad.ops import Operation

_new = object.__new__


class Value(Operators, Copied):
    """A number, its gradient, and the operation and operands that it was computed from.

    >>> a, b = Value(2.0, label="a"), Value(-3.0, label="b")
    >>> c = (a * b + 10.0).relu()
    >>> c.backward()
    >>> c.data, a.grad, b.grad
    (4.0, -3.0, 2.0)

    As in micrograd, Values compare by identity: `==` between two of them, `in`, `index` and hashing
    mean the same object. `==` with a plain number and `<`, `>`, ... compare data. Every Value is
    true, zero included. `float(v)`, `int(v)` and the functions of `math`
    refuse, since they would lose the gradient. Values take attributes, such as an optimiser's
    moments. Arithmetic on instances of a subclass gives plain Values.

    >>> a, b = Value(1.0), Value(1.0)
    >>> a == b, a == 1.0, a in [b], a <= b
    (False, True, False, True)

    Args:
        data: a Python or NumPy number or 0-d array of real numbers.
        _children: the operands, if you computed `data` from them yourself. Give the derivative as
            in micrograd, setting `_backward` to a function that adds to their gradients, or
        _op: as in microgpt, by a tuple of the derivatives by each; else this is a name.
        label: a name for pictures and messages.

    Raises:
        TypeError: if `data` is not one real number, or operands and derivatives do not fit.

    """

    __slots__ = (
        *("__dict__", "__weakref__", "_operation", "_prev", "data", "grad"),
        *("_first", "_result", "_second"),
    )

    data: float
    """The number."""
    grad: Any
    """d(what `backward` was called on) / d(this): a float; a Value after `create_graph=True`."""
    label: str = ""
    """A name for pictures and messages."""
    _prev: tuple["Value", ...]
    """The operands; none for a leaf."""
    _operation: own.Maker
    """What made it of them; "" for a leaf."""
    _result: float
    """The number that was computed, whatever `data` was set to since."""
    _first: Any
    """The first operand's number at that time; of more than two operands, the list of all."""
    _second: float
    """The last operand's number at that time."""

    def __init__(
        self,
        data: Any,
        _children: Iterable["Value"] = (),
        _op: Operation | str | Sequence[float] = "",
        label: str = "",
    ) -> None:
        self.data = data if type(data) is float else to_float(data)
        self.grad = 0.0
        self._prev = _children if _children.__class__ is tuple else tuple(_children)
        self._operation = own.maker(_op, self._prev) if _op or _children else ""
        if label:
            self.label = label
        if self._prev:
            self._keep(self.data, [x.data for x in self._prev])

    def _apply(self, operation: Operation, *operands: Any) -> Any:
        data = [x.data for x in operands if type(x) is Value]
        if len(data) != len(operands):
            for x in operands:
                if hasattr(x, "_apply") and type(x)._apply is not Value._apply:
                    return x._apply(operation, *operands)  # a traced or recorded value decides
            operands = tuple([x if isinstance(x, Value) else Value(x) for x in operands])
            data = [x.data for x in operands]
        result = operation.forward(*data)
        if operation.constant:
            return Value(result)
        made = _new(Value)  # __init__ would check what only users get wrong
        made.data = result if result.__class__ is float else to_float(result)
        made.grad = 0.0
        made._prev, made._operation = operands, operation
        made._keep(made.data, data)
        return made

    @property
    def _numbers(self) -> tuple[float, ...]:
        """The number that was computed, and those of the operands at that time."""
        count = len(self._prev)
        if count > 2:
            return self._result, *self._first
        return (self._result, self._first, self._second)[: count + 1]

    def _keep(self, result: float, operands: Sequence[float]) -> None:
        """Keep the number that was computed, and those of the operands."""
        # Two operands need no tuple, which would be one object more for the garbage collector.
        self._result, self._first, self._second = result, operands[0], operands[-1]
        if len(operands) > 2:
            self._first = operands

    def _constant(self, number: float) -> "Value":
        return Value(number)

    def backward(self, *, create_graph: bool = False) -> None:
        """Set `grad` of every Value that this one was computed from to the derivative by it.

        The derivative is that at the numbers which the operands had when this was computed: setting
        a parameter's `data` in between, as an optimiser's step does, does not change it.

        Gradients of leaves accumulate over calls until they are set to zero; those of inner values
        are computed anew by each call. With `create_graph` the gradients are Values, for second
        derivatives; gradients and graph then refer to each other, and the garbage collector
        frees their memory.

        >>> x = Value(3.0)
        >>> (x**2).backward()
        >>> x.grad
        6.0

        Raises:
            TypeError: if a value was made by an operation without a derivative rule.

        """
        one = Value(1.0) if create_graph else 1.0
        if not self._prev:
            self.grad += one
            return

        # For each inner value, how many of its uses have not contributed to its gradient yet. A
        # value may pass its gradient on only when that count is zero: in b = a + a; c = b + b, b
        # hears twice from c before a may hear from b. Hence the count, and hence no recursion.
        pending = {self: 0}
        inner = [self]
        while inner:
            value = inner.pop()
            value.grad = 0.0
            for operand in value._prev:
                if operand in pending:
                    pending[operand] += 1
                elif operand._prev:
                    pending[operand] = 1
                    inner.append(operand)

        self.grad = one
        ready = [self]
        while ready:
            value = ready.pop()
            for operand, adjoint in zip(value._prev, value._adjoints(create_graph), strict=True):
                operand.grad += adjoint
                if operand._prev:
                    pending[operand] -= 1
                    if not pending[operand]:
                        ready.append(operand)

    def _adjoints(self, create_graph: bool, operation: Any = None) -> Iterable[Any]:
        """Return what this value's gradient contributes to the gradient of each operand."""
        pullback = getattr(operation or self._operation, "pullback", None)
        if pullback is None:
            raise TypeError(
                f"a Value made by the operation {self._op!r} has no derivative rule; make it "
                "with operations that have one, or set its _backward, as in micrograd."
            )
        if not create_graph:
            return pullback(self.grad, *self._numbers)  # type: ignore[no-any-return]
        adjoints = pullback(self.grad, *map(_as_it_was, (self, *self._prev), self._numbers))
        return [x if isinstance(x, Value) else Value(x) for x in adjoints]

    @property
    def _backward(self) -> Callable[[], None]:
        """The function that passes this value's gradient on to its operands; see `own`."""
        return own.step(self, self._operation)

    @_backward.setter
    def _backward(self, function: Callable[[], Any]) -> None:
        own.set_step(self, function)

    @property
    def _op(self) -> str:
        """What made this value, as micrograd's graph drawings show it; '' for a leaf."""
        operation = self._operation
        return operation if isinstance(operation, str) else operation.symbol

    def __repr__(self) -> str:
        return f"Value(data={self.data}, grad={self.grad})"

    def __format__(self, specification: str) -> str:
        return format(self.data, specification) if specification else repr(self)

    def __eq__(self, other: object) -> Any:
        if isinstance(other, Value):
            return self is other
        return bool(self.data == other) if is_number(other) else equal_elements(self, other)

    def __ne__(self, other: object) -> Any:
        equal = self == other
        return not equal if isinstance(equal, bool) else ~equal

    __hash__ = object.__hash__

    def __lt__(self, other: Any) -> Any:
        return _compare(operator.lt, self, other)

    def __le__(self, other: Any) -> Any:
        return _compare(operator.le, self, other)

    def __gt__(self, other: Any) -> Any:
        return _compare(operator.gt, self, other)

    def __ge__(self, other: Any) -> Any:
        return _compare(operator.ge, self, other)


def _compare(order: Callable[[Any, Any], Any], value: Value, other: Any) -> Any:
    if not isinstance(other, Value) and not is_number(other):
        return NotImplemented
    return bool(order(value.data, other.data if isinstance(other, Value) else other))


def _as_it_was(value: Value, number: float) -> Value:
    """Return a Value with the number that `value` had, whose gradient flows on to `value`."""
    now = value.data
    if now is number or repr(now) == repr(number):  # nan is nan, and 0.0 is not -0.0
        return value
    return Value(number, (value,), ops.total)  # a sum of one term passes its gradient on
