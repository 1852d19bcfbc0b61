"""Sited tape: a tape that knows where in the program each node was recorded.

A site is the chain of calls that led to an operation (see `chains`). By which method an operator
was called, `__add__` or `__radd__`, is no matter.
"""

import sys
from collections.abc import Container, Sequence
from pathlib import Path
from types import CodeType

from liftgrad import entries, operators, variable
from liftgrad.lift.call.leaves import LeafGroup
from liftgrad.lift.trace.chains import Chains
from liftgrad.lift.trace.nodes import Node
from liftgrad.lift.trace.tape import Tape

_OPERATORS = frozenset(
    {
        operators.__file__,
        entries.__file__,
        variable.__file__,
        *map(str, Path(__file__).parent.glob("*.py")),
        *map(str, Path(__file__).parent.with_name("stand_ins").glob("*.py")),
    }
)
"""The files of the operators, which stand between an operation and the line that it is in."""

Place = tuple[CodeType, int]
"""A frame's code, and the offset of the instruction that it has come to."""


class SitedTape(Tape):
    """A tape that knows the site of each node, by a number."""

    def __init__(
        self, given: Sequence[LeafGroup], in_all_steps: Container[int] | None = None
    ) -> None:
        super().__init__(given, in_all_steps)
        self._sites: list[int] = []
        """The chain of each node."""
        self._adjoint_of: int | None = None
        """The chain of the operation whose adjoint is recorded."""
        self._chains = Chains(sys._getframe(1))

    def record(self, node: Node) -> int:
        """Return the index of a node, and keep the site of a new one."""
        nodes = self.nodes
        index = self.memo.setdefault(node, len(nodes))
        if index == len(nodes):
            nodes.append(node)
            frame = sys._getframe(2)  # that of whatever uses the tape is one of an operator
            while frame.f_code.co_filename in _OPERATORS:
                frame = frame.f_back  # type: ignore[assignment]
            site = self._chains.of(frame)
            if self._adjoint_of is not None:
                site = self._chains.pulled(site, self._adjoint_of)
            sites = self._sites
            if len(sites) < index:  # many leaves may have been added at once
                sites.extend([0] * (index - len(sites)))
            sites.append(site)
        return index

    def pulled(self, node: int) -> None:
        """Take notice that what is recorded next is for the adjoint of a node; -1: of none."""
        self._adjoint_of = None if node < 0 else self._sites[node]

    def places(self, node: int) -> Sequence[Place]:
        """Return the places of a node's chain of calls, innermost first; none of a derivative's."""
        if node >= len(self._sites):
            return ()
        calls = self._chains.calls[self._sites[node]]
        places = [(code, position) for code, position in calls[::-1] if code is not None]
        return places if len(places) == len(calls) else ()

    def alike(self, node: int) -> list[int]:
        """Return the nodes of a node's operation that were recorded at its site."""
        operation, sites = self.nodes[node][0], self._sites
        site = sites[node] if node < len(sites) else None
        return [
            i
            for i, (one, other) in enumerate(zip(self.nodes, sites, strict=False))
            if other == site and one[0] is operation
        ]

    @property
    def sites(self) -> list[int]:
        """The site at which each node was first recorded, when all have been.

        Sites are numbered in the order of the program.
        """
        self._chains.forget()
        ranks = self._chains.ranks()
        found = [ranks[chain] for chain in self._sites]
        return found + [0] * (len(self.nodes) - len(found))
