"""Find: from a tape that knows its sites to a program with loops over time.

Invariant: the program computes each of the tape's outputs by the operations that were recorded;
only how sums are grouped may differ.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from liftgrad.lift.ir.components import components
from liftgrad.lift.ir.groups import Indices, Leaf, Loop, Rolled, View, views
from liftgrad.lift.ir.loop_error import LoopError
from liftgrad.lift.ir.operands import reading
from liftgrad.lift.loops.make import Made, Maker
from liftgrad.lift.loops.places import places
from liftgrad.lift.loops.steps import steps
from liftgrad.lift.trace.nodes import CONSTANT, LEAF, Node


def find_loops(
    nodes: Sequence[Node], sites: Sequence[int], leaves: Sequence[Leaf], outputs: Sequence[int]
) -> Rolled | None:
    """Return a tape as groups, some of them in loops over time; None if there are no loops.

    Args:
        nodes: the tape's.
        sites: where each was recorded, numbered in the order of the program.
        leaves: the leaf groups that its leaf nodes are elements of.
        outputs: numbers of the nodes that are results.

    """
    try:
        found = steps(places(nodes, sites, leaves, outputs))
        if found is None:
            return None
        maker = Maker(found, nodes, leaves)
        made = maker.run()
    except LoopError:
        return None
    of, positions = found.places.of, maker.positions
    results = [View(int(of[i]), positions[[i]]) for i in outputs]
    origins = {
        c: int(place.members[0])
        for c, place in enumerate(found.places.places)
        if place.operation not in (LEAF, CONSTANT) and place.members[0] < len(nodes)
    }
    return _in_order(made, results, origins)


def _in_order(made: Sequence[Made], outputs: Sequence[View], origins: Mapping[int, int]) -> Rolled:
    """Return the program of groups, each behind what it reads, but for heads."""
    depends = [[view.group for view in views(one.group)] for one in made]
    order: list[int] = []
    loops: list[Loop] = []
    for component in components(depends):
        first = len(order)
        order += sorted(component, key=lambda i: (made[i].order, i))
        if len(component) > 1:
            loops.append(_loop([made[i] for i in order[first:]], first))
    place = {old: new for new, old in enumerate(order)}
    groups = [reading(made[i].group, lambda g, p: (place[g], p)) for i in order]
    moved = [View(place[v.group], v.positions) for v in outputs]
    return Rolled(
        tuple(groups),
        tuple(moved),
        loops=tuple(loops),
        origins={place[i]: node for i, node in origins.items()},
    )


def _loop(made: Sequence[Made], first: int) -> Loop:
    """Return the loop of some groups, the first of which has a certain number."""
    earliest = min(int(one.steps[0]) for one in made)
    count = max(int(one.steps[-1]) for one in made) + 1 - earliest
    shared: dict[bytes, Indices] = {}
    offsets = []
    for one in made:
        lengths = np.bincount(one.steps - earliest, minlength=count)
        ends = np.concatenate([[0], np.cumsum(lengths)])
        offsets.append(shared.setdefault(ends.tobytes(), ends))
    heads = sum(one.is_head for one in made)
    return Loop(first, first + len(made), tuple(offsets), heads)
