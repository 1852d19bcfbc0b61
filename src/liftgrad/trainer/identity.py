"""Identity: what two trainings have in common if one resumes from the other's checkpoint."""

from typing import Any

from liftgrad.lift.function import LiftedFunction
from liftgrad.lift.update.clipping import Clipping
from liftgrad.optim import Optimizer
from liftgrad.optim.optimizer import NO_SETTINGS
from liftgrad.optim.plateau import plateaus


def identity(
    loss: LiftedFunction,
    optimizer: Optimizer,
    *,
    batch_size: int | None,
    shuffle: bool,
    seed: Any,
    clipping: Clipping,
) -> dict[str, Any]:
    """Return what identifies a training, by what a refusal calls it."""
    settings = {}
    for number, rule in enumerate(optimizer.rules):
        of_group = "" if rule is optimizer else f" in group {number}"
        if of_group:
            settings[f"the number of parameters{of_group}"] = str(len(rule.params))
        for name, setting in vars(rule).items():
            if name not in (*NO_SETTINGS, "state_names"):
                settings[f"the optimiser's {name}{of_group}"] = repr(setting)
    return {
        "the loss": f"{loss.__name__} in {loss.dtype}",
        "the optimiser": type(optimizer).__name__,
        "the number of parameters": len(optimizer.params),
        "the number of groups": len(optimizer.rules),
        **settings,
        "batch_size": None if batch_size is None else int(batch_size),
        "shuffle": shuffle,
        "seed": repr(seed),
        "the clipping": repr(clipping),
    }


def rates(optimizer: Optimizer, steps: int) -> list[float]:
    """Return the learning rates of the first step and of the one after `steps`, for each group.

    For a schedule that depends on the loss it is the rate that it starts from.
    """
    first, following = optimizer.rates(0), optimizer.rates(steps)
    found: list[float] = []
    for rule, of_rule in zip(optimizer.rules, zip(first, following, strict=True), strict=True):
        learning = [plateau.start for plateau in plateaus(rule.lr)]
        found += learning or of_rule
    return [float(rate) for rate in found]
