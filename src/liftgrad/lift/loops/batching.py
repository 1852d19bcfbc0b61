"""Batching: which of a tape's nodes, and hence which classes of them, are arrays over a batch."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from liftgrad.lift.ir.groups import Leaf
from liftgrad.lift.trace.nodes import BATCH_TOTAL, CONSTANT, LEAF, Node

_FEW = 4
"""How many times as many nodes make those that are left a recurrence's beginning."""


def batched_nodes(nodes: Sequence[Node], leaves: Sequence[Leaf]) -> bytearray:
    """Return which nodes have a number for each sample."""
    batched = bytearray(len(nodes))
    if any(leaf.batched for leaf in leaves):
        for i, node in enumerate(nodes):
            if node[0] is LEAF:
                batched[i] = leaves[node[1]].batched
            elif node[0] is not CONSTANT and node[0] is not BATCH_TOTAL:
                batched[i] = any(map(batched.__getitem__, node[1:]))
    return batched


def batch_beginnings(
    nodes: Sequence[Node],
    sites: Sequence[int],
    outputs: Sequence[int],
    products: Mapping[int, range],
    batched: bytearray,
) -> None:
    """Take the first steps of a recurrence for batched if the others are.

    They may compute with initial numbers that are the same for all samples. So do nodes of which
    there are many more at the same place that are batched, if all that reads them is batched.
    """
    kinds = [(node[0], site) for node, site in zip(nodes, sites, strict=True)]
    shares: dict[Any, list[int]] = defaultdict(lambda: [0, 0])
    for i, kind in enumerate(kinds):
        shares[kind][batched[i]] += 1
        for p in products.get(i, ()):
            shares[sites[i]][batched[p]] += 1
    beginnings = {kind for kind, (plain, many) in shares.items() if _FEW * plain <= many}
    read_plainly = bytearray(len(nodes))
    for i in outputs:
        read_plainly[i] = 1
    for i in range(len(nodes) - 1, -1, -1):
        node = nodes[i]
        if node[0] is LEAF or node[0] is CONSTANT:
            continue
        if not batched[i]:
            if kinds[i] in beginnings and not read_plainly[i]:
                batched[i] = 1
            else:
                for a in node[1:]:
                    read_plainly[a] = 1
        if batched[i] and sites[i] in beginnings:
            for p in products.get(i, ()):
                batched[p] = 1
