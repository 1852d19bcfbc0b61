"""Optimisers with PyTorch's arguments and results, and schedules of their learning rate.

An update rule is written once, as arithmetic on one parameter. `Optimizer.step` runs it on
floats; the compiler runs the same rule on symbols to make it part of a native training step.

>>> from liftgrad.engine import Value
>>> x = Value(3.0)
>>> optimizer = SGD([x], lr=0.1)
>>> for _ in range(50):
...     loss = (x - 1.0) ** 2
...     optimizer.zero_grad()
...     loss.backward()
...     optimizer.step()
>>> round(x.data, 3)
1.0
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from liftgrad.numbers import is_number, to_float
from liftgrad.ops import divide, sqrt

Schedule = Callable[[int], float]
"""From the number of steps taken before to the learning rate."""


def constant(rate: float) -> Schedule:
    """Return the schedule that is `rate` at every step."""
    _check("rate", rate)
    return lambda step: rate


def linear(start: float, end: float, steps: int) -> Schedule:
    """Return the schedule from `start` at step 0 to `end` at step `steps`, and `end` from there.

    >>> rate = linear(1.0, 0.1, steps=100)
    >>> rate(0), rate(50), rate(100)
    (1.0, 0.55, 0.1)

    Raises:
        ValueError: if a rate is negative or `steps` less than 1.

    """
    _check("start", start)
    _check("end", end)
    if steps < 1:
        raise ValueError(f"a linear schedule takes at least 1 step; got steps={steps}.")
    return lambda step: start - (start - end) * step / steps if step < steps else end


class Optimizer:
    """Moves parameters against their gradients, by the rule of a subclass.

    A subclass defines `update`, as arithmetic from `liftgrad.ops` without a Python branch on
    its arguments, so that it runs on floats and on the compiler's symbols; `scalars`, the
    numbers that it needs and that change from step to step; and `state_names`, the numbers
    that it keeps for each parameter, 0.0 at first.

    Args:
        params: the parameters, such as `model.parameters()`.
        lr: the learning rate, or a schedule: a function from the number of steps taken before
            to the rate.

    Raises:
        ValueError: if there are no parameters, one occurs twice, or the rate is negative.
        TypeError: if `params` are not Values.

    """

    state_names: tuple[str, ...] = ()

    def __init__(self, params: Iterable[Any], lr: float | Schedule) -> None:
        self.params = _parameters(params)
        if not callable(lr):
            _check("lr", lr)
        self.lr = lr
        self.steps = 0
        """How many steps were taken."""
        self.state: dict[str, Any] = {name: [0.0] * len(self.params) for name in self.state_names}
        """For each name a list or array with one number for each parameter."""

    def scalars(self, step: int) -> tuple[float, ...]:
        """Return what the update needs that depends on `step`, the number of steps before."""
        return (self.rate(step),)

    def update(
        self, parameter: Any, gradient: Any, state: tuple[Any, ...], scalars: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        """Return the parameter's new number and its new state, in the order of `state_names`."""
        raise NotImplementedError

    def rate(self, step: int) -> float:
        """Return the learning rate after `step` steps."""
        return self.lr(step) if callable(self.lr) else self.lr

    def step(self) -> None:
        """Move every parameter once."""
        # The parameters of a lifted function know how to move all at once.
        together = getattr(self.params[0], "_step_together", None)
        if together is not None and together(self):
            self.steps += 1
            return
        scalars = self.scalars(self.steps)
        columns = [self.state[name] for name in self.state_names]
        for i, parameter in enumerate(self.params):
            state = tuple([column[i] for column in columns])
            parameter.data, state = self.update(
                parameter.data, float(parameter.grad), state, scalars
            )
            for column, number in zip(columns, state, strict=True):
                column[i] = number
        self.steps += 1

    def zero_grad(self) -> None:
        """Set every parameter's gradient to zero."""
        together = getattr(self.params[0], "_zero_together", None)
        if together is not None and together(self):
            return
        for parameter in self.params:
            parameter.grad = 0.0

    def state_dict(self) -> dict[str, Any]:
        """Return the number of steps and the state, a list for each of `state_names`."""
        columns = {name: [float(x) for x in self.state[name]] for name in self.state_names}
        return {"steps": self.steps, **columns}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state_dict`.

        Raises:
            ValueError: if it belongs to another optimiser or other parameters; nothing is
                changed then.

        """
        if set(state) != {"steps", *self.state_names}:
            raise ValueError(
                f"this state_dict has {_listed(state)} and {type(self).__name__} needs "
                f"{_listed(('steps', *self.state_names))}; make the optimiser with the same "
                "arguments first."
            )
        numbers = {name: [to_float(x) for x in state[name]] for name in self.state_names}
        for column in numbers.values():
            if len(column) != len(self.params):
                raise ValueError(
                    f"this state_dict is of {len(column)} parameters and the optimiser has "
                    f"{len(self.params)}; build the model with the same sizes first."
                )
        for name, column in numbers.items():
            self.state[name] = column
        self.steps = int(state["steps"])


class SGD(Optimizer):
    """Stochastic gradient descent, with PyTorch's momentum.

        g ← gradient + weight_decay·p
        m ← momentum·m + (1 - dampening)·g     (m ← g at the first step)
        p ← p - lr·m                           (p - lr·(g + momentum·m) with nesterov)

    Args:
        params, lr: as for `Optimizer`.
        momentum: how much of the last step's direction is kept.
        dampening: how much less than whole the gradient enters the direction.
        weight_decay: the factor of p in the gradient, that of an L2 penalty ½·factor·p².
        nesterov: look ahead; needs a momentum and no dampening.

    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Schedule,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        _check("momentum", momentum)
        _check("weight_decay", weight_decay)
        if nesterov and (momentum == 0.0 or dampening != 0.0):
            raise ValueError("nesterov needs a momentum above 0 and no dampening.")
        # Plain descent keeps nothing between steps.
        self.state_names = ("momentum",) if momentum else ()
        super().__init__(params, lr)
        self.momentum = momentum
        self.dampening = dampening
        self.weight_decay = weight_decay
        self.nesterov = nesterov

    def scalars(self, step: int) -> tuple[float, ...]:
        """Return the rate, and how much of the old direction and of the gradient to take."""
        if not self.momentum:
            return (self.rate(step),)
        kept, taken = (0.0, 1.0) if step == 0 else (self.momentum, 1.0 - self.dampening)
        return self.rate(step), kept, taken

    def update(
        self, parameter: Any, gradient: Any, state: tuple[Any, ...], scalars: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        """Return the new number and the new direction, as the class says."""
        if self.weight_decay:
            gradient = gradient + self.weight_decay * parameter
        if not self.momentum:
            (rate,) = scalars
            return parameter - rate * gradient, ()
        rate, kept, taken = scalars
        direction = kept * state[0] + taken * gradient
        ahead = gradient + self.momentum * direction if self.nesterov else direction
        return parameter - rate * ahead, (direction,)


class Adam(Optimizer):
    """Adam (Kingma & Ba, 2015), with PyTorch's placement of eps.

        g ← gradient + weight_decay·p
        m ← β₁·m + (1 - β₁)·g
        v ← β₂·v + (1 - β₂)·g²
        p ← p - lr/(1 - β₁ᵗ) · m / (sqrt(v)/sqrt(1 - β₂ᵗ) + eps)     at step t = 1, 2, …

    Args:
        params, lr: as for `Optimizer`.
        betas: β₁ and β₂, how much of the running means of g and g² is kept.
        eps: what keeps the quotient finite.
        weight_decay: the factor of p in the gradient, that of an L2 penalty ½·factor·p².

    """

    state_names = ("mean", "square")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Schedule = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        for beta in betas:
            if not 0.0 <= beta < 1.0:
                raise ValueError(f"betas are from 0 up to, but not, 1; got betas={betas}.")
        _check("eps", eps)
        _check("weight_decay", weight_decay)
        super().__init__(params, lr)
        self.betas = betas
        self.eps = eps
        self.weight_decay = weight_decay

    def scalars(self, step: int) -> tuple[float, ...]:
        """Return the rate and the root of the square's size, both corrected for the start at 0."""
        beta1, beta2 = self.betas
        return (
            self.rate(step) / (1.0 - beta1 ** (step + 1)),
            math.sqrt(1.0 - beta2 ** (step + 1)),
        )

    def update(
        self, parameter: Any, gradient: Any, state: tuple[Any, ...], scalars: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        """Return the new number and the new running means, as the class says."""
        rate, correction = scalars
        mean, square = state
        beta1, beta2 = self.betas
        if self.weight_decay:
            gradient = gradient + self.weight_decay * parameter
        mean = beta1 * mean + (1.0 - beta1) * gradient
        square = beta2 * square + (1.0 - beta2) * (gradient * gradient)
        step = divide(mean, divide(sqrt(square), correction) + self.eps)
        return parameter - rate * step, (mean, square)


def _parameters(params: Iterable[Any]) -> list[Any]:
    if not isinstance(params, Iterable):
        raise TypeError(
            f"an optimiser takes a list of parameters, and this is a {type(params).__name__}; "
            "pass model.parameters()."
        )
    listed = list(params)
    if not listed:
        raise ValueError("there are no parameters to optimise; pass model.parameters().")
    for parameter in listed:
        if not hasattr(parameter, "grad"):
            raise TypeError(
                f"a parameter is a Value, and this is a {type(parameter).__name__}; "
                "pass model.parameters()."
            )
    if len({id(parameter) for parameter in listed}) != len(listed):
        raise ValueError("a parameter occurs twice and would move twice a step; pass each once.")
    return listed


def _check(name: str, number: Any) -> None:
    if not is_number(number) or not 0.0 <= number < math.inf:
        raise ValueError(f"{name} is a finite number, 0 or more; got {name}={number!r}.")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))
