"""The engine: `Value`, one number that remembers how it was made and can say its derivative.

    >>> x = Value(3.0)
    >>> y = x**3
    >>> y.backward()
    >>> x.grad
    27.0
"""

from collections.abc import Iterable
from typing import Any

from liftgrad.numbers import is_number, to_float
from liftgrad.operators import Operators
from liftgrad.ops import Operation, lookup


class Value(Operators):
    """A number, its gradient, the operands it was made of, and the operation that made it.

    Args:
        data: a Python or NumPy number or 0-d array of real numbers.
        label: a name for pictures and messages.

    Raises:
        TypeError: if `data` is not one real number.

    `==` and `<` compare data, as PyTorch's do; as in PyTorch, hashing goes by identity.

    """

    __slots__ = ("__weakref__", "_operation", "_prev", "data", "grad", "label")

    data: float
    """The number."""
    grad: Any
    """d(what `backward` was called on) / d(this): a float; a Value after `create_graph=True`."""
    _prev: tuple["Value", ...]
    """The operands; none for a leaf."""

    def __init__(
        self,
        data: Any,
        _prev: Iterable["Value"] = (),
        _operation: Operation | str = "",
        label: str = "",
    ) -> None:
        self.data = data if data.__class__ is float else to_float(data)
        self.grad = 0.0
        self._prev = _prev if _prev.__class__ is tuple else tuple(_prev)
        self._operation = _operation
        self.label = label

    def _apply(self, operation: Operation, *operands: Any) -> Any:
        data = [x.data for x in operands if x.__class__ is Value]
        if len(data) != len(operands):
            for x in operands:
                if hasattr(x, "_apply") and not isinstance(x, Value):
                    return x._apply(operation, *operands)  # noqa: SLF001, a traced value's turn
            operands = tuple([x if isinstance(x, Value) else Value(x) for x in operands])
            data = [x.data for x in operands]
        return Value(operation.forward(*data), operands, operation)

    def _constant(self, number: float) -> "Value":
        return Value(number)

    def backward(self, *, create_graph: bool = False) -> None:
        """Set `grad` of every Value that this one was made of to the derivative of this by it.

        Gradients of leaves accumulate over calls until they are set to zero; gradients of inner
        values are fresh at every call. With `create_graph` the gradients are Values themselves,
        for second derivatives.
        """
        # How many uses of each value still owe it their part of its gradient. A value may pass
        # its gradient on only when that count is zero: in b = a + a; c = b + b, b hears twice
        # from c before a may hear from b. Hence the count, and hence no recursion.
        pending = {self: 0}
        reached = [self]
        for value in reached:
            if value._prev:
                value.grad = 0.0
            for operand in value._prev:
                if operand in pending:
                    pending[operand] += 1
                else:
                    pending[operand] = 1
                    reached.append(operand)

        self.grad += Value(1.0) if create_graph else 1.0
        ready = [self]
        for value in ready:
            operands = value._prev
            if not operands:
                continue
            if create_graph:
                adjoints = value._pullback(value.grad, value, *operands)
            else:
                adjoints = value._pullback(value.grad, value.data, *[x.data for x in operands])
            for operand, adjoint in zip(operands, adjoints, strict=True):
                operand.grad += adjoint
                pending[operand] -= 1
                if not pending[operand]:
                    ready.append(operand)

    @property
    def _pullback(self) -> Any:
        if isinstance(self._operation, str):
            raise TypeError(
                f"a Value made by hand with operands and the operation {self._operation!r} has no "
                "derivative rule; make it with liftgrad's operations, or add one to liftgrad.ops."
            )
        return self._operation.pullback

    @property
    def _op(self) -> str:
        """What made this value, as micrograd's graph drawings show it; '' for a leaf."""
        operation = self._operation
        return operation if isinstance(operation, str) else operation.symbol

    def __repr__(self) -> str:
        return f"Value(data={self.data}, grad={self.grad})"

    def __float__(self) -> float:
        return self.data

    def __bool__(self) -> bool:
        return self.data != 0.0

    def __format__(self, specification: str) -> str:
        return format(self.data, specification) if specification else repr(self)

    def __eq__(self, other: object) -> Any:
        return self.data == _data(other) if _comparable(other) else NotImplemented

    def __ne__(self, other: object) -> Any:
        return self.data != _data(other) if _comparable(other) else NotImplemented

    def __lt__(self, other: Any) -> Any:
        return self.data < _data(other) if _comparable(other) else NotImplemented

    def __le__(self, other: Any) -> Any:
        return self.data <= _data(other) if _comparable(other) else NotImplemented

    def __gt__(self, other: Any) -> Any:
        return self.data > _data(other) if _comparable(other) else NotImplemented

    def __ge__(self, other: Any) -> Any:
        return self.data >= _data(other) if _comparable(other) else NotImplemented

    __hash__ = object.__hash__

    def __reduce__(self) -> tuple[Any, ...]:
        """Store the graph as a flat list: the default way recurses once for each operation."""
        if not self._prev:
            return _restore_leaf, (type(self), self.data, self.grad, self.label, self._op)
        values = _operands_first(self)
        leaves = [v for v in values if not v._prev]
        index = {v: i for i, v in enumerate(leaves + [v for v in values if v._prev])}
        inner = [_stored(v, index) for v in values if v._prev]
        return _restore_graph, (leaves, inner)

    def __copy__(self) -> "Value":
        copy = Value(self.data, self._prev, self._operation, self.label)
        copy.grad = self.grad
        return copy

    def __deepcopy__(self, memo: dict[int, Any]) -> "Value":
        for value in _operands_first(self):
            if id(value) not in memo:
                operands = tuple([memo[id(x)] for x in value._prev])
                copy = type(value)(value.data, operands, value._operation, value.label)
                memo[id(value)] = copy
                copy.grad = _deepcopy_grad(value.grad, memo)
        return memo[id(self)]  # type: ignore[no-any-return]


def _comparable(x: object) -> bool:
    return isinstance(x, Value) or is_number(x)


def _data(x: Any) -> float:
    return x.data if isinstance(x, Value) else to_float(x)


def _operands_first(root: Value) -> list[Value]:
    """Return every value that `root` was made of, and itself, operands before results."""
    order: list[Value] = []
    seen: set[Value] = set()
    stack = [(root, False)]
    while stack:
        value, finished = stack.pop()
        if finished:
            order.append(value)
        elif value not in seen:
            seen.add(value)
            stack.append((value, True))
            stack.extend((operand, False) for operand in reversed(value._prev))  # noqa: SLF001
    return order


def _deepcopy_grad(grad: Any, memo: dict[int, Any]) -> Any:
    return grad.__deepcopy__(memo) if isinstance(grad, Value) else grad


def _stored(value: Value, index: dict[Value, int]) -> tuple[Any, ...]:
    operation = value._operation  # noqa: SLF001
    key = operation if isinstance(operation, str) else (operation.name, operation.parameter)
    operands = [index[x] for x in value._prev]  # noqa: SLF001
    return value.data, value.grad, value.label, key, operands


def _restore_leaf(kind: type[Value], data: float, grad: Any, label: str, operation: str) -> Value:
    leaf = kind(data, (), operation, label)
    leaf.grad = grad
    return leaf


def _restore_graph(leaves: list[Value], inner: list[tuple[Any, ...]]) -> Value:
    values = list(leaves)
    for data, grad, label, key, operands in inner:
        operation = key if isinstance(key, str) else lookup(*key)
        value = Value(data, tuple([values[i] for i in operands]), operation, label)
        value.grad = grad
        values.append(value)
    return values[-1]
