"""Roll: from a tape of single operations to groups of operations that are alike.

Chains of additions whose partial sums nobody else uses become one sum. Each node's class is its
operation and its operands' classes; nodes of one class cannot depend on each other, so a class is
a group. How many terms a sum has is no part of its class: rows of causal attention are alike.
"""

from collections.abc import Sequence

import numpy as np

from liftgrad import ops
from liftgrad.errors import LiftError
from liftgrad.lift.groups import (
    Constants,
    Elementwise,
    Group,
    Indices,
    Largest,
    Leaf,
    Rolled,
    Runs,
    Sum,
    Take,
    View,
)
from liftgrad.lift.trace import BATCH_TOTAL, CONSTANT, LEAF, TABLE, TAKE, Node, number_of


def roll(nodes: Sequence[Node], leaves: Sequence[Leaf], outputs: Sequence[int]) -> Rolled:
    """Return the groups that the tape's nodes fall into and where the outputs are in them."""
    needed = _needed(nodes, outputs)
    terms, inner = _flatten_sums(nodes, needed, outputs)

    class_ids: dict[tuple[object, ...], int] = {}
    keys: list[tuple[object, ...]] = []
    sizes: list[int] = []
    operand_lists: list[list[list[int]]] = []
    run_lengths: list[list[list[int]]] = []
    classes = [0] * len(nodes)
    positions = [0] * len(nodes)

    for i, node in enumerate(nodes):
        operation = node[0]
        if not needed[i] or inner[i] or operation is TABLE:
            continue
        if operation is LEAF:
            key: tuple[object, ...] = (LEAF, node[1])
        elif operation is CONSTANT:
            key = (CONSTANT,)
        elif i in terms:
            members = terms[i]
            key = (ops.total, *sorted({classes[a] for a in members}))
        elif operation is ops.largest:
            key = (ops.largest, *sorted({classes[a] for a in node[1:]}))
        elif operation is TAKE:
            table = nodes[node[2]][1:]
            key = (TAKE, classes[node[1]], classes[table[0]], len(table))
            if any(classes[a] != classes[table[0]] for a in table):
                raise LiftError(
                    "take() reads from a table whose elements are computed in different ways; "
                    "make the table of elements that are computed alike, or use where()."
                )
        elif len(node) == 3:
            key = (operation, classes[node[1]], classes[node[2]])
        else:
            key = (operation, *[classes[a] for a in node[1:]])
        c = class_ids.get(key)
        if c is None:
            c = class_ids[key] = len(keys)
            keys.append(key)
            sizes.append(0)
            operand_lists.append([[] for _ in range(max(len(key) - 1, 1))])
            run_lengths.append([[] for _ in key[1:]])
        classes[i] = c
        lists = operand_lists[c]
        if operation is LEAF:
            positions[i] = node[2]
            continue
        positions[i] = sizes[c]
        sizes[c] += 1
        if operation is CONSTANT:
            lists[0].append(number_of(node[1]))
        elif i in terms or operation is ops.largest:
            members = terms[i] if i in terms else node[1:]
            lengths = run_lengths[c]
            if len(lists) == 1:
                lists[0].extend([positions[a] for a in members])
                lengths[0].append(len(members))
            else:
                column = {k: j for j, k in enumerate(key[1:])}
                for length in lengths:
                    length.append(0)
                for a in members:
                    j = column[classes[a]]
                    lists[j].append(positions[a])
                    lengths[j][-1] += 1
        elif operation is TAKE:
            lists[0].append(positions[node[1]])
            lists[1].extend([positions[a] for a in table])
        elif len(node) == 3:
            lists[0].append(positions[node[1]])
            lists[1].append(positions[node[2]])
        else:
            for j, a in enumerate(node[1:]):
                lists[j].append(positions[a])

    groups: list[Group] = []
    for key, lists, lengths in zip(keys, operand_lists, run_lengths, strict=True):
        groups.append(_group(key, lists, lengths, leaves, groups))
    views = [View(classes[i], np.array([positions[i]], np.int64)) for i in outputs]
    return Rolled(groups, views)


