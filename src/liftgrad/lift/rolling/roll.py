"""Roll: from a tape of single operations to groups of operations that are alike.

Chains of additions whose partial sums have no other user become one sum (`sums`), nodes that are
alike are a class (`classes`), and each class is a group.

Invariant: a group's operands are in earlier groups, and the program computes each of the tape's
outputs by the operations that were recorded; only how sums are grouped may differ.
"""

from collections.abc import Mapping, Sequence
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
from liftgrad.lift.rolling.classes import Classes, Key, classify
from liftgrad.lift.rolling.sums import count_uses, flatten_sums, write_out_products
from liftgrad.lift.trace.nodes import CONSTANT, LEAF, TAKE, Node, number_of
from liftgrad.ops import Operation

_FEW = 8
"""The most elements of which a list of Python's takes less time than an array."""


def roll(
    nodes: Sequence[Node],
    leaves: Sequence[Leaf] | Mapping[Any, Leaf],
    outputs: Sequence[int],
    *,
    origins: bool = False,
) -> Rolled:
    """Return a tape as groups.

    Args:
        nodes: the tape's.
        leaves: the leaf groups that its leaf nodes are elements of, by what those call them.
        outputs: numbers of the nodes that are results.
        origins: whether to tell the groups' origins, which takes time.

    The squares of two parameters, and their sum:

    >>> from liftgrad.lift.ir.text import text_of_groups
    >>> leaf, squares = [(LEAF, 0, 0), (LEAF, 0, 1)], [(ops.multiply, 0, 0), (ops.multiply, 1, 1)]
    >>> nodes = [*leaf, *squares, (ops.add, 2, 3)]
    >>> print(text_of_groups(roll(nodes, [Leaf("p", 2, "parameter")], outputs=[4])))
    p = parameter[2]
    t1[2] = multiply(p[0 1], p[0 1])
    t2[1] = add(t1[0], t1[1])
    return t2[0]

    """
    nodes = list(nodes)
    recorded = len(nodes)
    inner = [i for i, node in enumerate(nodes) if node[0] is not LEAF]
    uses = count_uses(nodes, inner, outputs)
    products = write_out_products(nodes, inner, uses)
    terms, vanished = flatten_sums(nodes, inner, uses, products)
    classes = classify(nodes, recorded, uses, terms, vanished, products)
    maker = _Maker(nodes, terms, classes, leaves)
    for key, members in zip(classes.keys, classes.members, strict=True):
        maker.make(key, members)
    results = [View(classes.of[i], np.array([classes.positions[i]])) for i in outputs]
    first = {g: members[0] for g, members in enumerate(classes.members)} if origins else {}
    told = {g: i for g, i in first.items() if i < recorded and nodes[i][0] not in (LEAF, CONSTANT)}
    return Rolled(tuple(maker.groups), tuple(results), origins=told)


class _Maker:
    """Makes the group of each class; operands' classes come before those that they are used in."""

    def __init__(
        self,
        nodes: Sequence[Node],
        terms: Mapping[int, list[int]],
        classes: Classes,
        leaves: Sequence[Leaf] | Mapping[Any, Leaf],
    ) -> None:
        self.nodes, self.terms, self.leaves = nodes, terms, leaves
        self.class_of, self.positions = classes.of, classes.positions
        self.groups: list[Group] = []
        self.few: dict[tuple[int, ...], Indices] = {}
        """Short index sequences: chains are made of groups with few elements, and share them."""

    def make(self, key: Key, members: list[int]) -> None:
        """Append the group of a class."""
        operation, operand_classes = key[0], key[1:]
        nodes, groups, position_of = self.nodes, self.groups, self.positions
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
                    positions = self.indices([position_of[node[j]] for node in of])
                else:  # in a chain most groups are of one element
                    key = (position_of[of[0][j]],)
                    positions = few[key] if key in few else self.indices([*key])
                views.append(View(c, positions))
            made = Elementwise(operation, tuple(views), batched)
        elif operation is LEAF:
            made = self.leaves[operand_classes[0]]  # all of it, whichever are used
        elif operation is CONSTANT:
            made = Constants(np.array([number_of(node[1]) for node in of], np.float64))
        elif operation is TAKE:
            index, source, rows = operand_classes
            chosen = View(index, self.indices([position_of[node[1]] for node in of]))
            table = self.indices([position_of[a] for node in of for a in nodes[node[2]][1:]])
            batched = groups[index].batched or groups[source].batched
            made = Take(chosen, source, table.reshape(-1, rows), batched)
        else:  # the total over a batch
            positions = self.indices([position_of[node[1]] for node in of])
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
        nodes, class_of, position_of = self.nodes, self.class_of, self.positions
        lists = [self.terms[i] if i in self.terms else nodes[i][1:] for i in members]
        if len(lists) <= _FEW:
            numbers: dict[int, list[int]] = {c: [] for c in operand_classes}
            offsets: dict[int, list[int]] = {c: [0] for c in operand_classes}
            for terms in lists:
                for a in terms:
                    numbers[class_of[a]].append(position_of[a])
                for c, ends in offsets.items():
                    ends.append(len(numbers[c]))
            return tuple(
                [Runs(c, self.indices(n), self.indices(offsets[c])) for c, n in numbers.items()]
            )
        lengths = np.array([len(x) for x in lists])
        flat = [a for x in lists for a in x]
        positions = self.indices([position_of[a] for a in flat])
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
