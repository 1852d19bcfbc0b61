"""Python's operators and the methods of scalars, written once for all kinds of them.

Eager Values and traced values inherit from `Operators` and say only what applying an operation
means to them.
"""

from typing import TYPE_CHECKING, Any, Self

from liftgrad import functional, ops
from liftgrad.numbers import is_number, to_float
from liftgrad.ops import OPERATIONS, Operation


class Operators:
    """Arithmetic by way of `_apply(operation, *operands)`, which subclasses define."""

    __slots__ = ()
    # NumPy then leaves `array * value` to us, where it is refused, instead of making an
    # array of objects.
    __array_ufunc__ = None

    def _apply(self, operation: Operation, *operands: Any) -> Self:
        raise NotImplementedError

    def _constant(self, number: float) -> Self:
        """Return a number of this kind that takes no part in any gradient."""
        raise NotImplementedError

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

    if TYPE_CHECKING:
        # What the table of operations and `functional` give, for type checkers and editors.

        def negate(self) -> Self:
            """Return -self."""

        def add(self, other: Any) -> Self:
            """Return self + other."""

        def leaky_relu(self, negative_slope: float = 0.01) -> Self:
            """Return self where it is positive, else negative_slope·self."""

        def elu(self, alpha: float = 1.0) -> Self:
            """Return self where it is positive, else alpha·(exp(self) - 1)."""

        absolute = exp = expm1 = log = log1p = sqrt = sin = cos = tanh = erf = negate
        sigmoid = softplus = relu = gelu = silu = negate
        subtract = multiply = divide = power = maximum = minimum = add
    else:
        leaky_relu, elu = functional.leaky_relu, functional.elu
        gelu, silu = functional.gelu, functional.silu


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
    method.__doc__ = f"Return {operation.notation.format('self', 'other')}."
    return method


for _operation in OPERATIONS.values():
    if _operation.arity is not None:
        setattr(Operators, _operation.name, _method(_operation))
