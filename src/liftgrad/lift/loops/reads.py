"""Reads: what the members of a class read, and what of it lies in other steps of their loop."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from liftgrad import ops
from liftgrad.lift.ir.groups import Indices
from liftgrad.lift.loops.place import distinct
from liftgrad.lift.loops.steps import Steps


@dataclass(slots=True, eq=False)
class Read:
    """An operand of all members of a class, or all their terms."""

    nodes: Indices
    """What is read, in order of the steps of the members."""
    rows: Indices
    """The member that reads each, by its place in that order."""
    steps: Indices
    """The step in which each is read; 0 if all of it is there before the loop."""
    carried: NDArray[np.bool_]
    """Which are found by a head at the beginning of the step."""
    source: tuple[int, ...] = ()
    """The loop, the classes and how many steps ago it is that carried nodes are of."""


def reads_of(found: Steps, c: int, members: Indices, zeros: Indices) -> list[Read]:
    """Return what the members of a class read: each operand, or their terms; then their table.

    Args:
        found: the classes.
        c: the class.
        members: of the class, in order of their steps.
        zeros: the nodes that are the constant 0.

    """
    place = found.places.places[c]
    rank = np.empty(len(members), np.int64)
    rank[np.argsort(found.step[place.members], kind="stable")] = np.arange(len(members))
    result = []
    for nodes, readers in zip(place.operands(), place.readers(), strict=True):
        order = np.argsort(rank[readers], kind="stable")
        read, rows = nodes[order], rank[readers][order]
        if place.operation is ops.total:
            read, rows = _without_zeros(read, rows, len(members), zeros)
        result.append(_read(found, c, read, rows, members, is_run=place.runs is not None))
    return result


def _read(
    found: Steps, c: int, nodes: Indices, rows: Indices, members: Indices, *, is_run: bool
) -> Read:
    loop, classes = found.loop_of[c], found.places.of[nodes]
    steps = found.step[members[rows]]
    within = (found.loop_of[classes] == loop) & (loop >= 0)
    other = within & (found.step[nodes] != steps)
    if not within.any():
        return Read(nodes, rows, np.zeros_like(steps), other)
    if not other.any():
        return Read(nodes, rows, steps, other)
    last = other & (steps == steps[other].max())
    ago = np.unique(steps[last] - found.step[nodes[last]])
    source = (int(loop), *distinct(classes[other]), -1, *ago.tolist())
    carried = other.copy()
    if is_run:
        for d in distinct(classes[~within]):
            mine = classes == d
            lengths = np.bincount(rows[mine], minlength=len(members))
            if (lengths != lengths[0]).any():
                carried |= mine  # it takes the place of the state in some of the steps
    elif not (within & ~other).any():
        carried[:] = True
    return Read(nodes, rows, steps, carried, source)


def _without_zeros(
    nodes: Indices, rows: Indices, count: int, zeros: Indices
) -> tuple[Indices, Indices]:
    """Return the terms of sums without those that are zero, if the sums are as alike then."""
    rest = ~np.isin(nodes, zeros)
    if rest.all():
        return nodes, rows
    lengths = np.bincount(rows[rest], minlength=count)
    if not lengths[0] or (lengths != lengths[0]).any():
        return nodes, rows
    return nodes[rest], rows[rest]
