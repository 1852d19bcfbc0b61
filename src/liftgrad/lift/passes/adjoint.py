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

from collections.abc import Collection, Sequence

import numpy as np

from liftgrad import ops
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
from liftgrad.lift.passes.backwards import Backwards
from liftgrad.lift.passes.branches import seed_condition, use_condition
from liftgrad.lift.passes.pull import Terms, add_term, pull, total


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
    conditional: set[int] = set()
    while True:
        longer, gradients, missed = _adjoint(program, seeds, wanted, conditional)
        if not missed:
            return longer, gradients
        conditional |= missed


def _adjoint(
    program: Rolled,
    seeds: Sequence[View | None],
    wanted: Sequence[int],
    conditional: Collection[int],
) -> tuple[Rolled, list[View], set[int]]:
    """Return the program with the gradient, and the adjoints, if one knew the conditions.

    The adjoints that go from step to step in a loop are read before they are made, and so are their
    conditions: the heads that turn out to need one that was not foreseen are returned as well.

    Args:
        program: as for `adjoint`.
        seeds: as for `adjoint`.
        wanted: as for `adjoint`.
        conditional: the heads of loops whose adjoints come with a condition.

    """
    builder = Builder(program)
    forward = len(program.groups)
    active = _active(program, wanted)
    terms: Terms = {}
    several = sum(seed is not None for seed in seeds) > 1
    for output, seed in zip(program.outputs, seeds, strict=True):
        if seed is not None and output.group in active:
            condition = seed_condition(builder, seed) if several else None
            add_term(builder, terms, output, seed, condition)
    loops = Backwards(builder, terms, active, conditional)
    for i in range(forward - 1, -1, -1):
        if i in loops.ends:
            loops.enter(loops.ends[i])
        if i not in terms or i not in active or isinstance(builder.groups[i], Leaf):
            continue
        of_group = terms.pop(i)
        alive = use_condition(builder, of_group, i)
        seed = total(builder, of_group, i)
        _note_role(builder, seed, i, forward)
        if i in loops.heads:
            loops.meet(i, seed, alive)
        else:
            pull(builder, terms, active, i, seed, alive)
    gradients = [
        total(builder, terms[i], i) if i in terms else builder.constant(0.0, builder.groups[i].size)
        for i in wanted
    ]
    for i, gradient in zip(wanted, gradients, strict=True):
        _note_role(builder, gradient, i, forward)
    if program.loops:
        gradients = loops.put_in_order(forward, gradients)
    return builder.program(), gradients, loops.missed


def _note_role(builder: Builder, view: View, of: int, forward: int) -> None:
    """Note, for printing, that a new group is nothing but the adjoint of another."""
    size = builder.groups[of].size
    new = view.group >= forward and builder.roles.get(view.group, ("",))[0] != "∂"
    whole = builder.groups[view.group].size == size
    if new and whole and np.array_equal(view.positions, identity(size)):
        builder.roles[view.group] = ("∂", of)


def _active(program: Rolled, wanted: Sequence[int]) -> set[int]:
    """Return the groups that depend on the wanted ones by way of operations with derivatives."""
    active = set(wanted)
    before = -1
    while before < len(active):
        before = len(active)
        for i, group in enumerate(program.groups):
            if isinstance(group, Largest) or (
                isinstance(group, Elementwise)
                and (group.operation in ops.CONDITIONS or group.operation.constant)
            ):
                continue
            if any(view.group in active for view in views(group)):
                active.add(i)
        if not program.loops:  # only heads of loops read later groups
            break
    return active
