"""One step: a tape rolled up as if each of its scans had one step.

What a step reads of the state and of the sequences, and what is read of a scan outside of it, are
leaf groups of this program: of the state one for all its numbers, so that those that are alike
become one group. The numbers of a short step of arithmetic stay apart, each in a register: what it
reads is a leaf group each, and then no two of its numbers are alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from liftgrad import ops
from liftgrad.lift.ir.groups import Leaf
from liftgrad.lift.rolling.roll import roll
from liftgrad.lift.trace.nodes import CONSTANT, LEAF, TABLE, Node
from liftgrad.lift.trace.scans import FIRST_GROUP, OfArray, OfNodes, Scan
from liftgrad.lift.trace.tape import Tape

_SHORT = 128
"""The most nodes of a step that are kept apart."""
_FEW = 2
"""The most of them that are no arithmetic, which vectors compute more quickly together."""
_ARITHMETIC = {
    *(ops.add, ops.subtract, ops.multiply, ops.divide, ops.negate, ops.absolute),
    *(ops.select, ops.maximum, ops.minimum, ops.detach, ops.total, ops.dot),
}
_LONG = 50_000
"""Nodes of a tape in which no step's nodes are kept apart, since that takes time."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What a leaf group stands for that belongs to a scan; see `Meaning`.

    Of "state" and "last", the positions are those of the scan's numbers; "outside" is a node that
    is the same in all steps.
    """

    kind: Literal["state", "given", "last", "each", "total", "outside"]
    scan: int
    index: int
    batched: bool
    first: int = 0
    """The position of its first number among those of this kind."""


class OneStep:
    """A tape rolled up as if each scan had one step."""

    def __init__(self, tape: Tape, leaves: Sequence[Leaf], outputs: Sequence[int]) -> None:
        self.tape, self.leaves = tape, leaves
        self.short = {n for n, scan in tape.scans.items() if _is_short(scan, tape.nodes)}
        self.stand_ins: dict[Origin, Leaf] = {}
        nodes, ahead = self._nodes()
        every: dict[Any, Leaf] = {**dict(enumerate(leaves)), -1: leaves[-1], **self.stand_ins}
        read = {i for scan in tape.scans.values() for i in _read_of(scan)}
        self.rolled = roll(nodes, every, [ahead + i for i in (*outputs, *read)], origins=True)
        views = self.rolled.outputs
        self.outputs = views[: len(outputs)]
        self.view = dict(zip(read, views[len(outputs) :], strict=True))
        """Where the nodes are that scans read and make."""
        self.nodes = {g: i - ahead for g, i in self.rolled.origins.items() if i >= ahead}
        """A node of each group that is not of leaves."""
        origins = {id(leaf): origin for origin, leaf in self.stand_ins.items()}
        self.origin = {
            g: origins[id(group)]
            for g, group in enumerate(self.rolled.groups)
            if id(group) in origins
        }
        """What the leaf groups stand for that belong to scans."""

    def _nodes(self) -> tuple[list[Node], int]:
        """Return the tape's nodes, and how many others are ahead of them."""
        tape = self.tape
        ahead: list[Node] = []
        instead: dict[int, dict[int, int]] = {}
        for n in sorted(self.short):
            of_scan = instead[n] = {}
            for i in filter(self._is_number, tape.scans[n].outside):
                of_scan[i] = len(ahead)
                ahead.append(self._leaf(Origin("outside", n, i, tape.depends_on_batch(i)), 0))
        scan_of = {i: n for n in self.short for i in tape.scans[n].inside}
        nodes = list(ahead)
        for i, node in enumerate(tape.nodes):
            if node[0] is LEAF:
                nodes.append(self._of_scan(node) if node[1] >= FIRST_GROUP else node)
            elif not ahead or node[0] is CONSTANT:
                nodes.append(node)
            else:
                others = instead[scan_of[i]] if i in scan_of else {}
                nodes.append((node[0], *[others.get(a, len(ahead) + a) for a in node[1:]]))
        return nodes, len(ahead)

    def _is_number(self, i: int) -> bool:
        """Return whether a node is no table and no index, which stay what they are."""
        node = self.tape.nodes[i]
        if node[0] is LEAF and 0 <= node[1] < len(self.leaves):
            return self.leaves[node[1]].kind != "index"
        return node[0] is not TABLE

    def _of_scan(self, node: Node) -> Node:
        """Return what stands for a leaf node of a scan."""
        _, group, position = node
        meaning, batched = self.tape.meanings[group], group in self.tape.batched
        kind, n, index = meaning.kind, meaning.scan, meaning.index
        scan = self.tape.scans.get(n)
        if scan and kind in ("state", "last") and index in scan.numbers:
            position, index = scan.numbers[index], -1
        first = position if n in self.short and kind in ("state", "last", "given") else 0
        return self._leaf(Origin(kind, n, index, batched, first), position - first)

    def _leaf(self, origin: Origin, position: int) -> Node:
        if origin not in self.stand_ins:
            scan = self.tape.scans.get(origin.scan)
            source = scan.sequences[origin.index] if scan and origin.kind == "given" else None
            kind = self.leaves[source.group].kind if isinstance(source, OfArray) else "input"
            self.stand_ins[origin] = Leaf("", 0, kind, origin.batched)
        return (LEAF, origin, position)


def _read_of(scan: Scan) -> list[int]:
    """Return the nodes that a scan reads or makes."""
    listed = [
        i for s in scan.sequences if isinstance(s, OfNodes) for nodes in s.nodes for i in nodes
    ]
    return [*scan.initial, *scan.following, *scan.results, *scan.outside, *listed]


def _is_short(scan: Scan, nodes: Sequence[Node]) -> bool:
    """Return whether the numbers of a scan's step are to be kept apart."""
    if len(nodes) > _LONG or len(scan.inside) > _SHORT:
        return False
    operations = [nodes[i][0] for i in scan.inside if isinstance(nodes[i][0], ops.Operation)]
    quick = [o in _ARITHMETIC or o in ops.CONDITIONS or o.parameter is not None for o in operations]
    return quick.count(False) <= _FEW
