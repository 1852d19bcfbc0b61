"""Trainer: many steps of a lifted loss and an optimiser, run natively."""

import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Never, Self

import numpy as np

from liftgrad import files
from liftgrad.errors import LiftError
from liftgrad.lift.explain.listing import Listing
from liftgrad.lift.function import LiftedFunction
from liftgrad.lift.run.parameters import Parameters
from liftgrad.lift.tracebacks import with_short_tracebacks
from liftgrad.lift.train.clipping import Clipping
from liftgrad.lift.train.training import Training
from liftgrad.numbers import is_whole
from liftgrad.optim import Optimizer
from liftgrad.trainer import habits
from liftgrad.trainer.batches import Batches, Order
from liftgrad.trainer.checkpoint import Checkpoint, Writer
from liftgrad.trainer.evaluation import Evaluation, Metric, check_rows, rows_of
from liftgrad.trainer.failure import Snapshot, fail
from liftgrad.trainer.history import EpochState, History, Log
from liftgrad.trainer.interruption import deferred
from liftgrad.trainer.progress import shown
from liftgrad.trainer.settings import check_settings
from liftgrad.trainer.state import names_digest, other_names, pack, unpack
from liftgrad.trainer.stopping import Best, EarlyStopping

Callback = Callable[[EpochState], Any]


