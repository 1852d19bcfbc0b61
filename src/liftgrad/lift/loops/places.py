"""Places: a tape's nodes in classes by operation and by where in the program they were recorded.

Other than the classes of `rolling.classes`, these do not ask what the operands are: the neighbours
of a border, or the first step of a loop, are of the same class as all others, and nodes of a class
may depend on each other.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np

from liftgrad import ops
from liftgrad.lift.ir.groups import Leaf
from liftgrad.lift.loops.batching import batch_beginnings, batched_nodes
from liftgrad.lift.loops.place import Operands, Place, Places
from liftgrad.lift.rolling.sums import count_uses, flatten_sums, write_out_products
from liftgrad.lift.trace.nodes import CONSTANT, LEAF, TABLE, TAKE, Node

Key = tuple[int, int, Any, int]
"""The site of a class, its place among those there, its operation, and whether it is batched."""


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
    batched = batched_nodes(every, leaves)
    varies = np.frombuffer(bytes(batched), np.bool_)
    if varies.any():
        batch_beginnings(nodes, sites, outputs, products, batched)
    members: dict[Key, list[int]] = defaultdict(list)
    leaf_positions = np.zeros(len(every), np.int64)
    for i, node in enumerate(nodes):
        if node[0] is LEAF and uses[i]:
            leaf_positions[i] = node[2]
            members[-1, node[1], LEAF, batched[i]].append(i)
    order: list[int] = []
    add, dot, total = ops.add, ops.dot, ops.total
    for i in inner:
        if not uses[i]:
            continue
        operation, site = every[i][0], sites[i]
        if operation is dot:
            for p in products[i]:
                members[site, 0, ops.multiply, batched[p]].append(p)
            order += products[i]
        if vanished[i] or operation is TABLE:
            continue
        if i in terms:
            operation = total
        elif operation is add and site in of_sums:
            terms[i], operation = [*every[i][1:]], total
        elif operation is CONSTANT:
            members[-1, len(leaves), CONSTANT, 0].append(i)
            continue
        rows = len(every[every[i][2]]) if operation is TAKE else 1
        members[site, rows, operation, batched[i]].append(i)
        order.append(i)
    found: list[Place] = []
    of = np.full(len(every), -1, np.int64)
    for key, mine in sorted(members.items(), key=lambda item: item[0][:2]):
        place = _place(key, mine, every, terms)
        of[place.members] = len(found)
        found.append(place)
    result = Places(found, of, leaf_positions, order, varies)
    result.settle()
    return result


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
    operation, batched, count = key[2], bool(key[3]), len(members)
    array = np.array(members, np.int64)
    if operation is LEAF or operation is CONSTANT:
        return Place(operation, array, [], batched=batched)
    of = [nodes[i] for i in members]
    if operation is ops.total or operation is ops.largest:
        lists = [terms[i] if i in terms else nodes[i][1:] for i in members]
        offsets = np.concatenate([[0], np.cumsum([len(x) for x in lists])])
        flat = np.fromiter(chain.from_iterable(lists), np.int64, int(offsets[-1]))
        return Place(operation, array, [], Operands(flat, offsets), batched=batched)
    if operation is TAKE:
        table = np.array([nodes[node[2]][1:] for node in of], np.int64)
        index = np.array([node[1] for node in of], np.int64)
        return Place(operation, array, [index], table=table, batched=batched)
    slots = [np.fromiter(map(itemgetter(j), of), np.int64, count) for j in range(1, len(of[0]))]
    return Place(operation, array, slots, batched=batched)
