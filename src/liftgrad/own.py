"""Operations of a program's own, with derivatives as micrograd's lecture and microgpt give them."""

from collections.abc import Callable, Sequence
from functools import partial
from pickle import PicklingError
from typing import Any, NoReturn

from liftgrad.numbers import is_number, to_float
from liftgrad.ops import Adjoints, Operation


def step(value: Any, operation: Operation | str) -> Callable[[], None]:
    """Return micrograd's `_backward` of a Value that this operation made.

    It still is that after another function has taken its place, and may be called by that.
    """

    def add_to_operands() -> None:
        adjoints = value._adjoints(False, operation) if value._prev else ()
        for operand, adjoint in zip(value._prev, adjoints, strict=True):
            operand.grad += adjoint

    return add_to_operands


def set_step(value: Any, function: Callable[[], Any]) -> None:
    """Let a Value pass its gradient on by a function of the program's own.

    Raises:
        TypeError: if it has no operands, or is the result of a lifted or recorded operation.

    """
    if not value._prev:
        raise TypeError(
            "a Value without operands has nothing to pass its gradient on to; name them when "
            "making it, as in Value(data, (x,), 'sin')."
        )
    try:
        value._operation = by_function(value._op, function)
    except AttributeError:
        raise TypeError(
            "the result of a lifted or recorded operation has a derivative already; make a Value "
            "of your own out of it, as in Value(y.data, (y,), 'mine'), and set its _backward."
        ) from None


def by_function(name: str, backward: Callable[[], Any]) -> Operation:
    """Return an operation whose derivative is micrograd's `_backward`.

    `backward` reads the result's gradient and adds to those of the operands itself.
    """

    def pullback(g: Any, _y: Any, *operands: Any) -> Adjoints:
        _refuse_graph(name, g)
        backward()
        return (0.0,) * len(operands)

    return _ByFunction(name, _no_forward, pullback, name, name, None)


def operation(
    given: Operation | str | Sequence[float], operands: tuple[Any, ...]
) -> Operation | str:
    """Return what made a Value of these operands: an operation, its name, or its derivatives.

    Derivatives are microgpt's `local_grads`.

    Raises:
        TypeError: if an operand is no Value, or there is not one derivative for each of them.

    """
    if isinstance(given, Operation):
        return given
    for x in operands:
        if hasattr(x, "primal"):
            raise TypeError(
                "an operation of your own takes Values, and grad() and its like pass something "
                "else; call backward() of a result, or use operations that liftgrad has."
            )
        if not hasattr(x, "grad"):
            raise TypeError(
                f"a Value is made of Values, and this one of a {type(x).__name__} as well; "
                "leave that out, or make a Value of it."
            )
    if isinstance(given, str):
        return given
    return by_derivatives(given, len(operands)) if given else ""


def by_derivatives(derivatives: Sequence[float], operands: int) -> Operation:
    """Return an operation with these derivatives by its operands; see `operation`."""
    if len(derivatives) != operands:
        raise TypeError(
            f"a Value is made of {operands} operands with {len(derivatives)} derivatives; give one "
            "for each, as in Value(y, (a, b), (dy_da, dy_db))."
        )
    numbers = tuple(map(to_float, derivatives))
    return _ByDerivatives("", _no_forward, partial(_scaled, numbers), "", "")


def _scaled(derivatives: tuple[float, ...], g: Any, _y: Any, *_operands: Any) -> Adjoints:
    _refuse_graph("", g)
    return tuple([g * x for x in derivatives])


class _ByFunction(Operation):
    """Its function belongs to the very Values that it was written for."""

    __slots__ = ()

    def __copy__(self) -> NoReturn:
        raise TypeError(
            f"a Value with a _backward of its own ({self.symbol!r}) cannot be copied, since that "
            "function adds to the gradients of the Values it was written for; compute it anew."
        )

    def __deepcopy__(self, _memo: Any) -> NoReturn:
        self.__copy__()

    def __reduce__(self) -> NoReturn:
        raise PicklingError(
            f"a Value with a _backward of its own ({self.symbol!r}) cannot be pickled; pickle what "
            "it was computed from."
        )


class _ByDerivatives(Operation):
    """It is nothing but its derivatives."""

    __slots__ = ()

    def __reduce__(self) -> tuple[Any, ...]:
        pullback: Any = self.pullback
        (derivatives,) = pullback.args
        return by_derivatives, (derivatives, len(derivatives))


def _no_forward(*_operands: float) -> NoReturn:
    raise TypeError("an operation given by its derivative only cannot be applied to other numbers.")


def _refuse_graph(name: str, g: Any) -> None:
    if not is_number(g):
        raise TypeError(
            f"second derivatives go through an operation of your own{name and f', {name!r},'} "
            "whose derivative is known as numbers only; write it with operations that liftgrad "
            "has, or as an Operation of liftgrad.ops."
        )
