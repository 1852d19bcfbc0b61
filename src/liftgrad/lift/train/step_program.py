"""Step program: training steps on batches of one size, natively or with NumPy."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad.lift.run.drawing import Draw, drawing
from liftgrad.lift.run.numpy_executor import execute
from liftgrad.lift.train.native_steps import NativeSteps
from liftgrad.lift.train.step import StepRecipe
from liftgrad.lift.train.step_data import StepData
from liftgrad.lift.update.step_state import StepState

Array = NDArray[Any]
_AT_ONCE, _MOST_AT_ONCE = 128, 4096
_PATIENCE = 0.1
"""Seconds that a user who interrupts may have to wait."""


class StepProgram:
    """A training step on batches of one size, ready to run.

    Args:
        recipe: its program.
        state: the parameters and the optimiser's state.
        data: the arguments.

    """

    def __init__(self, recipe: StepRecipe, state: StepState, data: StepData) -> None:
        self.recipe, self.state, self.data = recipe, state, data
        self.built = recipe.built
        self.at_once = _AT_ONCE
        """Steps per native call; between calls Python handles signals."""
        self.checked = 0
        """The run whose data was checked."""
        native = recipe.made.native
        self.native = None if native is None else NativeSteps(recipe, native, state, data)

    def run(self, batches: Array | None, steps: int, stop: Callable[[], bool]) -> Array:
        """Take steps natively, or one by one with NumPy; fewer if asked to stop."""
        data = self.data
        if self.checked != data.data.run:
            data.check()
            if self.native is not None:
                self.native.take_data()
            self.checked = data.data.run
        if self.native is not None:
            since = time.perf_counter()
            losses = self.native.run(batches, steps, stop)
            taken = time.perf_counter() - since
            if steps == self.at_once and taken < _PATIENCE / 2:
                self.at_once = min(2 * self.at_once, _MOST_AT_ONCE)
            elif taken > _PATIENCE:
                self.at_once = max(self.at_once // 2, 1)
            return losses
        history: list[float] = []
        with drawing(self.built.draws, data.samples, steps) as draw:
            while len(history) < steps and not (history and stop()):
                history.append(self._step(len(history), batches, draw))
        return np.array(history)

    def _step(self, step: int, batches: Array | None, draw: Draw) -> float:
        """Take a step with NumPy; return the loss before it."""
        built, state = self.built, self.state
        leaves: dict[int, Array] = {}
        for i, leaf in built.leaf_of.items():
            if i not in built.parameter_groups:
                leaves[leaf] = self.data.of_batch(i, None if batches is None else batches[step])
        if built.sizes is not None:
            leaves[built.sizes] = np.array([float(self.data.samples)])
        leaves.update(state.leaves())
        leaves.update(draw())
        arrays = execute(built.rolled, leaves, self.recipe.dtype)
        state.assign(arrays)
        loss = self.recipe.loss
        return float(arrays[loss.group][loss.positions[0]])
