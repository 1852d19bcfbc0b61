"""Update: an optimiser's rule as groups of a rolled program, and its state between steps."""

import copy
import itertools
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad.errors import LiftError
from liftgrad.lift.ir.groups import Leaf, Rolled, View
from liftgrad.lift.native.alignment import zeros
from liftgrad.lift.native.host import machine_code
from liftgrad.lift.native.memory import BRIEF, NativeProgram
from liftgrad.lift.passes.adjoint import Symbol
from liftgrad.lift.passes.roll import identity
from liftgrad.lift.passes.schedule import Assignment, schedule
from liftgrad.lift.pipeline import constants_of
from liftgrad.lift.run.parameters import Parameters, Store, in_order
from liftgrad.optim import Optimizer

Array = NDArray[Any]


class Update:
    """The optimiser's rule as groups, and where its numbers are kept between steps."""

    def __init__(self, rolled: Rolled, optimizer: Optimizer) -> None:
        self.rolled, self.optimizer = rolled, optimizer
        self.rules = list(optimizer.rules)
        self.place = places_of(optimizer)
        self.rule_of = np.repeat(
            np.arange(len(self.rules)), [len(rule.params) for rule in self.rules]
        )
        """The number of the rule that each of the optimiser's parameters follows."""
        counts = [len(rule.scalars_at(optimizer.steps)) for rule in self.rules]
        self.ends = list(itertools.accumulate(counts))
        """Where each rule's scalars end among all."""
        self.scalars = rolled.add(Leaf("rates", self.ends[-1], "input"))
        self.parameters: dict[int, Parameters] = {}
        self.state_leaves: dict[str, list[tuple[int, Array]]] = {
            name: [] for name in optimizer.state_names
        }
        """For each kind of state the leaf groups and the optimiser's places of their elements."""
        self.state_numbers: dict[int, Array] = {}
        self.others: int | None = None
        """The leaf group of the parameters that do not take part in the loss."""
        self.assignments: list[Assignment] = []
        self.views: list[View] = []

    def add(self, parameters: Parameters, leaf: int, gradient: View) -> None:
        """Append the update of a leaf group's parameters, those that the optimiser holds."""
        self.parameters[leaf] = parameters
        places = places_among(parameters.values, self.place)
        following = np.where(places >= 0, self.rule_of[places], -1)
        for number, (rule, end) in enumerate(zip(self.rules, self.ends, strict=True)):
            held = np.flatnonzero(following == number)
            if len(held):
                rates = range(end - len(rule.scalars_at(self.optimizer.steps)), end)
                self._add(rule, rates, held, places[held], leaf, gradient)

    def _add(
        self,
        rule: Optimizer,
        scalars: range,
        held: Array,
        places: Array,
        leaf: int,
        gradient: View,
    ) -> None:
        """Append the update of those of a leaf group's parameters that follow one rule.

        Args:
            rule: the rule.
            scalars: which of all scalars are the rule's.
            held: where in the leaf group the parameters are.
            places: where in the optimiser they are.
            leaf: the leaf group.
            gradient: of the whole group.

        """
        rolled = self.rolled
        state = []
        for name in rule.state_names:
            number = rolled.add(Leaf(name, len(held), "parameter"))
            self.state_leaves[name].append((number, places))
            state.append(number)
        every = identity(len(held))
        old = [Symbol(rolled, View(number, every)) for number in state]
        rates = [Symbol(rolled, View(self.scalars, np.full(len(held), j))) for j in scalars]
        new, new_state = rule.update(
            Symbol(rolled, View(leaf, held)),
            Symbol(rolled, View(gradient.group, gradient.positions[held])),
            tuple(old),
            tuple(rates),
        )
        for number, symbol in zip(state, new_state, strict=True):
            self._assign(number, every, symbol)
        self._assign(leaf, held, new)

    def held(self, parameters: Parameters) -> Array:
        """Return the places of those parameters that the optimiser holds."""
        return np.flatnonzero(places_among(parameters.values, self.place) >= 0)

    def _assign(self, leaf: int, positions: Array, symbol: Symbol) -> None:
        self.assignments.append(Assignment(leaf, positions, symbol.view))
        self.views.append(symbol.view)

    def finish(self, dtype: str) -> None:
        """Append the update of the parameters that do not take part, and fetch all state."""
        unmet = _unmet(self.optimizer, self.parameters)
        if len(unmet) == len(self.place):
            raise LiftError(
                "none of the optimiser's parameters takes part in the loss; pass the model that "
                "the optimiser holds."
            )
        if unmet:
            # Their gradient is zero; weight decay or momentum may move them all the same.
            leaf = self.others = self.rolled.add(Leaf("others", len(unmet), "parameter"))
            zeros = self.rolled.constant(0.0, len(unmet))
            self.add(Parameters(unmet, dtype, apart=True), leaf, zeros)
        for name, leaves in self.state_leaves.items():
            column = np.array(self.optimizer.state[name])
            for number, places in leaves:
                self.state_numbers[number] = column[places]

    def released(self) -> "Update":
        """Return the groups alone, without an optimiser and its parameters; see `bound`."""
        other = copy.copy(self)
        other.optimizer = other.rules = None  # type: ignore[assignment]
        other.place, other.parameters, other.state_numbers = {}, {}, {}
        return other

    def bound(
        self, optimizer: Optimizer, parameters: dict[int, Parameters], dtype: str
    ) -> "Update":
        """Return the update for another optimiser of the same settings and places.

        Args:
            optimizer: that optimiser.
            parameters: those that take part in the loss, by leaf group.
            dtype: the type to compute in.

        """
        other = copy.copy(self)
        other.optimizer, other.rules = optimizer, list(optimizer.rules)
        other.parameters = dict(parameters)
        if self.others is not None:
            other.parameters[self.others] = Parameters(
                _unmet(optimizer, parameters), dtype, apart=True
            )
        other.state_numbers = {}
        other.fetch()
        return other

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
        of_rules = [
            [rule.scalars_at(step) for step in range(first, first + steps)] for rule in self.rules
        ]
        return np.hstack([np.array(rows, np.float64).reshape(steps, -1) for rows in of_rules])

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


