"""Sums: a tape's chains of additions, and its dot products, as sums of any number of terms.

Throughout, `inner` lists the indices of the recorded nodes that are not leaves.
"""

from collections.abc import Mapping, Sequence
from itertools import repeat

from liftgrad import ops
from liftgrad.lift.trace.nodes import CONSTANT, Node


def count_uses(nodes: Sequence[Node], inner: Sequence[int], outputs: Sequence[int]) -> list[int]:
    """Return how often each node is used by the outputs and the nodes that they depend on."""
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


def write_out_products(
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


def flatten_sums(
    nodes: Sequence[Node],
    inner: Sequence[int],
    uses: list[int],
    products: Mapping[int, range],
    *,
    keep_zeros: bool = False,
) -> tuple[dict[int, list[int]], bytearray]:
    """Return the terms of each n-ary sum and a mark on the partial sums that vanish into one.

    A partial sum with a second user stays a number of its own. Two plain terms stay an addition,
    but `0 + x`, with which Python's sum() starts, is a sum, so that short rows are like long ones.
    Zeros are no terms, unless they are to be kept.
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
            terms[i] = members if keep_zeros else rest or members[:1]
    return terms, vanished
