"""Stochastic gradient descent."""

from collections.abc import Iterable
from typing import Any

from liftgrad.optim.checks import check
from liftgrad.optim.optimizer import Optimizer
from liftgrad.optim.schedules import Schedule


class SGD(Optimizer):
    """Stochastic gradient descent, with PyTorch's momentum.

        g ← gradient + weight_decay·p
        m ← momentum·m + (1 - dampening)·g     (m ← g at the first step)
        p ← p - lr·m                           (p - lr·(g + momentum·m) with nesterov)

    >>> from liftgrad import Value
    >>> x = Value(3.0)
    >>> optimizer = SGD([x], lr=0.25, momentum=0.5)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     (x * x).backward()
    ...     optimizer.step()
    >>> x.data
    0.0

    Args:
        params, lr: as for `Optimizer`.
        momentum: the factor of the last step's m.
        dampening: what is subtracted from the gradient's factor, 1.
        weight_decay: the factor of p in the gradient, as from an L2 penalty ½·factor·p².
        nesterov: Nesterov's momentum; needs a momentum above 0 and no dampening.

    """

    momentum: float
    dampening: float
    weight_decay: float
    nesterov: bool

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Schedule = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        check("momentum", momentum)
        check("weight_decay", weight_decay)
        if nesterov and (momentum == 0.0 or dampening != 0.0):
            raise ValueError("nesterov needs a momentum above 0 and no dampening.")
        # Without momentum there is nothing to keep between steps.
        self.state_names = ("momentum",) if momentum else ()
        super().__init__(
            params,
            lr,
            momentum=momentum,
            dampening=dampening,
            weight_decay=weight_decay,
            nesterov=nesterov,
        )

    def scalars(self, step: int) -> tuple[float, ...]:
        """Return the rate, and the factors of the last step's m and of the gradient.

        >>> from liftgrad import Value
        >>> SGD([Value(1.0)], lr=0.5, momentum=0.75).scalars(step=1)
        (0.5, 0.75, 1.0)
        """
        if not self.momentum:
            return (self.rate(step),)
        kept, taken = (0.0, 1.0) if step == 0 else (self.momentum, 1.0 - self.dampening)
        return self.rate(step), kept, taken

    def update(
        self, parameter: Any, gradient: Any, state: tuple[Any, ...], scalars: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        """Return the new parameter and the new m, by the formulas of the class.

        >>> from liftgrad import Value
        >>> SGD([Value(1.0)]).update(1.0, 2.0, (), (0.25,))
        (0.5, ())
        """
        if self.weight_decay:
            gradient = gradient + self.weight_decay * parameter
        if not self.momentum:
            (rate,) = scalars
            return parameter - rate * gradient, ()
        rate, kept, taken = scalars
        direction = kept * state[0] + taken * gradient
        ahead = gradient + self.momentum * direction if self.nesterov else direction
        return parameter - rate * ahead, (direction,)
