"""Rules: how an optimiser moves parameters, as groups appended to a program."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad.errors import LiftError
from liftgrad.lift.differentiation.symbol import Symbol
from liftgrad.lift.ir.groups import Assignment, Builder, Leaf, View, identity
from liftgrad.lift.pipeline import Ending
from liftgrad.optim import Optimizer

Positions = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Update:
    """What an optimiser's rules added to a program."""

    rates: int
    """The leaf group of the optimiser's scalars, such as learning rates, in the rules' order."""
    state: dict[str, list[tuple[int, Positions]]]
    """For each kind of state its leaf groups, with their elements' positions in the optimiser."""
    others: int | None
    """The leaf group of the parameters that do not take part in the loss."""
    assignments: list[Assignment]


@dataclass(frozen=True, slots=True)
class Updated(Ending):
    """The end of a program that moves parameters."""

    update: Update = field(kw_only=True)


def add_update(
    builder: Builder,
    optimizer: Optimizer,
    values: Mapping[int, Sequence[Any]],
    gradients: Mapping[int, View],
) -> Update:
    """Append to a program how its parameters move.

    Args:
        builder: the program.
        optimizer: holds the parameters, all or some of them.
        values: for each leaf group its parameters.
        gradients: for each leaf group the gradient of all of them.

    Raises:
        LiftError: if the optimiser holds none of the parameters.

    """
    rules = _Rules(builder, optimizer)
    for leaf, parameters in values.items():
        rules.add(leaf, parameters, gradients[leaf])
    unmet = unmet_by(optimizer, values.values())
    if len(unmet) == len(rules.position_of):
        raise LiftError(
            "none of the optimiser's parameters takes part in the loss; pass the model that "
            "the optimiser holds."
        )
    others = None
    if unmet:
        # Their gradient is zero; weight decay or momentum may move them all the same.
        others = builder.add(Leaf("others", len(unmet), "parameter"))
        rules.add(others, unmet, builder.constant(0.0, len(unmet)))
    return Update(rules.rates, rules.state, others, rules.assignments)


class _Rules:
    """An optimiser's rules, one for each of its parameter groups, while they are appended."""

    def __init__(self, builder: Builder, optimizer: Optimizer) -> None:
        self.builder, self.rules = builder, list(optimizer.rules)
        self.position_of = positions_in(optimizer)
        self.rule_of = np.repeat(
            np.arange(len(self.rules)), [len(rule.params) for rule in self.rules]
        )
        """The number of the rule that each of the optimiser's parameters follows."""
        self.counts = [len(rule.scalars_at(optimizer.steps)) for rule in self.rules]
        self.ends = list(itertools.accumulate(self.counts))
        """Where each rule's scalars end among all."""
        self.rates = builder.add(Leaf("rates", self.ends[-1], "input"))
        self.state: dict[str, list[tuple[int, Positions]]] = {
            name: [] for name in optimizer.state_names
        }
        self.assignments: list[Assignment] = []

    def add(self, leaf: int, parameters: Sequence[Any], gradient: View) -> None:
        """Append the update of those parameters of a leaf group that the optimiser holds."""
        positions = positions_among(parameters, self.position_of)
        following = np.where(positions >= 0, self.rule_of[positions], -1)
        for i, rule in enumerate(self.rules):
            held = np.flatnonzero(following == i)
            if len(held):
                rates = range(self.ends[i] - self.counts[i], self.ends[i])
                self._add(rule, rates, held, positions[held], leaf, gradient)

    def _add(
        self,
        rule: Optimizer,
        rates: range,
        held: Positions,
        positions: Positions,
        leaf: int,
        gradient: View,
    ) -> None:
        """Append the update of those of a leaf group's parameters that follow one rule.

        Args:
            rule: the rule.
            rates: which of all scalars are the rule's.
            held: the parameters' positions in the leaf group.
            positions: their positions in the optimiser.
            leaf: the leaf group.
            gradient: of the whole group.

        """
        builder = self.builder
        state = []
        for name in rule.state_names:
            group = builder.add(Leaf(name, len(held), "parameter"))
            self.state[name].append((group, positions))
            state.append(group)
        every = identity(len(held))
        old = [Symbol(builder, View(group, every)) for group in state]
        scalars = [Symbol(builder, View(self.rates, np.full(len(held), j))) for j in rates]
        new, new_state = rule.update(
            Symbol(builder, View(leaf, held)),
            Symbol(builder, View(gradient.group, gradient.positions[held])),
            tuple(old),
            tuple(scalars),
        )
        for group, symbol in zip(state, new_state, strict=True):
            self.assignments.append(Assignment(group, every, symbol.view))
        self.assignments.append(Assignment(leaf, held, new.view))


def positions_in(optimizer: Optimizer) -> dict[int, int]:
    """Return the position of each of an optimiser's parameters, by their identities."""
    return dict(zip(map(id, optimizer.params), range(len(optimizer.params)), strict=True))


def positions_among(values: Sequence[Any], position_of: Mapping[int, int]) -> Positions:
    """Return the position of each of the values, by their identities; -1: it has none."""
    found = map(position_of.get, map(id, values), itertools.repeat(-1))
    return np.fromiter(found, np.int64, len(values))


def unmet_by(optimizer: Optimizer, parameters: Iterable[Sequence[Any]]) -> list[Any]:
    """Return what an optimiser holds beside these parameters."""
    met: set[int] = set()
    for values in parameters:
        met.update(map(id, values))
    return [value for value in optimizer.params if id(value) not in met]
