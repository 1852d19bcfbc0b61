"""Tape: the scalar operations of one run of a function, in order, each node once."""

import math
from collections.abc import Container, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad import ops
from liftgrad.errors import LiftError
from liftgrad.lift.call.leaves import LeafGroup
from liftgrad.lift.trace.draws import Draws
from liftgrad.lift.trace.nodes import BATCH_TOTAL, CONSTANT, LEAF, Node
from liftgrad.lift.trace.scans import FIRST_GROUP, Meaning, Scan
from liftgrad.lift.user_code import refused, user_line
from liftgrad.numbers import to_float
from liftgrad.operators import Operators
from liftgrad.variable import Variable


class Tape:
    """The scalar operations of one run of a function on the numbers of leaf groups."""

    def __init__(
        self, given: Sequence[LeafGroup] = (), in_all_steps: Container[int] | None = None
    ) -> None:
        self.in_all_steps = in_all_steps
        """The scans of which all steps are recorded, counted from 1; None: all scans.

        Of others one step is recorded.
        """
        self.scans: dict[int, Scan] = {}
        """The scans of which one step was recorded, by their numbers."""
        self.scans_begun = 0
        """How many scans have numbers."""
        self.around: tuple[int, int] | None = None
        """The scan of which a step is being recorded, and how many steps it has."""
        self.repeated = 0
        """How many operations the other steps of scans are."""
        self.meanings: dict[int, Meaning] = {}
        """What the leaf groups are that belong to scans."""
        self._groups_of_scans: dict[tuple[Meaning, bool], int] = {}
        self.given = given
        """The leaf groups of the arguments, which those of random numbers follow."""
        self.nodes: list[Node] = []
        self.memo: dict[Node, int] = {}
        """The index of each node."""
        self.batched: dict[int, int] = {}
        """The groups of arrays that are mapped over, with the size of the batch in this run."""
        self.bounds: dict[tuple[int, int], int] = {}
        """For each index, a group and a position, the smallest extent that it is used in."""
        self.unrolled: set[int] = set()
        """The groups of arrays of which single elements were used outside of vmap."""
        self.measured: set[int] = set()
        """The groups of arrays whose length or shape was asked for."""
        self.mapping: set[int] = set()
        """The groups that the current vmap maps over."""
        self.maps = 0
        """How many vmaps there were."""
        self.draws: list[Draws] = []
        """The random numbers drawn so far."""
        self.averaged = False
        """Whether a mean over the samples was taken, which needs at least one sample."""
        self.classes: dict[type, type] = {}
        """What stands for some classes in the functions that are traced."""
        self.outputs: list[int] = []
        """The nodes of the results that depend on an argument, once the function has returned."""
        self._varies = bytearray()
        """Whether each of the first nodes differs from sample to sample, as far as anyone asked."""

    def record(self, node: Node) -> int:
        """Return the index of a node, which is appended unless an equal one is there."""
        nodes = self.nodes
        index = self.memo.setdefault(node, len(nodes))
        if index == len(nodes):
            nodes.append(node)
        return index

    def constant(self, number: float) -> int:
        """Record a constant; nan and zeros, which == does not distinguish, are kept as text."""
        index = self.memo.get((CONSTANT, number))
        if index is None:
            plain = number == number and number != 0.0  # noqa: PLR0124, the test for nan
            index = self.record((CONSTANT, number if plain else repr(number)))
        return index

    def leaf(self, group: int, position: int) -> int:
        """Record an input by its position in a leaf group."""
        return self.record((LEAF, group, position))

    def leaves(self, group: int, first: int, count: int) -> Sequence[int]:
        """Record neighbouring inputs; if they are several, none must be recorded already."""
        if count == 1:
            return [self.leaf(group, first)]
        start = len(self.nodes)
        indices = range(start, start + count)
        new = [(LEAF, group, position) for position in range(first, first + count)]
        self.memo.update(zip(new, indices, strict=True))
        self.nodes += new
        return indices

    def leaf_of_scan(self, meaning: Meaning, position: int = 0, *, varies: bool = False) -> int:
        """Record a number that is a part of a scan's step, or comes out of a scan.

        Args:
            meaning: what it is.
            position: which of the numbers that mean this.
            varies: whether it differs from sample to sample.

        """
        return self.leaf(self.group_of_scan(meaning, varies=varies), position)

    def group_of_scan(self, meaning: Meaning, *, varies: bool) -> int:
        """Return the leaf group of the numbers of a scan that mean this."""
        groups = self._groups_of_scans
        group = groups.setdefault((meaning, varies), FIRST_GROUP + len(groups))
        self.meanings[group] = meaning
        if varies:
            self.batched[group] = 1
        return group

    def argument(self, group: int, position: int) -> Any:
        """Return the Value among the arguments that an input is, or None."""
        values = self.given[group].values if 0 <= group < len(self.given) else ()
        return values[position] if values and self.given[group].kind == "parameter" else None

    def draw(self) -> int:
        """Record a random number; within vmap, one for each sample."""
        mapped = self.maps if self.mapping else 0
        if not self.draws or self.draws[-1].mapped != mapped:
            self.draws.append(Draws(mapped))
        group, last = len(self.given) + len(self.draws) - 1, self.draws[-1]
        if mapped:
            self.batched[group] = 1
        last.count += 1
        return self.leaf(group, last.count - 1)

    def index_of(self, x: Any) -> int:
        """Return the index of the node for a traced value, an eager Value or a number."""
        if type(x) is float:
            return self.constant(x)
        traced = getattr(x, "_node_on", None)
        if traced is not None:
            return int(traced(self))
        if isinstance(x, Variable):
            raise LiftError(
                f"{user_line()}: a number of a function that grad() differentiates is used outside "
                "of it; return it from that function, with jacobian() or value_and_grad()."
            )
        if isinstance(x, Operators):
            raise refused(
                "a Value that is not an argument of the lifted function is used in it; pass it, or "
                "the module that holds it, as an argument."
            )
        return self.constant(to_float(x))

    def result_of(self, x: Any) -> int:
        """Return the index of the node of a result, which must not differ from sample to sample."""
        node = self.index_of(x)
        if self.depends_on_batch(node):
            raise refused(
                "a result was made of one sample's numbers, outside of the function that vmap "
                "maps; return them from that function, and take total() or mean()."
            )
        return node

    def depends_on_batch(self, node: int) -> bool:
        """Return whether a node differs from sample to sample."""
        if not self.batched:
            return False
        varies = self._varies
        for earlier in self.nodes[len(varies) : node + 1]:
            operation = earlier[0]
            if operation is LEAF:
                varies.append(earlier[1] in self.batched)
            elif operation is CONSTANT or operation is BATCH_TOTAL:
                varies.append(False)
            else:
                varies.append(any(map(varies.__getitem__, earlier[1:])))
        return bool(varies[node])

    def index_bounds(self, groups: Sequence[Any]) -> dict[int, NDArray[np.int64]]:
        """Return, by index group, the smallest extent that each position is used in."""
        result: dict[int, NDArray[np.int64]] = {}
        for (group, position), extent in self.bounds.items():
            if group not in result:
                array = groups[group].array
                size = math.prod(array.shape[1:]) if group in self.batched else array.size
                result[group] = np.full(size, np.iinfo(np.int64).max)
            result[group][position] = extent
        return result

    def pulled(self, node: int) -> None:
        """Take notice that what is recorded next is for the adjoint of a node; -1: of none."""

    def operations(self) -> int:
        """Return how many operations there are; a dot product counts as its products and a sum."""
        return self.repeated + sum(
            len(node) // 2
            if node[0] is ops.dot
            else node[0] is not LEAF and node[0] is not CONSTANT
            for node in self.nodes
        )
