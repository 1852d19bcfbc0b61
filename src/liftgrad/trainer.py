"""Trainer: many steps of a lifted loss and an optimiser, run natively."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad.errors import LiftError
from liftgrad.lift.api import LiftedFunction
from liftgrad.lift.clipping import Clipping
from liftgrad.lift.listing import Listing
from liftgrad.lift.training import Training
from liftgrad.numbers import is_number
from liftgrad.optim import Optimizer


@dataclass(slots=True)
class History:
    """What a run of a trainer saw."""

    loss: NDArray[np.float64]
    """The loss before each step."""


class Trainer:
    """Trains the parameters of an optimiser to make a lifted loss small.

    What the loss draws at random, as in dropout, it draws anew at each step from Python's `random`.

    Args:
        loss: a lifted function that returns one Value.
        optimizer: from `liftgrad.optim`.
        batch_size: how many samples a step sees; None: all.
        shuffle: whether the order of the samples is drawn anew for each epoch; else they come as
            they stand.
        seed: of the order of the samples.
        max_norm: clip the gradients to this norm, as `optim.clip_grad_norm_` does.
        clip_value: clip each gradient to this size, as `optim.clip_grad_value_` does.

    Raises:
        LiftError: if `loss` is not lifted.
        ValueError: if `batch_size` is not positive, or `max_norm` or `clip_value` is negative, or
            both are given.

    """

    def __init__(
        self,
        loss: LiftedFunction,
        optimizer: Optimizer,
        *,
        batch_size: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        max_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        if not isinstance(loss, LiftedFunction):
            raise LiftError("a Trainer needs a lifted loss; decorate the function with @lift.")
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"batch_size={batch_size}; pass 1 or more, or None for all samples.")
        for name, bound in (("max_norm", max_norm), ("clip_value", clip_value)):
            if bound is not None and not (is_number(bound) and 0.0 <= bound < math.inf):
                raise ValueError(f"{name} is a finite number, 0 or more; got {name}={bound!r}.")
        if max_norm is not None and clip_value is not None:
            raise ValueError(
                "gradients are clipped by max_norm or by clip_value; pass one of them."
            )
        self._clipping = Clipping(max_norm, clip_value)
        self.loss, self.optimizer = loss, optimizer
        self.batch_size, self.shuffle = batch_size, shuffle
        self._random = np.random.default_rng(seed)
        self._rows = 0
        self._order: NDArray[np.int64] = np.zeros(0, np.int64)
        """What is left of the epoch."""
        self._training: Training | None = None

    def run(self, steps: int, /, *args: Any, **kwargs: Any) -> History:
        """Take steps on the loss of these arguments and return its history.

        With a `batch_size`, the arrays among the arguments that have as many rows as the first
        array are the data; an epoch's last batch may be smaller. A run that is interrupted leaves
        parameters and optimiser as they were after some step.

        Raises:
            ValueError: if `steps` is negative.
            LiftError: if there is no data to cut batches from.

        """
        if steps < 0:
            raise ValueError(f"{steps} steps; pass 0 or more.")
        training = self._prepared(args, kwargs)
        if training.rows is None:
            losses = training.run(None, steps)
        else:
            losses = training.run(self._batches(training.rows, steps), steps)
        training.remember()
        return History(losses)

    @property
    def program(self) -> Listing:
        """The tensor program of a step, with the gradient and the update, to print.

        Raises:
            LiftError: if no step was taken yet.

        """
        if self._training is None or not self._training.programs:
            raise LiftError("a Trainer has no program yet: it is recovered by the first run().")
        return self._training.listing()

    def _prepared(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Training:
        """Return the training of the last run, if its programs are right for these arguments."""
        training = self._training
        ours = training is not None and training.belongs_to(self.loss, self.optimizer)
        if training is not None and ours and training.repeats(self.loss.arguments(args, kwargs)):
            return training
        arguments, reading = self.loss.read(args, kwargs)
        rows = None if self.batch_size is None else _rows(arguments)
        if training is not None and ours and training.serves(arguments, reading, rows):
            return training
        self._training = Training(
            self.loss, self.optimizer, arguments, reading, rows, self._clipping
        )
        return self._training

    def _batches(self, rows: int, steps: int) -> Iterator[NDArray[np.int64]]:
        assert self.batch_size is not None
        if rows != self._rows:
            self._rows, self._order = rows, np.zeros(0, np.int64)
        size = self.batch_size
        for _ in range(steps):
            if not len(self._order):
                self._order = self._random.permutation(rows) if self.shuffle else np.arange(rows)
            batch, self._order = self._order[:size], self._order[size:]
            yield batch


def _rows(arguments: dict[str, Any]) -> int:
    """Return how many samples the data has.

    Raises:
        LiftError: if there is none, or something that looks like data could not be cut.

    """
    arrays = [x for x in arguments.values() if isinstance(x, np.ndarray) and x.ndim]
    if not arrays or not len(arrays[0]):
        raise LiftError("batch_size needs data to cut batches from; pass it as NumPy arrays.")
    rows = len(arrays[0])
    for name, x in arguments.items():
        listed = isinstance(x, list | tuple) and len(x) == rows and all(map(is_number, x))
        if listed or (isinstance(x, np.ndarray) and x.shape[:1] == (rows,) and x.dtype == bool):
            raise LiftError(
                f"{name} has as many numbers as the data has rows, and cannot be cut into batches; "
                "pass it as an array of floats or integers."
            )
    return rows
