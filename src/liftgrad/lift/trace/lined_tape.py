"""Lined tape: a tape that knows where in the user's code each operation comes from."""

from collections.abc import Sequence

from liftgrad.lift.call.leaves import LeafGroup
from liftgrad.lift.trace.tape import Node, Tape
from liftgrad.lift.user_code import user_line


class LinedTape(Tape):
    """A tape that knows where in the user's code each node was recorded first."""

    def __init__(self, given: Sequence[LeafGroup]) -> None:
        super().__init__(given)
        self.lines: list[str] = []

    def record(self, node: Node) -> int:
        """Return the node's number, and note the line of a new one."""
        index = super().record(node)
        if len(self.lines) < len(self.nodes):  # leaves are recorded many at a time
            self.lines += [user_line()] * (len(self.nodes) - len(self.lines))
        return index
