"""Adagrad: the gradient over the root of the sum of its squares."""

from collections.abc import Iterable
from typing import Any

from liftgrad.ops import divide, sqrt
from liftgrad.optim.checks import check
from liftgrad.optim.optimizer import Optimizer
from liftgrad.optim.schedules import Schedule


class Adagrad(Optimizer):
    """Adagrad (Duchi et al., 2011), with PyTorch's placement of eps.

        g ← gradient + weight_decay·p
        v ← v + g²
        p ← p - lr/(1 + (t - 1)·lr_decay) · g / (sqrt(v) + eps)     at step t = 1, 2, …

    >>> from liftgrad import Value
    >>> x = Value(3.0)
    >>> optimizer = Adagrad([x], lr=0.5)
    >>> (x * x).backward()
    >>> optimizer.step()
    >>> round(x.data, 6)
    2.5

    Args:
        params, lr: as for `Optimizer`.
        lr_decay: how fast the rate falls.
        weight_decay: the factor of p in the gradient, as from an L2 penalty ½·factor·p².
        initial_accumulator_value: v before the first step.
        eps: keeps the quotient finite.

    """

    state_names = ("sum",)

    lr_decay: float
    weight_decay: float
    initial_accumulator_value: float
    eps: float

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Schedule = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
    ) -> None:
        check("lr_decay", lr_decay)
        check("weight_decay", weight_decay)
        check("initial_accumulator_value", initial_accumulator_value)
        check("eps", eps)
        super().__init__(
            params,
            lr,
            lr_decay=lr_decay,
            weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
            eps=eps,
        )

    def initial(self, name: str) -> float:  # noqa: ARG002, there is one state
        """Return the sum before the first step.

        >>> from liftgrad import Value
        >>> Adagrad([Value(1.0)], initial_accumulator_value=0.5).initial("sum")
        0.5
        """
        return float(self.initial_accumulator_value)

    def scalars(self, step: int) -> tuple[float, ...]:
        """Return the rate, which falls with each step.

        >>> from liftgrad import Value
        >>> Adagrad([Value(1.0)], lr=0.5).scalars(step=0)
        (0.5,)
        """
        return (self.rate(step) / (1.0 + step * self.lr_decay),)

    def update(
        self, parameter: Any, gradient: Any, state: tuple[Any, ...], scalars: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        """Return the new parameter and the new sum of squares, by the formulas of the class.

        >>> from liftgrad import Value
        >>> Adagrad([Value(1.0)], eps=0.0).update(1.0, 2.0, (0.0,), (0.25,))
        (0.75, (4.0,))
        """
        (rate,) = scalars
        if self.weight_decay:
            gradient = gradient + self.weight_decay * parameter
        square = state[0] + gradient * gradient
        return parameter - rate * divide(gradient, sqrt(square) + self.eps), (square,)
