"""State: everything that training changes, from which a trainer resumes to the bit."""

import hashlib
from typing import Any

from liftgrad.errors import CheckpointError
from liftgrad.lift.run.parameters import Parameters
from liftgrad.lift.source import Source
from liftgrad.lift.train.training import Training
from liftgrad.lift.update.clipping import Clipping
from liftgrad.optim import Optimizer
from liftgrad.trainer.batches import Batches
from liftgrad.trainer.evaluation import check_rows, rows_of
from liftgrad.trainer.history import Log
from liftgrad.trainer.stopping import Best


class TrainerState:
    """What a trainer's steps and epochs change, and the compiled steps that change it.

    The programs are a cache: copies, pickles and checkpoints hold all but these.

    Args:
        optimizer: has the parameters, its own state and the number of steps taken.
        batches: draws the order of the samples; None: each step sees all of them.
        clipping: of the gradients before each step.

    """

    def __init__(self, optimizer: Optimizer, batches: Batches | None, clipping: Clipping) -> None:
        self.optimizer, self.batches, self.clipping = optimizer, batches, clipping
        self.log = Log()
        self.best = Best()
        self.drew: bool | None = None
        """Whether steps drew random numbers, including those before a checkpoint; None: unknown."""
        self.expected_names: tuple[str, int] | None = None
        """The digest of the parameters' names in a loaded checkpoint, and how many there were;
        None once the loss's arguments have been compared with it."""
        self.training: Training | None = None
        """The programs for the last arguments."""
        self._parameters: Parameters | None = None

    def parameters(self) -> Parameters:
        """Return the optimiser's parameters, at native speed where they are one store."""
        params, training = self.optimizer.params, self.training
        if training is None or not training.programs:
            # The arguments of the loss decide which parameters become a store.
            return Parameters(params, "float64", apart=True)
        if self._parameters is None or self._parameters.values != params:
            self._parameters = Parameters(params, training.source.dtype)
        return self._parameters

    def may_draw(self) -> bool:
        """Return whether steps may draw random numbers: some did, or none was compiled so far."""
        if self.training is not None and self.training.programs:
            self.drew = bool(self.drew) or self.training.draws
        return self.drew is not False

    def names(self, count: int | None = None) -> str | None:
        """Return a digest of the parameters' names in the loss's arguments, once they are known.

        Args:
            count: of the first `count` parameters; None: of all.

        """
        params = self.optimizer.params[:count]
        if self.training is None:
            digest, of = self.expected_names or (None, 0)
            return digest if of == len(params) else None
        names = {
            id(value): f"{group.name} {name}"
            for group in self.training.flat.groups
            if group.kind == "parameter"
            for value, name in zip(group.values, group.names, strict=True)
        }
        return _digest([names.get(id(p), "") for p in params])

    def training_for(
        self, source: Source, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Training:
        """Return the programs for these arguments of a loss: the last ones, if they fit.

        Raises:
            LiftError: if there is no data to cut batches from.
            CheckpointError: if a checkpoint was loaded whose parameters have other names.

        """
        training, optimizer = self.training, self.optimizer
        ours = training is not None and training.belongs_to(source, optimizer)
        if training is not None and ours and training.repeats(source.arguments(args, kwargs)):
            return training
        arguments, flat = source.flatten(args, kwargs)
        check_rows(arguments)
        rows = None if self.batches is None else rows_of(arguments)
        if training is not None and ours and training.serves(arguments, flat, rows):
            return training
        self.may_draw()  # asked before the programs that know are replaced
        training = Training(source, optimizer, arguments, flat, rows, self.clipping)
        self.training = training
        self.best.join(optimizer.params)
        self._check_names()
        return training

    def _check_names(self) -> None:
        """Refuse arguments whose parameters have other names than the loaded checkpoint's."""
        if self.expected_names is None:
            return
        expected, count = self.expected_names
        # Where no parameter is among the arguments, compiling a step raises its own error.
        if self.names(count) not in (expected, _digest([""] * count)):
            self.training = None  # so that the next attempt is refused, too
            raise other_names("the checkpoint")
        self.expected_names = None

    def __getstate__(self) -> dict[str, Any]:
        """Return what a deep copy or a pickle holds: all but the programs."""
        self.may_draw()
        names = self.names()
        expected = self.expected_names if names is None else (names, len(self.optimizer.params))
        return {**vars(self), "expected_names": expected, "training": None, "_parameters": None}


def other_names(what: object) -> CheckpointError:
    """Return the refusal of a checkpoint whose parameters have other names."""
    return CheckpointError(
        f"'{what}' is of another training: its parameters have other names; build the model in "
        "the same way first."
    )


def _digest(names: list[str]) -> str:
    return hashlib.sha256("\n".join(names).encode()).hexdigest()
