"""Trainer: many steps of a lifted loss and an optimiser, run natively."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad.errors import LiftError
from liftgrad.lift.api import LiftedFunction
from liftgrad.lift.listing import Listing
from liftgrad.lift.training import Training
from liftgrad.optim import Optimizer


@dataclass(slots=True)
class History:
    """What a run of a trainer saw."""

    loss: NDArray[np.float64]
    """The loss before each step."""


class Trainer:
    """Trains the parameters of an optimiser to make a lifted loss small.

    Args:
        loss: a lifted function that returns one Value.
        optimizer: from `liftgrad.optim`.
        batch_size: how many samples a step sees; None: all.
        seed: of the order of the samples, which is drawn anew for each epoch.

    Raises:
        LiftError: if `loss` is not lifted.
        ValueError: if `batch_size` is not positive.

    """

    def __init__(
        self,
        loss: LiftedFunction,
        optimizer: Optimizer,
        *,
        batch_size: int | None = None,
        seed: int = 0,
    ) -> None:
        if not isinstance(loss, LiftedFunction):
            raise LiftError("a Trainer needs a lifted loss; decorate the function with @lift.")
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"batch_size={batch_size}; pass 1 or more, or None for all samples.")
        self.loss, self.optimizer = loss, optimizer
        self.batch_size = batch_size
        self._random = np.random.default_rng(seed)
        self._order: NDArray[np.int64] = np.zeros(0, np.int64)
        self._training: tuple[Any, Training] | None = None

    def run(self, steps: int, /, *args: Any, **kwargs: Any) -> History:
        """Take steps on the loss of these arguments and return its history.

        With a `batch_size`, the arrays among the arguments that have as many rows as the first
        array are the data; an epoch's last batch may be smaller.

        Raises:
            ValueError: if `steps` is negative.
            LiftError: if there is no data to cut batches from.

        """
        if steps < 0:
            raise ValueError(f"{steps} steps; pass 0 or more.")
        arguments = self.loss.arguments(args, kwargs)
        rows = None if self.batch_size is None else _rows(arguments)
        training = self._prepared(arguments, rows)
        if rows is None:
            return History(training.run(None, steps))
        return History(training.run(list(self._batches(rows, steps)), steps))

    @property
    def program(self) -> Listing:
        """The tensor program of a step, with the gradient and the update, to print.

        Raises:
            LiftError: if no step was taken yet.

        """
        if self._training is None or not self._training[1].programs:
            raise LiftError("a Trainer has no program yet: it is recovered by the first run().")
        return self._training[1].listing()

    def _prepared(self, arguments: dict[str, Any], rows: int | None) -> Training:
        """Return the training of the last run, if it had the very same arguments."""
        if self._training is not None:
            known, training = self._training
            if known.keys() == arguments.keys() and all(
                known[name] is arguments[name] for name in known
            ):
                return training
        training = Training(self.loss, self.optimizer, arguments, rows)
        self._training = arguments, training
        return training

    def _batches(self, rows: int, steps: int) -> Iterator[NDArray[np.int64]]:
        assert self.batch_size is not None
        for _ in range(steps):
            if not len(self._order):
                self._order = self._random.permutation(rows)
            batch, self._order = np.split(self._order, [self.batch_size])
            yield batch


def _rows(arguments: dict[str, Any]) -> int:
    arrays = [x for x in arguments.values() if isinstance(x, np.ndarray) and x.ndim]
    if not arrays:
        raise LiftError("batch_size needs data to cut batches from; pass it as NumPy arrays.")
    return len(arrays[0])
