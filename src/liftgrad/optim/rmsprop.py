"""RMSprop: the gradient over the root of its running mean square."""

from collections.abc import Iterable
from typing import Any

from liftgrad.ops import divide, sqrt
from liftgrad.optim.checks import check
from liftgrad.optim.optimizer import Optimizer
from liftgrad.optim.schedules import Schedule


class RMSprop(Optimizer):
    """RMSprop (Hinton's lecture 6e, 2012), with PyTorch's placement of eps.

        g ← gradient + weight_decay·p
        v ← alpha·v + (1 - alpha)·g²
        c ← alpha·c + (1 - alpha)·g            (with centered; else c = 0)
        d ← g / (sqrt(v - c²) + eps)
        b ← momentum·b + d
        p ← p - lr·b

    >>> from liftgrad import Value
    >>> x = Value(3.0)
    >>> optimizer = RMSprop([x], lr=0.01)
    >>> (x * x).backward()
    >>> optimizer.step()
    >>> round(x.data, 6)
    2.9

    Args:
        params, lr: as for `Optimizer`.
        alpha: the decay of the running mean of g².
        eps: keeps the quotient finite.
        weight_decay: the factor of p in the gradient, as from an L2 penalty ½·factor·p².
        momentum: the factor of the last step's b.
        centered: divide by the standard deviation of g (Graves, 2013) and not by its root mean
            square; as in PyTorch, a gradient that stays the same for long makes it nearly 0.

    """

    alpha: float
    eps: float
    weight_decay: float
    momentum: float
    centered: bool

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Schedule = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ) -> None:
        if not 0.0 <= alpha < 1.0:
            raise ValueError(f"alpha is from 0 up to, but not, 1; got alpha={alpha}.")
        check("eps", eps)
        check("weight_decay", weight_decay)
        check("momentum", momentum)
        names = {"square": True, "mean": centered, "momentum": bool(momentum)}
        self.state_names = tuple([name for name, kept in names.items() if kept])
        super().__init__(
            params,
            lr,
            alpha=alpha,
            eps=eps,
            weight_decay=weight_decay,
            momentum=momentum,
            centered=centered,
        )

    def update(
        self, parameter: Any, gradient: Any, state: tuple[Any, ...], scalars: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        """Return the new parameter and the new state, by the formulas of the class.

        >>> from liftgrad import Value
        >>> RMSprop([Value(1.0)], alpha=0.75, eps=0.0).update(1.0, 2.0, (0.0,), (0.25,))
        (0.5, (1.0,))
        """
        (rate,) = scalars
        old = dict(zip(self.state_names, state, strict=True))
        if self.weight_decay:
            gradient = gradient + self.weight_decay * parameter
        square = self.alpha * old["square"] + (1.0 - self.alpha) * (gradient * gradient)
        new = {"square": square}
        if self.centered:
            mean = new["mean"] = self.alpha * old["mean"] + (1.0 - self.alpha) * gradient
            square = square - mean * mean
        direction = divide(gradient, sqrt(square) + self.eps)
        if self.momentum:
            direction = new["momentum"] = self.momentum * old["momentum"] + direction
        return parameter - rate * direction, tuple(new.values())
