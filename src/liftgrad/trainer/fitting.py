"""Fitting: the epochs of a fit, with what is evaluated, monitored and written after each."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from liftgrad.trainer.checkpoint import Writer
from liftgrad.trainer.evaluation import Evaluation
from liftgrad.trainer.failure import Failure, Snapshot, fail
from liftgrad.trainer.history import EpochState, RunningTrainer
from liftgrad.trainer.interruption import deferred
from liftgrad.trainer.state import TrainerState
from liftgrad.trainer.stopping import EarlyStopping

Callback = Callable[[EpochState], Any]


class Fit:
    """One call of `Trainer.fit`.

    Args:
        trainer: is passed to the callbacks.
        state: of the trainer, which the epochs change.
        evaluation: of the loss and the metrics.
        early_stopping: when to stop early.
        callbacks: called after each epoch.
        writer: of checkpoints.

    """

    def __init__(
        self,
        trainer: RunningTrainer,
        state: TrainerState,
        evaluation: Evaluation,
        early_stopping: EarlyStopping | None,
        callbacks: Sequence[Callback],
        writer: Writer | None,
    ) -> None:
        self.trainer, self.state = trainer, state
        self.evaluation, self.early_stopping = evaluation, early_stopping
        self.callbacks, self.writer = callbacks, writer
        self.stopped = False
        """Whether early stopping or a callback ended it."""

    def run(self, epochs: int, show: Callable[[EpochState], None]) -> None:
        """Train for epochs, or until told to stop.

        Args:
            epochs: how many at most.
            show: called after each epoch.

        Raises:
            KeyboardInterrupt: after a whole step.

        """
        for _ in range(epochs):
            ended = self._epoch()
            show(ended)
            self.stopped = self._stops(ended)
            if self.writer is not None:
                self.writer.epoch()
            if self.stopped:
                break

    def restore_best(self) -> None:
        """Set the parameters of the best epoch, if early stopping asks for it."""
        self.state.best.join(self.state.optimizer.params)
        best = self.state.best.to_restore(self.early_stopping)
        if best is not None:
            self.state.parameters().set_numbers(best)

    def _epoch(self) -> EpochState:
        """Take the steps of an epoch, or what is left of one, and evaluate."""
        state, optimizer = self.state, self.state.optimizer
        since = time.perf_counter()
        while not self._steps():
            pass
        validation_loss, metrics = self.evaluation()
        ended = EpochState(
            epoch=len(state.log.rows) + 1,
            step=optimizer.steps,
            loss=state.log.mean(state.batches.share_of_last() if state.batches else 1.0),
            validation_loss=validation_loss,
            metrics=metrics,
            rates=optimizer.rates(optimizer.steps - 1),
            seconds=time.perf_counter() - since,
            trainer=self.trainer,
        )
        state.log.close(ended.row())
        return ended

    def _steps(self) -> bool:
        """Take steps up to the end of the epoch or the next checkpoint; return whether it ended."""
        state, writer = self.state, self.writer
        args, chosen = self.evaluation.training, self.evaluation.rows
        loss = self.evaluation.loss
        training = state.training_for(loss.source, args, {})
        source = state.batches
        rows = training.rows if chosen is None else len(chosen)
        # Compiling may take long: Ctrl-C ends it at once, since nothing has changed so far.
        training.prepare([0] if rows is None or source is None else source.sizes(rows))
        failure: Failure | None = None
        with deferred() as asked:
            ended = source is None or (source.rows == rows and not len(source.order))
            if ended and state.log.epoch:
                return True  # the last fit was interrupted before the evaluation
            batches = None if rows is None or source is None else source.rest(rows)
            if batches is not None and chosen is not None:
                batches = [chosen[batch] for batch in batches]
            steps = 1 if batches is None else len(batches)
            before = Snapshot(state)
            due = writer.due if writer is not None else bool
            losses = training.run(batches, steps, lambda: asked() or due())
            finite = np.isfinite(losses).all() and np.isfinite(state.parameters().numbers()).all()
            if not finite:
                arguments = loss.source.arguments(args, {})
                failure = fail(training, arguments, before, batches, losses)
                losses = losses[: failure.steps]
            training.remember()
            if source is not None:
                source.drop(len(losses))
            state.log.steps(losses)
        if failure is not None:
            raise failure.error
        if asked():
            raise KeyboardInterrupt
        if writer is not None and writer.due():
            writer.write()
        return len(losses) == steps

    def _stops(self, ended: EpochState) -> bool:
        """Pass an epoch to all who follow the fit; return whether one of them ends it."""
        row = ended.row()
        for plateau in self.state.optimizer.plateaus():
            plateau.step(row[plateau.monitor])
        rule, stops = self.early_stopping, False
        if rule is not None:
            numbers = self.state.parameters().numbers()
            stops = self.state.best.see(rule, ended.epoch, row[rule.monitor], numbers)
        # A list: every callback is called, even when another has ended the fit.
        return any([stops, *[_is_true(callback(ended)) for callback in self.callbacks]])


def _is_true(answer: Any) -> bool:
    """Return whether it is True, Python's or NumPy's, and not anything that counts as true."""
    return isinstance(answer, bool | np.bool_) and bool(answer)
