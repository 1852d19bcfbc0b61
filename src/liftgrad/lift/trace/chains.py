"""Chains of calls: where in a program an operation is, and what comes before what there.

A chain says for each of the calls that led to an operation the code and the position in it. A
function that calls itself counts once, with the place that it came to last, and so does a place
that comes again further in: all depths of a recursion are one.
"""

import dis
from functools import cmp_to_key
from types import CodeType, FrameType

from liftgrad import derivatives

_PRECALL = dis.opmap.get("PRECALL")
"""In Python 3.11 the instruction before a call's, which makes the call once it is specialised."""
_PRECALL_SIZE = 4
_PULLS = derivatives.adjoints_of.__code__
"""What pulls one operation after the other."""
Call = tuple[CodeType | None, int]
"""A code and the position in it; before the calls of a derivative, None and a chain."""
_NOWHERE = 0
"""The chain of no calls."""


class Chains:
    """Chains by number.

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
        self.codes: dict[CodeType | None, int] = {}
        """Codes by number, in the order in which they were met."""
        self.longer: dict[tuple[int, int, int], int] = {}
        """The chain that a call makes of a chain; the call as its code's identity and a position,
        because to hash a code takes long."""
        self.adjoints: dict[tuple[int, int], int] = {}
        """The chain that the adjoint of another chain's operation makes of a chain."""
        self.alive: list[CodeType] = []
        """All codes that were met, so that their identities are not taken by others."""
        self.position = -1
        """Where the caller of the last frame was."""

    def of(self, frame: FrameType) -> int:
        """Return the chain that has come to the present position in a frame."""
        frames, before = self.frames, self.before
        caller = frame.f_back
        if len(frames) > 1 and caller is frames[-2]:
            frames[-1] = frame
        elif frames and caller is frames[-1]:
            frames.append(frame)
            before.append(_NOWHERE)
            self.position = -1
        elif len(frames) > 2 and caller is frames[-3]:
            frames.pop()
            before.pop()
            frames[-1] = frame
            self.position = -1
        else:
            return self.follow(frame)
        if caller.f_lasti != self.position:
            self.position = caller.f_lasti
            before[-1] = self.entered(before[-2], caller.f_code, self.position)
        chain = self.longer.get((before[-1], id(frame.f_code), frame.f_lasti))
        return self.entered(before[-1], frame.f_code, frame.f_lasti) if chain is None else chain

    def follow(self, frame: FrameType) -> int:
        """Return the chain of a frame, whose callers are looked at one after the other."""
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
        self.position = frames[-2].f_lasti if len(frames) > 1 else -1
        return chain

    def forget(self) -> None:
        """Let go of the frames, and with them of all that their variables hold."""
        self.frames.clear()
        self.before.clear()

    def entered(self, chain: int, code: CodeType, position: int) -> int:
        """Return the chain that a call makes of a chain."""
        key = chain, id(code), position
        number = self.longer.get(key)
        if number is None:
            calls = self.calls[chain]
            if code.co_code[position] == _PRECALL:
                position += _PRECALL_SIZE
            call = code, position
            if call in calls:
                calls = calls[: calls.index(call)]
            elif calls and calls[-1][0] is code:
                calls = calls[:-1]
            self.codes.setdefault(code, len(self.codes))
            self.alive.append(code)
            number = self.longer[key] = self.number((*calls, call))
        return number

    def pulled(self, chain: int, primal: int) -> int:
        """Return the chain of an operation in the adjoint of that of another chain."""
        key = chain, primal
        number = self.adjoints.get(key)
        if number is None:
            calls = self.calls[chain]
            at = max((i for i, (code, _) in enumerate(calls) if code is _PULLS), default=len(calls))
            number = self.adjoints[key] = self.number((*calls[:at], (None, primal), *calls[at:]))
        return number

    def number(self, calls: tuple[Call, ...]) -> int:
        """Return the number of the chain of some calls."""
        number = self.numbers.setdefault(calls, len(self.calls))
        if number == len(self.calls):
            self.calls.append(calls)
        return number

    def ranks(self) -> list[int]:
        """Return the place of each chain in the order of the program.

        What comes earlier in a function's code is before what comes later, the operations within a
        call before the one that makes it, and adjoints go backwards, behind all else. For the body
        of a loop that is the order in which it runs, whichever of its operations the first
        iteration had.
        """
        self.codes[None] = len(self.codes)
        ordered = sorted(range(len(self.calls)), key=cmp_to_key(self.compared))
        ranks = [0] * len(ordered)
        for rank, chain in enumerate(ordered):
            ranks[chain] = rank
        return ranks

    def compared(self, a: int, b: int) -> int:
        """Return a negative number if a chain is before another, a positive one if it is after."""
        one, other = self.calls[a], self.calls[b]
        for (code, position), (other_code, other_position) in zip(one, other, strict=False):
            if code is not other_code:
                return self.codes[code] - self.codes[other_code]
            if position != other_position:
                if code is None:
                    return self.compared(other_position, position)
                return position - other_position
        return len(other) - len(one)
