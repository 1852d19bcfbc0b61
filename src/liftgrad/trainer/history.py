"""History: the loss of each step, and a table with a row for each epoch."""

import csv
import io
import math
import os
import re
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from liftgrad import files
from liftgrad.lift.explain.listing import Listing
from liftgrad.lift.function import LiftedFunction
from liftgrad.optim import Optimizer

COLUMNS = ("epoch", "step", "loss", "validation_loss", "lr", "seconds")
"""The columns that are not metrics; groups of parameters add lr_0, lr_1, ..."""


def is_rate(name: str) -> bool:
    """Return whether a column is a learning rate: "lr" or one of "lr_0", "lr_1", ..."""
    return re.fullmatch(r"lr(_\d+)?", name) is not None


@dataclass(slots=True)
class History:
    """The losses of a trainer's steps, and a table of its epochs.

    >>> from liftgrad import Trainer, Value, lift, optim
    >>> w = [Value(0.0)]
    >>> trainer = Trainer(lift(lambda w: (w[0] - 3.0) ** 2), optim.SGD(w, lr=0.25))
    >>> history = trainer.fit(3, w)
    >>> history.loss.tolist()
    [9.0, 2.25, 0.5625]
    >>> print(history)
    3 steps, 3 epochs, loss 0.5625
    """

    loss: NDArray[np.float64]
    """The loss before each step."""
    epochs: dict[str, NDArray[Any]] = field(default_factory=dict)
    """The columns of the table: `epoch`, counted from 1; `step`, how many steps the optimiser has
    taken; `loss`, the mean of the epoch's steps, weighted by their numbers of samples;
    `validation_loss`, if there is validation; the metrics; `lr`, the last step's rate for the first
    group of parameters; if there are several groups, `lr_0`, `lr_1`, ..., the rate of each, nan
    before it was added; `seconds`, how long the epoch took."""
    interrupted: bool = False
    """Whether Ctrl-C ended the last fit."""
    stopped: bool = False
    """Whether early stopping or a callback ended the last fit, if only after its last epoch."""

    def table(self) -> dict[str, NDArray[Any]]:
        """Return the epochs' columns, as `pandas.DataFrame` takes them.

        >>> from liftgrad import Trainer, Value, lift, optim
        >>> w = [Value(0.0)]
        >>> trainer = Trainer(lift(lambda w: (w[0] - 3.0) ** 2), optim.SGD(w, lr=0.25))
        >>> trainer.fit(3, w).table()["loss"].tolist()
        [9.0, 2.25, 0.5625]
        """
        return {name: column.copy() for name, column in self.epochs.items()}

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write a row for each epoch; the numbers are read back exactly.

        >>> from pathlib import Path
        >>> History(np.array([2.0, 1.0]), {"epoch": np.array([1, 2])}).to_csv("history.csv")
        >>> Path("history.csv").read_text().split()
        ['epoch', '1', '2']

        Raises:
            OSError: if the file cannot be written; an existing one is left as it is.

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


class RunningTrainer(Protocol):
    """A trainer as its callbacks see it."""

    loss: LiftedFunction
    optimizer: Optimizer

    @property
    def program(self) -> Listing:
        """The tensor program of a step."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a checkpoint."""


@dataclass(slots=True, frozen=True)
class EpochState:
    """What a callback learns about an epoch that has just ended.

    >>> from liftgrad import Trainer, Value, lift, optim
    >>> w = [Value(0.0)]
    >>> trainer = Trainer(lift(lambda w: (w[0] - 3.0) ** 2), optim.SGD(w, lr=0.25))
    >>> history = trainer.fit(2, w, callbacks=[lambda state: print(state.epoch, state.loss)])
    1 9.0
    2 2.25
    """

    epoch: int
    """How many epochs the trainer has finished."""
    step: int
    """How many steps the optimiser has taken."""
    loss: float
    """The mean loss of the epoch's steps, weighted by their numbers of samples."""
    validation_loss: float | None
    metrics: dict[str, float]
    rates: list[float]
    """The last step's learning rate for each group of parameters."""
    seconds: float
    """How long the epoch and its evaluation took."""
    trainer: RunningTrainer
    """Its `optimizer.params` are the model's parameters."""

    @property
    def lr(self) -> float:
        """The last step's learning rate for the first group of parameters.

        >>> from liftgrad import Trainer, Value, lift, optim
        >>> w = [Value(0.0)]
        >>> trainer = Trainer(lift(lambda w: w[0] * w[0]), optim.SGD(w, lr=0.25))
        >>> history = trainer.fit(1, w, callbacks=[lambda state: print(state.lr)])
        0.25
        """
        return self.rates[0]

    def row(self) -> dict[str, float]:
        """Return the epoch's row of the history.

        >>> from liftgrad import Trainer, Value, lift, optim
        >>> w = [Value(0.0)]
        >>> trainer = Trainer(lift(lambda w: w[0] * w[0]), optim.SGD(w, lr=0.25))
        >>> history = trainer.fit(1, w, callbacks=[lambda state: print(list(state.row()))])
        ['epoch', 'step', 'loss', 'lr', 'seconds']
        """
        row: dict[str, float] = {"epoch": self.epoch, "step": self.step, "loss": self.loss}
        if self.validation_loss is not None:
            row["validation_loss"] = self.validation_loss
        of_groups = {f"lr_{i}": rate for i, rate in enumerate(self.rates)}
        rates = {"lr": self.lr, **(of_groups if len(self.rates) > 1 else {})}
        return {**row, **self.metrics, **rates, "seconds": self.seconds}


class Log:
    """A history while it grows."""

    def __init__(self) -> None:
        self.losses: list[NDArray[np.float64]] = []
        self.rows: list[dict[str, float]] = []
        self.epoch: list[NDArray[np.float64]] = []
        """The losses of the current epoch, which has no row yet."""

    def steps(self, losses: NDArray[np.float64]) -> None:
        """Append the losses of some steps."""
        if len(losses):
            self.losses.append(losses)
            self.epoch.append(losses)

    def mean(self, last: float) -> float:
        """Return the mean loss of the current epoch's steps, weighted by their samples.

        Args:
            last: the weight of the last step; the others weigh 1.

        """
        if not self.epoch:
            return math.nan
        losses = np.concatenate(self.epoch)
        weights = np.ones(len(losses))
        weights[-1] = last
        return float(np.average(losses, weights=weights))

    def close(self, row: dict[str, float]) -> None:
        """End the current epoch with its row."""
        self.rows.append(row)
        self.epoch = []

    def history(self, *, interrupted: bool = False, stopped: bool = False) -> History:
        """Return the history so far."""
        losses = np.concatenate(self.losses) if self.losses else np.zeros(0)
        names = dict.fromkeys(name for row in self.rows for name in row)
        epochs: dict[str, NDArray[Any]] = {}
        for name in names:
            # Some fits may have had validation and others not.
            column = np.array([row.get(name, math.nan) for row in self.rows], np.float64)
            epochs[name] = column.astype(np.int64) if name in ("epoch", "step") else column
        return History(losses, epochs, interrupted, stopped)
