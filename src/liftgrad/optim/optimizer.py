"""What all optimisers share: parameters, a rate, state, and the step itself."""

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

from liftgrad.numbers import as_python, plain
from liftgrad.optim.checks import check
from liftgrad.optim.param_groups import ParamGroup, read_params, refuse_unknown
from liftgrad.optim.plateau import ReduceLROnPlateau, plateaus
from liftgrad.optim.schedules import Schedule
from liftgrad.optim.state import read_state
from liftgrad.protocols import is_stored

NO_SETTINGS = ("params", "lr", "steps", "state", "_of_groups")
"""The attributes of an optimiser that may change between steps; the others define its update."""


class Optimizer:
    """Moves parameters against their gradients, by the rule of a subclass.

    A subclass defines `update`, as arithmetic from `liftgrad.ops` without a Python branch on its
    arguments, so that it runs on floats and on the compiler's symbols; `scalars`, the numbers that
    the update needs and that change from step to step; and `state_names`, the names of the numbers
    that it keeps for each parameter, whose first value is `initial`. It passes all its settings to
    `Optimizer.__init__`, so that groups can have their own.

    Parameters may come in groups, with settings that override the optimiser's:

    >>> from liftgrad.engine import Value
    >>> from liftgrad.optim import SGD
    >>> p, q = Value(1.0), Value(1.0)
    >>> optimizer = SGD([{"params": [p]}, {"params": [q], "lr": 0.1}], lr=0.5)
    >>> (p + q).backward()
    >>> optimizer.step()
    >>> p.data, q.data
    (0.5, 0.9)
    >>> optimizer.param_groups[1]["lr"] = 0.2  # from now on
    >>> optimizer.add_param_group({"params": [Value(1.0)], "lr": 0.3})  # also from now on

    Args:
        params: the parameters, such as `model.parameters()`, or a list of groups: dictionaries
            with "params" and the settings that differ, by the names of the arguments.
        lr: the learning rate, or a schedule: a function from the number of steps taken so far to
            the rate.
        settings: the other arguments of a subclass, which become attributes.

    Raises:
        ValueError: if there are no parameters, one occurs twice, the rate is negative, or a group
            has no parameters or a setting that the optimiser does not have.
        TypeError: if `params` are neither Values nor groups of Values.

    """

    # Slots, since a lifted step bakes in all other attributes as settings.
    __slots__ = ("__dict__", "__weakref__", "_defaults", "began")

    state_names: tuple[str, ...] = ()
    setting_names: ClassVar[tuple[str, ...]] = ("lr",)
    """The arguments of a subclass after the parameters."""
    _of_groups: Sequence["Optimizer"] = ()
    """If there are groups, an optimiser for each, whose state and steps are kept here."""
    lr: float | Schedule

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        arguments = list(inspect.signature(cls).parameters.values())[1:]
        cls.setting_names = tuple([x.name for x in arguments if x.kind is not x.VAR_KEYWORD])

    def __init__(self, params: Iterable[Any], lr: float | Schedule, **settings: Any) -> None:
        self.params, groups = read_params(params)
        if not callable(lr):
            check("lr", lr)
        settings = {name: as_python(x) for name, x in {"lr": lr, **settings}.items()}
        self._defaults = settings
        """The settings of an added group, unless it overrides them."""
        self.began = 0
        """How many steps the whole optimiser had taken when this group was added."""
        self.steps = 0
        """How many steps have been taken."""
        self.state: dict[str, Any] = {}
        """For each name a list or array with a number for each parameter."""
        if groups:
            self._hold(self._made(groups, settings))
            return
        for name, setting in settings.items():
            setattr(self, name, setting)  # attributes set by vars().update() are slower to read
        for name in self.state_names:
            self.state[name] = [self.initial(name)] * len(self.params)

    def _made(
        self, groups: Iterable[dict[str, Any]], settings: dict[str, Any], first: int = 0
    ) -> list["Optimizer"]:
        """Return an optimiser for each group; messages count the groups from `first`."""
        unknown = [name for name in self.setting_names if name not in settings]
        if unknown:
            raise TypeError(
                f"{type(self).__name__} takes no groups, since it does not pass {unknown[0]!r} to "
                "Optimizer.__init__; pass it all settings there."
            )
        make: Any = type(self)
        made: list[Optimizer] = []
        for number, group in enumerate(groups, first):
            try:
                refuse_unknown(group, make)
                made.append(make(**{**settings, **group}))
            except ValueError as error:
                raise ValueError(f"group {number}: {error}") from None
        return made

    def _hold(self, added: Sequence["Optimizer"]) -> None:
        """Take in groups by their optimisers, and keep their state here."""
        held = sum(len(rule.params) for rule in self._of_groups)
        self._of_groups = [*self._of_groups, *added]
        names = [name for rule in self._of_groups for name in rule.state_names]
        self.state_names = tuple(dict.fromkeys(names))
        for name in self.state_names:
            # The zeros of a group without such a state are never read.
            column = [float(x) for x in self.state.get(name, [0.0] * held)]
            for rule in added:
                column += rule.state.get(name, [0.0] * len(rule.params))
            self.state[name] = column
        for rule in added:
            rule.state.clear()

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Train more parameters from the next step on, such as a layer that was frozen.

        An added group counts its own steps: Adam's bias correction starts anew for it, and so does
        momentum, with its first gradient. A schedule of its rate counts the steps of the whole
        optimiser. Both are as in PyTorch, whose schedulers count for all groups.

        >>> from liftgrad import Value, optim
        >>> optimizer = optim.SGD([Value(1.0)], lr=0.5)
        >>> optimizer.add_param_group({"params": [Value(2.0)], "lr": 0.1})
        >>> optimizer.rates(0)
        [0.5, 0.1]

        Args:
            group: a dictionary with "params" and the settings that differ from those that the
                optimiser was made with.

        Raises:
            ValueError: if it has no parameters, one that the optimiser has already, or a setting
                that the optimiser does not have; nothing is changed then.
            TypeError: if it is not such a dictionary.

        """
        rules = self.rules
        held = [{"params": rule.params} for rule in rules]
        params, groups = read_params([*held, group])
        added = self._made(groups[-1:], self._defaults, len(rules))
        added[0].began = self.steps
        if not self._of_groups:
            now = {name: getattr(self, name) for name in self.setting_names}
            self._of_groups = self._made(held, now)
            self._of_groups[0].state.clear()
            for name in now:
                delattr(self, name)
        self.params = params
        self._hold(added)

    @property
    def rules(self) -> Sequence["Optimizer"]:
        """The optimiser of each group, with its settings; this one, if there are no groups.

        >>> from liftgrad import Value, optim
        >>> groups = [{"params": [Value(1.0)]}, {"params": [Value(2.0)], "lr": 0.1}]
        >>> optimizer = optim.SGD(groups, lr=0.5)
        >>> [rule.lr for rule in optimizer.rules]
        [0.5, 0.1]

        Raises:
            ValueError: if there are groups, and a setting was set on the optimiser itself.

        """
        if not self._of_groups:
            return (self,)
        for name in self.setting_names:
            if name in vars(self):
                raise ValueError(
                    f"each group has its own {name}, and it was set for none of them; delete "
                    f"optimizer.{name} and set optimizer.param_groups[0][{name!r}]."
                )
        return self._of_groups

    @property
    def param_groups(self) -> list[ParamGroup]:
        """The groups as dictionaries of "params" and all settings, which may be set between steps.

        An optimiser made without groups has one.

        >>> from liftgrad import Value, optim
        >>> optimizer = optim.SGD([Value(1.0)], lr=0.5)
        >>> optimizer.param_groups[0]["lr"] = 0.25
        >>> optimizer.lr
        0.25
        """
        return [ParamGroup(self, number) for number in range(len(self.rules))]

    def initial(self, name: str) -> float:  # noqa: ARG002, subclasses differ by state
        """Return the state before the first step.

        >>> from liftgrad import Value, optim
        >>> optim.Adagrad([Value(1.0)], initial_accumulator_value=0.5).initial("sum")
        0.5
        """
        return 0.0

    def scalars(self, step: int) -> tuple[float, ...]:
        """Return the numbers that the update needs at a step.

        Args:
            step: the number of steps taken before it.

        >>> from liftgrad import Value, optim
        >>> optim.SGD([Value(1.0)], lr=optim.linear(1.0, 0.5, steps=10)).scalars(5)
        (0.75,)
        """
        return (self.rate(step),)

    def scalars_at(self, step: int) -> tuple[float, ...]:
        """Return the scalars after `step` steps of the whole optimiser, whenever this group began.

        >>> from liftgrad import Value, optim
        >>> optim.SGD([Value(1.0)], lr=0.5).scalars_at(5)
        (0.5,)
        """
        return self.scalars(step - self.began)

    def update(
        self, parameter: Any, gradient: Any, state: tuple[Any, ...], scalars: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        """Return the parameter's new value and its new state, in the order of `state_names`.

        >>> from liftgrad import Value, optim
        >>> optimizer = optim.SGD([Value(1.0)], lr=0.5)
        >>> optimizer.update(1.0, 2.0, (), optimizer.scalars(0))
        (0.0, ())
        """
        raise NotImplementedError

    def rate(self, step: int) -> float:
        """Return the learning rate after `step` steps; of groups, the first one's.

        >>> from liftgrad import Value, optim
        >>> optim.SGD([Value(1.0)], lr=optim.linear(1.0, 0.5, steps=10)).rate(5)
        0.75
        """
        if self._of_groups:
            return self.rules[0].rate(step)
        lr = self.lr
        return float(lr(step + self.began) if callable(lr) else lr)

    def rates(self, step: int) -> list[float]:
        """Return the learning rate of each group after `step` steps of the whole optimiser.

        >>> from liftgrad import Value, optim
        >>> groups = [{"params": [Value(1.0)]}, {"params": [Value(2.0)], "lr": 0.1}]
        >>> optimizer = optim.SGD(groups, lr=0.5)
        >>> optimizer.rates(0)
        [0.5, 0.1]
        """
        return [rule.rate(step - rule.began) for rule in self.rules]

    def plateaus(self) -> list[ReduceLROnPlateau]:
        """Return the schedules of the groups' rates that depend on each epoch's loss.

        >>> from liftgrad import Value, optim
        >>> optimizer = optim.SGD([Value(1.0)], lr=optim.ReduceLROnPlateau(0.5))
        >>> [plateau.rate for plateau in optimizer.plateaus()]
        [0.5]
        """
        found = [plateau for rule in self.rules for plateau in plateaus(rule.lr)]
        return list({id(plateau): plateau for plateau in found}.values())

    def step(self) -> None:
        """Update every parameter once.

        >>> from liftgrad import Value, optim
        >>> x = Value(3.0)
        >>> optimizer = optim.SGD([x], lr=0.5)
        >>> (x * x).backward()
        >>> optimizer.step()
        >>> x.data
        0.0
        """
        # The parameters of a lifted function can be updated all at once.
        first = self.params[0]
        if is_stored(first) and first._step_together(self):
            self.steps += 1
            return
        start = 0
        for rule in self.rules:
            scalars = rule.scalars_at(self.steps)
            columns = [self.state[name] for name in rule.state_names]
            for i, parameter in enumerate(rule.params, start):
                state = tuple([column[i] for column in columns])
                parameter.data, state = rule.update(
                    parameter.data, plain(parameter.grad), state, scalars
                )
                for column, number in zip(columns, state, strict=True):
                    column[i] = number
            start += len(rule.params)
        self.steps += 1

    def zero_grad(self) -> None:
        """Set every parameter's gradient to zero.

        >>> from liftgrad import Value, optim
        >>> x = Value(3.0)
        >>> (x * x).backward()
        >>> optim.SGD([x]).zero_grad()
        >>> x.grad
        0.0
        """
        first = self.params[0]
        if is_stored(first) and first._zero_together(self):
            return
        for parameter in self.params:
            parameter.grad = 0.0

    def __copy__(self) -> Self:
        raise TypeError(
            "a shallow copy of an optimiser would share its state and count its own steps; use "
            "copy.deepcopy((model, optimizer))."
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the number of steps and the state, a list for each of `state_names`.

        If groups were added later, "began" lists the number of steps before each.

        >>> from liftgrad import Value, optim
        >>> x = Value(3.0)
        >>> optimizer = optim.SGD([x], lr=0.5, momentum=0.9)
        >>> (x * x).backward()
        >>> optimizer.step()
        >>> optimizer.state_dict()
        {'steps': 1, 'momentum': [6.0]}
        """
        columns = {name: [float(x) for x in self.state[name]] for name in self.state_names}
        began = [rule.began for rule in self.rules]
        return {"steps": self.steps, **({"began": began} if any(began) else {}), **columns}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from a `state_dict`; add the same groups first.

        >>> from liftgrad import Value, optim
        >>> optimizer = optim.SGD([Value(3.0)], momentum=0.9)
        >>> optimizer.load_state_dict({"steps": 1, "momentum": [6.0]})
        >>> optimizer.steps
        1

        Raises:
            ValueError: if it belongs to another optimiser or other parameters, or something in it
                is not a number; nothing is changed then.
            TypeError: if it is not a dictionary.

        """
        read = read_state(self, state)
        self.state.update(read.columns)
        for rule, step in zip(self.rules, read.began, strict=True):
            rule.began = step
        self.steps = read.steps
