"""Settings: what a program bakes in of an optimiser, and whether it is still what it was."""

from typing import Any

from liftgrad.optim import Optimizer
from liftgrad.optim.optimizer import NO_SETTINGS


class Settings:
    """The attributes of an optimiser's rules, but for those that change with each step.

    Args:
        optimizer: the optimiser as it is now.

    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.params, self.count = optimizer.params, len(optimizer.params)
        self.baked = vars(optimizer).copy()
        rules = optimizer.rules
        self.groups = [] if rules[0] is optimizer else [Settings(rule) for rule in rules]
        self.single = not self.groups

    def same_parameters(self, optimizer: Optimizer) -> bool:
        """Return whether the optimiser has the list of parameters that it had."""
        return optimizer.params is self.params and len(self.params) == self.count

    def hold(self, optimizer: Optimizer) -> bool:
        """Return whether the optimiser still has these settings."""
        if optimizer.params is not self.params or len(self.params) != self.count:
            return False
        now, baked = optimizer.__dict__, self.baked
        baked["steps"] = now["steps"]
        if now != baked:  # mostly only the steps change
            for name in _CHANGING:
                if name in now:
                    baked[name] = now[name]
            if now != baked:
                return False
        if not self.single:
            rules = zip(self.groups, optimizer.rules, strict=True)
            return all(group.hold(rule) for group, rule in rules)
        return True


_CHANGING = ("lr", "state")


def baked(optimizer: Optimizer) -> list[Any] | None:
    """Return the settings that a recipe bakes in; None if only the optimiser's class knows them.

    Equal ones of two optimisers make equal programs.
    """
    rules = optimizer.rules
    if any(not type(rule).__module__.startswith("liftgrad.") for rule in [optimizer, *rules]):
        return None
    return [
        (type(rule), {name: x for name, x in vars(rule).items() if name not in NO_SETTINGS})
        for rule in rules
    ]
