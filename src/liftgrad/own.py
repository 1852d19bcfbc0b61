"""Values that a program makes by hand, with a derivative as in micrograd's lecture or microgpt."""

from collections.abc import Callable, Sequence
from pickle import PicklingError
from typing import Any, NoReturn

from liftgrad.entries import Adjoints, Operation
from liftgrad.numbers import is_number, to_float
from liftgrad.protocols import is_variable


def step(value: Any, operation: "Maker") -> Callable[[], None]:
    """Return micrograd's `_backward` of a Value that this operation made.

    It still works once another function has taken its place, which may call it.
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
        value._operation = ByFunction(value._op, function)
    except AttributeError:
        raise TypeError(
            "the result of a lifted or recorded operation has a derivative already; make a Value "
            "of your own out of it, as in Value(y.data, (y,), 'mine'), and set its _backward."
        ) from None


def maker(given: Operation | str | Sequence[float], operands: tuple[Any, ...]) -> "Maker":
    """Return what made a Value of these operands: an operation, its name, or its derivatives.

    Derivatives are microgpt's `local_grads`.

    Raises:
        TypeError: if an operand is not a Value, or the derivatives are not one for each operand.

    """
    if isinstance(given, Operation):
        return given
    for x in operands:
        if is_variable(x):
            raise TypeError(
                "an operation of your own takes Values, and grad() and its like pass something "
                "else; call backward() of a result, or give its derivative to "
                "liftgrad.operation()."
            )
        if not hasattr(x, "grad"):
            raise TypeError(
                f"a Value is made of Values, and this one of a {type(x).__name__} as well; "
                "leave that out, or make a Value of it."
            )
    if isinstance(given, str):
        return given
    if not given:
        return ""
    if len(given) != len(operands):
        raise TypeError(
            f"a Value is made of {len(operands)} operands with {len(given)} derivatives; give one "
            "for each, as in Value(y, (a, b), (dy_da, dy_db))."
        )
    return ByDerivatives(tuple(map(to_float, given)))


class ByDerivatives:
    """What made a Value, known by nothing but its derivatives by the operands."""

    __slots__ = ("derivatives",)
    symbol = ""

    def __init__(self, derivatives: tuple[float, ...]) -> None:
        self.derivatives = derivatives

    def pullback(self, g: Any, _y: Any, *_operands: Any) -> Adjoints:
        """Return the adjoints of the operands."""
        _refuse_graph("", g)
        return tuple([g * x for x in self.derivatives])


class ByFunction:
    """What made a Value, known by micrograd's `_backward`.

    That reads the result's gradient and adds to those of the operands itself.
    """

    __slots__ = ("backward", "symbol")

    def __init__(self, symbol: str, backward: Callable[[], Any]) -> None:
        self.symbol, self.backward = symbol, backward

    def pullback(self, g: Any, _y: Any, *operands: Any) -> Adjoints:
        """Call the function, and return zeros, which add nothing to what it has added."""
        _refuse_graph(self.symbol, g)
        self.backward()
        return (0.0,) * len(operands)

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


Maker = Operation | ByDerivatives | ByFunction | str
"""What made a Value; a str is a name, without a derivative."""


def _refuse_graph(name: str, g: Any) -> None:
    if not is_number(g):
        raise TypeError(
            f"second derivatives go through an operation of your own{name and f', {name!r},'} "
            "whose derivative is known as numbers only; write it with operations that liftgrad "
            "has, or give its derivative to liftgrad.operation()."
        )
