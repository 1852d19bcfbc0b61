"""Roll: from a tape of single operations to groups of operations that are alike.

Chains of additions whose partial sums nobody else uses become one sum. Each node's class is its
operation and its operands' classes; nodes of one class cannot depend on each other, so a class is
a group. How many terms a sum has is no part of its class: rows of causal attention are alike.
"""

from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any

import numpy as np

from liftgrad import ops
from liftgrad.lift.ir.groups import (
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
from liftgrad.lift.trace.nodes import CONSTANT, LEAF, TABLE, TAKE, Node, number_of
from liftgrad.ops import Operation

Key = tuple[Any, ...]
"""An operation and its operands' classes."""

_FEW = 8
"""Up to how many elements a list of Python's is quicker than an array."""


def roll(nodes: Sequence[Node], leaves: Sequence[Leaf], outputs: Sequence[int]) -> Rolled:
    """Return the groups that the tape's nodes fall into and where the outputs are in them."""
    nodes = list(nodes)
    recorded = len(nodes)
    inner = [i for i, node in enumerate(nodes) if node[0] is not LEAF]
    uses = _uses(nodes, inner, outputs)
    products = _write_out_products(nodes, inner, uses)
    terms, vanished = _flatten_sums(nodes, inner, uses, products)
    classes = _classes(nodes, recorded, uses, terms, vanished, products)
    maker = _Maker(nodes, terms, classes, leaves)
    for key, members in zip(classes.keys, classes.members, strict=True):
        maker.make(key, members)
    results = [View(classes.of[i], np.array([classes.places[i]])) for i in outputs]
    return Rolled(tuple(maker.groups), tuple(results))


class _Classes:
    """The classes found so far: keys, members, and where in them each node is."""

    def __init__(self, nodes: int) -> None:
        self.numbers: dict[Key, int] = {}
        self.members: list[list[int]] = []
        self.of = [0] * nodes
        """Each node's class."""
        self.places = [0] * nodes
        """Its position in the class's group."""

    @property
    def keys(self) -> list[Key]:
        """The classes' keys."""
        return list(self.numbers)

    def enter(self, key: Key, i: int) -> None:
        """Note a node's class."""
        members = self.members
        c = self.of[i] = self.numbers.setdefault(key, len(members))
        if c == len(members):
            members.append([i])
        else:
            mine = members[c]
            self.places[i] = len(mine)
            mine.append(i)

    def enter_all(self, key: Key, nodes: range) -> None:
        """Note that neighbouring nodes are all of one class."""
        members = self.members
        c = self.numbers.setdefault(key, len(members))
        if c == len(members):
            members.append([])
        mine = members[c]
        place = slice(nodes.start, nodes.stop)
        self.of[place] = [c] * len(nodes)
        self.places[place] = range(len(mine), len(mine) + len(nodes))
        mine.extend(nodes)


def _classes(
    nodes: list[Node],
    recorded: int,
    uses: list[int],
    terms: dict[int, list[int]],
    vanished: bytearray,
    products: Mapping[int, range],
) -> _Classes:
    """Return the classes of the nodes that are used, of which so many were recorded.

    Tables whose elements are of several classes are replaced by tables of copies of them: sums of
    one term, which are of one class. The copies are appended to the nodes, and to the sums.
    """
    found = _Classes(len(nodes))
    classes, places, enter = found.of, found.places, found.enter
    of_leaves: dict[int, int] = {}
    dot = ops.dot
    for i, node in enumerate(nodes[:recorded]):
        operation = node[0]
        if not uses[i]:
            continue
        # The most frequent kinds first: this loop sees every node.
        if operation is LEAF:
            if node[1] not in of_leaves:
                enter((LEAF, node[1]), i)
                of_leaves[node[1]] = classes[i]
            classes[i], places[i] = of_leaves[node[1]], node[2]
            continue
        if operation is dot:
            _enter_products(found, node, products[i])
        if vanished[i]:
            continue
        if i in terms:
            of_terms = {classes[a] for a in terms[i]}
            enter((ops.total, *(sorted(of_terms) if len(of_terms) > 1 else of_terms)), i)
        elif len(node) == 3 and operation.__class__ is Operation and operation is not ops.largest:
            enter((operation, classes[node[1]], classes[node[2]]), i)
        elif operation is CONSTANT:
            enter((CONSTANT,), i)
        elif operation is ops.largest:
            enter((operation, *sorted({classes[a] for a in node[1:]})), i)
        elif operation is TABLE:
            continue
        elif operation is TAKE:
            table = nodes[node[2]][1:]
            mixed = {classes[a] for a in table}
            if len(mixed) > 1:
                for a in table:
                    terms[len(nodes)] = [a]
                    classes.append(0)
                    places.append(0)
                    enter((ops.total, *sorted(mixed)), len(nodes))
                    nodes.append((ops.total, a))
                table = tuple(range(len(nodes) - len(table), len(nodes)))
                nodes[node[2]] = (TABLE, *table)
            enter((TAKE, classes[node[1]], classes[table[0]], len(table)), i)
        else:
            enter((operation, *[classes[a] for a in node[1:]]), i)
    return found


def _enter_products(found: _Classes, node: Node, products: range) -> None:
    """Note the classes of a dot product's products."""
    count, of = len(products), found.of
    left, right = node[1 : 1 + count], node[1 + count : 1 + 2 * count]
    of_left, of_right = {of[a] for a in left}, {of[b] for b in right}
    if len(of_left) == len(of_right) == 1:
        found.enter_all((ops.multiply, *of_left, *of_right), products)
    else:
        for i, a, b in zip(products, left, right, strict=True):
            found.enter((ops.multiply, of[a], of[b]), i)


def _uses(nodes: Sequence[Node], inner: Sequence[int], outputs: Sequence[int]) -> list[int]:
    """Return how often the outputs, and nodes that they depend on, use each node.

    Here and below `inner` are the numbers of the nodes that were recorded and are no leaves.
    """
    uses = [0] * len(nodes)
    for i in outputs:
        uses[i] += 2  # so that an output is not taken for a partial sum with a single user
    for i in reversed(inner):
        if uses[i]:
            node = nodes[i]
            if node[0] is CONSTANT:
                continue
            if len(node) == 3:
                uses[node[1]] += 1
                uses[node[2]] += 1
            else:
                for a in node[1:]:
                    uses[a] += 1
    return uses


def _write_out_products(
    nodes: list[Node], inner: Sequence[int], uses: list[int]
) -> dict[int, range]:
    """Append a node for each product of each dot product, and return where they are."""
    products: dict[int, range] = {}
    for i in inner:
        if nodes[i][0] is not ops.dot or not uses[i]:
            continue
        node, first = nodes[i], len(nodes)
        count = len(node) // 2 - 1
        nodes.extend(zip(repeat(ops.multiply, count), node[1:], node[1 + count :], strict=False))
        products[i] = range(first, first + count)
    uses += [1] * (len(nodes) - len(uses))
    return products


def _flatten_sums(
    nodes: Sequence[Node], inner: Sequence[int], uses: list[int], products: Mapping[int, range]
) -> tuple[dict[int, list[int]], bytearray]:
    """Return the terms of each n-ary sum and a mark on the partial sums that vanish into one.

    A partial sum with a second user stays a number of its own. Two plain terms stay an addition,
    but `0 + x`, with which Python's sum() starts, is a sum, so that short rows are like long ones.
    """
    chains: dict[int, list[int]] = {}
    vanished = bytearray(len(nodes))
    add, total, dot = ops.add, ops.total, ops.dot
    for i in inner:
        if not uses[i]:
            continue
        node = nodes[i]
        operation = node[0]
        if operation is not add and operation is not total and operation is not dot:
            continue
        members: list[int] = []
        for a in node[-1:] if operation is dot else node[1:]:
            if uses[a] == 1 and a in chains:
                # The first chain's list is taken over, which keeps long chains linear.
                members = chains.pop(a) if not members else members + chains.pop(a)
                vanished[a] = 1
            else:
                members.append(a)
        if operation is dot:
            members += products[i]
        chains[i] = members
    zeros = {i for i in inner if nodes[i][0] is CONSTANT and nodes[i][1] == "0.0"}
    terms: dict[int, list[int]] = {}
    for i, members in chains.items():
        rest = [a for a in members if a not in zeros] if zeros else members
        node = nodes[i]
        plain = node[0] is add and len(members) == 2 and members == [node[1], node[2]]
        if len(rest) < len(members) or not plain:
            terms[i] = rest or members[:1]
    return terms, vanished


class _Maker:
    """Makes the group of each class, in order, whose operands' groups are there already."""

    def __init__(
        self,
        nodes: Sequence[Node],
        terms: Mapping[int, list[int]],
        classes: _Classes,
        leaves: Sequence[Leaf],
    ) -> None:
        self.nodes, self.terms, self.leaves = nodes, terms, leaves
        self.class_of, self.places = classes.of, classes.places
        self.groups: list[Group] = []
        self.few: dict[tuple[int, ...], Indices] = {}
        """Short index sequences: chains are made of groups with few elements, and share them."""

    def make(self, key: Key, members: list[int]) -> None:
        """Append the group of a class."""
        operation, operand_classes = key[0], key[1:]
        nodes, groups, places = self.nodes, self.groups, self.places
        of = [nodes[i] for i in members]
        made: Group
        if operation is ops.total or operation is ops.largest:
            runs = self.runs(members, operand_classes)
            batched = any(groups[c].batched for c in operand_classes)
            made = Sum(runs, batched) if operation is ops.total else Largest(runs, batched)
        elif operation.__class__ is Operation:
            batched, views, few = False, [], self.few
            for j, c in enumerate(operand_classes, 1):
                batched = batched or groups[c].batched
                if len(of) > 1:
                    positions = self.indices([places[node[j]] for node in of])
                else:  # in a chain most groups are of one element
                    key = (places[of[0][j]],)
                    positions = few[key] if key in few else self.indices([*key])
                views.append(View(c, positions))
            made = Elementwise(operation, tuple(views), batched)
        elif operation is LEAF:
            made = self.leaves[operand_classes[0]]  # all of it, whichever are used
        elif operation is CONSTANT:
            made = Constants(np.array([number_of(node[1]) for node in of], np.float64))
        elif operation is TAKE:
            index, source, rows = operand_classes
            chosen = View(index, self.indices([places[node[1]] for node in of]))
            table = self.indices([places[a] for node in of for a in nodes[node[2]][1:]])
            batched = groups[index].batched or groups[source].batched
            made = Take(chosen, source, table.reshape(-1, rows), batched)
        else:  # the total over a batch
            positions = self.indices([places[node[1]] for node in of])
            run = Runs(operand_classes[0], positions, np.arange(len(members) + 1))
            made = Sum((run,), batched=False)
        groups.append(made)

    def indices(self, numbers: list[int]) -> Indices:
        """Return an index sequence as an array."""
        if len(numbers) > _FEW:
            return np.array(numbers, np.int64)
        key = tuple(numbers)
        array = self.few.get(key)
        if array is None:
            array = self.few[key] = np.array(numbers, np.int64)
        return array

    def runs(self, members: Sequence[int], operand_classes: Sequence[int]) -> tuple[Runs, ...]:
        """Return the runs of the terms of each class."""
        nodes, class_of, places = self.nodes, self.class_of, self.places
        lists = [self.terms[i] if i in self.terms else nodes[i][1:] for i in members]
        if len(lists) <= _FEW:
            numbers: dict[int, list[int]] = {c: [] for c in operand_classes}
            offsets: dict[int, list[int]] = {c: [0] for c in operand_classes}
            for terms in lists:
                for a in terms:
                    numbers[class_of[a]].append(places[a])
                for c, ends in offsets.items():
                    ends.append(len(numbers[c]))
            return tuple(
                [Runs(c, self.indices(n), self.indices(offsets[c])) for c, n in numbers.items()]
            )
        lengths = np.array([len(x) for x in lists])
        flat = [a for x in lists for a in x]
        positions = self.indices([places[a] for a in flat])
        if len(operand_classes) == 1:
            return (Runs(operand_classes[0], positions, _offsets(lengths)),)
        of_class = np.array([class_of[a] for a in flat])
        rows = np.repeat(np.arange(len(lists)), lengths)
        runs = []
        for c in operand_classes:
            mine = of_class == c
            counts = np.bincount(rows[mine], minlength=len(lists))
            runs.append(Runs(c, positions[mine], _offsets(counts)))
        return tuple(runs)


def _offsets(lengths: Indices) -> Indices:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
