"""Settings: what a program bakes in of an optimiser."""

from liftgrad.optim import Optimizer


class Settings:
    """What an update bakes in: the attributes of its rules, except what changes as it steps."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.params, self.count = optimizer.params, len(optimizer.params)
        self.baked = vars(optimizer).copy()
        rules = optimizer.rules
        self.groups = [] if rules[0] is optimizer else [Settings(rule) for rule in rules]
        self.single = not self.groups

    def same_parameters(self, optimizer: Optimizer) -> bool:
        """Tell whether the optimiser has the list of parameters that it had."""
        return optimizer.params is self.params and len(self.params) == self.count

    def hold(self, optimizer: Optimizer) -> bool:
        """Tell whether the optimiser still has them."""
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
