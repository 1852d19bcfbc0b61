"""Optimisers and rate schedules, with PyTorch's names, arguments and semantics.

An optimiser's rule is written once, as arithmetic on one parameter, its gradient and its state.
`step()` runs the rule on floats; lifted programs run the very same rule as tensor operations.

>>> from liftgrad import Value
>>> w = Value(3.0)
>>> optimizer = SGD([w], lr=0.1)
>>> loss = w * w
>>> loss.backward()
>>> optimizer.step()
>>> w.data
2.4
"""

import math
from collections.abc import Callable, Iterable, MutableSequence
from typing import Any, ClassVar

from liftgrad import ops

Schedule = Callable[[int], float]
"""The rate at a step, counted from 0."""


def constant(rate: float) -> Schedule:
    """Return the schedule of one rate for all steps."""
    return lambda _: rate


def linear(start: float, end: float, steps: int) -> Schedule:
    """Return the schedule that falls (or rises) in a line and would reach `end` at step `steps`.

    From there on it stays at `end`.

    >>> linear(1.0, 0.1, steps=100)(50)
    0.55

    Raises:
        ValueError: if `steps` is not positive.

    """
    if steps < 1:
        raise ValueError(f"a linear schedule over {steps} steps; pass 1 or more.")
    return lambda step: start - (start - end) * min(step, steps) / steps


class Optimizer:
    """The base of optimisers: parameters, a rate, and state for each parameter.

    Subclasses say what state they keep, which numbers depend on the step, and the rule itself.

    Args:
        params: Values, as `model.parameters()` returns them.
        lr: the learning rate, or a function of the step that gives it.

    Raises:
        ValueError: if there are no parameters, or a number is out of range.

    """

    state_names: ClassVar[tuple[str, ...]] = ()

    def __init__(self, params: Iterable[Any], lr: float | Schedule) -> None:
        self.parameters = list(params)
        if not self.parameters:
            raise ValueError("an optimiser without parameters; pass model.parameters().")
        if not callable(lr):
            _check("lr", lr, low=0.0)
        self.schedule: Schedule = lr if callable(lr) else constant(lr)
        self.steps = 0
        """How many steps were taken."""
        self.state: dict[str, MutableSequence[float]] = {
            name: [0.0] * len(self.parameters) for name in self.state_names
        }

    def scalars(self, step: int) -> tuple[float, ...]:
        """Return the numbers of the rule that depend on the step, counted from 0."""
        return (self.schedule(step),)

    def update(
        self, parameter: Any, gradient: Any, state: tuple[Any, ...], scalars: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        """Return the new parameter and its new state: arithmetic on floats or on symbols."""
        raise NotImplementedError

    def step(self) -> None:
        """Move each parameter by its gradient."""
        # Parameters of lifted functions know how to move all at once.
        together = getattr(self.parameters[0], "_step_together", None)
        if together is None or not together(self):
            scalars = self.scalars(self.steps)
            columns = list(self.state.values())
            for i, p in enumerate(self.parameters):
                state = tuple([column[i] for column in columns])
                p.data, new = self.update(p.data, p.grad, state, scalars)
                for column, number in zip(columns, new, strict=True):
                    column[i] = number
        self.steps += 1

    def zero_grad(self) -> None:
        """Set every parameter's gradient to zero."""
        together = getattr(self.parameters[0], "_zero_together", None)
        if together is None or not together(self):
            for p in self.parameters:
                p.grad = 0.0

    def state_dict(self) -> dict[str, Any]:
        """Return the number of steps taken and the state of each parameter."""
        state = {name: [float(x) for x in column] for name, column in self.state.items()}
        return {"steps": self.steps, "state": state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict`.

        Raises:
            ValueError: if it belongs to another kind of optimiser or another number of parameters.

        """
        lengths = {name: len(column) for name, column in state["state"].items()}
        if lengths != {name: len(column) for name, column in self.state.items()}:
            raise ValueError(
                f"this state_dict holds {lengths or 'no state'}, which is not the state of a "
                f"{type(self).__name__} of {len(self.parameters)} parameters; build the same one."
            )
        for name, column in self.state.items():
            column[:] = state["state"][name]
        self.steps = state["steps"]


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum as in torch.optim.SGD.

    Args:
        params: Values.
        lr: the rate, or a function of the step.
        momentum: how much of the last move is kept.
        dampening: how much of the gradient does not enter the momentum.
        weight_decay: the factor of an L2 penalty's gradient.
        nesterov: look ahead along the momentum (Sutskever et al., 2013).

    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Schedule = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        _check("momentum", momentum, low=0.0)
        _check("weight_decay", weight_decay, low=0.0)
        if nesterov and (momentum <= 0.0 or dampening != 0.0):
            raise ValueError("nesterov=True needs a momentum above 0 and a dampening of 0.")
        self.momentum, self.dampening = momentum, dampening
        self.weight_decay, self.nesterov = weight_decay, nesterov
        if momentum:
            self.state_names = ("momentum_buffer",)  # type: ignore[misc]
        super().__init__(params, lr)

    def scalars(self, step: int) -> tuple[float, ...]:
        """Return the rate and the share of the gradient in the momentum: all of it at first."""
        return self.schedule(step), 1.0 if step == 0 else 1.0 - self.dampening

    def update(
        self, parameter: Any, gradient: Any, state: tuple[Any, ...], scalars: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        """Return the new parameter and momentum."""
        rate, share = scalars
        if self.weight_decay:
            gradient = gradient + parameter * self.weight_decay
        if not self.momentum:
            return parameter - gradient * rate, ()
        moving = state[0] * self.momentum + gradient * share
        direction = gradient + moving * self.momentum if self.nesterov else moving
        return parameter - direction * rate, (moving,)


class Adam(Optimizer):
    """Adam (Kingma & Ba, 2015), as torch.optim.Adam.

    Args:
        params: Values.
        lr: the rate, or a function of the step.
        betas: how much of the running means of the gradient and of its square is kept.
        eps: added to the root of the mean square.
        weight_decay: the factor of an L2 penalty's gradient.

    """

    state_names = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Schedule = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        for beta in betas:
            _check("betas", beta, low=0.0, below=1.0)
        _check("eps", eps, low=0.0)
        _check("weight_decay", weight_decay, low=0.0)
        self.betas, self.eps, self.weight_decay = betas, eps, weight_decay
        super().__init__(params, lr)

    def scalars(self, step: int) -> tuple[float, ...]:
        """Return the rate over the first mean's bias, and the root of the second one's."""
        first, second = (1.0 - beta ** (step + 1) for beta in self.betas)
        return self.schedule(step) / first, math.sqrt(second)

    def update(
        self, parameter: Any, gradient: Any, state: tuple[Any, ...], scalars: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        """Return the new parameter and the new means."""
        rate, root = scalars
        (beta1, beta2), (mean, square) = self.betas, state
        if self.weight_decay:
            gradient = gradient + parameter * self.weight_decay
        mean = mean * beta1 + gradient * (1.0 - beta1)
        square = square * beta2 + gradient * gradient * (1.0 - beta2)
        denominator = ops.divide(ops.sqrt(square), root) + self.eps
        return parameter - ops.divide(mean * rate, denominator), (mean, square)


def _check(name: str, number: float, low: float, below: float = math.inf) -> None:
    if not low <= number < below:
        limit = "" if below == math.inf else f" and less than {below:g}"
        raise ValueError(f"{name}={number} is out of range; it must be at least {low:g}{limit}.")