class Trainer:
    """Trains the parameters of an optimiser to make a lifted loss small.

    What the loss draws at random, as in dropout, it draws anew at each step from Python's `random`.

    `copy.deepcopy((model, trainer))` goes on as the original does, and so does a pickle; a copy of
    the trainer alone has parameters that are no model's.

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
        shuffle: whether the order of the samples is drawn anew for each epoch; else they come as
            they stand.
        seed: of the order of the samples.
        max_norm: clip the gradients to this norm, as `optim.clip_grad_norm_` does.
        clip_value: clip each gradient to this size, as `optim.clip_grad_value_` does.
        unknown: arguments of `fit` and of other libraries, which are refused with what to write.

    Raises:
        LiftError: if `loss` is not lifted.
        TypeError: if `optimizer` is none, or an argument is not the Trainer's.
        ValueError: if `batch_size` is not positive, or `max_norm` or `clip_value` is negative, or
            both are given, or `seed` is no whole number.

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
        self._clipping = Clipping(max_norm, clip_value)
        self.loss, self.optimizer = loss, optimizer
        # NumPy's numbers, as a grid has them, would be others than Python's in a checkpoint.
        self.batch_size = None if batch_size is None else int(batch_size)
        self.shuffle, self.seed = bool(shuffle), int(seed) if is_whole(seed) else seed
        self._batches = (
            None if self.batch_size is None else Batches(self.batch_size, self.shuffle, self.seed)
        )
        self._training: Training | None = None
        self._log = Log()
        self._best = Best()
        self._numbers: Parameters | None = None
        self._expected_names: tuple[str, int] | None = None
        """What a checkpoint that was loaded says of the parameters' names, and of how many."""
        self._drew: bool | None = None
        """Whether steps drew random numbers, also those before a checkpoint; None: not known."""

    @with_short_tracebacks
    def run(self, steps: int, /, *args: Any, **kwargs: Any) -> History:
        """Take steps on the loss of these arguments and return its history.

        With a `batch_size`, the arrays among the arguments that have as many rows as the first
        array are the data; an epoch's last batch may be smaller. A run that is interrupted leaves
        parameters and optimiser as they were after some step.

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
        training = self._prepared(args, kwargs)
        if training.rows is None or self._batches is None:
            losses = training.run(None, steps)
        else:
            losses = training.run(self._batches.take(training.rows, steps), steps)
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

        An epoch is one pass over the data, or one step without a `batch_size`; one that was
        interrupted is finished first. Ctrl-C ends a fit after a whole step: it says so on standard
        error and returns with `interrupted` set in the history; the model stays as it is then, and
        the next fit goes on from there. (One of 0 epochs puts the best epoch's parameters back.)
        A `ReduceLROnPlateau` among the rates is told of each epoch.

        >>> from liftgrad import EarlyStopping, Value, lift, optim
        >>> w = [Value(0.0)]
        >>> trainer = Trainer(lift(lambda w: (w[0] - 3.0) ** 2), optim.SGD(w, lr=0.25))
        >>> stop = EarlyStopping(patience=2, min_delta=1e-3, monitor="loss")
        >>> history = trainer.fit(100, w, early_stopping=stop)
        >>> history.epochs["loss"][:3].tolist(), len(history.epochs["loss"])
        ([9.0, 2.25, 0.5625], 10)

        Args:
            epochs: how many more.
            args: of the loss.
            validation: what the validation loss is computed on after each epoch, modules being
                switched to evaluation: a fraction of the rows, chosen by the seed, that are held
                out, or a tuple of arguments like `args`. Rows of arrays that lie in files
                (`np.load(..., mmap_mode="r")`) are read a portion at a time if the loss is a mean
                or a total over the samples of `vmap`, such as `mean(vmap(f)(X))`, a penalty of the
                parameters being added to a mean or not. No other loss follows from its portions;
                for it all rows are in memory at once, with a warning if they are many.
            metrics: functions of the same arguments that return a number, evaluated on the
                validation data, or on the training data if there is none. One that is not lifted
                gets all rows at once.
            early_stopping: when to stop early; fits that monitor the same share the best epoch, and
                the count of those since.
            callbacks: called after each epoch with an `EpochState`; True ends the fit.
            checkpoint: where and how often to write one.
            progress: whether to show loss, rate and time left, on a terminal.
            unknown: arguments of other libraries, which are refused with what to write instead.

        Raises:
            ValueError: if `epochs` is negative, the fraction leaves no row on one side, a metric
                has a column's name, or what early stopping or a schedule of the rate monitors is
                not there.
            TypeError: if an argument is of another kind, or a metric returns no number.
            LiftError: if there is no data to cut batches from, or to hold rows out of.
            NonFiniteLossError: if the loss or a parameter becomes nan or infinite: it names the
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
        writer = None if checkpoint is None else Writer(self, checkpoint)
        interrupted = stopped = False
        with shown(progress, epochs, evaluation.count) as show:
            try:
                for _ in range(epochs):
                    state = self._epoch(evaluation, writer)
                    show(state)
                    stopped = self._ends(state, early_stopping, called)
                    if writer is not None:
                        writer.epoch()
                    if stopped:
                        break
            except KeyboardInterrupt:
                interrupted = True
        if writer is not None:
            writer.write()
        if interrupted:
            sys.stderr.write(
                f"Interrupted after step {self.optimizer.steps}; the model is as it was then.\n"
            )
        else:
            self._put_back_best(early_stopping)
        return self._log.history(interrupted=interrupted, stopped=stopped)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a checkpoint: a safetensors file from which another trainer goes on to the bit.

        It holds parameters, the optimiser's state, the random state and the rest of the epoch's
        order, the history, the state of early stopping and, unless it is known that the loss draws
        no random numbers, that of Python's `random`; and a digest of all this, by which `load`
        knows a damaged file.

        >>> from liftgrad import Value, lift, optim
        >>> w = [Value(0.0)]
        >>> trainer = Trainer(lift(lambda w: (w[0] - 3.0) ** 2), optim.SGD(w, lr=0.25))
        >>> history = trainer.fit(3, w)
        >>> trainer.save("run.safetensors")

        Raises:
            OSError: if the file cannot be written; one that is there stays as it is.

        """
        files.write(path, pack(self))

    def load(self, path: str | os.PathLike[str]) -> None:
        """Go on from a checkpoint, with a model, an optimiser and a trainer made as they were.

        Groups that were added to the optimiser are added again before.

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
            CheckpointError: if the file is cut off, damaged, of another kind, of a newer version or
                of another training; nothing is changed then. Other names of parameters are found
                out when the loss's arguments are known, by the next fit or run.
            OSError: if it cannot be read.

        """
        unpack(self, path)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Never:
            raise AttributeError(habits.missing(name), name=name, obj=self)

    def __copy__(self) -> Self:
        raise TypeError(
            "a shallow copy of a Trainer would share its optimiser and its history; use "
            "copy.deepcopy((model, trainer))."
        )

    def __getstate__(self) -> dict[str, Any]:
        """Return what a deep copy or a pickle holds: all but the programs, which it makes anew."""
        self._may_draw()
        names = self._names()
        expected = self._expected_names if names is None else (names, len(self.optimizer.params))
        return {**vars(self), "_expected_names": expected, "_training": None, "_numbers": None}

    def _epoch(self, evaluation: Evaluation, writer: Writer | None) -> EpochState:
        """Take the steps of an epoch, or what is left of one, and evaluate."""
        since = time.perf_counter()
        while not self._portion(evaluation.training, evaluation.rows, writer):
            pass
        validation_loss, metrics = evaluation()
        optimizer = self.optimizer
        state = EpochState(
            epoch=len(self._log.rows) + 1,
            step=optimizer.steps,
            loss=self._log.mean(self._batches.share_of_last() if self._batches else 1.0),
            validation_loss=validation_loss,
            metrics=metrics,
            rates=optimizer.rates(optimizer.steps - 1),
            seconds=time.perf_counter() - since,
            trainer=self,
        )
        self._log.close(state.row())
        return state

    def _portion(self, args: tuple[Any, ...], chosen: Order | None, writer: Writer | None) -> bool:
        """Take steps up to the end of the epoch or the next checkpoint; tell whether it ended.

        Batches are cut from the chosen rows, if they are given.
        """
        training = self._prepared(args, {})
        source = self._batches
        rows = training.rows if chosen is None else len(chosen)
        # Compiling may take long: Ctrl-C ends it at once. Whatever changes comes after it.
        training.prepare([0] if rows is None or source is None else source.sizes(rows))
        failure = None
        with deferred() as asked:
            ended = source is None or (source.rows == rows and not len(source.order))
            if ended and self._log.epoch:
                return True  # an interruption came before the evaluation
            batches = None if rows is None or source is None else source.rest(rows)
            if batches is not None and chosen is not None:
                batches = [chosen[batch] for batch in batches]
            steps = 1 if batches is None else len(batches)
            before = Snapshot(self.optimizer, self._parameters())
            due = writer.due if writer is not None else bool
            losses = training.run(batches, steps, lambda: asked() or due())
            finite = np.isfinite(losses).all() and np.isfinite(self._parameters().numbers()).all()
            if not finite:
                arguments = self.loss.source.arguments(args, {})
                failure = fail(training, arguments, before, batches, losses)
                losses = losses[: failure.steps]
            training.remember()
            if source is not None:
                source.drop(len(losses))
            self._log.steps(losses)
        if failure is not None:
            raise failure.error
        if asked():
            raise KeyboardInterrupt
        if writer is not None and writer.due():
            writer.write()
        return len(losses) == steps

    def _ends(
        self, state: EpochState, rule: EarlyStopping | None, callbacks: list[Callback]
    ) -> bool:
        """Tell all who wait for it of an epoch; return whether one of them ends the fit."""
        ends = False
        for plateau in self.optimizer.plateaus():
            plateau.step(state.row()[plateau.monitor])
        if rule is not None:
            number = state.row()[rule.monitor]
            ends = self._best.see(rule, state.epoch, number, self._parameters().numbers())
        # Every callback hears of every epoch.
        return any([ends, *[habits.is_true(callback(state)) for callback in callbacks]])

    def _put_back_best(self, rule: EarlyStopping | None) -> None:
        """Set the parameters of the best epoch, if that is wanted."""
        self._best.join(self.optimizer.params)
        best = self._best.to_restore(rule)
        if best is not None:
            self._parameters().set_numbers(best)

    def _parameters(self) -> Parameters:
        """Return all that the optimiser holds, at native speed where it is one store."""
        params = self.optimizer.params
        if self._training is None or not self._training.programs:
            # The arguments of the loss decide what becomes a store.
            return Parameters(params, self.loss.dtype, apart=True)
        if self._numbers is None or self._numbers.values != params:
            self._numbers = Parameters(params, self.loss.dtype)
        return self._numbers

    def _may_draw(self) -> bool:
        """Tell whether steps may draw random numbers: some did, or there was none to tell yet."""
        if self._training is not None and self._training.programs:
            self._drew = bool(self._drew) or self._training.draws
        return self._drew is not False

    def _names(self, count: int | None = None) -> str | None:
        """Return a digest of the parameters' names in the loss's arguments, once they are known.

        Args:
            count: of the first so many; None: of all.

        """
        params = self.optimizer.params[:count]
        if self._training is None:
            digest, of = self._expected_names or (None, 0)
            return digest if of == len(params) else None
        groups = [g for g in self._training.flat.groups if g.kind == "parameter"]
        names = {
            id(v): f"{g.name} {name}"
            for g in groups
            for v, name in zip(g.values, g.names, strict=True)
        }
        return names_digest([names.get(id(p), "") for p in params])

    @property
    def program(self) -> Listing:
        """The tensor program of a step, with the gradient and the update, to print.

        >>> from liftgrad import Value, lift, optim
        >>> w = [Value(0.0)]
        >>> trainer = Trainer(lift(lambda w: w[0] * w[0]), optim.SGD(w, lr=0.25))
        >>> history = trainer.run(1, w)
        >>> print(str(trainer.program).splitlines()[0])
        <lambda>(w): 1 scalar operations → 2 loop nests

        Raises:
            LiftError: if no step was taken yet.

        """
        if self._training is None or not self._training.programs:
            raise LiftError("a Trainer has no program yet: it is recovered by the first run().")
        return self._training.listing()

    def _prepared(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Training:
        """Return the training of the last run, if its programs are right for these arguments."""
        training, source = self._training, self.loss.source
        ours = training is not None and training.belongs_to(source, self.optimizer)
        if training is not None and ours and training.repeats(source.arguments(args, kwargs)):
            return training
        arguments, flat = source.flatten(args, kwargs)
        check_rows(arguments)
        rows = None if self.batch_size is None else rows_of(arguments)
        if training is not None and ours and training.serves(arguments, flat, rows):
            return training
        self._may_draw()  # The programs that know are about to go.
        self._training = Training(source, self.optimizer, arguments, flat, rows, self._clipping)
        self._best.join(self.optimizer.params)
        if self._expected_names is not None:
            expected, count = self._expected_names
            # Where the loss sees none of the parameters, the training says so.
            if self._names(count) not in (expected, names_digest([""] * count)):
                self._training = None  # so that the next attempt is refused, too
                raise other_names("the checkpoint")
            self._expected_names = None
        return self._training
