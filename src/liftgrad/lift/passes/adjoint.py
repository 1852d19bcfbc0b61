"""Adjoint: reverse mode on the rolled program, in the rolled program's own language.

The derivative rules of the table of operations run on symbols whose operations append groups.
An operand's adjoint is a sum, for each of its elements, over all positions that read the element:
the operand's index sequence turned around. No scatter is needed, and since the result is a rolled
program again, derivatives of derivatives are, too.

Adjoints that went through a `where` come with a condition, which selects zero after each rule in a
branch that was not taken (`branches`).

Invariant: the program's own groups stay as they are, at the head of the result; the groups of the
gradient follow them, and `roles` says of which group they are the adjoint.
"""

from collections.abc import Sequence
from typing import assert_never

import numpy as np

from liftgrad import ops
from liftgrad.lift.ir.groups import (
    Builder,
    Constants,
    Elementwise,
    Group,
    Largest,
    Leaf,
    Put,
    Rolled,
    Runs,
    Sum,
    Take,
    View,
    identity,
    views,
)
from liftgrad.lift.passes.branches import (
    Term,
    operand_conditions,
    seed_condition,
    table_condition,
    use_condition,
)
from liftgrad.lift.passes.symbol import Symbol

_ONE_RUN = np.array([0, 1], np.int64)
Terms = dict[int, list[Term]]
"""The terms of each group's adjoint, as far as they are known."""


def adjoint(
    program: Rolled, seeds: Sequence[View | None], wanted: Sequence[int]
) -> tuple[Rolled, list[View]]:
    """Return the program with the gradient of its outputs, and the wanted groups' adjoints.

    Args:
        program: with the groups that the seeds are views of.
        seeds: the adjoint of each output, or None for those of which no gradient is taken. Where
            there are several, those that are zero count as branches that were not taken.
        wanted: numbers of leaf groups.

    Returns:
        the longer program, and for each wanted group a view of all its elements' adjoints.

    The gradient of p0² + p1²:

    >>> from liftgrad.lift.ir.text import text_of_groups
    >>> builder = Builder()
    >>> every = View(builder.add(Leaf("p", 2, "parameter")), identity(2))
    >>> squares = builder.add(Elementwise(ops.multiply, (every, every), batched=False))
    >>> runs = Runs(squares, identity(2), np.array([0, 2]))
    >>> builder.outputs = [View(builder.add(Sum((runs,), batched=False)), identity(1))]
    >>> seed = builder.constant(1.0, 1)
    >>> longer, gradients = adjoint(builder.program(), [seed], wanted=[0])
    >>> print(text_of_groups(longer, gradients))
    p = parameter[2]
    t1[2] = multiply(p[0 1], p[0 1])
    t2[1] = sum(t1[0 1])
    c3[1] = 1
    t4[2] = sum(p[0 | 1], p[0 | 1])  # ∂p
    return t4[0 1]

    """
    builder = Builder(program)
    forward = len(program.groups)
    active = _active(program, wanted)
    terms: Terms = {}
    several = sum(seed is not None for seed in seeds) > 1
    for output, seed in zip(program.outputs, seeds, strict=True):
        if seed is not None and output.group in active:
            condition = seed_condition(builder, seed) if several else None
            _add_term(builder, terms, output, seed, condition)
    for i in sorted(active, reverse=True):
        if i not in terms or isinstance(builder.groups[i], Leaf):
            continue
        of_group = terms.pop(i)
        alive = use_condition(builder, of_group, i)
        seed = _total(builder, of_group, i)
        _note_role(builder, seed, i, forward)
        _pull(builder, terms, active, i, seed, alive)
    gradients = [
        _total(builder, terms[i], i)
        if i in terms
        else builder.constant(0.0, builder.groups[i].size)
        for i in wanted
    ]
    for i, gradient in zip(wanted, gradients, strict=True):
        _note_role(builder, gradient, i, forward)
    return builder.program(), gradients


def _note_role(builder: Builder, view: View, of: int, forward: int) -> None:
    """Note, for printing, that a new group is nothing but the adjoint of another."""
    if view.group < forward or builder.roles.get(view.group, ("",))[0] == "∂":
        return
    size = builder.groups[of].size
    whole = builder.groups[view.group].size == size
    if whole and (size == 1 or np.array_equal(view.positions, identity(size))):
        builder.roles[view.group] = ("∂", of)


def _active(program: Rolled, wanted: Sequence[int]) -> set[int]:
    """Return the groups that depend on the wanted ones by way of operations with derivatives."""
    active = set(wanted)
    for i, group in enumerate(program.groups):
        if isinstance(group, Elementwise):
            if group.operation in ops.CONDITIONS or group.operation.constant:
                continue
        elif isinstance(group, Largest):
            continue
        for view in views(group):
            if view.group in active:
                active.add(i)
                break
    return active


def _pull(
    builder: Builder,
    terms: Terms,
    active: set[int],
    i: int,
    seed: View,
    alive: View | None,
) -> None:
    """Add the terms that the adjoint of group `i` gives its operands.

    Args:
        builder: takes the groups.
        terms: of the adjoints of earlier groups.
        active: the groups that have adjoints.
        i: the group's index.
        seed: its adjoint.
        alive: for each element whether the branch that it is in was taken; None: all were.

    """
    group = builder.groups[i]
    match group:
        case Sum(operands=operands):
            for runs in operands:
                if runs.group in active:
                    lengths = runs.offsets[1:] - runs.offsets[:-1]
                    term = View(seed.group, np.repeat(seed.positions, lengths))
                    spread = None
                    if alive is not None:
                        spread = View(alive.group, np.repeat(alive.positions, lengths))
                    operand = View(runs.group, runs.positions)
                    term = _for_samples(builder, term, group, operand)
                    _add_term(builder, terms, operand, term, spread)
        case Elementwise(operation=operation, operands=operand_views):
            assert operation.pullback is not None
            y = Symbol(builder, View(i, identity(group.size)))
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
                _add_term(builder, terms, operand, term, of_term)
        case Take(index=index, group=source, table=table):
            size = builder.groups[source].size
            batched = builder.groups[source].batched
            elements = identity(size)
            put = builder.add(Put(seed, index, table, size, batched))
            builder.roles[put] = ("∂′", source)
            taken = table_condition(builder, group, alive)
            _add_term(builder, terms, View(source, elements), View(put, elements), taken)
        case Put(source=source_view, index=index, table=table):
            batched = builder.groups[index.group].batched or builder.groups[seed.group].batched
            read = builder.add(Take(index, seed.group, seed.positions[table], batched))
            _add_term(builder, terms, source_view, View(read, identity(len(table))), None)
        case Leaf() | Constants() | Largest():
            raise AssertionError(group)  # has no derivative
        case _:
            assert_never(group)


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


def _add_term(
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
    order = np.argsort(target.positions, kind="stable")
    counts = np.bincount(target.positions, minlength=size)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    runs = Runs(term.group, term.positions[order], offsets)
    conditions = None
    if alive is not None:
        conditions = Runs(alive.group, alive.positions[order], offsets)
    terms.setdefault(target.group, []).append(Term(runs, conditions))


def _total(builder: Builder, terms: list[Term], i: int) -> View:
    """Return the sum of the terms, without a group where there is one of one element each."""
    batched = builder.groups[i].batched
    only = terms[0].runs
    single = len(terms) == 1 and only.uniform == 1
    if single and (batched or not builder.groups[only.group].batched):
        return View(only.group, only.positions)
    total = builder.add(Sum(tuple(term.runs for term in terms), batched))
    return View(total, identity(builder.groups[i].size))
