"""Lined tape: a tape that knows the line of the user's code for each node."""

from collections.abc import Sequence

from liftgrad.lift.call.leaves import LeafGroup
from liftgrad.lift.trace.nodes import Node
from liftgrad.lift.trace.tape import Tape
from liftgrad.lift.user_code import user_line


class LinedTape(Tape):
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
