"""Step state: the numbers that a training step reads and writes, between its runs."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad.lift.run.parameters import Parameters
from liftgrad.lift.update.rules import Update, unmet_by
from liftgrad.optim import Optimizer

Array = NDArray[Any]


class StepState:
    """An optimiser's state and parameters, for a program with its update.

    Args:
        update: what the optimiser's rules added to the program.
        optimizer: that optimiser, or another of the same settings.
        parameters: those that take part in the loss, by leaf group.
        dtype: the type to compute in.

    """

    def __init__(
        self, update: Update, optimizer: Optimizer, parameters: Mapping[int, Parameters], dtype: str
    ) -> None:
        self.update, self.optimizer = update, optimizer
        self.parameters = dict(parameters)
        if update.others is not None:
            unmet = unmet_by(optimizer, [p.values for p in parameters.values()])
            self.parameters[update.others] = Parameters(unmet, dtype, apart=True)

    def fetch(self) -> dict[int, Array]:
        """Return the optimiser's state for each state leaf."""
        numbers = {}
        for name, leaves in self.update.state.items():
            column = np.array(self.optimizer.state[name])
            for leaf, positions in leaves:
                numbers[leaf] = column[positions]
        return numbers

    def give_back(self, numbers: Mapping[int, Array]) -> None:
        """Set the optimiser's state to the state leaves' numbers."""
        for name, leaves in self.update.state.items():
            column = np.array(self.optimizer.state[name])
            for leaf, positions in leaves:
                column[positions] = numbers[leaf]
            self.optimizer.state[name] = column

    def rates(self, steps: int) -> Array:
        """Return the optimiser's scalars for its next steps, of shape (steps, scalars)."""
        first = self.optimizer.steps
        of_rules = [
            [rule.scalars_at(step) for step in range(first, first + steps)]
            for rule in self.optimizer.rules
        ]
        return np.hstack([np.array(rows, np.float64).reshape(steps, -1) for rows in of_rules])

    def leaves(self) -> dict[int, Array]:
        """Return the numbers of all leaves of the update, for one step with NumPy."""
        numbers = {leaf: p.numbers() for leaf, p in self.parameters.items()}
        return {**numbers, **self.fetch(), self.update.rates: self.rates(1)[0]}

    def assign(self, arrays: list[Array]) -> None:
        """Carry out the assignments after a step with NumPy, whose groups' numbers these are."""
        state = self.fetch()
        for assignment in self.update.assignments:
            value = arrays[assignment.value.group][assignment.value.positions]
            if assignment.leaf in self.parameters:
                parameters = self.parameters[assignment.leaf]
                numbers = np.array(parameters.numbers())
                numbers[assignment.positions] = value
                parameters.set_numbers(numbers)
            else:
                state[assignment.leaf] = value
        self.give_back(state)
        self.optimizer.steps += 1
