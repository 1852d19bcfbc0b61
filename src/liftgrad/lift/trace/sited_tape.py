"""Sited tape: a tape that knows where in the program each node was recorded.

A site is the chain of calls that led to an operation: for each of them the code and the position in
it. By which method an operator was called, `__add__` or `__radd__`, is no matter. A function that
calls itself counts once, with the place that it came to last, and so does a place that comes again
further in: all depths of a recursion are one.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, FrameType

from liftgrad import entries, operators
from liftgrad.lift.call.leaves import LeafGroup
from liftgrad.lift.trace.nodes import Node
from liftgrad.lift.trace.tape import Tape

_OPERATORS = frozenset(
    {
        operators.__file__,
        entries.__file__,
        *map(str, Path(__file__).parent.with_name("stand_ins").glob("*.py")),
    }
)
"""The files of the operators, which stand between an operation and the line that it is in."""
_NOWHERE = 0
"""The chain of no calls."""
Call = tuple[CodeType | None, int]
"""A code and the position in it; for what is recorded of a derivative, None and a site."""


class SitedTape(Tape):
    """A tape that knows the site of each node, by a number."""

    def __init__(self, given: Sequence[LeafGroup]) -> None:
        super().__init__(given)
        self._sites: list[int] = []
        self._adjoint_of: int | None = None
        """The site of the operation whose adjoint is recorded."""
        self._chains = _Chains(sys._getframe(1))

    def record(self, node: Node) -> int:
        """Return the index of a node, and keep the site of a new one."""
        nodes = self.nodes
        index = self.memo.setdefault(node, len(nodes))
        if index == len(nodes):
            nodes.append(node)
            frame = sys._getframe(1)
            while frame.f_code.co_filename in _OPERATORS:
                frame = frame.f_back  # type: ignore[assignment]
            site = self._chains.of(frame)
            if self._adjoint_of is not None:
                site = self._chains.entered(site, None, self._adjoint_of)
            sites = self._sites
            if len(sites) < index:  # many leaves may have been added at once
                sites.extend([_NOWHERE] * (index - len(sites)))
            sites.append(site)
        return index

    def pulled(self, node: int) -> None:
        """Take notice that what is recorded next is for the adjoint of a node; -1: of none."""
        self._adjoint_of = None if node < 0 else self._sites[node]

    @property
    def sites(self) -> list[int]:
        """Return the site at which each node was first recorded, when all have been."""
        self._chains.forget()
        return self._sites + [_NOWHERE] * (len(self.nodes) - len(self._sites))


class _Chains:
    """Chains of calls, by number.

    Most operations are in the same call as the one before, in one that its caller makes, or in the
    caller. So the frames that led to the last operation are kept, and those that are still the same
    need not be looked at again.

    Args:
        root: the frame that the chains begin within.

    """

    def __init__(self, root: FrameType) -> None:
        self.root = root
        self.frames: list[FrameType] = []
        """Those of the last operation, outermost first."""
        self.before: list[int] = []
        """For each of these frames the chain that led to it."""
        self.calls: list[tuple[Call, ...]] = [()]
        """The calls of each chain."""
        self.numbers: dict[tuple[Call, ...], int] = {(): _NOWHERE}
        self.longer: dict[tuple[int, CodeType | None, int], int] = {}
        """The chain that a call makes of a chain."""

    def of(self, frame: FrameType) -> int:
        """Return the chain that has come to the present position in a frame."""
        frames, before = self.frames, self.before
        caller = frame.f_back
        if len(frames) > 1 and caller is frames[-2]:
            # A generator may have been resumed from elsewhere in its caller: that counts anew.
            frames[-1] = frame
            before[-1] = self.entered(before[-2], caller.f_code, caller.f_lasti)
        elif frames and caller is frames[-1]:
            frames.append(frame)
            before.append(self.entered(before[-1], caller.f_code, caller.f_lasti))
        elif len(frames) > 2 and caller is frames[-3]:
            frames.pop()
            before.pop()
            frames[-1] = frame
            before[-1] = self.entered(before[-2], caller.f_code, caller.f_lasti)
        else:
            self.follow(frame)
        return self.entered(before[-1], frame.f_code, frame.f_lasti)

    def follow(self, frame: FrameType) -> None:
        """Take notice of all the frames that led to an operation."""
        frames, before = self.frames, self.before
        frames.clear()
        before.clear()
        outer: FrameType | None = frame
        while outer is not None and outer is not self.root:
            frames.append(outer)
            outer = outer.f_back
        frames.reverse()
        chain = _NOWHERE
        for one in frames:
            before.append(chain)
            chain = self.entered(chain, one.f_code, one.f_lasti)

    def entered(self, chain: int, code: CodeType | None, position: int) -> int:
        """Return the chain that a call makes of a chain."""
        key = chain, code, position
        number = self.longer.get(key)
        if number is None:
            calls, call = self.calls[chain], (code, position)
            if call in calls:
                calls = calls[: calls.index(call)]
            elif calls and code is not None and calls[-1][0] is code:
                calls = calls[:-1]
            calls = (*calls, call)
            number = self.numbers.setdefault(calls, len(self.calls))
            if number == len(self.calls):
                self.calls.append(calls)
            self.longer[key] = number
        return number

    def forget(self) -> None:
        """Let go of the frames, and with them of all that their variables hold."""
        self.frames.clear()
        self.before.clear()
