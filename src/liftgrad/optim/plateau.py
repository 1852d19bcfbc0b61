"""ReduceLROnPlateau: a learning rate that falls once the loss has stopped improving."""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any, Literal

from liftgrad.numbers import is_number, is_whole, to_float
from liftgrad.optim.checks import check
from liftgrad.optim.schedules import Schedule


class ReduceLROnPlateau:
    """A rate that is multiplied by `factor` once a loss or metric has stopped improving.

    `Trainer.fit` calls `step` after each epoch, also where the schedule follows a `warm_up`. Your
    own training loop calls it itself; so does a callback, if the optimiser's `lr` is a function of
    your own that asks this schedule, which the Trainer cannot see. Arguments and results are
    PyTorch's, but an optimiser takes it as its `lr`:

    >>> from liftgrad.engine import Value
    >>> from liftgrad.optim import SGD
    >>> schedule = ReduceLROnPlateau(0.5, factor=0.1, patience=1)
    >>> optimizer = SGD([Value(1.0)], lr=schedule)
    >>> for loss in (3.0, 2.0, 2.0, 2.0):
    ...     schedule.step(loss)
    >>> optimizer.rates(4)
    [0.05]

    Args:
        start: the rate at first.
        mode: "min" if smaller is better, "max" if larger is, as with an accuracy.
        factor: multiplies the rate; less than 1.
        patience: how many epochs in a row may pass without an improvement.
        threshold: the least change that counts as an improvement...
        threshold_mode: ...as a fraction of the best value, "rel", or as a difference, "abs".
        cooldown: how many epochs after a reduction are not counted.
        min_lr: the least rate.
        eps: reductions of at most this much are not made.
        monitor: what `Trainer.fit` passes: "validation_loss", "loss" or the name of a metric.

    Raises:
        ValueError: if an argument is out of range.

    """

    def __init__(
        self,
        start: float,
        mode: Literal["min", "max"] = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: Literal["rel", "abs"] = "rel",
        cooldown: int = 0,
        min_lr: float = 0.0,
        eps: float = 1e-8,
        *,
        monitor: str = "validation_loss",
    ) -> None:
        for name, number in (
            *(("start", start), ("threshold", threshold), ("min_lr", min_lr), ("eps", eps)),
        ):
            check(name, number)
        for name, count in (("patience", patience), ("cooldown", cooldown)):
            if not is_whole(count) or count < 0:
                raise ValueError(f"{name} is a number of epochs, 0 or more; got {count!r}.")
        if not is_number(factor) or not 0.0 <= factor < 1.0:
            raise ValueError(f"factor is from 0 up to, but not, 1; got factor={factor!r}.")
        if mode not in ("min", "max"):
            raise ValueError(f"mode is 'min' or 'max'; got {mode!r}.")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"threshold_mode is 'rel' or 'abs'; got {threshold_mode!r}.")
        self.start, self.mode, self.factor, self.patience = float(start), mode, factor, patience
        self.threshold, self.threshold_mode = threshold, threshold_mode
        self.cooldown, self.min_lr, self.eps, self.monitor = cooldown, min_lr, eps, monitor
        self.rate = self.start
        """The present rate."""
        self.best = math.inf if mode == "min" else -math.inf
        """The best value so far."""
        self.waited = 0
        """Epochs without an improvement since then or since the last reduction."""
        self.cooling = 0
        """How many more epochs are not counted."""

    def __call__(self, _step: int) -> float:
        """Return the present rate."""
        return self.rate

    def step(self, number: Any) -> None:
        """Take the loss or metric of one more epoch into account.

        >>> rate = ReduceLROnPlateau(0.5, factor=0.5, patience=0)
        >>> for loss in (3.0, 2.0, 2.0):
        ...     rate.step(loss)
        >>> rate.rate
        0.25
        """
        number = to_float(number)
        if self._is_better(number):
            self.best, self.waited = number, 0
        else:
            self.waited += 1
        if self.cooling:
            self.cooling, self.waited = self.cooling - 1, 0
        if self.waited > self.patience:
            reduced = max(self.rate * self.factor, self.min_lr)
            if self.rate - reduced > self.eps:
                self.rate = float(reduced)
            self.cooling, self.waited = self.cooldown, 0

    def _is_better(self, number: float) -> bool:
        sign = 1.0 if self.mode == "min" else -1.0
        if self.threshold_mode == "abs":
            return sign * number < sign * (self.best - sign * self.threshold)
        return sign * number < sign * (self.best * (1.0 - sign * self.threshold))

    def state_dict(self) -> dict[str, Any]:
        """Return the rate, the best value and the counts.

        >>> ReduceLROnPlateau(0.5).state_dict()
        {'rate': 0.5, 'best': inf, 'waited': 0, 'cooling': 0}
        """
        return {name: getattr(self, name) for name in _STATE}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from a `state_dict`.

        >>> rate = ReduceLROnPlateau(0.5)
        >>> rate.load_state_dict({"rate": 0.25, "best": 2.0, "waited": 1, "cooling": 0})
        >>> rate.rate
        0.25

        Raises:
            ValueError: if it is not one; nothing is changed then.

        """
        if set(state) != set(_STATE):
            raise ValueError(
                f"this state_dict has {', '.join(state)} and a ReduceLROnPlateau needs "
                f"{', '.join(_STATE)}; pass what state_dict returned."
            )
        check("rate", state["rate"])
        best = to_float(state["best"])
        for name in ("waited", "cooling"):
            if not is_whole(state[name]) or state[name] < 0:
                raise ValueError(f"{name} is a number of epochs, 0 or more; got {state[name]!r}.")
        self.rate, self.best = float(state["rate"]), best
        self.waited, self.cooling = int(state["waited"]), int(state["cooling"])


_STATE = ("rate", "best", "waited", "cooling")


def plateaus(lr: float | Schedule) -> list[ReduceLROnPlateau]:
    """Return the schedules in a rate that depend on each epoch's loss."""
    if isinstance(lr, ReduceLROnPlateau):
        return [lr]
    # This package's schedules are partial functions, some with others as arguments.
    return [p for x in lr.args for p in plateaus(x)] if isinstance(lr, partial) else []
