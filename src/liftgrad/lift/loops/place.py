"""Place: what was recorded at one site, a class of a tape's nodes, and what its members read."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad.lift.ir.groups import Indices


def distinct(classes: Indices) -> list[int]:
    """Return the classes that occur, in order; quicker than `np.unique`, because they are few."""
    found: list[int] = np.flatnonzero(np.bincount(classes)).tolist()
    return found


@dataclass(slots=True, eq=False)
class Operands:
    """What the members of a class read: for each of them a run of nodes."""

    nodes: Indices
    offsets: Indices

    @property
    def rows(self) -> Indices:
        """The member that each of the nodes is read by."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))


@dataclass(slots=True, eq=False)
class Place:
    """A class: an operation at a site, its members in the order of their recording."""

    operation: Any
    members: Indices
    slots: list[Indices]
    """For each operand the node that each member reads; a take's is its index."""
    runs: Operands | None = None
    """The terms of a sum, or what a maximum is taken of."""
    table: Indices | None = None
    """The nodes that a take chooses from, a row for each member."""
    batched: bool = False

    def operands(self) -> list[Indices]:
        """Return all nodes that are read."""
        found = list(self.slots)
        if self.runs is not None:
            found.append(self.runs.nodes)
        if self.table is not None:
            found.append(self.table.reshape(-1))
        return found

    def readers(self) -> list[Indices]:
        """Return for each of them the index of the member that reads it."""
        every = np.arange(len(self.members))
        found = [every] * len(self.slots)
        if self.runs is not None:
            found.append(self.runs.rows)
        if self.table is not None:
            found.append(np.repeat(every, self.table.shape[1]))
        return found

    def some(self, chosen: Indices) -> "Place":
        """Return the class of some members, by their places among all."""
        runs = self.runs
        if runs is not None:
            counts = np.diff(runs.offsets)[chosen]
            offsets = np.concatenate([[0], np.cumsum(counts)])
            shift = np.repeat(runs.offsets[chosen] - offsets[:-1], counts)
            runs = Operands(runs.nodes[np.arange(offsets[-1]) + shift], offsets)
        return Place(
            self.operation,
            self.members[chosen],
            [nodes[chosen] for nodes in self.slots],
            runs,
            None if self.table is None else self.table[chosen],
            self.batched,
        )


@dataclass(slots=True, eq=False)
class Places:
    """The classes of a tape, in the order of their sites."""

    places: list[Place]
    of: NDArray[np.int64]
    """The class of each node."""
    leaf_positions: NDArray[np.int64]
    """The position of a leaf node in its group."""
    order: list[int]
    """The nodes but for leaves and constants, operands before what they are used in."""
    varies: NDArray[np.bool_]
    """Which nodes differ from sample to sample."""

    def within(self, c: int, loop_of: Indices) -> tuple[Indices, Indices]:
        """Return what a class reads of its own loop, and which of its members reads each.

        Args:
            c: the class.
            loop_of: for each class its loop.

        """
        operands = np.concatenate(self.places[c].operands())
        readers = np.concatenate(self.places[c].readers())
        inside = loop_of[self.of[operands]] == loop_of[c]
        return operands[inside], readers[inside]

    def replaced(self, places: list[Place]) -> "Places":
        """Return the nodes in other classes."""
        of = np.full_like(self.of, -1)
        for c, place in enumerate(places):
            of[place.members] = c
        found = Places(places, of, self.leaf_positions, self.order, self.varies)
        found.settle()
        return found

    def settle(self) -> None:
        """Let only those classes be batched that read what is."""
        unsure = []
        for place in self.places:
            if place.batched and not self.varies[place.members].any():
                place.batched = False
                unsure.append(place)
        changed = True
        while changed:
            changed = False
            for place in unsure:
                read = distinct(self.of[np.concatenate(place.operands())])
                if not place.batched and any(self.places[c].batched for c in read):
                    place.batched = changed = True
