"""Adam, and AdamW, whose weight decay is apart from the gradient."""

import math
from collections.abc import Iterable
from typing import Any

from liftgrad.numbers import is_number, plain
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

    With amsgrad (Reddi et al., 2018) the largest v so far stands in place of v in the last line.

    Args:
        params, lr: as for `Optimizer`.
        betas: β₁ and β₂, how much of the running means of g and g² is kept.
        eps: what keeps the quotient finite.
        weight_decay: the factor of p in the gradient, that of an L2 penalty ½·factor·p².
        amsgrad: never let the step of a parameter grow again by a smaller g².

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
            betas=(plain(betas[0]), plain(betas[1])),
            eps=eps,
            weight_decay=weight_decay,
            amsgrad=amsgrad,
        )

    def scalars(self, step: int) -> tuple[float, ...]:
        """Return the rate and a factor of the root of the square, which correct for the start at 0.

        A factor and no divisor: to divide is what takes longest in a step.
        """
        beta1, beta2 = self.betas
        return (
            self.rate(step) / (1.0 - beta1 ** (step + 1)),
            1.0 / math.sqrt(1.0 - beta2 ** (step + 1)),
        )

    def update(
        self, parameter: Any, gradient: Any, state: tuple[Any, ...], scalars: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        """Return the new number and the new running means, as the class says."""
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

    Args:
        params, lr, betas, eps, amsgrad: as for `Adam`.
        weight_decay: how fast p shrinks, for a rate of 1.

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
        """Return Adam's numbers, and how much of p is kept."""
        return (*super().scalars(step), 1.0 - self.rate(step) * self.weight_decay)

    def update(
        self, parameter: Any, gradient: Any, state: tuple[Any, ...], scalars: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        """Return the new number and the new running means, as the class says."""
        *scalars_of_adam, kept = scalars
        return self._moved(kept * parameter, gradient, state, tuple(scalars_of_adam))
