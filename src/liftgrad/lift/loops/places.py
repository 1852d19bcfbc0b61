"""Places: a tape's nodes in classes by operation and by where in the program they were recorded.

Other than the classes of `passes.classes`, these do not ask what the operands are: the neighbours
of a border, or the first step of a loop, are of the same class as all others, and nodes of a class
may depend on each other.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad import ops
from liftgrad.lift.ir.groups import Indices, Leaf
from liftgrad.lift.passes.sums import count_uses, flatten_sums, write_out_products
from liftgrad.lift.trace.nodes import BATCH_TOTAL, CONSTANT, LEAF, TABLE, TAKE, Node

Key = tuple[int, int, Any, int]
"""The site of a class, its place among those there, its operation, and whether it is batched."""


@dataclass(slots=True, eq=False)
class Operands:
    """What the members of a class read: for each of them a run of nodes."""

    nodes: Indices
    offsets: Indices

    @property
    def rows(self) -> Indices:
        """The member that each of the nodes is read by."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))


@dataclass(slots=True, eq=False)
class Place:
    """A class: an operation at a site, its members in the order of their recording."""

    operation: Any
    members: Indices
    slots: list[Indices]
    """For each operand the node that each member reads; a take's is its index."""
    runs: Operands | None = None
    """The terms of a sum, or what a maximum is taken of."""
    table: Indices | None = None
    """The nodes that a take chooses from, a row for each member."""
    batched: bool = False

    def operands(self) -> list[Indices]:
        """Return all nodes that are read."""
        found = list(self.slots)
        if self.runs is not None:
            found.append(self.runs.nodes)
        if self.table is not None:
            found.append(self.table.reshape(-1))
        return found

    def readers(self) -> list[Indices]:
        """Return for each of them the index of the member that reads it."""
        every = np.arange(len(self.members))
        found = [every] * len(self.slots)
        if self.runs is not None:
            found.append(self.runs.rows)
        if self.table is not None:
            found.append(np.repeat(every, self.table.shape[1]))
        return found


@dataclass(slots=True, eq=False)
class Places:
    """The classes of a tape, in the order of their sites."""

    places: list[Place]
    of: NDArray[np.int64]
    """The class of each node."""
    leaf_positions: NDArray[np.int64]
    """The position of a leaf node in its group."""
    order: list[int]
    """The nodes but for leaves and constants, operands before what they are used in."""


def places(
    nodes: Sequence[Node], sites: Sequence[int], leaves: Sequence[Leaf], outputs: Sequence[int]
) -> Places:
    """Return the classes of a tape's nodes, and of the products of its dot products.

    Args:
        nodes: a tape's.
        sites: where each was recorded, numbered in the order of the program.
        leaves: the leaf groups.
        outputs: numbers of the nodes that are results.

    """
    every = list(nodes)
    inner = [i for i, node in enumerate(every) if node[0] is not LEAF]
    uses = count_uses(every, inner, outputs)
    _keep_states(every, sites, inner, uses)
    products = write_out_products(every, inner, uses)
    terms, vanished = flatten_sums(every, inner, uses, products, keep_zeros=True)
    of_sums = {sites[i] for i in terms}
    batched = _batched(every, leaves)
    members: dict[Key, list[int]] = defaultdict(list)
    leaf_positions = np.zeros(len(every), np.int64)
    for i, node in enumerate(nodes):
        if node[0] is LEAF and uses[i]:
            leaf_positions[i] = node[2]
            members[-1, node[1], LEAF, batched[i]].append(i)
    order: list[int] = []
    add, dot = ops.add, ops.dot
    for i in inner:
        if not uses[i]:
            continue
        node, site = every[i], sites[i]
        operation = node[0]
        if operation is dot:
            for p in products[i]:
                members[site, 0, ops.multiply, batched[p]].append(p)
            order += products[i]
        if vanished[i] or operation is TABLE:
            continue
        if operation is CONSTANT:
            members[-1, len(leaves), CONSTANT, 0].append(i)
            continue
        if operation is add and site in of_sums:
            terms.setdefault(i, [node[1], node[2]])
        if i in terms:
            members[site, 1, ops.total, batched[i]].append(i)
        elif operation is TAKE:
            members[site, len(every[node[2]]), TAKE, batched[i]].append(i)
        else:
            members[site, 1, operation, batched[i]].append(i)
        order.append(i)
    found: list[Place] = []
    of = np.full(len(every), -1, np.int64)
    for key, mine in sorted(members.items(), key=lambda item: item[0][:2]):
        of[mine] = len(found)
        found.append(_place(key, mine, every, terms))
    return Places(found, of, leaf_positions, order)


def _batched(nodes: Sequence[Node], leaves: Sequence[Leaf]) -> bytearray:
    """Return which nodes have a number for each sample."""
    batched = bytearray(len(nodes))
    if any(leaf.batched for leaf in leaves):
        for i, node in enumerate(nodes):
            if node[0] is LEAF:
                batched[i] = leaves[node[1]].batched
            elif node[0] is not CONSTANT and node[0] is not BATCH_TOTAL:
                batched[i] = any(map(batched.__getitem__, node[1:]))
    return batched


def _keep_states(
    nodes: Sequence[Node], sites: Sequence[int], inner: Sequence[int], uses: list[int]
) -> None:
    """Count the last uses of states twice, so that these do not vanish into a sum.

    In its last steps a recurrence's state may have no user but the next addition, as if it were the
    partial sum of a longer one. Those at one place vanish if most of them do.
    """
    add, total, dot = ops.add, ops.total, ops.dot
    every = Counter[int]()
    partial: dict[int, list[int]] = defaultdict(list)
    for i in inner:
        operation = nodes[i][0]
        if (operation is add or operation is total or operation is dot) and uses[i]:
            every[sites[i]] += 1
            for a in nodes[i][-1 if operation is dot else 1 :]:
                if uses[a] == 1 and nodes[a][0] in (add, total, dot):
                    partial[sites[a]].append(a)
    for site, states in partial.items():
        if 2 * len(states) < every[site]:
            for a in states:
                uses[a] += 1


def _place(
    key: Key, members: list[int], nodes: Sequence[Node], terms: Mapping[int, list[int]]
) -> Place:
    operation, batched = key[2], bool(key[3])
    array = np.array(members, np.int64)
    if operation is LEAF or operation is CONSTANT:
        return Place(operation, array, [], batched=batched)
    if operation is ops.total or operation is ops.largest:
        lists = [terms[i] if i in terms else nodes[i][1:] for i in members]
        offsets = np.concatenate([[0], np.cumsum([len(x) for x in lists])])
        flat = np.fromiter(chain.from_iterable(lists), np.int64, int(offsets[-1]))
        return Place(operation, array, [], Operands(flat, offsets), batched=batched)
    if operation is TAKE:
        table = np.array([nodes[nodes[i][2]][1:] for i in members], np.int64)
        index = np.array([nodes[i][1] for i in members], np.int64)
        return Place(operation, array, [index], table=table, batched=batched)
    columns = np.array([nodes[i][1:] for i in members], np.int64).T
    return Place(operation, array, list(columns), batched=batched)
