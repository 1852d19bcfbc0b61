"""Classes: which nodes of a tape are alike.

A node's class is its operation and its operands' classes. Nodes of one class cannot depend on each
other, so a class is a group. How many terms a sum has is no part of its class: rows of causal
attention, with 1, 2, 3, ... terms, are alike.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from liftgrad import ops
from liftgrad.lift.trace.nodes import CONSTANT, LEAF, TABLE, TAKE, Node
from liftgrad.ops import Operation

Key = tuple[Any, ...]
"""An operation and its operands' classes."""


class Classes:
    """Classes by number, in order of their first members: keys and members.

    Args:
        nodes: how many nodes there are.

    """

    def __init__(self, nodes: int) -> None:
        self.numbers: dict[Key, int] = {}
        self.members: list[list[int]] = []
        self.of = [0] * nodes
        """Each node's class."""
        self.positions = [0] * nodes
        """Each node's position in its class's group."""

    @property
    def keys(self) -> list[Key]:
        """The classes' keys."""
        return list(self.numbers)

    def enter(self, key: Key, i: int) -> None:
        """Make a node the next member of a class."""
        members = self.members
        c = self.of[i] = self.numbers.setdefault(key, len(members))
        if c == len(members):
            members.append([i])
        else:
            mine = members[c]
            self.positions[i] = len(mine)
            mine.append(i)

    def enter_all(self, key: Key, nodes: range) -> None:
        """Make neighbouring nodes the next members of a class."""
        members = self.members
        c = self.numbers.setdefault(key, len(members))
        if c == len(members):
            members.append([])
        mine = members[c]
        every = slice(nodes.start, nodes.stop)
        self.of[every] = [c] * len(nodes)
        self.positions[every] = range(len(mine), len(mine) + len(nodes))
        mine.extend(nodes)


def classify(
    nodes: list[Node],
    recorded: int,
    uses: Sequence[int],
    terms: dict[int, list[int]],
    vanished: bytearray,
    products: Mapping[int, range],
) -> Classes:
    """Return the classes of the nodes that are used.

    Tables whose elements are of several classes are replaced by tables of copies of them: sums of
    one term, which are of one class. The copies are appended to the nodes, and to the terms.

    Args:
        nodes: those recorded, then products.
        recorded: how many were recorded.
        uses: how often each node is used.
        terms: of each sum.
        vanished: marks the partial sums that vanished into one.
        products: of each dot product.

    """
    found = Classes(len(nodes))
    classes, positions, enter = found.of, found.positions, found.enter
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
            classes[i], positions[i] = of_leaves[node[1]], node[2]
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
                    positions.append(0)
                    enter((ops.total, *sorted(mixed)), len(nodes))
                    nodes.append((ops.total, a))
                table = tuple(range(len(nodes) - len(table), len(nodes)))
                nodes[node[2]] = (TABLE, *table)
            enter((TAKE, classes[node[1]], classes[table[0]], len(table)), i)
        else:
            enter((operation, *[classes[a] for a in node[1:]]), i)
    return found


def _enter_products(found: Classes, node: Node, products: range) -> None:
    """Make a dot product's products members of their classes."""
    count, of = len(products), found.of
    left, right = node[1 : 1 + count], node[1 + count : 1 + 2 * count]
    of_left, of_right = {of[a] for a in left}, {of[b] for b in right}
    if len(of_left) == len(of_right) == 1:
        found.enter_all((ops.multiply, *of_left, *of_right), products)
    else:
        for i, a, b in zip(products, left, right, strict=True):
            found.enter((ops.multiply, of[a], of[b]), i)