def _needed(nodes: Sequence[Node], outputs: Sequence[int]) -> bytearray:
    """Mark the nodes that the outputs depend on."""
    needed = bytearray(len(nodes))
    for i in outputs:
        needed[i] = 1
    for i in range(len(nodes) - 1, -1, -1):
        if needed[i]:
            node = nodes[i]
            if node[0] is not LEAF and node[0] is not CONSTANT:
                for a in node[1:]:
                    needed[a] = 1
    return needed


def _flatten_sums(
    nodes: Sequence[Node], needed: bytearray, outputs: Sequence[int]
) -> tuple[dict[int, list[int]], bytearray]:
    """Return the terms of each n-ary sum and a mark on the partial sums that vanish into one.

    A partial sum with a second user stays a number of its own. Two plain terms stay an addition,
    but `0 + x`, with which Python's sum() starts, is a sum, so that short rows are like long ones.
    """
    uses = [0] * len(nodes)
    for i, node in enumerate(nodes):
        if needed[i] and node[0] is not LEAF and node[0] is not CONSTANT:
            for a in node[1:]:
                uses[a] += 1
    for i in outputs:
        uses[i] += 2
    chains: dict[int, list[int]] = {}
    inner = bytearray(len(nodes))
    zero = (CONSTANT, "0.0")
    for i, node in enumerate(nodes):
        operation = node[0]
        if not needed[i] or (operation is not ops.add and operation is not ops.total):
            continue
        members: list[int] = []
        for a in node[1:]:
            if uses[a] == 1 and a in chains:
                # The first chain's list is taken over, which keeps long chains linear.
                members = chains.pop(a) if not members else members + chains.pop(a)
                inner[a] = 1
            else:
                members.append(a)
        chains[i] = members
    terms: dict[int, list[int]] = {}
    for i, members in chains.items():
        rest = [a for a in members if nodes[a] != zero]
        plain = nodes[i][0] is ops.add and len(members) == 2 and members == [*nodes[i][1:]]
        if len(rest) < len(members) or not plain:
            terms[i] = rest or members[:1]
    return terms, inner


def _group(
    key: tuple[object, ...],
    lists: list[list[int]],
    lengths: list[list[int]],
    leaves: Sequence[Leaf],
    groups: Sequence[Group],
) -> Group:
    operation, operand_classes = key[0], key[1:]
    if operation is LEAF:
        return leaves[operand_classes[0]]  # type: ignore[call-overload, no-any-return]
    if operation is CONSTANT:
        return Constants(np.array(lists[0], np.float64))
    batched = any(groups[c].batched for c in operand_classes)  # type: ignore[call-overload]
    arrays = [np.array(x, np.int64) for x in lists]
    if operation is ops.total or operation is ops.largest:
        runs = tuple(
            Runs(c, positions, np.concatenate([[0], np.cumsum(length, dtype=np.int64)]))  # type: ignore[arg-type]
            for c, positions, length in zip(operand_classes, arrays, lengths, strict=True)
        )
        if operation is ops.total:
            return Sum(runs, batched)
        return Largest(runs, batched)
    if operation is TAKE:
        index, source, rows = operand_classes
        return Take(View(index, arrays[0]), source, arrays[1].reshape(-1, rows), batched)  # type: ignore[arg-type]
    if operation is BATCH_TOTAL:
        run = Runs(operand_classes[0], arrays[0], np.arange(len(arrays[0]) + 1))  # type: ignore[arg-type]
        return Sum((run,), batched=False)
    operands = tuple(View(c, a) for c, a in zip(operand_classes, arrays, strict=True))  # type: ignore[arg-type]
    return Elementwise(operation, operands, batched)  # type: ignore[arg-type]


def identity(size: int) -> Indices:
    """Return the view positions 0, 1, 2, ..."""
    return np.arange(size, dtype=np.int64)
