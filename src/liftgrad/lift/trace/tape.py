"""Tape: the scalar operations of one run of a function, in order.

A tape is a list of nodes `(operation, operand, ...)`, operands being earlier nodes' numbers.
Equal nodes are recorded once. Leaves are `(LEAF, group, position)`, constants `(CONSTANT, number)`.
A dot product is one node, whose operands are the left factors, the right ones, and what it starts
from: most of a network's operations are in its dot products.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad import ops
from liftgrad.derivatives import Variable
from liftgrad.errors import LiftError
from liftgrad.lift.call.leaves import LeafGroup
from liftgrad.lift.trace.draws import Draws
from liftgrad.lift.user_code import refused, user_line
from liftgrad.numbers import to_float
from liftgrad.operators import Operators

LEAF = "leaf"
CONSTANT = "constant"
TAKE = "take"
TABLE = "table"
BATCH_TOTAL = "batch total"
SAMPLES_LEAF = -1
"""The leaf group of one number: how many samples there are."""
Node = tuple[Any, ...]


class Tape:
    """The scalar operations of one run of a function, whose arguments make up leaf groups."""

    def __init__(self, given: Sequence[LeafGroup] = ()) -> None:
        self.given = given
        """The leaf groups that the arguments make up; those of random numbers come next."""
        self.nodes: list[Node] = []
        self.memo: dict[Node, int] = {}
        self.batched: dict[int, int] = {}
        """The groups of arrays that are mapped over, with the number of samples in this run."""
        self.bounds: dict[tuple[int, int], int] = {}
        """For each index (group, position) the smallest extent it is used in."""
        self.unrolled: set[int] = set()
        """The groups of arrays whose elements were looked at one by one."""
        self.measured: set[int] = set()
        """The groups of arrays whose length or shape was asked for."""
        self.mapping: set[int] = set()
        """The groups that a vmap in progress maps over."""
        self.maps = 0
        """How many vmaps began."""
        self.draws: list[Draws] = []
        """The random numbers drawn so far."""
        self.averaged = False
        """Whether a mean over the samples was taken, of which there must be some then."""
        self.classes: dict[type, type] = {}
        """What stands for some classes in the copies of the functions that are traced."""
        self.outputs: list[int] = []
        """The nodes of the results that depend on an argument, once the function has returned."""
        self.known = bytearray()
        """Whether each node depends on something that is mapped over, as far as it was asked."""

    def record(self, node: Node) -> int:
        """Return the node's number, a new one where no equal node was recorded before."""
        nodes = self.nodes
        index = self.memo.setdefault(node, len(nodes))
        if index == len(nodes):
            nodes.append(node)
        return index

    def constant(self, number: float) -> int:
        """Record a constant; nan and the two zeros are told apart by their text."""
        index = self.memo.get((CONSTANT, number))
        if index is None:
            plain = number == number and number != 0.0  # noqa: PLR0124, the test for nan
            index = self.record((CONSTANT, number if plain else repr(number)))
        return index

    def leaf(self, group: int, position: int) -> int:
        """Record an input: a position in one of the groups that the arguments make up."""
        return self.record((LEAF, group, position))

    def leaves(self, group: int, first: int, count: int) -> Sequence[int]:
        """Record neighbouring inputs, which are new if they are several."""
        if count == 1:
            return [self.leaf(group, first)]
        start = len(self.nodes)
        numbers = range(start, start + count)
        new = [(LEAF, group, position) for position in range(first, first + count)]
        self.memo.update(zip(new, numbers, strict=True))
        self.nodes += new
        return numbers

    def argument(self, group: int, position: int) -> Any:
        """Return the Value among the arguments that is this input, or None if it is none."""
        values = self.given[group].values if 0 <= group < len(self.given) else ()
        return values[position] if values and self.given[group].kind == "parameter" else None

    def draw(self) -> int:
        """Record a random number, one for each sample within vmap."""
        mapped = self.maps if self.mapping else 0
        if not self.draws or self.draws[-1].mapped != mapped:
            self.draws.append(Draws(mapped))
        group, last = len(self.given) + len(self.draws) - 1, self.draws[-1]
        if mapped:
            self.batched[group] = 1
        last.count += 1
        return self.leaf(group, last.count - 1)

    def index_of(self, x: Any) -> int:
        """Return the number of the node for a traced value, an eager Value or a number."""
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
        """Return the number of the node of a result, which is one for all samples."""
        node = self.index_of(x)
        if self.depends_on_batch(node):
            raise refused(
                "a result was made of one sample's numbers, outside of the function that vmap "
                "maps; return them from that function, and take total() or mean()."
            )
        return node

    def depends_on_batch(self, node: int) -> bool:
        """Tell whether a node's number differs from sample to sample."""
        if not self.batched:
            return False
        known = self.known
        for earlier in self.nodes[len(known) : node + 1]:
            operation = earlier[0]
            if operation is LEAF:
                known.append(earlier[1] in self.batched)
            elif operation is CONSTANT or operation is BATCH_TOTAL:
                known.append(False)
            else:
                known.append(any(map(known.__getitem__, earlier[1:])))
        return bool(known[node])

    def index_bounds(self, groups: Sequence[Any]) -> dict[int, NDArray[np.int64]]:
        """Return for each index group the smallest extent that each position is used in."""
        result: dict[int, NDArray[np.int64]] = {}
        for (group, position), extent in self.bounds.items():
            if group not in result:
                array = groups[group].array
                size = math.prod(array.shape[1:]) if group in self.batched else array.size
                result[group] = np.full(size, np.iinfo(np.int64).max)
            result[group][position] = extent
        return result

    def operations(self) -> int:
        """How many operations there are; a dot product is a product for each term, and a sum."""
        return sum(
            len(node) // 2
            if node[0] is ops.dot
            else node[0] is not LEAF and node[0] is not CONSTANT
            for node in self.nodes
        )


def number_of(text: float | str) -> float:
    """Return the constant that a node stores."""
    return text if isinstance(text, float) else math.nan if text == "nan" else float(text)
