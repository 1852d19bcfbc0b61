"""Find: from a tape that knows its sites to a program with loops over time.

Invariant: the program computes each of the tape's outputs by the operations that were recorded;
only how sums are grouped may differ.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from liftgrad import ops
from liftgrad.lift.ir.components import components
from liftgrad.lift.ir.groups import (
    Constants,
    Elementwise,
    Group,
    Indices,
    Largest,
    Leaf,
    Loop,
    Rolled,
    Runs,
    Sum,
    Take,
    View,
    identity,
    views,
)
from liftgrad.lift.loops.places import Operands, places
from liftgrad.lift.loops.steps import Steps, steps
from liftgrad.lift.trace.nodes import BATCH_TOTAL, CONSTANT, LEAF, TAKE, Node, number_of


def find_loops(
    nodes: Sequence[Node], sites: Sequence[int], leaves: Sequence[Leaf], outputs: Sequence[int]
) -> Rolled | None:
    """Return a tape as groups, some of them in loops over time; None if there are no loops.

    Args:
        nodes: the tape's.
        sites: where each was recorded.
        leaves: the leaf groups that its leaf nodes are elements of.
        outputs: numbers of the nodes that are results.

    """
    found = steps(places(nodes, sites, leaves, outputs))
    return None if found is None else _Maker(found, nodes, leaves).run(outputs)


class _Maker:
    """Makes the groups: those of the classes, then the joins and heads that they read."""

    def __init__(self, found: Steps, nodes: Sequence[Node], leaves: Sequence[Leaf]) -> None:
        self.found, self.nodes, self.leaves = found, nodes, leaves
        self.places, self.of = found.places.places, found.places.of
        self.groups: list[Group | None] = [None] * len(self.places)
        self.batched = [place.batched for place in self.places]
        self.order: list[float] = [float(c) for c in range(len(self.places))]
        """Where in a step each group comes; heads: -1."""
        self.steps_of: dict[int, Indices] = {}
        """The step of each element, for groups made beside the classes' own."""
        self.made: dict[tuple[int, bool, bytes], tuple[int, Indices]] = {}
        self.position = found.places.leaf_positions.copy()
        self.zeros = [i for i, node in enumerate(nodes) if node == (CONSTANT, "0.0")]
        self.sorted: list[Indices] = []
        """For each class its members' order by step."""
        for place in self.places:
            order = np.argsort(found.step[place.members], kind="stable")
            self.sorted.append(order)
            if place.operation is not LEAF:
                self.position[place.members[order]] = identity(len(order))

    def run(self, outputs: Sequence[int]) -> Rolled:
        """Return the program."""
        for c in range(len(self.places)):
            self.groups[c] = self.group(c)
        results = [View(int(self.of[i]), self.position[[i]]) for i in outputs]
        return self.ordered(results)

    # --- groups ------------------------------------------------------------------------------

    def group(self, c: int) -> Group:
        """Return the group of a class."""
        place, order = self.places[c], self.sorted[c]
        operation, batched = place.operation, place.batched
        if operation is LEAF:
            leaf: int = self.nodes[place.members[0]][1]
            return self.leaves[leaf]
        if operation is CONSTANT:
            numbers = [number_of(self.nodes[i][1]) for i in place.members]
            return Constants(np.array(numbers, np.float64))
        if place.runs is not None:
            runs = self.runs(c, _ordered(place.runs, order))
            if operation is ops.total:
                return Sum(runs, batched)
            return Largest(runs, batched)
        columns = [self.view(c, slot[order], order) for slot in place.slots]
        if operation is TAKE:
            assert place.table is not None
            rows = place.table.shape[1]
            source = self.view(c, place.table[order].reshape(-1), np.repeat(order, rows))
            table = source.positions.reshape(-1, rows)
            return Take(columns[0], source.group, table, batched)
        if operation is BATCH_TOTAL:
            (view,) = columns
            return Sum(
                (Runs(view.group, view.positions, np.arange(len(order) + 1)),), batched=False
            )
        return Elementwise(operation, tuple(columns), batched)

    def view(self, c: int, read: Indices, rows: Indices) -> View:
        """Return a view of nodes that members of a class read, or of a group that gathers them."""
        reading = self.found.step[self.places[c].members[rows]]
        classes = self.of[read]
        other = self.elsewhere(c, read, reading)
        if not other.any() and (classes == classes[0]).all():
            return View(int(classes[0]), self.position[read])
        same = self.within(c, read) & ~other
        if other.any() and same.any():
            # First what is of other steps, then a group of both.
            head, positions = self.gathered(c, read[other], reading[other], head=True)
            group, where = self.joined(c, read, reading, other, head, positions)
            return View(group, where)
        return View(*self.gathered(c, read, reading, head=bool(other.any())))

    def within(self, c: int, read: Indices) -> NDArray[np.bool_]:
        """Return which nodes are in the loop of a class."""
        loop = self.found.loop_of[c]
        found: NDArray[np.bool_] = (self.found.loop_of[self.of[read]] == loop) & (loop >= 0)
        return found

    def elsewhere(self, c: int, read: Indices, reading: Indices) -> NDArray[np.bool_]:
        """Return which nodes are in other steps of the loop of a class than the reading ones."""
        found: NDArray[np.bool_] = self.within(c, read) & (self.found.step[read] != reading)
        return found

    def gathered(
        self, c: int, read: Indices, reading: Indices, *, head: bool
    ) -> tuple[int, Indices]:
        """Return a group of nodes of several classes, or steps, and where in it each of them is.

        It has each node once in each of the steps in which it is read.
        """
        loop = int(self.found.loop_of[c])
        if loop >= 0 and not self.within(c, read).any():
            reading = np.zeros_like(reading)  # it is read in the loop, and made before
        width = len(self.of)
        pairs, where = np.unique(reading * width + read, return_inverse=True)
        key = loop if head or self.within(c, read).any() else -1, head, pairs.tobytes()
        if key not in self.made:
            at, members = pairs // width, pairs % width
            number = self.add(self.join(members), at, -1.0 if head else c - 0.5)
            self.made[key] = number, at
        return self.made[key][0], where

    def joined(
        self,
        c: int,
        read: Indices,
        reading: Indices,
        other: NDArray[np.bool_],
        head: int,
        positions: Indices,
    ) -> tuple[int, Indices]:
        """Return a group of nodes of which some are in a head, and where in it each of them is."""
        width = len(self.of)
        pairs, first, where = np.unique(
            reading * width + read, return_index=True, return_inverse=True
        )
        at, members = pairs // width, pairs % width
        of_head = np.zeros(len(read), np.int64)
        of_head[other] = positions
        chosen = other[first]
        runs = [_single(head, of_head[first][chosen], chosen)]
        for d in np.unique(self.of[members[~chosen]]).tolist():
            mine = ~chosen & (self.of[members] == d)
            runs.append(_single(d, self.position[members[mine]], mine))
        batched = self.batched[head] or any(self.batched[r.group] for r in runs)
        return self.add(Sum(tuple(runs), batched), at, c - 0.5), where

    def join(self, members: Indices) -> Sum:
        """Return the group of some nodes."""
        classes = self.of[members]
        runs = []
        for d in np.unique(classes).tolist():
            mine = classes == d
            runs.append(_single(d, self.position[members[mine]], mine))
        return Sum(tuple(runs), any(self.batched[r.group] for r in runs))

    def add(self, group: Group, at: Indices, order: float) -> int:
        """Append a group, whose elements are of these steps."""
        number = len(self.groups)
        self.groups.append(group)
        self.batched.append(group.batched)
        self.order.append(order)
        self.steps_of[number] = at
        return number

    def runs(self, c: int, terms: Operands) -> tuple[Runs, ...]:
        """Return the terms of sums, by group."""
        nodes, rows = terms.nodes, terms.rows
        place, count = self.places[c], len(terms.offsets) - 1
        if place.operation is ops.total:
            nodes, rows = self.without_zeros(nodes, rows, count)
        members = place.members[self.sorted[c]]
        reading = self.found.step[members[rows]]
        classes = self.of[nodes]
        other = self.elsewhere(c, nodes, reading)
        within = self.within(c, nodes)
        # What is of other steps, and what takes its place in some of the rows.
        apart = other.copy()
        if other.any():
            for d in np.unique(classes[~other]).tolist():
                mine = (classes == d) & ~other
                lengths = np.bincount(rows[mine], minlength=count)
                if (lengths != lengths[0]).any() and not within[mine].any():
                    apart |= mine
        result = []
        if apart.any():
            group, where = self.gathered(c, nodes[apart], reading[apart], head=True)
            result.append(_runs(group, where, rows[apart], count))
        for d in np.unique(classes[~apart]).tolist():
            mine = ~apart & (classes == d)
            result.append(_runs(d, self.position[nodes[mine]], rows[mine], count))
        return tuple(result)

    def without_zeros(self, nodes: Indices, rows: Indices, count: int) -> tuple[Indices, Indices]:
        """Return the terms of sums without those that are zero, if all sums stay alike so."""
        zero = np.isin(nodes, self.zeros)
        if not zero.any():
            return nodes, rows
        lengths = np.bincount(rows[~zero], minlength=count)
        if not lengths.all() or (lengths != lengths[0]).any():
            return nodes, rows
        return nodes[~zero], rows[~zero]

    # --- the order of groups -----------------------------------------------------------------

    def ordered(self, outputs: Sequence[View]) -> Rolled:
        """Return the program of all groups, each behind what it reads but for heads."""
        groups: list[Group] = self.groups  # type: ignore[assignment]
        depends = [[v.group for v in views(group)] for group in groups]
        place: dict[int, int] = {}
        loops: list[Loop] = []
        for component in components(depends):
            first = len(place)
            mine = sorted(component, key=lambda i: (self.order[i], i))
            for i in mine:
                place[i] = len(place)
            if len(mine) > 1 or mine[0] in depends[mine[0]]:
                loops.append(self.loop(mine, first))
        sequence = sorted(place, key=place.__getitem__)
        made = [_renumbered(groups[i], place) for i in sequence]
        moved = [View(place[v.group], v.positions) for v in outputs]
        origins = {
            place[i]: int(of_class.members[0])
            for i, of_class in enumerate(self.places)
            if of_class.operation not in (LEAF, CONSTANT) and of_class.members[0] < len(self.nodes)
        }
        return Rolled(tuple(made), tuple(moved), loops=tuple(loops), origins=origins)

    def loop(self, groups: list[int], first: int) -> Loop:
        """Return the loop of some groups, the first of which has this number in the program."""
        (loop,) = {int(self.found.loop_of[i]) for i in groups if i < len(self.places)}
        count = self.found.count[loop]
        offsets = []
        for i in groups:
            at = self.steps_of.get(i)
            if at is None:
                at = self.found.step[self.places[i].members]
            lengths = np.bincount(at, minlength=count)
            offsets.append(np.concatenate([[0], np.cumsum(lengths)]))
        heads = sum(self.order[i] == -1.0 for i in groups)
        return Loop(first, first + len(groups), tuple(offsets), heads)


