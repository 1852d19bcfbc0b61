"""Lined tape: a tape that knows the line of the user's code for each node."""

from collections.abc import Sequence

from liftgrad.lift.call.leaves import LeafGroup
from liftgrad.lift.trace.nodes import Node
from liftgrad.lift.trace.sited_tape import SitedTape
from liftgrad.lift.user_code import user_line


class LinedTape(SitedTape):
    """A tape that knows where in the user's code each node was first recorded."""

    def __init__(self, given: Sequence[LeafGroup]) -> None:
        super().__init__(given)
        self.lines: list[str] = []

    def record(self, node: Node) -> int:
        """Return the index of a node, and keep the line of a new one."""
        index = super().record(node)
        if len(self.lines) < len(self.nodes):  # many leaves may have been added at once
            self.lines += [user_line()] * (len(self.nodes) - len(self.lines))
        return index

    def iteration(self, node: int) -> tuple[int, int]:
        """Return which of the nodes of its operation and site a node is, from 1, and of how many.

        Nodes that are equal are one: an iteration that computes nothing new does not count.
        """
        alike = self.alike(node)
        return alike.index(node) + 1, len(alike)
