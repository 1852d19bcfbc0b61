"""Groups: a program as groups of scalar operations of one kind, operands being index sequences.

A group is an array whose elements are computed alike: element e applies the group's operation to
element `positions[e]` of each operand's group. A sum adds, for each of its operands, a run of
elements, `positions[offsets[e]:offsets[e + 1]]`. `roll`, `adjoint` and an optimiser's update speak
this language: programs are plain data, index sequences are NumPy arrays, and nothing needs to be
affine. `text` prints a program, `check` says what is wrong with it.

Groups and views are not changed once made. They are no frozen dataclasses because those take three
times as long to make, and a chain of operations makes very many.

A batched group has one such array for each sample of a batch whose size is known at run time only.
Sums, and the scatter of a `Put`, that are not batched add up batched operands over the samples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, assert_never

import numpy as np
from numpy.typing import NDArray

from liftgrad.ops import Operation

Indices = NDArray[np.int64]


def identity(size: int) -> Indices:
    """Return the positions 0, 1, 2, ... of all elements of a group, in order."""
    return _FIRST if size == 1 else np.arange(size, dtype=np.int64)


_FIRST = np.zeros(1, np.int64)
"""Shared by all that read a group of one element: a chain has thousands of them."""
_FIRST.flags.writeable = False


@dataclass(slots=True, eq=False)
class View:
    """Elements of a group in some order: `positions[e]` for element e of the group that reads."""

    group: int
    positions: Indices


@dataclass(slots=True, eq=False)
class Runs:
    """A run of elements of a group for each element of a sum."""

    group: int
    positions: Indices
    offsets: Indices

    @property
    def uniform(self) -> int | None:
        """The length that all runs share, or None."""
        offsets = self.offsets
        count = len(offsets) - 1
        if count == 1:  # a chain has thousands of sums of one run
            return int(offsets[1])
        length = int(offsets[1]) if count else 0
        if not count or length * count != offsets[-1]:
            return None
        return length if (offsets[1:] - offsets[:-1] == length).all() else None


@dataclass(slots=True, eq=False)
class Leaf:
    """Numbers from outside: parameters, inputs, or indices."""

    name: str
    size: int
    kind: Literal["parameter", "input", "index"]
    batched: bool = False


@dataclass(slots=True, eq=False)
class Constants:
    """Numbers written in the program."""

    numbers: NDArray[np.float64]
    batched: bool = False

    @property
    def size(self) -> int:
        """How many numbers."""
        return len(self.numbers)


@dataclass(slots=True, eq=False)
class Elementwise:
    """One operation, applied element by element."""

    operation: Operation
    operands: tuple[View, ...]
    batched: bool

    @property
    def size(self) -> int:
        """How many elements (of each sample, if batched)."""
        return len(self.operands[0].positions)


@dataclass(slots=True, eq=False)
class Sum:
    """For each element the sum of its runs."""

    operands: tuple[Runs, ...]
    batched: bool

    @property
    def size(self) -> int:
        """How many sums."""
        return len(self.operands[0].offsets) - 1


@dataclass(slots=True, eq=False)
class Largest:
    """For each element the largest of its runs."""

    operands: tuple[Runs, ...]
    batched: bool

    @property
    def size(self) -> int:
        """How many maxima."""
        return len(self.operands[0].offsets) - 1


@dataclass(slots=True, eq=False)
class Take:
    """Element e is element `table[e, index[e]]` of a group, the index known at run time."""

    index: View
    group: int
    table: Indices
    batched: bool

    @property
    def size(self) -> int:
        """How many reads."""
        return len(self.table)


@dataclass(slots=True, eq=False)
class Put:
    """Element t is the sum of all source elements e for which `table[e, index[e]]` is t.

    It is the adjoint of `Take`: a scatter whose targets are known at run time.
    """

    source: View
    index: View
    table: Indices
    size: int
    batched: bool


Group = Leaf | Constants | Elementwise | Sum | Largest | Take | Put


@dataclass(frozen=True, slots=True, eq=False)
class Loop:
    """Groups that are computed step by step in time, not one after another.

    A group of a loop has the elements of all steps, those of each step behind those of the step
    before, and so have its index sequences.

    Invariant: the loop's first groups, its heads, are sums that read other groups of the loop at
    earlier steps only (later ones, if it runs backwards); its other groups read groups of the loop
    at their own step, and earlier groups only. All read what they want from groups before the loop.
    """

    first: int
    """The first of its groups."""
    stop: int
    """The group behind its last."""
    offsets: tuple[Indices, ...]
    """For each of its groups where each step's elements begin, and at the end their number."""
    heads: int
    """How many of its groups are heads."""
    backwards: bool = False
    """Whether it runs from the last step to the first."""
    recompute: bool = False
    """Whether its gradient computes again what it reads of it, but for the heads."""

    @property
    def steps(self) -> int:
        """The number of steps."""
        return len(self.offsets[0]) - 1


@dataclass(frozen=True, slots=True, eq=False)
class Rolled:
    """Groups in order of computation, and the views that are the function's results."""

    groups: Sequence[Group] = ()
    outputs: Sequence[View] = ()
    roles: Mapping[int, tuple[str, int]] = field(default_factory=dict)
    """Groups of a gradient that are another's adjoint ("∂"), a term of it ("∂′"), compute another
    again ("="), or count those of its uses that are in branches taken ("#")."""
    tables: Mapping[int, Indices] = field(default_factory=dict)
    """For conditions "this element was taken" the table of which one of each row always is."""
    loops: Sequence[Loop] = ()
    """In order; none is within another."""
    origins: Mapping[int, int] = field(default_factory=dict)
    """For groups of operations at one place in the user's program a node of the tape from there."""


@dataclass(frozen=True, slots=True, eq=False)
class Assignment:
    """When all is computed, a leaf's elements become those of a group: a parameter's next value."""

    leaf: int
    positions: Indices
    """The elements of the leaf that change, each once."""
    value: View


class Builder:
    """A program to which groups are appended, which leaves the program it starts from as it is.

    Args:
        program: what it starts from; by default, no groups.

    """

    def __init__(self, program: Rolled | None = None) -> None:
        program = program or Rolled()
        self.groups = list(program.groups)
        self.outputs = program.outputs
        self.roles = dict(program.roles)
        self.tables = dict(program.tables)
        self.loops = list(program.loops)

    def add(self, group: Group) -> int:
        """Append a group and return its number."""
        self.groups.append(group)
        return len(self.groups) - 1

    def constant(self, number: float, size: int) -> View:
        """Return a view of `size` elements that are all one number."""
        return View(self.add(Constants(np.array([number]))), np.zeros(size, np.int64))

    def program(self) -> Rolled:
        """Return the program with all groups appended so far."""
        return Rolled(
            tuple(self.groups),
            self.outputs,
            dict(self.roles),
            dict(self.tables),
            tuple(self.loops),
        )


def loop_of_each(program: Rolled) -> dict[int, Loop]:
    """Return the loop over time of each group that is in one."""
    return {i: loop for loop in program.loops for i in range(loop.first, loop.stop)}


def views(group: Group) -> Sequence[View | Runs]:
    """Return what a group reads."""
    match group:
        case Elementwise(operands=operands):
            return operands
        case Sum(operands=runs) | Largest(operands=runs):
            return runs
        case Take(index=index, group=source, table=table):
            return index, View(source, table.reshape(-1))
        case Put(source=source_view, index=index):
            return source_view, index
        case Leaf() | Constants():
            return ()
        case _:
            assert_never(group)
