"""Elements: expressions of single elements, composed and fitted at once.

Where nothing repeats, a program is thousands of groups of one element. Their expressions need no
index sequences and no strides: this is a short way to what `compose` and `fit` make of them.

Invariant: an expression is the one that they would make, and loads from groups that are in memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from liftgrad import ops
from liftgrad.lift.ir.groups import Constants, Elementwise, Group, Largest, Runs, Sum
from liftgrad.lift.ir.nests import Access, Apply, Expression, Load, Number
from liftgrad.lift.scheduling.compose import is_condition
from liftgrad.lift.scheduling.layout import Layouts

MOST_TERMS = 16
"""Operands that one nest adds up; a gradient may be the sum of thousands of them."""
Term = tuple[int, int]
"""An element: a group's number and a position in it."""
_ZERO, _ONE = Number(0.0), Number(1.0)


@dataclass(frozen=True, slots=True)
class Fusion:
    """What of a program is in memory, and what is computed where it is used."""

    kept: Sequence[bool | None]
    """Whether each group is in memory; None: nobody wants it."""
    without_loops: Sequence[bool]
    """Whether an element of each group is computed from numbers in memory without a loop."""
    loaded: frozenset[str] = frozenset()
    """The numbers, in hex, that are read from memory instead of being written in kernels."""


def without_loops(
    groups: Sequence[Group], kept: Sequence[bool | None], longest: int = 1
) -> list[bool]:
    """Return for each group whether an element is computed from memory without a loop.

    Args:
        groups: the program's.
        kept: whether each of them is in memory.
        longest: how many elements a run may have whose sum takes no loop.

    """
    result = [False] * len(groups)
    for i, group in enumerate(groups):
        if kept[i] is None:
            continue
        if group.__class__ is Elementwise:
            for view in group.operands:
                if not (kept[view.group] or result[view.group]):
                    break
            else:
                result[i] = True
        elif isinstance(group, Sum | Largest):
            result[i] = all(
                (kept[run.group] or result[run.group])
                and (group.batched or not groups[run.group].batched)
                and 0 < (run.uniform or 0) <= longest
                for run in group.operands
            )
        elif group.__class__ is Constants:
            result[i] = True
    return result


def terms_of(group: Group, position: int) -> list[Term]:
    """Return the elements that an element is computed from, if that takes no loop."""
    if isinstance(group, Elementwise):
        return [(view.group, view.positions.item(position)) for view in group.operands]
    assert isinstance(group, Sum | Largest)
    return [
        (run.group, j)
        for run in group.operands
        for j in run.positions[slice(*run.offsets[position : position + 2].tolist())].tolist()
    ]


class Elements:
    """Composes the expressions of single elements.

    Args:
        groups: the program's.
        fusion: which of them are in memory.
        layouts: their buffers.

    """

    def __init__(self, groups: Sequence[Group], fusion: Fusion, layouts: Layouts) -> None:
        self.groups, self.layouts = groups, layouts
        self.kept, self.without_loops = fusion.kept, fusion.without_loops
        self.loaded = fusion.loaded
        self.loads: dict[Term, Load] = {}
        """The loads made so far: each number is read a few times."""
        self.read: set[int] = set()
        """The groups that were loaded from, until someone clears it."""

    def are_scattered(self, operands: Sequence[Runs]) -> bool:
        """Return whether runs have few elements each, and none is computed by a loop."""
        return sum([len(run.positions) for run in operands]) <= 2 * len(operands) and all(
            self.kept[run.group] or self.without_loops[run.group] for run in operands
        )

    def scattered(self, operands: Sequence[Runs]) -> dict[int, list[Expression]]:
        """Return the terms that some runs add to each row; rows without a term are left out."""
        result: dict[int, list[Expression]] = {}
        for run in operands:
            for row, (first, end) in enumerate(pairwise(run.offsets.tolist())):
                for position in run.positions[first:end].tolist():
                    result.setdefault(row, []).append(self.element(run.group, position))
        return result

    def access(self, i: int, position: int) -> Access:
        """Return the access of an element that is in memory, whose layout is settled by that."""
        self.layouts.settled.add(i)
        buffer = self.layouts.buffer_of[i]
        layout = self.layouts.buffers[buffer].layout
        return Access(buffer, position if layout is None else int(layout[position]), (0,))

    def element(self, i: int, position: int) -> Expression:
        """Return the expression for an element, which may be in memory."""
        group = self.groups[i]
        if group.__class__ is Constants:
            number = group.numbers.item(position)
            if not self.loaded or number.hex() not in self.loaded:
                return Number(number)
        elif not self.kept[i]:
            return self.computed(i, position)
        self.read.add(i)
        load = self.loads.get((i, position))
        if load is None:
            load = self.loads[i, position] = Load(self.access(i, position))
        return Apply(ops.not_equal, (load, _ZERO)) if is_condition(group) else load

    def computed(self, i: int, position: int) -> Expression:
        """Return the expression that computes an element from its operands."""
        group, element = self.groups[i], self.element
        if group.__class__ is Elementwise:
            read = group.operands
            operands = [element(view.group, view.positions.item(position)) for view in read]
            return Apply(group.operation, tuple(operands))
        return joined(ops.add if isinstance(group, Sum) else ops.maximum, self.terms(i, position))

    def terms(self, i: int, position: int) -> list[Expression]:
        """Return the expressions that an element is computed from."""
        return [self.element(*term) for term in terms_of(self.groups[i], position)]

    def stored(self, i: int) -> Expression:
        """Return what is kept in memory of a group of one element."""
        body = self.computed(i, 0)
        if is_condition(self.groups[i]):
            return Apply(ops.select, (body, _ONE, _ZERO))
        return body


def joined(operation: ops.Operation, terms: Sequence[Expression]) -> Expression:
    """Return an operation on some terms, from the first to the last."""
    result = terms[0]
    for term in terms[1:]:
        result = Apply(operation, (result, term))
    return result
