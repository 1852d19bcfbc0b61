"""Python's operators and the methods of scalars, written once for all kinds of them.

Eager Values and traced values inherit from `Operators`, the compiler's symbols from `Symbolic`, and
say only what applying an operation means to them.
"""

from typing import TYPE_CHECKING, Any, Self

from liftgrad import functional, ops
from liftgrad.entries import OPERATIONS, Operation, example
from liftgrad.numbers import is_number, to_float

if TYPE_CHECKING:
    from liftgrad.functional import Methods
else:
    Methods = object


class Operators(Methods):
    """Arithmetic by way of `_apply(operation, *operands)`, which subclasses define."""

    __slots__ = ()
    _known_as = "a Value"

    def _apply(self, operation: Operation, *operands: Any) -> Self:
        raise NotImplementedError

    def _constant(self, number: float) -> Self:
        """Return a constant of this kind, through which no gradient flows."""
        raise NotImplementedError

    def __array_ufunc__(self, function: Any, method: str, *operands: Any, **options: Any) -> Any:
        """Apply the operator that a NumPy number or array on the left asks for; refuse the rest.

        Otherwise NumPy would make arrays of objects.
        """
        names = _OPERATORS_OF_NUMPY.get(function.__name__)
        if names is None or method != "__call__" or options:
            raise TypeError(_instead_of_numpy(function.__name__))
        a, b = operands
        result = getattr(self, names[1])(a) if b is self else getattr(self, names[0])(b)
        return to_float(a if b is self else b) if result is NotImplemented else result

    def __add__(self, other: Any) -> Self:
        return self._apply(ops.add, self, other)

    def __radd__(self, other: Any) -> Self:
        return self._apply(ops.add, other, self)

    def __sub__(self, other: Any) -> Self:
        return self._apply(ops.subtract, self, other)

    def __rsub__(self, other: Any) -> Self:
        return self._apply(ops.subtract, other, self)

    def __mul__(self, other: Any) -> Self:
        return self._apply(ops.multiply, self, other)

    def __rmul__(self, other: Any) -> Self:
        return self._apply(ops.multiply, other, self)

    def __truediv__(self, other: Any) -> Self:
        return self._apply(ops.divide, self, other)

    def __rtruediv__(self, other: Any) -> Self:
        return self._apply(ops.divide, other, self)

    def __pow__(self, exponent: Any) -> Self:
        if is_number(exponent):
            return self._apply(ops.power_constant(to_float(exponent)), self)
        return self._apply(ops.power, self, exponent)

    def __rpow__(self, base: Any) -> Self:
        return self._apply(ops.power, base, self)

    def __neg__(self) -> Self:
        return self._apply(ops.negate, self)

    def __pos__(self) -> Self:
        return self

    def __abs__(self) -> Self:
        return self._apply(ops.absolute, self)

    def __float__(self) -> Any:
        raise TypeError(
            "float(), int() and the functions of math would make a plain number of a Value and "
            "lose its gradient; write .data for the number, or the method, as in v.exp()."
        )

    __int__ = __float__

    if not TYPE_CHECKING:
        leaky_relu, elu = functional.leaky_relu, functional.elu
        gelu, silu = functional.gelu, functional.silu


class Symbolic(Operators):
    """Operators of symbols, whose numbers are unknown: their comparisons are operations, too.

    The result of a comparison is a condition, again a symbol, which `where` selects by.
    """

    __slots__ = ()

    def _select(self, a: Any, b: Any) -> Self:
        return self._apply(ops.select, self, a, b)

    def __lt__(self, other: Any) -> Self:
        return self._apply(ops.less, self, other)

    def __le__(self, other: Any) -> Self:
        return self._apply(ops.less_equal, self, other)

    def __gt__(self, other: Any) -> Self:
        return self._apply(ops.less, other, self)

    def __ge__(self, other: Any) -> Self:
        return self._apply(ops.less_equal, other, self)

    def __eq__(self, other: object) -> Any:
        return self._apply(ops.equal, self, other)

    def __ne__(self, other: object) -> Any:
        return self._apply(ops.not_equal, self, other)

    def __and__(self, other: Any) -> Self:
        return self._apply(ops.logical_and, self, other)

    def __or__(self, other: Any) -> Self:
        return self._apply(ops.logical_or, self, other)

    def __invert__(self) -> Self:
        return self._apply(ops.logical_not, self)

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        raise TypeError(
            "there is a branch (if, and, or, not, max, min) on a number that is not known while a "
            "program is compiled; write where(condition, a, b), maximum(a, b) or minimum(a, b)."
        )

    def __float__(self) -> Any:
        raise TypeError(
            "there is float(), int() or a function of math of a number that is not known while a "
            "program is compiled; write exp(x) of liftgrad.functional for math.exp(x), say."
        )

    __int__ = __float__


_OPERATORS_OF_NUMPY = {
    "add": ("__add__", "__radd__"),
    "subtract": ("__sub__", "__rsub__"),
    "multiply": ("__mul__", "__rmul__"),
    "divide": ("__truediv__", "__rtruediv__"),
    "true_divide": ("__truediv__", "__rtruediv__"),  # before NumPy 2
    "power": ("__pow__", "__rpow__"),
    "less": ("__lt__", "__gt__"),
    "less_equal": ("__le__", "__ge__"),
    "greater": ("__gt__", "__lt__"),
    "greater_equal": ("__ge__", "__le__"),
    "equal": ("__eq__", "__eq__"),
    "not_equal": ("__ne__", "__ne__"),
}
"""Our methods by NumPy's functions: for a Value on the left, and for one on the right."""


def _instead_of_numpy(name: str) -> str:
    if name in OPERATIONS:
        return (
            f"NumPy's {name} is not for Values; write functional.{name}, of liftgrad.functional, "
            f"or the method .{name}(), which have a gradient."
        )
    return (
        f"NumPy's {name} is not for Values; write it with functions of liftgrad.functional, or "
        "pass .data, which has no gradient."
    )


def _method(operation: Operation) -> Any:
    if operation.arity == 1:

        def unary(self: Operators) -> Any:
            return self._apply(operation, self)

        method: Any = unary
    else:

        def binary(self: Operators, other: Any) -> Any:
            return self._apply(operation, self, other)

        method = binary
    method.__name__ = operation.name
    method.__qualname__ = f"Operators.{operation.name}"
    operands, result = example(operation)
    method.__doc__ = (
        f"Return {operation.notation.format('self', 'other')}.\n\n"
        ">>> from liftgrad import Value\n"
        f">>> round(Value(0.5).{operation.name}({', '.join(map(str, operands[1:]))}).data, 4)\n"
        f"{result}\n"
    )
    return method


for _operation in OPERATIONS.values():
    if _operation.arity is not None:
        setattr(Operators, _operation.name, _method(_operation))
