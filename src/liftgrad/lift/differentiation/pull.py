"""Pull: the terms that the adjoint of one group gives the groups that it reads.

An operand's adjoint is a sum, for each of its elements, over all positions that read the element:
the operand's index sequence turned around.
"""

from typing import assert_never

import numpy as np

from liftgrad import ops
from liftgrad.lift.differentiation.branches import Term, operand_conditions, table_condition
from liftgrad.lift.differentiation.symbol import Symbol
from liftgrad.lift.ir.groups import (
    Builder,
    Constants,
    Elementwise,
    Group,
    Indices,
    Largest,
    Leaf,
    Put,
    Runs,
    Sum,
    Take,
    View,
    identity,
)
from liftgrad.lift.ir.operands import part

_ONE_RUN = np.array([0, 1], np.int64)
Terms = dict[int, list[Term]]
"""The terms of each group's adjoint, as far as they are known."""


def pull(
    builder: Builder,
    terms: Terms,
    active: set[int],
    i: int,
    seed: View,
    alive: View | None,
    rows: Indices | None = None,
) -> None:
    """Add the terms that the adjoint of group `i` gives its operands.

    Args:
        builder: takes the groups.
        terms: of the adjoints of earlier groups.
        active: the groups that have adjoints.
        i: the group's index.
        seed: its adjoint.
        alive: for each element whether the branch that it is in was taken; None: all were.
        rows: the elements that have an adjoint; by default, all do.

    """
    group = builder.groups[i]
    result = View(i, identity(group.size))
    if rows is not None:
        group = part(group, rows)
        result = View(i, rows)
        seed = View(seed.group, seed.positions[rows])
        alive = None if alive is None else View(alive.group, alive.positions[rows])
    match group:
        case Sum(operands=operands):
            for runs in operands:
                if runs.group in active and len(runs.positions):
                    lengths = runs.offsets[1:] - runs.offsets[:-1]
                    term = View(seed.group, np.repeat(seed.positions, lengths))
                    spread = None
                    if alive is not None:
                        spread = View(alive.group, np.repeat(alive.positions, lengths))
                    operand = View(runs.group, runs.positions)
                    term = _for_samples(builder, term, group, operand)
                    add_term(builder, terms, operand, term, spread)
        case Elementwise(operation=operation, operands=operand_views):
            assert operation.pullback is not None
            y = Symbol(builder, result)
            x = [Symbol(builder, view) for view in operand_views]
            g = Symbol(builder, seed)
            adjoints = operation.pullback(g, y, *x)
            condition_of_all = None if alive is None else Symbol(builder, alive)
            conditions = operand_conditions(operation, x, condition_of_all)
            for operand, result, condition in zip(operand_views, adjoints, conditions, strict=True):
                if operand.group not in active:
                    continue
                # A rule may answer with a plain zero, as that of x**0 does. It goes on like any
                # other number: an infinite derivative further down makes nan of it.
                masked = result if isinstance(result, Symbol) else g._constant(result)
                if condition is not None and alive is not None and operation not in ops.LINEAR:
                    masked = condition._select(masked, 0.0)
                term = _for_samples(builder, masked.view, group, operand)
                of_term = None if condition is None else condition.view
                add_term(builder, terms, operand, term, of_term)
        case Take() if _in_one_loop(builder, i, group.group):
            elements = View(group.group, group.table.reshape(-1))
            add_term(builder, terms, elements, *_selected(builder, group, seed, alive))
        case Take(index=index, group=source, table=table):
            size = builder.groups[source].size
            batched = builder.groups[source].batched
            every = identity(size)
            put = builder.add(Put(seed, index, table, size, batched))
            builder.roles[put] = ("∂′", source)
            taken = table_condition(builder, group, alive)
            add_term(builder, terms, View(source, every), View(put, every), taken)
        case Put(source=source_view, index=index, table=table):
            batched = builder.groups[index.group].batched or builder.groups[seed.group].batched
            read = builder.add(Take(index, seed.group, seed.positions[table], batched))
            add_term(builder, terms, source_view, View(read, identity(len(table))), None)
        case Leaf() | Constants() | Largest():
            raise AssertionError(group)  # has no derivative
        case _:
            assert_never(group)


def add_term(
    builder: Builder,
    terms: Terms,
    target: View,
    term: View,
    alive: View | None,
) -> None:
    """Add to the adjoint of element e of `target` element e of `term`."""
    size = builder.groups[target.group].size
    if size == len(target.positions) == 1:  # in a chain most groups are of one element
        runs = Runs(term.group, term.positions, _ONE_RUN)
        of_run = None if alive is None else Runs(alive.group, alive.positions, _ONE_RUN)
        terms.setdefault(target.group, []).append(Term(runs, of_run))
        return
    order: Indices | slice = slice(None)
    if np.array_equal(target.positions, identity(size)):  # most are, and loops have long ones
        offsets = identity(size + 1)
    else:
        if (target.positions[1:] < target.positions[:-1]).any():
            order = np.argsort(target.positions, kind="stable")
        counts = np.bincount(target.positions, minlength=size)
        offsets = np.concatenate([[0], np.cumsum(counts)])
    runs = Runs(term.group, term.positions[order], offsets)
    conditions = None
    if alive is not None:
        conditions = Runs(alive.group, alive.positions[order], offsets)
    terms.setdefault(target.group, []).append(Term(runs, conditions))


def total(builder: Builder, terms: list[Term], i: int) -> View:
    """Return the sum of the terms, without a group where there is one of one element each."""
    batched = builder.groups[i].batched
    only = terms[0].runs
    single = len(terms) == 1 and only.uniform == 1
    if single and (batched or not builder.groups[only.group].batched):
        return View(only.group, only.positions)
    every = builder.add(Sum(tuple(term.runs for term in terms), batched))
    return View(every, identity(builder.groups[i].size))


def _in_one_loop(builder: Builder, i: int, j: int) -> bool:
    return any(loop.first <= i < loop.stop and j >= loop.first for loop in builder.loops)


def _selected(builder: Builder, take: Take, seed: View, alive: View | None) -> tuple[View, View]:
    """Return the adjoint of each element of a table, and whether it is the one that was taken.

    Each is selected, for a `Put` writes all steps of a loop at once.
    """
    rows, columns = take.table.shape
    of_row = np.repeat(identity(rows), columns)
    index = Symbol(builder, View(take.index.group, take.index.positions[of_row]))
    numbers = builder.add(Constants(np.arange(columns, dtype=float)))
    column = Symbol(builder, View(numbers, np.tile(identity(columns), rows)))
    taken = index._apply(ops.from_index, index)
    taken = taken._apply(ops.equal, taken, column)
    if alive is None:
        builder.tables[taken.view.group] = identity(rows * columns).reshape(rows, columns)
    else:
        taken &= Symbol(builder, View(alive.group, alive.positions[of_row]))
    term = taken._select(Symbol(builder, View(seed.group, seed.positions[of_row])), 0.0)
    return term.view, taken.view


def _for_samples(builder: Builder, term: View, group: Group, operand: View) -> View:
    """Return an operand's term of an adjoint such that a sum over the samples counts each of them.

    The adjoint of a total over the samples is one number for all of them; an operand of a batched
    group that is no different from sample to sample gets it as often as there are samples.
    """
    groups = builder.groups
    if not group.batched or groups[operand.group].batched or groups[term.group].batched:
        return term
    size = len(term.positions)
    run = Runs(term.group, term.positions, np.arange(size + 1))
    return View(builder.add(Sum((run,), batched=True)), identity(size))
