"""The engine: `Value`, one number that remembers how it was made and can say its derivative.

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
    """A number, its gradient, the operands it was made of, and the operation that made it.

    >>> a, b = Value(2.0, label="a"), Value(-3.0, label="b")
    >>> c = (a * b + 10.0).relu()
    >>> c.backward()
    >>> c.data, a.grad, b.grad
    (4.0, -3.0, 2.0)

    As in micrograd, Values are told apart by identity: `==` between two of them, `in`, `index` and
    hashing ask for the very same one. `==` with a plain number and `<`, `>`, ... compare data.
    Every Value is true, that of zero as well. `float(v)`, `int(v)` and the functions of `math`
    refuse, since they would lose the gradient. Values take attributes, such as an optimiser's
    moments. Arithmetic on instances of a subclass gives plain Values.

    >>> a, b = Value(1.0), Value(1.0)
    >>> a == b, a == 1.0, a in [b], a <= b
    (False, True, False, True)

    Args:
        data: a Python or NumPy number or 0-d array of real numbers.
        _children: the operands, where an operation of your own made it. Its derivative is either
            a function that adds to their gradients, set as `_backward` as in micrograd,
        _op: or a tuple of numbers, the derivatives by each, as in microgpt; else this is its name.
        label: a name for pictures and messages.

    Raises:
        TypeError: if `data` is not one real number, or what is given of an operation does not fit.

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
    """The number that was computed, whatever was set since."""
    _first: Any
    """The first operand's number then; where there are more than two, the list of all."""
    _second: float
    """The last operand's number then."""

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
                    return x._apply(operation, *operands)  # a traced or recorded value's turn
            operands = tuple([x if isinstance(x, Value) else Value(x) for x in operands])
            data = [x.data for x in operands]
        result = operation.forward(*data)
        if operation.constant:
            return Value(result)
        made = _new(Value)  # __init__ would look for what only people pass
        made.data = result if result.__class__ is float else to_float(result)
        made.grad = 0.0
        made._prev, made._operation = operands, operation
        made._keep(made.data, data)
        return made

    @property
    def _numbers(self) -> tuple[float, ...]:
        """The number that was computed and those of the operands then."""
        count = len(self._prev)
        if count > 2:
            return self._result, *self._first
        return (self._result, self._first, self._second)[: count + 1]

    def _keep(self, result: float, operands: Sequence[float]) -> None:
        """Keep the number that was computed and those of the operands."""
        # Not as a tuple, if they are few: it would be one object more for the collector to look at.
        self._result, self._first, self._second = result, operands[0], operands[-1]
        if len(operands) > 2:
            self._first = operands

    def _constant(self, number: float) -> "Value":
        return Value(number)

    def backward(self, *, create_graph: bool = False) -> None:
        """Set `grad` of every Value that this one was made of to the derivative of this by it.

        The derivative is taken where this was computed, at the numbers that its operands had then:
        to set a parameter's `data` in between, as an optimiser's step does, does not change it.

        Gradients of leaves accumulate over calls until they are set to zero; gradients of inner
        values are fresh at every call. With `create_graph` the gradients are Values themselves,
        for second derivatives; gradients and graph then refer to each other, and memory is
        freed by the garbage collector.

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

        # How many uses of each inner value still owe it their part of its gradient. A value may
        # pass its gradient on only when that count is zero: in b = a + a; c = b + b, b hears
        # twice from c before a may hear from b. Hence the count, and hence no recursion.
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
        """Return what this value's gradient adds to the gradient of each of its operands."""
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
        """The function that adds to the operands' gradients what this one's gives; see `own`."""
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
    """Return a Value with the number that it had; of its derivatives, they are those of `value`."""
    now = value.data
    if now is number or repr(now) == repr(number):  # which tells zeros apart, and not nans
        return value
    return Value(number, (value,), ops.total)  # a sum of one term passes its gradient on
