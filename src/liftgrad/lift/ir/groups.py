"""The rolled program: groups of scalar operations of one kind, their operands as index sequences.

A group is an array whose elements are computed alike: element e applies the group's operation to
element `positions[e]` of each operand's group. A sum adds, for each of its operands, a run of
elements, `positions[offsets[e]:offsets[e + 1]]`. This is the language in which roll and adjoint
speak: programs are plain data, index sequences are NumPy arrays, and nothing needs to be affine.

Groups and views are not changed once made. They are no frozen dataclasses because those take three
times as long to make, and a chain of operations makes very many.

A batched group has one such array for each sample of a batch whose size is known at run time only.
A sum that is not batched itself adds up batched operands over the samples, too.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from liftgrad.ops import Operation

Indices = NDArray[np.int64]


@dataclass(slots=True, eq=False)
class View:
    """Elements of a group in some order: `positions[e]` for element e of whoever looks."""

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
        lengths = np.diff(self.offsets)
        return int(lengths[0]) if len(lengths) and (lengths == lengths[0]).all() else None


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
        """How many there are."""
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


@dataclass(slots=True)
class Rolled:
    """Groups in order of computation, and the views that are the results."""

    groups: list[Group]
    outputs: list[View]
    roles: dict[int, tuple[str, int]] = field(default_factory=dict)
    """Groups of a gradient that are another's adjoint ("∂"), a part of it ("∂′"), or count those
    of its uses that are in branches taken ("#")."""
    tables: dict[int, Indices] = field(default_factory=dict)
    """For conditions "this element was taken" the table of which one of each row always is."""

    def copy(self) -> "Rolled":
        """Return a program of the same groups, to which others may be appended."""
        return Rolled([*self.groups], self.outputs, dict(self.roles), dict(self.tables))

    def add(self, group: Group) -> int:
        """Append a group and return its number."""
        self.groups.append(group)
        return len(self.groups) - 1

    def constant(self, number: float, size: int) -> View:
        """Return a view of `size` elements that are all one number."""
        return View(self.add(Constants(np.array([number]))), np.zeros(size, np.int64))


def views(group: Group) -> Iterator[View | Runs]:
    """Yield a group's operands."""
    match group:
        case Elementwise(operands=operands):
            yield from operands
        case Sum(operands=runs) | Largest(operands=runs):
            yield from runs
        case Take(index=index, group=source, table=table):
            yield index
            yield View(source, table.reshape(-1))
        case Put(source=source_view, index=index):
            yield source_view
            yield index
        case Leaf() | Constants():
            pass