def _unmet(optimizer: Optimizer, parameters: dict[int, Parameters]) -> list[Any]:
    """Return what an optimiser holds beside these parameters."""
    met: set[int] = set()
    for p in parameters.values():
        met.update(map(id, p.values))
    return [value for value in optimizer.params if id(value) not in met]


def places_of(optimizer: Optimizer) -> dict[int, int]:
    """Return where an optimiser holds each of its parameters, by their identities."""
    return dict(zip(map(id, optimizer.params), range(len(optimizer.params)), strict=True))


def places_among(values: Sequence[Any], place: Mapping[int, int]) -> NDArray[np.int64]:
    """Return the place of each of the values, by their identities, -1 where it has none."""
    return np.fromiter(map(place.get, map(id, values), itertools.repeat(-1)), np.int64, len(values))


class Settings:
    """What an update bakes in: the attributes of its rules, except what changes as it steps."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.params, self.count = optimizer.params, len(optimizer.params)
        self.baked = vars(optimizer).copy()
        rules = optimizer.rules
        self.groups = [] if rules[0] is optimizer else [Settings(rule) for rule in rules]
        self.single = not self.groups

    def same_parameters(self, optimizer: Optimizer) -> bool:
        """Tell whether the optimiser has the list of parameters that it had."""
        return optimizer.params is self.params and len(self.params) == self.count

    def hold(self, optimizer: Optimizer) -> bool:
        """Tell whether the optimiser still has them."""
        if optimizer.params is not self.params or len(self.params) != self.count:
            return False
        now, baked = optimizer.__dict__, self.baked
        baked["steps"] = now["steps"]
        if now != baked:  # mostly only the steps change
            for name in _CHANGING:
                if name in now:
                    baked[name] = now[name]
            if now != baked:
                return False
        if not self.single:
            rules = zip(self.groups, optimizer.rules, strict=True)
            return all(group.hold(rule) for group, rule in rules)
        return True


_CHANGING = ("lr", "state")


def store_update(store: Store, optimizer: Optimizer) -> "StoreUpdate | None":
    """Return the native update of a store, if it can be had."""
    code = machine_code()
    return None if code is None else StoreUpdate(store, optimizer, code)


class StoreUpdate:
    """An optimiser's native update of a whole store, for `optimizer.step()` from Python."""

    def __init__(self, store: Store, optimizer: Optimizer, code: Any) -> None:
        # Not the optimiser itself: the store knows its updates by it, weakly.
        self.optimizer = weakref.proxy(optimizer)
        self.settings = Settings(optimizer)
        self.serves = self.settings.hold
        """Tells whether an optimiser is still what it was."""
        self.same_parameters = self.settings.same_parameters
        rolled = Rolled([], [])
        values = in_order(optimizer)
        size = len(values)
        dtype = str(store.numbers.dtype)
        leaf = rolled.add(Leaf("parameters", size, "parameter"))
        gradient = rolled.add(Leaf("gradients", size, "parameter"))
        update = Update(rolled, self.optimizer)
        update.add(Parameters(values, dtype), leaf, View(gradient, identity(size)))
        update.finish(dtype)
        rolled.outputs = list(update.views)
        program = schedule(rolled, update.assignments)
        native = NativeProgram(program, constants_of(rolled), code, dtype)
        self.state = {name: zeros((size,), dtype) for name in optimizer.state_names}
        """What the optimiser keeps, too, so that it sees each step, and each step what it sets."""
        # A group's parameters have neighbouring places, in the order of the store.
        own = {
            number: self.state[name][places[0] : places[-1] + 1]
            for name, leaves in update.state_leaves.items()
            for number, places in leaves
        }
        self.instance = native.bind(1, {leaf: store.numbers, gradient: store.gradients, **own})
        brief = size * (1 + len(self.state)) <= BRIEF
        self.part = self.instance.part(range(len(program.nests)), brief=brief)
        self.run = self.part.run
        self.rates: Any = self.instance.arrays[
            update.scalars
        ].data  # as a memoryview, quicker to set

    def step(self, optimizer: Optimizer) -> None:
        """Move all parameters of the optimiser."""
        if self.state:
            for name, array in self.state.items():
                if optimizer.state[name] is not array:
                    array[:] = optimizer.state[name]
                    optimizer.state[name] = array
        place, rates, steps = 0, self.rates, optimizer.steps
        for rule in (optimizer,) if self.settings.single else optimizer.rules:
            for scalar in rule.scalars_at(steps):
                rates[place] = scalar
                place += 1
        self.run()
