"""Roll: from a tape of single operations to groups of operations that are alike.

Chains of additions whose partial sums nobody else uses become one sum. Each node's class is its
operation and its operands' classes; nodes of one class cannot depend on each other, so a class is
a group. How many terms a sum has is no part of its class: rows of causal attention are alike.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from liftgrad import ops
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
from liftgrad.ops import Operation

Key = tuple[Any, ...]
"""An operation and its operands' classes."""


def roll(nodes: Sequence[Node], leaves: Sequence[Leaf], outputs: Sequence[int]) -> Rolled:
    """Return the groups that the tape's nodes fall into and where the outputs are in them."""
    nodes = list(nodes)
    needed = _needed(nodes, outputs)
    terms, vanished = _flatten_sums(nodes, needed, outputs)
    keys, members, classes = _classes(nodes, needed, terms, vanished)

    positions = np.zeros(len(nodes), np.int64)
    for key, nodes_of_class in zip(keys, members, strict=True):
        if key[0] is LEAF:
            positions[nodes_of_class] = [nodes[i][2] for i in nodes_of_class]
        elif len(nodes_of_class) > 1:  # a single node is at 0
            positions[nodes_of_class] = np.arange(len(nodes_of_class))
    groups: list[Group] = []
    for key, nodes_of_class in zip(keys, members, strict=True):
        made = _group(key, nodes_of_class, nodes, terms, classes, positions, leaves, groups)
        groups.append(made)
    views = [View(classes[i], positions[i : i + 1]) for i in outputs]
    return Rolled(groups, views)


def _classes(
    nodes: list[Node],
    needed: bytearray,
    terms: dict[int, list[int]],
    vanished: bytearray,
) -> tuple[list[Key], list[list[int]], list[int]]:
    """Return the keys of all classes, their nodes, and each node's class.

    Tables whose elements are of several classes are replaced by tables of copies of them: sums of
    one term, which are of one class. The copies are appended to the nodes, and to the sums.
    """
    numbers: dict[Key, int] = {}
    keys: list[Key] = []
    members: list[list[int]] = []
    classes = [0] * len(nodes)

    def enter(key: Key, i: int) -> int:
        c = numbers.get(key)
        if c is None:
            c = numbers[key] = len(keys)
            keys.append(key)
            members.append([])
        members[c].append(i)
        return c

    for i, node in enumerate(tuple(nodes)):
        operation = node[0]
        if not needed[i] or vanished[i]:
            continue
        # The two most frequent kinds first: this loop sees every scalar operation.
        if i in terms:
            key: Key = (ops.total, *sorted({classes[a] for a in terms[i]}))
        elif len(node) == 3 and operation.__class__ is Operation and operation is not ops.largest:
            key = (operation, classes[node[1]], classes[node[2]])
        elif operation is LEAF:
            key = (LEAF, node[1])
        elif operation is CONSTANT:
            key = (CONSTANT,)
        elif operation is ops.largest:
            key = (operation, *sorted({classes[a] for a in node[1:]}))
        elif operation is TABLE:
            continue
        elif operation is TAKE:
            table = nodes[node[2]][1:]
            mixed = {classes[a] for a in table}
            if len(mixed) > 1:
                for a in table:
                    terms[len(nodes)] = [a]
                    classes.append(enter((ops.total, *sorted(mixed)), len(nodes)))
                    nodes.append((ops.total, a))
                table = tuple(range(len(nodes) - len(table), len(nodes)))
                nodes[node[2]] = (TABLE, *table)
            key = (TAKE, classes[node[1]], classes[table[0]], len(table))
        else:
            key = (operation, *[classes[a] for a in node[1:]])
        classes[i] = enter(key, i)
    return keys, members, classes


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
    key: Key,
    members: list[int],
    nodes: Sequence[Node],
    terms: Mapping[int, list[int]],
    classes: Sequence[int],
    positions: Indices,
    leaves: Sequence[Leaf],
    groups: Sequence[Group],
) -> Group:
    """Return the group of a class, whose operands' groups are there already."""
    operation, operand_classes = key[0], key[1:]
    if operation is LEAF:
        return leaves[operand_classes[0]]
    if operation is CONSTANT:
        return Constants(np.array([number_of(nodes[i][1]) for i in members], np.float64))
    if operation is ops.total or operation is ops.largest:
        lists = [terms[i] if i in terms else nodes[i][1:] for i in members]
        runs = _runs(lists, operand_classes, classes, positions)
        batched = any(groups[c].batched for c in operand_classes)
        return Sum(runs, batched) if operation is ops.total else Largest(runs, batched)
    if operation is TAKE:
        index, source, rows = operand_classes
        chosen = positions[[nodes[i][1] for i in members]]
        table = positions[[a for i in members for a in nodes[nodes[i][2]][1:]]]
        batched = groups[index].batched or groups[source].batched
        return Take(View(index, chosen), source, table.reshape(-1, rows), batched)
    if len(members) == 1:  # chains are made of such: a slice costs a tenth of an array
        (i,) = members
        operands = tuple(
            [
                View(c, positions[a : a + 1])
                for c, a in zip(operand_classes, nodes[i][1:], strict=True)
            ]
        )
    else:
        operands = tuple(
            [
                View(c, positions[[nodes[i][j] for i in members]])
                for j, c in enumerate(operand_classes, 1)
            ]
        )
    if operation is BATCH_TOTAL:
        (view,) = operands
        run = Runs(view.group, view.positions, np.arange(len(members) + 1))
        return Sum((run,), batched=False)
    return Elementwise(operation, operands, any(groups[c].batched for c in operand_classes))


def _runs(
    lists: list[Any],
    operand_classes: Sequence[int],
    classes: Sequence[int],
    positions: Indices,
) -> tuple[Runs, ...]:
    """Return the runs of the terms of each class."""
    if len(lists) == 1:
        (terms,) = lists
        of: dict[int, list[int]] = {c: [] for c in operand_classes}
        for a in terms:
            of[classes[a]].append(a)
        return tuple(
            [Runs(c, positions[mine], np.array([0, len(mine)], np.int64)) for c, mine in of.items()]
        )
    lengths = np.array([len(x) for x in lists])
    flat = np.array([a for x in lists for a in x], np.int64)
    if len(operand_classes) == 1:
        return (Runs(operand_classes[0], positions[flat], _offsets(lengths)),)
    of_class = np.array([classes[a] for a in flat.tolist()])
    rows = np.repeat(np.arange(len(lists)), lengths)
    runs = []
    for c in operand_classes:
        mine = of_class == c
        counts = np.bincount(rows[mine], minlength=len(lists))
        runs.append(Runs(c, positions[flat[mine]], _offsets(counts)))
    return tuple(runs)


def _offsets(lengths: Indices) -> Indices:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def identity(size: int) -> Indices:
    """Return the view positions 0, 1, 2, ..."""
    return np.arange(size, dtype=np.int64)
