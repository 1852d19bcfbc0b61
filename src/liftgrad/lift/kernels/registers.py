"""Registers: which numbers in memory a kernel of a loop over time knows, so that it need not load.

A place is named by the step: `time · t + offset`. What step t stores at offset k is found by step
t + 1 at offset k - time, whose registers are carried over the end of the step.
"""

from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Place:
    """Neighbours in a buffer at a position that is known but for the step."""

    buffer: int
    time: int
    """How far it moves from one step to the next."""
    offset: int
    """The position of the first at step 0."""
    count: int = 1
    """How many there are."""
    stride: int = 1
    """How far apart they are."""
    lanes: int = 1
    """The lanes of the vector that they are the first of; 1: there is one number, no vector."""

    def later(self, steps: int) -> "Place":
        """Return what names the same memory some steps later."""
        return replace(self, offset=self.offset - self.time * steps)

    def range(self) -> tuple[int, int]:
        """Return the first position at step 0 and the one behind the last."""
        last = self.stride * (self.count - 1)
        return self.offset + min(0, last), self.offset + max(0, last) + 1

    def meets(self, other: "Place") -> bool:
        """Return whether another place of the buffer may share memory with this one."""
        first, stop = self.range()
        others_first, others_stop = other.range()
        return self.time != other.time or (first < others_stop and others_first < stop)

    def elements(self) -> list["Place"]:
        """Return the places of the single numbers."""
        return [
            Place(self.buffer, self.time, self.offset + i * self.stride) for i in range(self.count)
        ]


@dataclass(slots=True)
class Registers:
    """What is known of memory, while the nests of a step are written one after another."""

    known: dict[int, dict[Place, str]] = field(default_factory=dict)
    """By buffer the numbers at places, as the text that stands for them."""
    clobbered: set[int] = field(default_factory=set)
    """Buffers that were written in this step where nobody knows."""
    exposed: dict[Place, None] = field(default_factory=dict)
    """The places that were read before the step wrote there, in order."""
    stored: dict[Place, None] = field(default_factory=dict)
    """The places that were written."""
    from_memory: set[int] = field(default_factory=set)
    """Buffers that were read in memory."""
    unused: frozenset[int] = frozenset()
    """Buffers that nobody reads in memory: stores there are left out."""
    looping: bool = False
    """Whether what is written runs many times or never, so that what it stores is not known."""

    def find(self, place: Place) -> list[tuple[Place, int]] | None:
        """Return places that are known and have the numbers at another, and which each of them.

        It is the same place, or one for each number. None: not all are known.
        """
        known = self.known.get(place.buffer)
        if not known:
            return None
        if place in known:
            return [(place, 0)]
        having = {
            element: (other, i) for other in known for i, element in enumerate(other.elements())
        }
        found = [having.get(element) for element in place.elements()]
        return [x for x in found if x is not None] if all(found) else None

    def set(self, place: Place, value: str) -> None:
        """Note what is at a place."""
        self.known.setdefault(place.buffer, {})[place] = value

    def later(self, steps: int) -> dict[Place, str]:
        """Return what is known, with its places as they are named some steps later."""
        return {
            place.later(steps): value
            for known in self.known.values()
            for place, value in known.items()
        }

    def writes(self, buffer: int) -> bool:
        """Return whether the step has written to a buffer."""
        return buffer in self.clobbered or any(x.buffer == buffer for x in self.stored)

    def changes(self, place: Place) -> bool:
        """Return whether the step may have changed what is at a place."""
        return place.buffer in self.clobbered or any(
            x.buffer == place.buffer and x.meets(place) for x in self.stored
        )

    def miss(self, buffer: int, place: Place | None) -> None:
        """Note that a buffer has to be read in memory, at this place if that is known."""
        self.from_memory.add(buffer)
        if place is not None and not self.changes(place):
            self.exposed[place] = None

    def clobber(self, buffer: int) -> None:
        """Forget a buffer, which is written where nobody knows."""
        self.known.pop(buffer, None)
        self.clobbered.add(buffer)

    def store(self, buffer: int, place: Place | None, value: str) -> bool:
        """Note what is stored; return whether it has to be."""
        if place is None or self.looping:
            self.clobber(buffer)
            return True
        known = self.known.setdefault(buffer, {})
        for other in [other for other in known if place.meets(other)]:
            del known[other]
        known[place] = value
        self.stored[place] = None
        return buffer not in self.unused
