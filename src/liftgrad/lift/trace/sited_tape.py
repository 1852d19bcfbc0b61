"""Sited tape: a tape that knows where in the program each node was recorded.

A site is the chain of calls that led to an operation: for each of them the code and the position in
it. A place that comes again within a chain counts once, so that all depths of a recursion are one.
By which method an operator was called, `__add__` or `__radd__`, is no matter.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from liftgrad import operators
from liftgrad.lift.call.leaves import LeafGroup
from liftgrad.lift.trace.nodes import Node
from liftgrad.lift.trace.tape import Tape

_OPERATORS = (operators.__file__, str(Path(__file__).parent.with_name("stand_ins")))
"""The files of the operators, which stand between an operation and the line that it is in."""
Chain = tuple[tuple[int, int], ...]


class SitedTape(Tape):
    """A tape that knows the site of each node, by a number."""

    def __init__(self, given: Sequence[LeafGroup]) -> None:
        super().__init__(given)
        self.sites: list[int] = []
        """The site at which each node was first recorded."""
        self._root = sys._getframe(1)
        self._adjoint_of = (-1, 0)
        """The site of the operation whose adjoint is recorded."""
        self._number: dict[Chain, int] = {}

    def record(self, node: Node) -> int:
        """Return the index of a node, and keep the site of a new one."""
        nodes, sites = self.nodes, self.sites
        index = self.memo.setdefault(node, len(nodes))
        if index == len(nodes):
            nodes.append(node)
            new = index + 1 - len(sites)  # many leaves may have been added at once
            sites.extend([self._site()] * new if new > 1 else (self._site(),))
        return index

    def pulled(self, node: int) -> None:
        """Take notice that what is recorded next is for the adjoint of a node; -1: of none."""
        self._adjoint_of = -1, (-1 if node < 0 else self.sites[node])

    def _site(self) -> int:
        frame, root = sys._getframe(2), self._root
        while frame.f_code.co_filename.startswith(_OPERATORS):
            frame = frame.f_back  # type: ignore[assignment]
        chain = [self._adjoint_of]
        while frame is not None and frame is not root:
            chain.append((id(frame.f_code), frame.f_lasti))
            frame = frame.f_back  # type: ignore[assignment]
        key = tuple(chain)
        number = self._number.get(key)
        if number is None:
            folded = tuple(dict.fromkeys(chain))
            number = self._number.setdefault(folded, len(self._number))
            self._number[key] = number
        return number
