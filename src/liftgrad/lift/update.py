"""Update: an optimiser's rule as groups of a rolled program, and its state between steps."""

import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad.errors import LiftError
from liftgrad.lift.adjoint import Symbol
from liftgrad.lift.build import constants_of
from liftgrad.lift.executable import machine_code
from liftgrad.lift.groups import Leaf, Rolled, View
from liftgrad.lift.parameters import Parameters, Store
from liftgrad.lift.roll import identity
from liftgrad.lift.schedule import Assignment, schedule
from liftgrad.optim import Optimizer

Array = NDArray[Any]


class Update:
    """The optimiser's rule as groups, and where its numbers are kept between steps."""

    def __init__(self, rolled: Rolled, optimizer: Optimizer) -> None:
        self.rolled, self.optimizer = rolled, optimizer
        self.place = {id(p): i for i, p in enumerate(optimizer.params)}
        self.count = len(optimizer.scalars(optimizer.steps))
        self.scalars = rolled.add(Leaf("rates", self.count, "input"))
        self.parameters: dict[int, Parameters] = {}
        self.state_leaves: dict[str, list[tuple[int, Array]]] = {
            name: [] for name in optimizer.state_names
        }
        """For each kind of state the leaf groups and the optimiser's places of their elements."""
        self.state_numbers: dict[int, Array] = {}
        self.assignments: list[Assignment] = []
        self.views: list[View] = []

    def add(self, parameters: Parameters, leaf: int, gradient: View) -> None:
        """Append the update of a leaf group's parameters, those that the optimiser holds."""
        self.parameters[leaf] = parameters
        rolled, optimizer = self.rolled, self.optimizer
        held = np.array(
            [i for i, value in enumerate(parameters.values) if id(value) in self.place], np.int64
        )
        if not len(held):
            return
        places = np.array([self.place[id(parameters.values[i])] for i in held])
        state = []
        for name in optimizer.state_names:
            number = rolled.add(Leaf(name, len(held), "parameter"))
            self.state_leaves[name].append((number, places))
            state.append(number)
        every = identity(len(held))
        old = [Symbol(rolled, View(number, every)) for number in state]
        rates = [
            Symbol(rolled, View(self.scalars, np.full(len(held), j))) for j in range(self.count)
        ]
        new, new_state = optimizer.update(
            Symbol(rolled, View(leaf, held)),
            Symbol(rolled, View(gradient.group, gradient.positions[held])),
            tuple(old),
            tuple(rates),
        )
        for number, symbol in zip(state, new_state, strict=True):
            self._assign(number, every, symbol)
        self._assign(leaf, held, new)

    def _assign(self, leaf: int, positions: Array, symbol: Symbol) -> None:
        self.assignments.append(Assignment(leaf, positions, symbol.view))
        self.views.append(symbol.view)

    def finish(self) -> None:
        """Check that all parameters were met, and fetch their state."""
        met = sum(len(a.positions) for a in self.assignments if a.leaf in self.parameters)
        if not met:
            raise LiftError(
                "none of the optimiser's parameters takes part in the loss; pass the model that "
                "the optimiser holds."
            )
        for name, leaves in self.state_leaves.items():
            column = np.array(self.optimizer.state[name])
            for number, places in leaves:
                self.state_numbers[number] = column[places]

    def fetch(self) -> dict[int, Array]:
        """Return the optimiser's state for each state leaf."""
        for name, leaves in self.state_leaves.items():
            column = self.optimizer.state[name]
            for number, places in leaves:
                self.state_numbers[number] = np.array(column)[places]
        return self.state_numbers

    def give_back(self, numbers: dict[int, Array]) -> None:
        """Store the state leaves' numbers in the optimiser."""
        for name, leaves in self.state_leaves.items():
            column = np.array(self.optimizer.state[name])
            for number, places in leaves:
                column[places] = numbers[number]
            self.optimizer.state[name] = column

    def rows(self, steps: int) -> Array:
        """Return the optimiser's scalars for its next steps."""
        first = self.optimizer.steps
        rows = [self.optimizer.scalars(step) for step in range(first, first + steps)]
        return np.array(rows, np.float64).reshape(steps, self.count)

    def leaves(self) -> dict[int, Array]:
        """Return the numbers of all leaves of the update, for one step with NumPy."""
        numbers = {leaf: p.numbers() for leaf, p in self.parameters.items()}
        return {**numbers, **self.fetch(), self.scalars: self.rows(1)[0]}

    def store(self, arrays: list[Array]) -> None:
        """Carry out the assignments after a step with NumPy."""
        state = dict(self.state_numbers)
        for assignment in self.assignments:
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


class StoreUpdate:
    """An optimiser's native update of a whole store, for `optimizer.step()` from Python."""

    def __init__(self, store: Store, optimizer: Optimizer) -> None:
        # Not the optimiser itself: the store knows its updates by it, weakly.
        self.optimizer = weakref.proxy(optimizer)
        from liftgrad.lift.native import NativeProgram  # noqa: PLC0415, loads LLVM

        rolled = Rolled([], [])
        values = optimizer.params
        size = len(values)
        leaf = rolled.add(Leaf("parameters", size, "parameter"))
        gradient = rolled.add(Leaf("gradients", size, "parameter"))
        self.update = Update(rolled, self.optimizer)
        parameters = Parameters(values, str(store.numbers.dtype))
        self.update.add(parameters, leaf, View(gradient, identity(size)))
        self.update.finish()
        rolled.outputs = list(self.update.views)
        program = schedule(rolled, self.update.assignments)
        native = NativeProgram(
            program, constants_of(rolled), machine_code(), str(store.numbers.dtype)
        )
        self.instance = native.bind(1, {leaf: store.numbers, gradient: store.gradients})
        self.part = self.instance.part(range(len(program.nests)))
        self.rates = self.instance.arrays[self.update.scalars]
        self.last_step = -1

    def step(self) -> None:
        """Move all parameters."""
        update = self.update
        if self.last_step != self.optimizer.steps:
            # Somebody else took a step, or loaded a state: fetch it.
            for number, numbers in update.fetch().items():
                self.instance.set(number, numbers)
            update.give_back({n: self.instance.arrays[n] for n in update.state_numbers})
        self.rates[:] = self.optimizer.scalars(self.optimizer.steps)
        self.instance.run(self.part)
        if update.state_numbers:
            update.give_back({n: self.instance.arrays[n] for n in update.state_numbers})
        self.last_step = self.optimizer.steps + 1
