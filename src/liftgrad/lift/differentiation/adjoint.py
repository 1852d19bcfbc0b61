"""Adjoint: reverse mode on the rolled program, in the rolled program's own language.

The derivative rules of the table of operations run on symbols whose operations append groups.
An operand's adjoint is a sum, for each of its elements, over all positions that read the element:
the operand's index sequence turned around. No scatter is needed, and since the result is a rolled
program again, derivatives of derivatives are, too.

Adjoints that went through a `where` come with a condition, which selects zero after each rule in a
branch that was not taken (`branches`). The adjoint of a loop over time is a loop that runs the
other way (`backwards`).

Invariant: the program's own groups stay as they are, at the head of the result; the groups of the
gradient follow them, and `roles` says of which group they are the adjoint.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from liftgrad import ops
from liftgrad.lift.differentiation.backwards import Backwards, Foreseen
from liftgrad.lift.differentiation.branches import Term, seed_condition, use_condition, used
from liftgrad.lift.differentiation.pull import Terms, add_term, pull, total
from liftgrad.lift.ir.groups import (
    Builder,
    Elementwise,
    Largest,
    Leaf,
    Rolled,
    View,
    identity,
    views,
)


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

    >>> from liftgrad.lift.ir.groups import Runs, Sum
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
    foreseen = Foreseen()
    while True:
        found = _adjoint(program, seeds, wanted, foreseen)
        if found is not None:
            return found


def _adjoint(
    program: Rolled,
    seeds: Sequence[View | None],
    wanted: Sequence[int],
    foreseen: Foreseen,
) -> tuple[Rolled, list[View]] | None:
    """Return the same, or None if it is to be made again, with what is foreseen then.

    In a loop, adjoints that go from step to step are read before they are made, and so are their
    conditions.
    """
    builder = Builder(program)
    forward = len(program.groups)
    active = _active(program, wanted)
    terms: Terms = {}
    several = sum(seed is not None for seed in seeds) > 1
    for output, seed in _seeded(program, seeds):
        if output.group in active:
            condition = seed_condition(builder, seed) if several else None
            add_term(builder, terms, output, seed, condition)
    loops = Backwards(builder, terms, active, foreseen)
    for i in range(forward - 1, -1, -1):
        if i in loops.ends:
            loops.enter(loops.ends[i])
        if i not in terms or i not in active or isinstance(builder.groups[i], Leaf):
            continue
        of_group = terms.pop(i)
        alive, some = _alive(builder, of_group, i, in_loop=i in loops.members)
        if not some.any():
            continue
        seed = total(builder, of_group, i)
        _note_role(builder, seed, i, forward)
        if i in loops.heads:
            loops.meet(i, seed, alive, some)
        else:
            rows = None if some.all() else np.flatnonzero(some)
            pull(builder, terms, active, i, seed, alive, rows)
    gradients = [
        total(builder, terms[i], i) if i in terms else builder.constant(0.0, builder.groups[i].size)
        for i in wanted
    ]
    for i, gradient in zip(wanted, gradients, strict=True):
        _note_role(builder, gradient, i, forward)
    if loops.surprising():
        return None
    if program.loops:
        gradients = loops.put_in_order(forward, gradients)
    return builder.program(), gradients


def _seeded(program: Rolled, seeds: Sequence[View | None]) -> list[tuple[View, View]]:
    """Return the results that have a seed, each with its own.

    A Hessian of a loop has very many: those of the same groups become one.
    """
    pairs = [
        (output, seed)
        for output, seed in zip(program.outputs, seeds, strict=True)
        if seed is not None
    ]
    if not program.loops:
        return pairs
    together: dict[tuple[int, int], list[tuple[View, View]]] = {}
    for output, seed in pairs:
        together.setdefault((output.group, seed.group), []).append((output, seed))
    return [
        (_joined(output for output, _ in some), _joined(seed for _, seed in some))
        for some in together.values()
    ]


def _joined(views: Iterable[View]) -> View:
    """Return views of one group as one."""
    every = list(views)
    return View(every[0].group, np.concatenate([view.positions for view in every]))


def _alive(
    builder: Builder, terms: list[Term], i: int, *, in_loop: bool
) -> tuple[View | None, NDArray[np.bool_]]:
    """Return under which condition each element counts, and which have an adjoint at all.

    A loop has elements of all steps, of which the last may have no uses: they are left out, for a
    condition that never changes would be asked in each step.
    """
    if in_loop and all(term.alive is None for term in terms):
        return None, used(terms)
    return use_condition(builder, terms, i), np.ones(builder.groups[i].size, np.bool_)


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
    before = -1
    while before < len(active):
        before = len(active)
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
        if not program.loops:  # only heads of loops read later groups
            break
    return active
