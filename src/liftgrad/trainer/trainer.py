"""Trainer: many steps of a lifted loss and an optimiser, run natively."""

import os
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Never, Self

from liftgrad import files
from liftgrad.errors import LiftError
from liftgrad.lift.explain.listing import Listing
from liftgrad.lift.function import LiftedFunction
from liftgrad.lift.tracebacks import with_short_tracebacks
from liftgrad.lift.update.clipping import Clipping
from liftgrad.numbers import is_whole
from liftgrad.optim import Optimizer
from liftgrad.trainer import habits
from liftgrad.trainer.batches import Batches
from liftgrad.trainer.checkpoint import Checkpoint, Writer
from liftgrad.trainer.checkpoint_file import pack, unpack
from liftgrad.trainer.evaluation import Evaluation, Metric
from liftgrad.trainer.fitting import Callback, Fit
from liftgrad.trainer.history import History
from liftgrad.trainer.identity import identity
from liftgrad.trainer.progress import shown
from liftgrad.trainer.settings import check_settings
from liftgrad.trainer.state import TrainerState
from liftgrad.trainer.stopping import EarlyStopping


class Trainer:
    """Trains an optimiser's parameters to minimise a lifted loss.

    A loss with random numbers, as in dropout, draws new ones from Python's `random` at each step.

    `copy.deepcopy((model, trainer))` and a pickle of both continue as the original does; a copy of
    the trainer alone has parameters that belong to no model.

    >>> import numpy as np
    >>> from liftgrad import Trainer, Value, lift, optim, vmap
    >>> from liftgrad.functional import mean
    >>> @lift
    ... def loss(w, x, y):
    ...     return mean(vmap(lambda a, b: (w[0] * a - b) ** 2)(x, y))
    >>> w, x = [Value(0.0)], np.linspace(-1.0, 1.0, 50)
    >>> trainer = Trainer(loss, optim.SGD(w, lr=0.5), batch_size=10)
    >>> history = trainer.fit(20, w, x, 3.0 * x)
    >>> round(w[0].data, 3), len(history.loss)
    (3.0, 100)

    Args:
        loss: a lifted function that returns one Value.
        optimizer: from `liftgrad.optim`.
        batch_size: how many samples a step sees; None: all.
        shuffle: whether each epoch sees the samples in a new random order; otherwise they keep
            their own.
        seed: of the order of the samples.
        max_norm: clip the gradients to this norm, as `optim.clip_grad_norm_` does.
        clip_value: clip each gradient to this size, as `optim.clip_grad_value_` does.
        unknown: arguments of `fit` and of other libraries, refused with what to write instead.

    Raises:
        LiftError: if `loss` is not lifted.
        TypeError: if `optimizer` is not an optimiser, or an argument is not the Trainer's.
        ValueError: if `batch_size` is not positive, `max_norm` or `clip_value` is negative, both
            are given, or `seed` is not a whole number.

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
        **unknown: Never,
    ) -> None:
        habits.check_loss(loss)
        habits.check_optimizer(optimizer)
        habits.check_unknown(unknown, loss, type(self))
        check_settings(batch_size, seed, max_norm, clip_value)
        self.loss = loss
        # In a checkpoint, NumPy's numbers, which a grid has, would differ from Python's.
        self.batch_size = None if batch_size is None else int(batch_size)
        self.shuffle, self.seed = bool(shuffle), int(seed) if is_whole(seed) else seed
        batches = None
        if self.batch_size is not None:
            batches = Batches(self.batch_size, self.shuffle, self.seed)
        self._state = TrainerState(optimizer, batches, Clipping(max_norm, clip_value))

    @with_short_tracebacks
    def run(self, steps: int, /, *args: Any, **kwargs: Any) -> History:
        """Take steps on the loss of these arguments and return its history.

        With a `batch_size`, the data are the arrays among the arguments with as many rows as the
        first array; an epoch's last batch may be smaller. An interrupted run leaves parameters and
        optimiser as they were after a whole step.

        >>> from liftgrad import Value, lift, optim
        >>> w = [Value(0.0)]
        >>> trainer = Trainer(lift(lambda w: (w[0] - 3.0) ** 2), optim.SGD(w, lr=0.25))
        >>> history = trainer.run(3, w)
        >>> history.loss.tolist(), w[0].data
        ([9.0, 2.25, 0.5625], 2.625)

        Raises:
            ValueError: if `steps` is negative.
            LiftError: if there is no data to cut batches from.

        """
        habits.check_count(steps, "steps", self.loss, "run")
        training = self._state.training_for(self.loss.source, args, kwargs)
        batches = self._state.batches
        if training.rows is None or batches is None:
            losses = training.run(None, steps)
        else:
            losses = training.run(batches.take(training.rows, steps), steps)
        training.remember()
        return History(losses)

    @with_short_tracebacks
    def fit(
        self,
        epochs: int,
        /,
        *args: Any,
        validation: float | tuple[Any, ...] | None = None,
        metrics: Mapping[str, Metric] | None = None,
        early_stopping: EarlyStopping | None = None,
        callbacks: Iterable[Callback] = (),
        checkpoint: Checkpoint | None = None,
        progress: bool = False,
        **unknown: Never,
    ) -> History:
        """Train for epochs on the loss of these arguments; return the history of all fits so far.

        An epoch is one pass over the data, or one step without a `batch_size`; an interrupted one
        is finished first. Ctrl-C ends a fit after a whole step: it says so on standard error and
        returns with `interrupted` set in the history; the model stays as it is then, and the next
        fit continues from there. (One of 0 epochs restores the best epoch's parameters.) A
        `ReduceLROnPlateau` among the rates takes each epoch into account.

        >>> from liftgrad import EarlyStopping, Value, lift, optim
        >>> w = [Value(0.0)]
        >>> trainer = Trainer(lift(lambda w: (w[0] - 3.0) ** 2), optim.SGD(w, lr=0.25))
        >>> stop = EarlyStopping(patience=2, min_delta=1e-3, monitor="loss")
        >>> history = trainer.fit(100, w, early_stopping=stop)
        >>> history.epochs["loss"][:3].tolist(), len(history.epochs["loss"])
        ([9.0, 2.25, 0.5625], 10)

        Args:
            epochs: how many more to train for.
            args: of the loss.
            validation: the data that the validation loss is computed on after each epoch, with
                modules in evaluation mode: the fraction of the rows to hold out, chosen by the
                seed, or a tuple of arguments like `args`. Rows of memory-mapped arrays
                (`np.load(..., mmap_mode="r")`) are read a portion at a time if the loss is a mean
                or a total over the samples of `vmap`, such as `mean(vmap(f)(X))`, or such a mean
                with a penalty on the parameters. No other loss can be computed from portions: for
                it all rows are in memory at once, with a warning if they are many.
            metrics: functions of the same arguments that return a number, evaluated on the
                validation data, or on the training data if there is none. Functions that are not
                lifted get all rows at once.
            early_stopping: when to stop early; fits that monitor the same share the best epoch and
                the number of epochs since.
            callbacks: called after each epoch with an `EpochState`; True ends the fit.
            checkpoint: where and how often to write one.
            progress: whether to show loss, rate and time left on a terminal.
            unknown: arguments of other libraries, refused with what to write instead.

        Raises:
            ValueError: if `epochs` is negative, the fraction leaves no row on one side, a metric
                has the name of a column, or early stopping or a schedule monitors what is not
                there.
            TypeError: if an argument has another type, or a metric does not return a number.
            LiftError: if there is no data to cut batches from, or to hold rows out of.
            NonFiniteLossError: if the loss or a parameter becomes nan or infinite; names the
                operation, its line and the step. Model, optimiser and history are left as they
                were after the last step with finite parameters.
            OSError: if a checkpoint cannot be written.

        """
        habits.check_unknown(unknown, self.loss, self.fit)
        habits.check_count(epochs, "epochs", self.loss, "fit")
        habits.check_arguments(args, self.loss, validation)
        called = habits.checked_callbacks(early_stopping, checkpoint, callbacks)
        evaluation = Evaluation(
            self.loss, args, validation, metrics, self.seed, batched=self.batch_size is not None
        )
        if early_stopping is not None:
            evaluation.check_monitor("early stopping", early_stopping.monitor)
        for plateau in self.optimizer.plateaus():
            evaluation.check_monitor("ReduceLROnPlateau", plateau.monitor)
        writer = None if checkpoint is None else Writer(self._packed, checkpoint)
        fit = Fit(self, self._state, evaluation, early_stopping, called, writer)
        interrupted = False
        with shown(progress, epochs, evaluation.count) as show:
            try:
                fit.run(epochs, show)
            except KeyboardInterrupt:
                interrupted = True
        if writer is not None:
            writer.write()
        if interrupted:
            sys.stderr.write(
                f"Interrupted after step {self.optimizer.steps}; the model is as it was then.\n"
            )
        else:
            fit.restore_best()
        return self._state.log.history(interrupted=interrupted, stopped=fit.stopped)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a checkpoint: a safetensors file from which another trainer resumes to the bit.

        It holds the parameters, the optimiser's state, the random state and the rest of the epoch's
        order, the history, the state of early stopping and, unless the loss is known to draw no
        random numbers, the state of Python's `random`; and a digest of all this, by which `load`
        recognises a damaged file.

        >>> from liftgrad import Value, lift, optim
        >>> w = [Value(0.0)]
        >>> trainer = Trainer(lift(lambda w: (w[0] - 3.0) ** 2), optim.SGD(w, lr=0.25))
        >>> history = trainer.fit(3, w)
        >>> trainer.save("run.safetensors")

        Raises:
            OSError: if the file cannot be written; an existing one is left as it is.

        """
        files.write(path, self._packed())

    def load(self, path: str | os.PathLike[str]) -> None:
        """Resume from a checkpoint, with model, optimiser and trainer made in the same way.

        Add the groups that were added to the optimiser again first.

        >>> from liftgrad import Value, lift, optim
        >>> loss, w = lift(lambda w: (w[0] - 3.0) ** 2), [Value(0.0)]
        >>> trainer = Trainer(loss, optim.SGD(w, lr=0.25))
        >>> history = trainer.fit(3, w)
        >>> trainer.save("run.safetensors")
        >>> w = [Value(0.0)]
        >>> trainer = Trainer(loss, optim.SGD(w, lr=0.25))
        >>> trainer.load("run.safetensors")
        >>> w[0].data, trainer.optimizer.steps
        (2.625, 3)

        Raises:
            CheckpointError: if the file is truncated, damaged, of another kind, of a newer version
                or of another training; nothing is changed then. Parameters with other names are
                found when the loss's arguments are known, by the next fit or run.
            OSError: if it cannot be read.

        """
        unpack(self._state, self._identity(), self.loss.dtype, path)

    @property
    def program(self) -> Listing:
        """The tensor program of a step, with the gradient and the update; print it.

        >>> from liftgrad import Value, lift, optim
        >>> w = [Value(0.0)]
        >>> trainer = Trainer(lift(lambda w: w[0] * w[0]), optim.SGD(w, lr=0.25))
        >>> history = trainer.run(1, w)
        >>> print(str(trainer.program).splitlines()[0])
        <lambda>(w): 1 scalar operations → 2 loop nests

        Raises:
            LiftError: if no step has been taken yet.

        """
        training = self._state.training
        if training is None or not training.programs:
            raise LiftError("a Trainer has no program yet: it is recovered by the first run().")
        return training.listing()

    @property
    def optimizer(self) -> Optimizer:
        """The optimiser, which has the parameters and counts the steps.

        >>> from liftgrad import Value, lift, optim
        >>> trainer = Trainer(lift(lambda w: w[0] * w[0]), optim.SGD([Value(0.0)]))
        >>> trainer.optimizer.steps
        0
        """
        return self._state.optimizer

    @optimizer.setter
    def optimizer(self, optimizer: Optimizer) -> None:
        self._state.optimizer = optimizer

    def _packed(self) -> bytes:
        """Return the content of a checkpoint."""
        return pack(self._state, self._identity())

    def _identity(self) -> dict[str, Any]:
        """Return what identifies this training."""
        return identity(
            self.loss,
            self.optimizer,
            batch_size=self.batch_size,
            shuffle=self.shuffle,
            seed=self.seed,
            clipping=self._state.clipping,
        )

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Never:
            raise AttributeError(habits.missing(name), name=name, obj=self)

    def __copy__(self) -> Self:
        raise TypeError(
            "a shallow copy of a Trainer would share its optimiser and its history; use "
            "copy.deepcopy((model, trainer))."
        )
