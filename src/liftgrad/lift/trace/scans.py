"""Scans: loops of which one step was recorded, which stands for all of them.

The nodes of a step are on the tape with all others. They depend on leaf nodes of groups that no
argument has: the state as a step finds it, and what the step is given of the sequences. Outside of
the step, the last state and the results are leaf nodes of such groups, too.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from numpy.typing import NDArray

FIRST_GROUP = 1 << 32
"""The number of the first such leaf group, above those of arguments and of random numbers."""


@dataclass(frozen=True, slots=True, eq=False)
class OfArray:
    """A sequence of elements of a leaf group: `positions[t, i]` is element i of step t."""

    group: int
    positions: NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class OfNumbers:
    """A sequence of numbers that are known: `numbers[t, i]` is number i of step t."""

    numbers: NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class OfNodes:
    """A sequence of nodes: `nodes[t][i]` is number i of step t."""

    nodes: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True, eq=False)
class OfResults:
    """A sequence of what the steps of an earlier scan returned, of some of its results."""

    scan: int
    results: tuple[int, ...]
    steps: NDArray[Any]


Sequence = OfArray | OfNumbers | OfNodes | OfResults


class RecordAllSteps(BaseException):
    """A step of a scan does not stand for all of them: trace again, and record them all.

    No code of the user's that catches exceptions may keep it.
    """

    def __init__(self, scan: int) -> None:
        super().__init__(scan)
        self.scan = scan


@dataclass(slots=True, eq=False)
class Scan:
    """A loop: by numbers of nodes, what a step is made of and what it makes.

    Numbers of the state that no step changes, or to which steps only add, are no part of it.
    """

    steps: int
    checkpoint: bool = False
    """Whether a gradient computes what a step computes once more, instead of keeping it."""
    initial: list[int] = field(default_factory=list)
    """The first state."""
    states: list[int] = field(default_factory=list)
    """The state as a step finds it."""
    following: list[int] = field(default_factory=list)
    """The state as a step leaves it."""
    numbers: dict[int, int] = field(default_factory=dict)
    """Which of them a number of the user's state is."""
    sequences: list[Sequence] = field(default_factory=list)
    """What a step is given."""
    results: list[int] = field(default_factory=list)
    """What a step returns, and what it adds to the state."""
    inside: list[int] = field(default_factory=list)
    """Nodes that are computed in each step."""
    outside: list[int] = field(default_factory=list)
    """Nodes that a step uses and are the same in all steps."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What the leaf nodes of a group are that belongs to a scan.

    "state": number i of the state as a step finds it, at position 0; "given": at position j,
    number j of sequence i in a step; "last": number i of the last state; "each": at position t,
    result i of step t; "total": the sum of result i over all steps.
    """

    kind: Literal["state", "given", "last", "each", "total"]
    scan: int
    index: int
