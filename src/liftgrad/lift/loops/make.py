"""Make: the groups of classes, and those by which members read what is of several classes or steps.

An operand of a group is a view of one group. So what members read is gathered in a group of its own
if it is of several classes: a join, a sum of one term for each of its elements. What lies in other
steps of a loop is gathered at the beginning of each step: by a head.

Invariant: in a loop, only heads read other steps than their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from liftgrad import ops
from liftgrad.lift.ir.groups import (
    Constants,
    Elementwise,
    Group,
    Indices,
    Largest,
    Leaf,
    Runs,
    Sum,
    Take,
    View,
    identity,
)
from liftgrad.lift.ir.loop_error import LoopError
from liftgrad.lift.loops.gather import Gathered, gather
from liftgrad.lift.loops.place import distinct
from liftgrad.lift.loops.reads import Read, reads_of
from liftgrad.lift.loops.steps import Steps
from liftgrad.lift.trace.nodes import BATCH_TOTAL, CONSTANT, LEAF, TAKE, Node, number_of

_HEAD, _OF_HEAD, _JOIN, _OF_JOIN, _AFTER = -2.0, -1.0, -0.5, -0.4, 0.2
"""Where in a step groups come that are beside those of classes; joins: before their reader."""


@dataclass(slots=True, eq=False)
class Made:
    """A group, and where it belongs if it is in a loop."""

    group: Group
    order: float
    """Where in a step it comes."""
    steps: Indices
    """The step of each element."""

    @property
    def is_head(self) -> bool:
        """Whether it reads other steps."""
        return self.order == _HEAD


class Maker:
    """Makes the groups of classes, which have the numbers of these, and others that follow them.

    Args:
        found: the classes, of which some are in loops.
        nodes: those of the tape.
        leaves: the leaf groups that its leaf nodes are elements of.

    """

    def __init__(self, found: Steps, nodes: Sequence[Node], leaves: Sequence[Leaf]) -> None:
        self.found, self.nodes, self.leaves = found, nodes, leaves
        self.places, self.of = found.places.places, found.places.of
        self.count = len(self.of)
        self.positions = found.places.leaf_positions.copy()
        """The position of each node in the group of its class."""
        self.members: list[Indices] = []
        """Those of each class, in order of their steps."""
        for place in self.places:
            order = np.argsort(found.step[place.members], kind="stable")
            self.members.append(place.members[order])
            if place.operation is not LEAF:
                self.positions[place.members[order]] = identity(len(order))
        zeros = [
            i
            for place, members in zip(self.places, self.members, strict=True)
            if place.operation is CONSTANT
            for i in members.tolist()
            if nodes[i][1] == "0.0"
        ]
        self.reads = [
            reads_of(found, c, members, np.array(zeros, np.int64))
            for c, members in enumerate(self.members)
        ]
        self.sequences: dict[bytes, Indices] = {}
        """Index sequences, of which equal ones are one: there are few, and later passes notice."""
        self.added: list[Made] = []
        self.joins: dict[tuple[int, bytes, bytes], View] = {}
        """What was gathered already."""
        self.as_numbers: dict[int, int] = {}
        """For groups of conditions those of 1 and 0 instead."""
        self.one_zero = -1
        self.heads: dict[int, View] = {}
        """By the identity of a read, where in a head it finds what is carried."""

    def run(self) -> list[Made]:
        """Return the groups."""
        self.make_heads()
        of_classes = [
            Made(self.group(c), c, self.found.step[members])
            for c, members in enumerate(self.members)
        ]
        return of_classes + self.added

    def add(self, group: Group, order: float, steps: Indices) -> int:
        """Append a group to those of the classes, and return its number."""
        self.added.append(Made(group, order, steps))
        return len(self.places) + len(self.added) - 1

    # --- the groups of classes ---------------------------------------------------------------

    def group(self, c: int) -> Group:
        """Return the group of a class."""
        place, members, reads = self.places[c], self.members[c], self.reads[c]
        operation, batched = place.operation, place.batched
        if operation is LEAF:
            leaf: int = self.nodes[members[0]][1]
            return self.leaves[leaf]
        if operation is CONSTANT:
            numbers = [number_of(self.nodes[i][1]) for i in members.tolist()]
            return Constants(np.array(numbers, np.float64))
        if place.runs is not None:
            runs = self.runs(c, reads[0])
            return Sum(runs, batched) if operation is ops.total else Largest(runs, batched)
        views = [self.view(c, read) for read in reads]
        if operation is TAKE:
            index, table = views
            return Take(index, table.group, table.positions.reshape(len(members), -1), batched)
        if operation is BATCH_TOTAL:
            (view,) = views
            return Sum((Runs(view.group, view.positions, identity(len(members) + 1)),), batched)
        return Elementwise(operation, tuple(views), batched)

    def view(self, c: int, read: Read) -> View:
        """Return a view of what the members of a class read."""
        if read.carried.all():
            return self.heads[id(read)]
        codes = self.coded(read)
        classes = self.of[read.nodes]
        if not read.carried.any() and (classes == classes[0]).all():
            return View(int(classes[0]), self.shared(self.positions[read.nodes]))
        return self.joined(c, codes, read.steps)

    def coded(self, read: Read) -> Indices:
        """Return what is read, by number: nodes, or behind them the elements of a head."""
        if not read.carried.any():
            return read.nodes
        head = self.heads[id(read)]
        codes = read.nodes.copy()
        codes[read.carried] = self.count * (1 + head.group) + head.positions
        return codes

    def runs(self, c: int, read: Read) -> tuple[Runs, ...]:
        """Return the terms of the members of a class, by group."""
        count, result = len(self.members[c]), []
        if read.carried.any():
            head = self.heads[id(read)]
            result.append(self.run_of(head.group, head.positions, read.rows[read.carried], count))
        classes = np.where(read.carried, -1, self.of[read.nodes])
        for d in distinct(classes[~read.carried]):
            mine = classes == d
            result.append(self.run_of(d, self.positions[read.nodes[mine]], read.rows[mine], count))
        return tuple(result)

    def run_of(self, group: int, positions: Indices, rows: Indices, count: int) -> Runs:
        """Return runs of positions, given the row of each."""
        lengths = np.bincount(rows, minlength=count)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        return Runs(group, self.shared(positions), self.shared(offsets))

    def shared(self, sequence: Indices) -> Indices:
        """Return an index sequence, or an equal one that is there already."""
        return self.sequences.setdefault(sequence.tobytes(), sequence)

    # --- heads and joins ---------------------------------------------------------------------

    def make_heads(self) -> None:
        """Make the heads; what comes from the same classes, as many steps ago, shares one."""
        of_source: dict[tuple[int, ...], list[Read]] = {}
        for reads in self.reads:
            for read in reads:
                if read.carried.any():
                    of_source.setdefault(read.source, []).append(read)
        for reads in of_source.values():
            nodes = np.concatenate([read.nodes[read.carried] for read in reads])
            steps = np.concatenate([read.steps[read.carried] for read in reads])
            sizes = [np.count_nonzero(read.carried) for read in reads]
            slots = np.repeat(np.arange(len(reads)), sizes)
            order = np.argsort(steps, kind="stable")
            gathered = gather(nodes[order], steps[order], slots[order])
            where = np.empty_like(gathered.where)
            where[order] = gathered.where
            view = self.gathered(gathered, _HEAD, _OF_HEAD)
            for read, mine in zip(reads, np.split(where, np.cumsum(sizes)[:-1]), strict=True):
                self.heads[id(read)] = View(view, self.shared(mine))

    def joined(self, c: int, codes: Indices, steps: Indices) -> View:
        """Return a view of a group of what the members of a class read."""
        key = int(self.found.loop_of[c]), codes.tobytes(), steps.tobytes()
        if key not in self.joins:
            gathered = gather(codes, steps, np.zeros_like(steps))
            number = self.gathered(gathered, c + _JOIN, c + _OF_JOIN)
            self.joins[key] = View(number, self.shared(gathered.where))
        return self.joins[key]

    def gathered(self, what: Gathered, order: float, after: float) -> int:
        """Return the group of what is read; of conditions, by way of numbers that are added up."""
        groups = np.where(what.read < self.count, -1, what.read // self.count - 1)
        nodes = np.where(groups < 0, what.read, 0)
        groups = np.where(groups < 0, self.of[nodes], groups)
        positions = np.where(what.read < self.count, self.positions[nodes], what.read % self.count)
        sources = distinct(groups)
        sorts = {self.sort(g) for g in sources}
        if len(sorts) > 1 or "index" in sorts:
            raise LoopError("indices of several arrays are used at one place in a loop")
        decides = "condition" in sorts
        runs = []
        for g in sources:
            mine = groups == g
            source = self.as_number(g) if decides else g
            ends = np.concatenate([[0], np.cumsum(mine)])
            runs.append(Runs(source, self.shared(positions[mine]), self.shared(ends)))
        batched = any(self.is_batched(g) for g in sources)
        number = self.add(Sum(tuple(runs), batched), order, what.steps)
        if not decides:
            return number
        zero = View(self.ones_and_zeros(), np.ones(len(groups), np.int64))
        compared = Elementwise(ops.less, (zero, View(number, identity(len(groups)))), batched)
        condition = self.add(compared, after, what.steps)
        self.as_numbers[condition] = number
        return condition

    def as_number(self, c: int) -> int:
        """Return the group that is 1 where a group of conditions holds, and 0 elsewhere."""
        if c not in self.as_numbers:
            every = identity(len(self.members[c]))
            constants = self.ones_and_zeros()
            views = View(c, every), View(constants, 0 * every), View(constants, 0 * every + 1)
            selected = Elementwise(ops.select, views, self.places[c].batched)
            self.as_numbers[c] = self.add(selected, c + _AFTER, self.found.step[self.members[c]])
        return self.as_numbers[c]

    def ones_and_zeros(self) -> int:
        """Return the group of the constants 1 and 0."""
        if self.one_zero < 0:
            self.one_zero = self.add(Constants(np.array([1.0, 0.0])), 0.0, np.zeros(2, np.int64))
        return self.one_zero

    def sort(self, g: int) -> str:
        """Return whether a group is of conditions, indices or numbers."""
        if g >= len(self.places):
            return "condition" if g in self.as_numbers else "number"
        place = self.places[g]
        if place.operation in ops.CONDITIONS:
            return "condition"
        if place.operation is LEAF:
            leaf = self.leaves[self.nodes[place.members[0]][1]]
            return "index" if leaf.kind == "index" else "number"
        return "number"

    def is_batched(self, g: int) -> bool:
        """Return whether a group has elements for each sample."""
        if g >= len(self.places):
            return self.added[g - len(self.places)].group.batched
        return self.places[g].batched
