"""Training: loss, gradient and the optimiser's update as one program, many steps at a time.

The optimiser's rule runs on symbols and becomes groups like all others; parameters and the
optimiser's state are updated in place. Batches are gathered natively from the whole data.
"""

import operator
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad.lift.call.flat_arguments import FlatArguments
from liftgrad.lift.explain.listing import Listing
from liftgrad.lift.run.last_call import LastCall
from liftgrad.lift.source import Source
from liftgrad.lift.train.step import step_recipe
from liftgrad.lift.train.step_data import RunData, StepData
from liftgrad.lift.train.step_program import StepProgram
from liftgrad.lift.update.clipping import Clipping
from liftgrad.lift.update.settings import Settings
from liftgrad.mapped import take_rows
from liftgrad.optim import Optimizer

Array = NDArray[Any]


class Training:
    """Trains the parameters in some arguments of a lifted loss with an optimiser.

    Args:
        source: returns one Value, the loss.
        optimizer: holds the parameters, all or some of them.
        arguments: of the loss; arrays of `rows` rows are cut into batches.
        flat: their numbers and structure.
        rows: how many samples the data has; None: every step sees all of it.
        clipping: what is done to the gradients before each step.

    Raises:
        LiftError: if the function's result is not one Value or nothing is there to train.

    """

    def __init__(
        self,
        source: Source,
        optimizer: Optimizer,
        arguments: dict[str, Any],
        flat: FlatArguments,
        rows: int | None,
        clipping: Clipping,
    ) -> None:
        self.clipping = clipping
        self.source, self.optimizer = source, optimizer
        self.arguments, self.flat, self.rows = arguments, flat, rows
        self.data = RunData(flat.groups, rows)
        self.settings = Settings(optimizer)
        self.programs: dict[int, StepProgram] = {}
        self.last_call: LastCall | None = None

    def belongs_to(self, source: Source, optimizer: Optimizer) -> bool:
        """Return whether the programs are of this function and an optimiser with these settings."""
        same = self.source is source and self.optimizer is optimizer
        return same and self.settings.hold(optimizer)

    def repeats(self, arguments: dict[str, Any]) -> bool:
        """Take these arguments' numbers if they are like the last run's; return whether so."""
        if self.last_call is None or tuple(arguments) != self.last_call.names:
            return False
        groups = self.last_call.numbers_of(list(arguments.values()))
        if groups is None:
            self.last_call = None
            return False
        self.data.groups = groups
        return True

    def serves(self, arguments: dict[str, Any], flat: FlatArguments, rows: int | None) -> bool:
        """Take these arguments if structure and parameters are the same; return whether so."""
        if flat.key != self.flat.key or rows != self.rows:
            return False
        for old, new in zip(self.flat.groups, flat.groups, strict=True):
            if new.kind == "parameter" and not all(map(operator.is_, old.values, new.values)):
                return False
        self.arguments, self.flat, self.data.groups = arguments, flat, flat.groups
        return True

    def remember(self) -> None:
        """Remember the arguments, so that a run with ones like them need not flatten them."""
        if self.last_call is None or self.last_call.containers is not self.flat.containers:
            self.last_call = LastCall.of(self.arguments, self.flat, self._forget)

    def _forget(self, _: Any) -> None:
        self.last_call = None

    def run(
        self,
        batches: Iterable[NDArray[np.int64]] | None,
        steps: int,
        stop: Callable[[], bool] = lambda: False,
    ) -> Array:
        """Take steps and return the loss before each of them.

        Args:
            batches: the samples of each step, by number; None: all of them at each step.
            steps: how many, if `batches` is None.
            stop: called between native calls; if it returns True, the steps so far are returned.

        """
        self.data.run += 1
        losses: list[Array] = []
        left = steps
        while batches is None and left and not (losses and stop()):
            program = self._program(0)
            losses.append(program.run(None, min(left, program.at_once), stop))
            left -= len(losses[-1])
        # Consecutive batches of one size run in one native call.
        alike: list[NDArray[np.int64]] = []
        for batch in batches or ():
            full = alike and len(alike) == self._program(len(alike[0])).at_once
            if alike and (full or len(batch) != len(alike[0])):
                losses.append(self._program(len(alike[0])).run(np.stack(alike), len(alike), stop))
                alike = []
                if stop():
                    break
            alike.append(batch)
        if alike:
            losses.append(self._program(len(alike[0])).run(np.stack(alike), len(alike), stop))
        return np.concatenate(losses) if losses else np.zeros(0)

    def batch(self, rows: NDArray[np.int64] | None) -> FlatArguments:
        """Return what a batch of the latest run consists of; None: all of its data."""
        flat = replace(self.flat, groups=self.data.groups)
        if rows is None or self.rows is None:
            return flat
        return flat.with_rows(lambda x: take_rows(x, rows), self.rows)

    def prepare(self, sizes: Iterable[int]) -> None:
        """Build the programs for batches of these sizes (0: all data) that are missing."""
        for size in sizes:
            self._program(size)

    @property
    def draws(self) -> bool:
        """Whether steps draw random numbers, from Python's `random`."""
        return any(program.built.draws for program in self.programs.values())

    def listing(self) -> Listing:
        """Return the program of a step, on the largest batches, as text."""
        made = self.programs[max(self.programs)].recipe.made
        return self.source.listing(made, made.before_end)

    def _program(self, size: int) -> StepProgram:
        program = self.programs.get(size)
        if program is None:
            program = self.programs[size] = self._new_program(size)
        return program

    def _new_program(self, size: int) -> StepProgram:
        flat = self.flat
        if size and self.rows is not None:
            flat = flat.with_rows(lambda x: x[:size], self.rows)
        recipe = step_recipe(self.source, self.optimizer, self.clipping, self.arguments, flat)
        state = recipe.state_of(self.optimizer, flat)
        return StepProgram(recipe, state, StepData(self.data, recipe.built, size, flat.groups))
