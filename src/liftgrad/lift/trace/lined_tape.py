"""Lined tape: a tape that knows the line of the user's code for each node."""

import sys
from collections.abc import Hashable, Sequence

from liftgrad.lift.call.leaves import LeafGroup
from liftgrad.lift.trace.nodes import Node
from liftgrad.lift.trace.tape import Tape
from liftgrad.lift.user_code import frames, user_line


class LinedTape(Tape):
    """A tape that knows where in the user's code each node was first recorded."""

    def __init__(self, given: Sequence[LeafGroup]) -> None:
        super().__init__(given)
        self.lines: list[str] = []
        self.places: list[Hashable] = []
        """What nodes of one operation have in common that one instruction of the code recorded,
        called from the same instructions: where the code runs in a loop there are many of them."""

    def record(self, node: Node) -> int:
        """Return the index of a node, and keep the line of a new one."""
        index = super().record(node)
        new = len(self.nodes) - len(self.lines)  # many leaves may have been added at once
        if new:
            self.lines += [user_line()] * new
            called = ((id(frame.f_code), frame.f_lasti) for frame in frames(sys._getframe(1)))
            self.places += [(id(node[0]), *called)] * new
        return index

    def iteration(self, node: int) -> tuple[int, int]:
        """Return which of the nodes of its place a node is, counted from 1, and of how many.

        Nodes that are equal are one: an iteration that computes nothing new does not count.
        """
        place = self.places[node]
        return self.places[: node + 1].count(place), self.places.count(place)
