"""What all optimisers share: parameters, a rate, state, and the step itself."""

from collections.abc import Iterable, Mapping
from typing import Any

from liftgrad.numbers import to_float
from liftgrad.optim.checks import check
from liftgrad.optim.schedules import Schedule


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
            check("lr", lr)
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


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))
