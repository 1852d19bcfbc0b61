"""History: the loss of each step, and a table with a row for each epoch."""

import csv
import io
import math
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from liftgrad import files

if TYPE_CHECKING:
    from liftgrad.trainer.trainer import Trainer

COLUMNS = ("epoch", "step", "loss", "validation_loss", "lr", "seconds")
"""The columns that are no metric; with groups of parameters there are also lr_0, lr_1, ..."""


def is_rate(name: str) -> bool:
    """Tell whether a column is a learning rate: "lr" or one of "lr_0", "lr_1", ..."""
    return re.fullmatch(r"lr(_\d+)?", name) is not None


@dataclass(slots=True)
class History:
    """What the runs of a trainer saw."""

    loss: NDArray[np.float64]
    """The loss before each step."""
    epochs: dict[str, NDArray[Any]] = field(default_factory=dict)
    """A column for each of: `epoch`, counted from 1; `step`, how many steps the optimiser has
    taken; `loss`, the mean of the epoch's steps, each weighing as much as its samples;
    `validation_loss`, if there is validation; the metrics; `lr`, the rate of the last step, that
    of the first group of parameters; if there are several, `lr_0`, `lr_1`, ..., the rate of each,
    nan before a group was added; `seconds` that the epoch took."""
    interrupted: bool = False
    """Whether Ctrl-C ended the last fit."""
    stopped: bool = False
    """Whether early stopping or a callback ended the last fit, also after the last epoch of it."""

    def table(self) -> dict[str, NDArray[Any]]:
        """Return the epochs' columns, as `pandas.DataFrame` takes them."""
        return {name: column.copy() for name, column in self.epochs.items()}

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write a row for each epoch, with numbers that read back as they are.

        Raises:
            OSError: if the file cannot be written; one that is there stays as it is.

        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.epochs)
        columns = [column.tolist() for column in self.epochs.values()]
        writer.writerows(zip(*columns, strict=True))
        files.write(path, text.getvalue().encode())

    def __str__(self) -> str:
        epochs = len(self.epochs.get("epoch", ()))
        parts = [f"{len(self.loss):,} steps", f"{epochs:,} epochs"]
        for name, column in self.epochs.items():
            if name not in ("epoch", "step", "seconds") and not is_rate(name):
                parts.append(f"{name} {column[-1]:.6g}")
        return ", ".join(parts) + (", interrupted" if self.interrupted else "")


@dataclass(slots=True, frozen=True)
class EpochState:
    """What a callback is told after an epoch."""

    epoch: int
    """How many epochs the trainer has finished."""
    step: int
    """How many steps the optimiser has taken."""
    loss: float
    """The mean loss of the epoch's steps, each weighing as much as its samples."""
    validation_loss: float | None
    metrics: dict[str, float]
    rates: list[float]
    """The learning rate of the last step, of each group of parameters."""
    seconds: float
    """How long the epoch took, with its evaluation."""
    trainer: "Trainer"
    """Its `optimizer.params` are the model's parameters."""

    @property
    def lr(self) -> float:
        """The learning rate of the last step, that of the first group."""
        return self.rates[0]

    def row(self) -> dict[str, float]:
        """Return the epoch's row of the history."""
        row: dict[str, float] = {"epoch": self.epoch, "step": self.step, "loss": self.loss}
        if self.validation_loss is not None:
            row["validation_loss"] = self.validation_loss
        of_groups = {f"lr_{i}": rate for i, rate in enumerate(self.rates)}
        rates = {"lr": self.lr, **(of_groups if len(self.rates) > 1 else {})}
        return {**row, **self.metrics, **rates, "seconds": self.seconds}


class Log:
    """What the history is made of while it grows."""

    def __init__(self) -> None:
        self.losses: list[NDArray[np.float64]] = []
        self.rows: list[dict[str, float]] = []
        self.epoch: list[NDArray[np.float64]] = []
        """The losses of the epoch at hand, which has no row yet."""

    def steps(self, losses: NDArray[np.float64]) -> None:
        """Note the losses of some steps."""
        if len(losses):
            self.losses.append(losses)
            self.epoch.append(losses)

    def mean(self, last: float) -> float:
        """Return the mean loss of the epoch at hand, each step weighing as much as its samples.

        Args:
            last: how many samples the last step saw, in relation to each of the others.

        """
        if not self.epoch:
            return math.nan
        losses = np.concatenate(self.epoch)
        weights = np.ones(len(losses))
        weights[-1] = last
        return float(np.average(losses, weights=weights))

    def close(self, row: dict[str, float]) -> None:
        """End the epoch at hand with its row."""
        self.rows.append(row)
        self.epoch = []

    def history(self, *, interrupted: bool = False, stopped: bool = False) -> History:
        """Return all that was noted."""
        losses = np.concatenate(self.losses) if self.losses else np.zeros(0)
        names = dict.fromkeys(name for row in self.rows for name in row)
        epochs: dict[str, NDArray[Any]] = {}
        for name in names:
            # A fit may have validation where another had none.
            column = np.array([row.get(name, math.nan) for row in self.rows], np.float64)
            epochs[name] = column.astype(np.int64) if name in ("epoch", "step") else column
        return History(losses, epochs, interrupted, stopped)
