"""Backward loops: the groups of a gradient in order, of which those that depend on themselves loop.

Their heads are the sums that read adjoints of other steps. All others, such as sums over time, are
in no loop.
"""

from collections.abc import Mapping

import numpy as np

from liftgrad.lift.ir.components import components
from liftgrad.lift.ir.groups import Builder, Group, Indices, Loop, identity, views
from liftgrad.lift.ir.loop_error import LoopError
from liftgrad.lift.ir.operands import reading, rows_of_reads
from liftgrad.lift.ir.rules_of_loops import steps_at


def put_in_order(
    builder: Builder, forward: int, new: Mapping[int, Group], heads: Mapping[int, Loop]
) -> Mapping[int, int]:
    """Replace the groups of a gradient by the same in order, and add their loops.

    Args:
        builder: the program and its gradient.
        forward: how many groups the program has.
        new: the groups of the gradient by their numbers.
        heads: those that read other steps, and the loops of the program that they come from.

    Returns:
        the groups' numbers in order.

    Raises:
        LoopError: if a group's elements are of no steps.

    """
    numbers = list(new)
    position = {i: n for n, i in enumerate(numbers)}
    depends = [
        [position[view.group] for view in views(group) if view.group >= forward]
        for group in new.values()
    ]
    order: list[int] = []
    for component in components(depends):
        members = sorted(numbers[n] for n in component)
        if len(members) > 1 or component[0] in depends[component[0]]:
            members.sort(key=lambda i: (i not in heads, i))
            first = forward + len(order)
            builder.loops.append(_loop(first, {i: new[i] for i in members}, heads, builder.roles))
        order += members
    place = {i: forward + n for n, i in enumerate(order)}
    builder.groups[forward:] = [
        reading(new[i], lambda group, positions: (place.get(group, group), positions))
        for i in order
    ]
    kept = {**{i: i for i in range(forward)}, **place}
    builder.roles = {kept[i]: role for i, role in builder.roles.items() if i in kept}
    builder.tables = {kept[i]: table for i, table in builder.tables.items() if i in kept}
    return place


def _loop(
    first: int,
    members: Mapping[int, Group],
    heads: Mapping[int, Loop],
    roles: Mapping[int, tuple[str, int]],
) -> Loop:
    """Return the loop of groups that depend on each other, of which the heads come first."""
    origin = heads[next(iter(members))]
    offsets: dict[int, Indices] = {}
    for i, group in members.items():
        _, of = roles.get(i, ("", -1))
        is_of_it = origin.first <= of < origin.stop
        offsets[i] = origin.offsets[of - origin.first] if is_of_it else _offsets(group, offsets)
    return Loop(
        first,
        first + len(members),
        tuple(offsets.values()),
        sum(i in heads for i in members),
        backwards=not origin.backwards,
    )


def _offsets(group: Group, known: Mapping[int, Indices]) -> Indices:
    """Return where the elements of each step begin, those of the steps that they are made of."""
    for view, rows in zip(views(group), rows_of_reads(group), strict=True):
        if view.group not in known or not np.array_equal(rows, identity(group.size)):
            continue
        offsets = known[view.group]
        if np.array_equal(view.positions, identity(offsets[-1])):
            return offsets
        steps = steps_at(offsets, view.positions)
        if (steps[1:] >= steps[:-1]).all():
            return np.searchsorted(steps, identity(len(offsets))).astype(np.int64)
    raise LoopError("the steps of a gradient's group are not those of what it reads.")
