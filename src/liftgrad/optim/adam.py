"""Adam, and AdamW, which decouples weight decay from the gradient."""

import math
from collections.abc import Iterable
from typing import Any

from liftgrad.numbers import as_python, is_number
from liftgrad.ops import divide, maximum, sqrt
from liftgrad.optim.checks import check
from liftgrad.optim.optimizer import Optimizer
from liftgrad.optim.schedules import Schedule


class Adam(Optimizer):
    """Adam (Kingma & Ba, 2015), with PyTorch's placement of eps.

        g ← gradient + weight_decay·p
        m ← β₁·m + (1 - β₁)·g
        v ← β₂·v + (1 - β₂)·g²
        p ← p - lr/(1 - β₁ᵗ) · m / (sqrt(v)/sqrt(1 - β₂ᵗ) + eps)     at step t = 1, 2, …

    With amsgrad (Reddi et al., 2018) the largest v so far replaces v in the last line.

    >>> from liftgrad import Value
    >>> x = Value(3.0)
    >>> optimizer = Adam([x], lr=0.1)
    >>> (x * x).backward()
    >>> optimizer.step()
    >>> round(x.data, 6)
    2.9

    Args:
        params, lr: as for `Optimizer`.
        betas: β₁ and β₂, the decay of the running means of g and g².
        eps: keeps the quotient finite.
        weight_decay: the factor of p in the gradient, as from an L2 penalty ½·factor·p².
        amsgrad: never let a smaller g² increase a parameter's step again.

    """

    betas: tuple[float, float]
    eps: float
    weight_decay: float
    amsgrad: bool

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Schedule = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
    ) -> None:
        if len(betas) != 2 or not all(is_number(beta) and 0.0 <= beta < 1.0 for beta in betas):
            raise ValueError(f"betas are from 0 up to, but not, 1, and two; got betas={betas}.")
        check("eps", eps)
        check("weight_decay", weight_decay)
        self.state_names = ("mean", "square", "largest") if amsgrad else ("mean", "square")
        super().__init__(
            params,
            lr,
            betas=(as_python(betas[0]), as_python(betas[1])),
            eps=eps,
            weight_decay=weight_decay,
            amsgrad=amsgrad,
        )

    def scalars(self, step: int) -> tuple[float, ...]:
        """Return the rate and a factor of sqrt(v), which correct the bias of means that start at 0.

        A factor and not a divisor: division is the slowest operation of a step.

        >>> from liftgrad import Value
        >>> Adam([Value(1.0)], lr=0.1, betas=(0.5, 0.75)).scalars(step=0)
        (0.2, 2.0)
        """
        beta1, beta2 = self.betas
        return (
            self.rate(step) / (1.0 - beta1 ** (step + 1)),
            1.0 / math.sqrt(1.0 - beta2 ** (step + 1)),
        )

    def update(
        self, parameter: Any, gradient: Any, state: tuple[Any, ...], scalars: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        """Return the new parameter and the new running means, by the formulas of the class.

        >>> from liftgrad import Value
        >>> Adam([Value(1.0)], betas=(0.5, 0.75), eps=0.0).update(1.0, 2.0, (0.0, 0.0), (0.25, 2.0))
        (0.875, (1.0, 1.0))
        """
        if self.weight_decay:
            gradient = gradient + self.weight_decay * parameter
        return self._moved(parameter, gradient, state, scalars)

    def _moved(
        self, parameter: Any, gradient: Any, state: tuple[Any, ...], scalars: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        rate, correction = scalars
        mean, square, *largest = state
        beta1, beta2 = self.betas
        mean = beta1 * mean + (1.0 - beta1) * gradient
        square = beta2 * square + (1.0 - beta2) * (gradient * gradient)
        if self.amsgrad:
            largest = [maximum(largest[0], square)]
        size = largest[0] if self.amsgrad else square
        step = divide(mean, sqrt(size) * correction + self.eps)
        return parameter - rate * step, (mean, square, *largest)


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter, 2019).

        p ← (1 - lr·weight_decay)·p

    and then Adam's step without weight decay.

    >>> from liftgrad import Value
    >>> x = Value(3.0)
    >>> optimizer = AdamW([x], lr=0.1, weight_decay=0.5)
    >>> (x * x).backward()
    >>> optimizer.step()
    >>> round(x.data, 6)
    2.75

    Args:
        params, lr, betas, eps, amsgrad: as for `Adam`.
        weight_decay: how much p shrinks in a step, as a factor of the rate.

    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Schedule = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad)

    def scalars(self, step: int) -> tuple[float, ...]:
        """Return Adam's scalars, and the factor by which p shrinks.

        >>> from liftgrad import Value
        >>> AdamW([Value(1.0)], lr=0.5, betas=(0.5, 0.75), weight_decay=0.5).scalars(step=0)
        (1.0, 2.0, 0.75)
        """
        return (*super().scalars(step), 1.0 - self.rate(step) * self.weight_decay)

    def update(
        self, parameter: Any, gradient: Any, state: tuple[Any, ...], scalars: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        """Return the new parameter and the new running means, by the formulas of the class.

        >>> from liftgrad import Value
        >>> optimizer = AdamW([Value(1.0)], betas=(0.5, 0.75), eps=0.0)
        >>> optimizer.update(1.0, 2.0, (0.0, 0.0), (0.25, 2.0, 0.5))
        (0.375, (1.0, 1.0))
        """
        *scalars_of_adam, kept = scalars
        return self._moved(kept * parameter, gradient, state, tuple(scalars_of_adam))
