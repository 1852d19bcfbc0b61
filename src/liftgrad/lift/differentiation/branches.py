"""Branches: under which condition each term of an adjoint counts.

A recorded program computes both branches of a `where`. In a branch not taken the adjoint is zero,
but zero times an infinite derivative is nan; so a condition travels with adjoints that went through
a `where`, and selects zero after each rule in the branch, as if the branch had not been computed.
Where it is known that an element counts anyway, as the normaliser of a softmax does, there is none.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from liftgrad import ops
from liftgrad.lift.differentiation.symbol import Symbol
from liftgrad.lift.ir.groups import (
    Builder,
    Constants,
    Indices,
    Leaf,
    Put,
    Runs,
    Sum,
    Take,
    View,
    identity,
)
from liftgrad.ops import Operation


@dataclass(slots=True, eq=False)
class Term:
    """One term of a group's adjoint."""

    runs: Runs
    alive: Runs | None
    """For each element of the runs a condition: whether the branch that it comes from was taken."""
    used: NDArray[np.bool_] | None = None
    """The elements that it is really a term for, where there is one run for each element and no
    condition; the others are given zero."""

    def certain(self) -> NDArray[np.bool_]:
        """Return the elements that it is a term for, if there is no condition."""
        return np.diff(self.runs.offsets) > 0 if self.used is None else self.used


def seed_condition(builder: Builder, seed: View) -> View | None:
    """Return whether the adjoint of a result is not zero; None: it is a constant other than 0."""
    symbol = Symbol(builder, seed)
    return None if symbol.number else symbol._apply(ops.not_equal, symbol, 0.0).view


def operand_conditions(
    operation: Operation, operands: list[Symbol], alive: Symbol | None
) -> list[Symbol | None]:
    """Return for each operand under which condition its adjoint counts."""
    if operation is not ops.select:
        return [alive] * len(operands)
    taken = operands[0]
    other = taken._apply(ops.logical_not, taken)
    if alive is not None:
        taken, other = taken & alive, other & alive
    return [alive, taken, other]


def table_condition(builder: Builder, take: Take, alive: View | None) -> View | None:
    """Return for each element of a table whether it was taken; None for leaves, which need none."""
    source = builder.groups[take.group]
    if isinstance(source, Leaf):
        return None
    one = builder.constant(1.0, take.size)
    uses = one if alive is None else Symbol(builder, alive)._select(1.0, 0.0).view
    put = builder.add(Put(uses, take.index, take.table, source.size, source.batched))
    builder.roles[put] = ("#", take.group)
    condition: View = (Symbol(builder, View(put, identity(source.size))) > 0.0).view
    if alive is None:
        builder.tables[condition.group] = take.table
    return condition


def used(terms: Sequence[Term]) -> NDArray[np.bool_]:
    """Return for each element of a group whether any of the terms is one for it."""
    found = np.zeros(len(terms[0].runs.offsets) - 1, np.bool_)
    for term in terms:
        found |= term.certain()
    return found


def use_condition(builder: Builder, terms: list[Term], i: int) -> View | None:
    """Return for each element whether any of its uses counts; None: all do."""
    group = builder.groups[i]
    if group.size == 1 and any(
        term.alive is None and term.used is None and len(term.runs.positions) for term in terms
    ):
        return None
    certain = np.zeros(group.size, bool)
    for term in terms:
        if term.alive is None:
            certain |= term.certain()
        elif term.alive.group in builder.tables:
            certain |= _covering(term.alive, builder.tables[term.alive.group])
    if certain.all():
        return None
    if all(term.alive is None for term in terms):
        known = View(builder.add(Constants(certain.astype(float))), identity(group.size))
        return (Symbol(builder, known) > 0.0).view
    only = terms[0].alive
    if len(terms) == 1 and only is not None and only.uniform == 1:  # noqa: SIM102, reads better
        if group.batched or not builder.groups[only.group].batched:
            return View(only.group, only.positions)
    counts = []
    for term in terms:
        offsets, size = term.runs.offsets, len(term.runs.positions)
        if term.used is not None:
            ones = builder.add(Constants(term.used.astype(float)))
            counts.append(Runs(ones, identity(group.size), offsets))
        elif term.alive is None:
            one = builder.constant(1.0, size)
            counts.append(Runs(one.group, one.positions, offsets))
        elif size:
            condition = Symbol(builder, View(term.alive.group, term.alive.positions))
            uses_of_term = condition._select(1.0, 0.0)
            counts.append(Runs(uses_of_term.view.group, identity(size), offsets))
    total = builder.add(Sum(tuple(counts), group.batched))
    builder.roles[total] = ("#", i)
    uses = Symbol(builder, View(total, identity(group.size)))
    return (uses > 0.0).view


def _covering(alive: Runs, table: Indices) -> Indices:
    """Return for each run whether it holds all elements of a row, one of which is always taken.

    So the normaliser of a softmax is known to count, whichever of the probabilities is scored.
    """
    elements = len(alive.offsets) - 1
    rows = np.unique(np.sort(table, axis=1), axis=0)
    row_of = np.full(max(int(table.max()), int(alive.positions.max(initial=0))) + 1, -1)
    row_of[rows] = np.arange(len(rows))[:, None]
    if rows.size != np.count_nonzero(row_of >= 0) or not len(alive.positions):
        return np.zeros(elements, bool)  # rows that overlap are left to run time
    of_element = np.repeat(np.arange(elements), np.diff(alive.offsets))
    pairs = np.unique(np.stack([of_element, alive.positions]), axis=1)
    pairs = pairs[:, row_of[pairs[1]] >= 0]
    met, counts = np.unique(pairs[0] * len(rows) + row_of[pairs[1]], return_counts=True)
    result = np.zeros(elements, bool)
    result[met[counts == rows.shape[1]] // len(rows)] = True
    return result
