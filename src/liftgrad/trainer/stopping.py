"""Early stopping: the end of training once the validation loss has not fallen for a while."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from liftgrad.numbers import is_number, is_whole


@dataclass(frozen=True)
class EarlyStopping:
    """Stops a fit when a loss or metric has not improved for some epochs.

    >>> from liftgrad import Trainer, Value, lift, optim
    >>> w = [Value(1.0)]
    >>> trainer = Trainer(lift(lambda w: w[0] * w[0]), optim.SGD(w, lr=1.0))
    >>> history = trainer.fit(100, w, early_stopping=EarlyStopping(patience=5, monitor="loss"))
    >>> len(history.epochs["loss"])
    6

    Args:
        patience: how many epochs in a row may pass without an improvement.
        min_delta: the least gain that counts as an improvement.
        monitor: "validation_loss", "loss" or the name of a metric.
        restore_best: whether the best epoch's parameters are restored when the fit ends.
        mode: "min" if smaller is better, "max" if larger is, as with an accuracy.

    Raises:
        ValueError: if `patience` is less than 1, `min_delta` negative or `mode` unknown.
        TypeError: if `monitor` is not a name.

    """

    patience: int = 10
    min_delta: float = 0.0
    monitor: str = "validation_loss"
    restore_best: bool = True
    mode: Literal["min", "max"] = "min"

    def __post_init__(self) -> None:
        if not is_whole(self.patience) or self.patience < 1:
            raise ValueError(f"patience is a number of epochs, 1 or more; got {self.patience!r}.")
        if not is_number(self.min_delta) or not 0.0 <= self.min_delta < math.inf:
            raise ValueError(f"min_delta is a finite number, 0 or more; got {self.min_delta!r}.")
        if not isinstance(self.monitor, str):
            raise TypeError(
                f"monitor is of type {type(self.monitor).__name__}; pass the name of a metric, and "
                "the metric to fit()."
            )
        if self.mode not in ("min", "max"):
            raise ValueError(f"mode is 'min' or 'max'; got {self.mode!r}.")


@dataclass
class Best:
    """The best epoch so far, shared by fits that monitor the same."""

    monitored: str = ""
    """The mode and the name of the monitored loss or metric."""
    number: float = math.nan
    """Its best value; nan: there is none yet."""
    epoch: int = 0
    waited: int = 0
    """How many epochs have passed since without an improvement."""
    parameters: NDArray[np.float64] | None = None

    def see(
        self, rule: EarlyStopping, epoch: int, number: float, parameters: NDArray[np.float64]
    ) -> bool:
        """Take an epoch into account; return whether it is time to stop."""
        if self.monitored != _monitored(rule):
            self.monitored, self.number, self.waited = _monitored(rule), math.nan, 0
            self.parameters = None
        gain = self.number - number if rule.mode == "min" else number - self.number
        first = math.isnan(self.number) and not math.isnan(number)
        if first or gain > rule.min_delta:
            self.number, self.epoch, self.waited = number, epoch, 0
            self.parameters = parameters.copy() if rule.restore_best else None
        else:
            self.waited += 1
        ends = self.waited >= rule.patience
        if ends and math.isnan(self.number):
            warnings.warn(
                f"early stopping ended the fit, since {rule.monitor} was nan in each of "
                f"{self.waited} epochs; monitor another number, or other data.",
                RuntimeWarning,
                stacklevel=6,  # the caller of fit()
            )
        return ends

    def join(self, params: Sequence[Any]) -> None:
        """Append parameters that the optimiser was given since the best epoch, before they move.

        The best model had them at their present values.
        """
        if self.parameters is not None:
            joined = [p.data for p in params[len(self.parameters) :]]
            numbers = np.array(joined, self.parameters.dtype)
            self.parameters = np.concatenate([self.parameters, numbers])

    def to_restore(self, rule: EarlyStopping | None) -> NDArray[np.float64] | None:
        """Return the best epoch's parameters, if a rule asks to restore them."""
        if rule is None or not rule.restore_best or self.monitored != _monitored(rule):
            return None
        return self.parameters


def _monitored(rule: EarlyStopping) -> str:
    return f"{rule.mode} {rule.monitor}"
