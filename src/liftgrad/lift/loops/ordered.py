"""Ordered: groups in an order in which everything can be computed, and the loops in it."""

from collections.abc import Mapping, Sequence

import numpy as np

from liftgrad.lift.ir.components import components
from liftgrad.lift.ir.groups import Group, Indices, Loop, Rolled, View, views
from liftgrad.lift.ir.loop_error import LoopError
from liftgrad.lift.ir.operands import reading


def ordered(
    groups: Sequence[Group],
    outputs: Sequence[View],
    steps: Mapping[int, int],
    heads: set[int],
    recompute: set[int],
    origins: Mapping[int, int],
) -> Rolled:
    """Return a program of these groups, of which those that depend on themselves are loops.

    Args:
        groups: in any order, but that those of a step come in the order of their computation.
        outputs: what is computed.
        steps: of those groups that have the elements of several steps how many these are; each
            has the same number of elements.
        heads: the groups that read groups of earlier steps.
        recompute: the heads of loops of which a gradient computes again what it reads.
        origins: for groups a node of the tape that they come from.

    """
    depends = [[view.group for view in views(group)] for group in groups]
    known: dict[tuple[int, int], Indices] = {}
    order: list[int] = []
    loops: list[Loop] = []
    for component in components(depends):
        first = len(order)
        order += sorted(component, key=lambda i: (i not in heads, i))
        if len(component) == 1 and component[0] not in depends[component[0]]:
            continue
        if len({groups[i].batched for i in component}) > 1:
            raise LoopError("some numbers of a loop are for each sample and some for all")
        offsets = tuple(_offsets(groups[i].size, steps[i], known) for i in order[first:])
        count, again = len(heads.intersection(component)), bool(recompute.intersection(component))
        loops.append(Loop(first, len(order), offsets, count, recompute=again))
    new = [0] * len(groups)
    for number, i in enumerate(order):
        new[i] = number

    def moved(group: int, positions: Indices) -> tuple[int, Indices]:
        return new[group], positions

    return Rolled(
        tuple(reading(groups[i], moved) for i in order),
        tuple(View(new[v.group], v.positions) for v in outputs),
        loops=tuple(loops),
        origins={new[i]: node for i, node in origins.items()},
    )


def _offsets(size: int, steps: int, known: dict[tuple[int, int], Indices]) -> Indices:
    """Return where the elements of each step begin, which groups of one size share."""
    if (size, steps) not in known:
        known[size, steps] = np.arange(steps + 1) * (size // steps)
    return known[size, steps]
