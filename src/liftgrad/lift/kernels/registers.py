"""Registers: which numbers in memory a kernel of a loop over time knows, so that it need not load.

A place is named by the step: `time · t + offset`. What step t stores at offset k is found by step
t + 1 at offset k - time, whose registers are carried over the end of the step.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple


class Place(NamedTuple):
    """Neighbours in a buffer at a position that is known but for the step."""

    buffer: int
    time: int
    """How far it moves from one step to the next."""
    offset: int
    """The position of the first at step 0."""
    numbers: int = 1
    """How many there are."""
    stride: int = 1
    """How far apart they are."""
    lanes: int = 1
    """The lanes of the vector that they are the first of; 1: there is one number, no vector."""
    sample: int = 0
    """Which of the samples of a block is the first of a vector of them."""

    def later(self, steps: int) -> "Place":
        """Return what names the same memory some steps later."""
        return self._replace(offset=self.offset - self.time * steps)

    def offsets(self) -> list[int]:
        """Return the position of each number at step 0."""
        return [self.offset + i * self.stride for i in range(self.numbers)]

    def elements(self) -> list["Place"]:
        """Return the places of the single numbers."""
        return [self._replace(offset=x, numbers=1, stride=1, lanes=1) for x in self.offsets()]

    def at(self, sample: int) -> "Place":
        """Return the same place for other samples of a block."""
        return self._replace(sample=sample)


@dataclass(slots=True)
class _Memory:
    """What is known of one buffer."""

    values: dict[Place, str] = field(default_factory=dict)
    """The numbers at places, as the text that stands for them."""
    elements: dict[Place, tuple[Place, int]] = field(default_factory=dict)
    """The place that has a number, and which of its numbers that is."""
    stored: set[Place] = field(default_factory=set)
    """The numbers that the step has stored."""
    clobbered: bool = False
    """Whether the step has stored where nobody knows."""

    def forget(self, place: Place) -> None:
        """Forget a place."""
        del self.values[place]
        for element in place.elements():
            self.elements.pop(element, None)

    def set(self, place: Place, value: str) -> None:
        """Note what is at a place, and forget what was there."""
        elements = place.elements()
        for other in {self.elements[x][0] for x in elements if x in self.elements}:
            self.forget(other)
        # Where places move differently, nobody knows when they meet.
        for other in [x for x in self.values if x.time != place.time]:
            self.forget(other)
        self.values[place] = value
        for i, element in enumerate(elements):
            self.elements[element] = place, i


@dataclass(slots=True)
class Registers:
    """What is known of memory, while the nests of a step are written one after another."""

    memory: dict[int, _Memory] = field(default_factory=dict)
    """By buffer what is known of it."""
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
    sometimes: bool = False
    """Whether it runs in some steps only, so that what it reads may not be there in others."""

    @property
    def clobbered(self) -> bool:
        """Whether the step has stored anywhere where nobody knows."""
        return any(memory.clobbered for memory in self.memory.values())

    def of(self, buffer: int) -> _Memory:
        """Return what is known of a buffer."""
        return self.memory.setdefault(buffer, _Memory())

    def find(self, place: Place) -> list[tuple[Place, int]] | None:
        """Return places that are known and have the numbers at another, and which each of them.

        It is the same place, or one for each number. None: not all are known.
        """
        memory = self.of(place.buffer)
        if place in memory.values:
            return [(place, 0)]
        found = [memory.elements.get(element) for element in place.elements()]
        return [x for x in found if x is not None] if all(found) else None

    def set(self, place: Place, value: str) -> None:
        """Note what is at a place when the step begins."""
        self.of(place.buffer).set(place, value)

    def later(self, steps: int) -> dict[Place, str]:
        """Return what is known, with its places as they are named some steps later."""
        return {place.later(steps): value for place, value in self._values()}

    def _values(self) -> Iterator[tuple[Place, str]]:
        for memory in self.memory.values():
            yield from memory.values.items()

    def writes(self, buffer: int) -> bool:
        """Return whether the step has written to a buffer."""
        memory = self.of(buffer)
        return memory.clobbered or bool(memory.stored)

    def changes(self, place: Place) -> bool:
        """Return whether the step may have changed what is at a place."""
        memory = self.of(place.buffer)
        return (
            memory.clobbered
            or any(element in memory.stored for element in place.elements())
            or any(stored.time != place.time for stored in memory.stored)
        )

    def miss(self, buffer: int, place: Place | None) -> None:
        """Note that a buffer has to be read in memory, at this place if that is known."""
        self.from_memory.add(buffer)
        if place is not None and not self.sometimes and not self.changes(place):
            self.exposed[place] = None

    def clobber(self, buffer: int) -> None:
        """Forget a buffer, which is written where nobody knows."""
        memory = self.of(buffer)
        memory.values.clear()
        memory.elements.clear()
        memory.clobbered = True

    def store(self, buffer: int, place: Place | None, value: str) -> bool:
        """Note what is stored; return whether it has to be."""
        if place is None or self.looping:
            self.clobber(buffer)
            return True
        memory = self.of(buffer)
        memory.set(place, value)
        memory.stored.update(place.elements())
        self.stored[place] = None
        return buffer not in self.unused