def _ordered(runs: Operands, order: Indices) -> Operands:
    """Return runs in another order."""
    lengths = np.diff(runs.offsets)[order]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    shift = runs.offsets[:-1][order] - offsets[:-1]
    return Operands(runs.nodes[identity(int(offsets[-1])) + np.repeat(shift, lengths)], offsets)


def _single(group: int, positions: Indices, chosen: NDArray[np.bool_]) -> Runs:
    """Return runs of one element each for the chosen rows, of none for the others."""
    return Runs(group, positions, np.concatenate([[0], np.cumsum(chosen)]))


def _runs(group: int, positions: Indices, rows: Indices, count: int) -> Runs:
    """Return runs of positions, given the row of each."""
    lengths = np.bincount(rows, minlength=count)
    return Runs(group, positions, np.concatenate([[0], np.cumsum(lengths)]))


def _renumbered(group: Group, place: dict[int, int]) -> Group:
    match group:
        case Elementwise(operation=operation, operands=some, batched=batched):
            return Elementwise(
                operation, tuple(View(place[v.group], v.positions) for v in some), batched
            )
        case Sum(operands=runs, batched=batched):
            return Sum(tuple(Runs(place[r.group], r.positions, r.offsets) for r in runs), batched)
        case Largest(operands=runs, batched=batched):
            return Largest(
                tuple(Runs(place[r.group], r.positions, r.offsets) for r in runs), batched
            )
        case Take(index=index, group=source, table=table, batched=batched):
            return Take(View(place[index.group], index.positions), place[source], table, batched)
    return group
