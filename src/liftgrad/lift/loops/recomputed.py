"""Recomputed: the loop of a gradient computes quick things of its loop once more.

What a gradient reads of a loop over time would be kept for all steps, and so would be what it adds
up over time. For long loops that is far more memory than a processor has close by, and even for
short ones a few products are quicker than to store and load them. Here the loop of the gradient
computes both by itself, from what is kept anyway, such as the states as the steps found them.

Invariant: groups before those of the gradient keep their numbers, and all numbers stay the same but
for the order in which totals are added up.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

import numpy as np

from liftgrad import ops
from liftgrad.lift.ir.groups import (
    Elementwise,
    Group,
    Indices,
    Loop,
    Rolled,
    Runs,
    Sum,
    View,
    views,
)
from liftgrad.lift.ir.operands import Operand, reading, rows_of_reads

_QUICK = {ops.add, ops.subtract, ops.multiply, ops.negate, ops.absolute, ops.select, ops.detach}
_FEW_TERMS = 4
"""The most terms of a sum that are added up again as quickly as the sum is stored and loaded."""
_FEW_SUMS = 16
"""The most sums over time that a loop adds up as it goes, in registers."""


def recomputed(
    program: Rolled, gradients: Sequence[View], forward: int
) -> tuple[Rolled, list[View]]:
    """Return a program whose gradient computes again what its loops would have to keep.

    Args:
        program: with its gradient.
        gradients: the results of the gradient.
        forward: the number of the first group of the gradient.

    """
    results = list(gradients)
    for i, loop in enumerate(program.loops):
        if loop.first >= forward:
            plan = _Planning(program, loop, results).plan()
            if plan is not None:
                program, results = _Rewriting(program, i, plan).result(results)
    return program, results


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """What the loop of a gradient is to compute by itself."""

    copied: list[int]
    """Groups of the loop that it is the gradient of."""
    taken_in: list[int]
    """Groups behind it, which only sums over time read."""
    sums: dict[int, list[Runs]]
    """For sums over time what is added up in the steps."""


class _Planning:
    """Finds what the loop of a gradient can compute by itself."""

    def __init__(self, program: Rolled, loop: Loop, results: Sequence[View]) -> None:
        self.program, self.groups, self.loop = program, program.groups, loop
        self.read_by: list[set[int]] = [set() for _ in self.groups]
        """The groups that read each group; -1: it is a result."""
        for i, group in enumerate(self.groups):
            for view in views(group):
                self.read_by[view.group].add(i)
        for view in [*program.outputs, *results]:
            self.read_by[view.group].add(-1)

    def plan(self) -> _Plan | None:
        """Return what the loop should compute by itself; None: nothing."""
        origin = self._origin()
        if origin is None:
            return None
        taken_in, sums = self._taken_in(origin)
        body = set(range(self.loop.first + self.loop.heads, self.loop.stop))
        added = {
            i: [
                r
                for r in views(self.groups[i])
                if isinstance(r, Runs) and r.group in body | taken_in
            ]
            for i in sorted(sums)
        }
        copied = self._copied(origin, {*range(self.loop.first, self.loop.stop), *taken_in})
        if not copied:
            return None
        added = {i: runs for i, runs in added.items() if runs}
        return _Plan(sorted(copied), sorted(taken_in), added)

    def _origin(self) -> Loop | None:
        """Return the loop before this one of which it reads most groups."""
        members = set(range(self.loop.first, self.loop.stop))
        reads = {
            other: sum(bool(self.read_by[i] & members) for i in range(other.first, other.stop))
            for other in self.program.loops
            if other.stop <= self.loop.first and other.steps == self.loop.steps
        }
        origin = max(reads, key=lambda other: reads[other], default=None)
        fine = origin is not None and reads[origin] and self._is_plain(origin)
        return origin if fine and self._is_plain(self.loop) else None

    def _is_plain(self, loop: Loop) -> bool:
        """Return whether steps have equally many elements each, and no samples."""
        every = np.arange(loop.steps + 1)
        return not self.groups[loop.first].batched and all(
            np.array_equal(offsets, every * offsets[1]) for offsets in loop.offsets
        )

    def _taken_in(self, origin: Loop) -> tuple[set[int], set[int]]:
        """Return the groups behind the loop that only sums over time read, and those sums."""
        groups, loop, steps = self.groups, self.loop, self.loop.steps
        in_loop = {i for some in self.program.loops for i in range(some.first, some.stop)}
        behind = [i for i in range(loop.stop, len(groups)) if i not in in_loop]
        sums = {
            i
            for i in behind
            if isinstance(group := groups[i], Sum) and not group.batched and group.size <= _FEW_SUMS
        }
        found: set[int] = set()
        for i in reversed(behind):
            group = groups[i]
            timed = isinstance(group, Elementwise) and not group.batched and not group.size % steps
            if timed and self.read_by[i] and self.read_by[i] <= sums | found:
                found.add(i)
        inside = {i for some in (loop, origin) for i in range(some.first, some.stop)}
        before: set[int] = set()
        while before != found:
            before = found
            found = {
                i
                for i in before
                if self.read_by[i] <= sums | before and self._is_own_step(i, inside, before)
            }
        return found, sums

    def _is_own_step(self, i: int, inside: AbstractSet[int], taken_in: AbstractSet[int]) -> bool:
        """Return whether a group reads in each step that step, or what is known before all."""
        groups = self.groups
        of_step = False
        for view, rows in zip(views(groups[i]), rows_of_reads(groups[i]), strict=True):
            j = view.group
            if j in inside or j in taken_in:
                of_step = True
                if (view.positions // self._width(j) != rows // self._width(i)).any():
                    return False
            elif j >= self.loop.first:
                return False
        return of_step

    def _width(self, i: int) -> int:
        """Return how many elements a group has in each step."""
        return self.groups[i].size // self.loop.steps

    def _is_read_in_its_step(self, i: int, readers: AbstractSet[int]) -> bool:
        """Return whether groups of the loop read a group in the same step."""
        width = self._width(i)
        return all(
            (view.positions // width == rows // self._width(reader)).all()
            for reader in readers
            for view, rows in zip(
                views(self.groups[reader]), rows_of_reads(self.groups[reader]), strict=True
            )
            if view.group == i
        )

    def _copied(self, origin: Loop, users: AbstractSet[int]) -> set[int]:
        """Return the groups of a loop that only it and these users read, and that are quick."""
        copied: set[int] = set()
        members = set(range(origin.first, origin.stop))
        for i in range(origin.stop - 1, origin.first + origin.heads - 1, -1):
            readers = self.read_by[i]
            needed = readers & (users | copied) and readers <= users | members
            worth = needed and (origin.recompute or _is_quick(self.groups[i]))
            if worth and self._is_read_in_its_step(i, readers & users):
                copied.add(i)
        return copied


def _is_quick(group: Group) -> bool:
    """Return whether it is as quick to compute a group again as to store and load it."""
    match group:
        case Elementwise(operation=operation):
            return operation in _QUICK or operation in ops.CONDITIONS
        case Sum(operands=runs):
            return sum(len(r.positions) for r in runs) <= _FEW_TERMS * group.size
        case _:
            return False


class _Rewriting:
    """A program while the loop of its gradient takes in what it computes by itself."""

    def __init__(self, program: Rolled, index: int, plan: _Plan) -> None:
        self.program, self.index, self.plan = program, index, plan
        self.loop = loop = program.loops[index]
        self.steps = loop.steps
        heads, stop = loop.first + loop.heads, loop.stop
        self.place = {i: i for i in range(loop.first)}
        number = loop.first
        self.heads_of: dict[int, int] = {}
        self.sum_of: dict[int, int] = {}
        self.copy_of: dict[int, int] = {}
        for where, old in [
            (self.place, range(loop.first, heads)),
            (self.heads_of, plan.sums),
            (self.copy_of, plan.copied),
            (self.place, range(heads, stop)),
            (self.place, plan.taken_in),
            (self.sum_of, plan.sums),
            (self.place, [i for i in range(stop, len(program.groups)) if i not in plan.taken_in]),
        ]:
            for i in old:
                where[i] = number
                number += 1
        self.stop = max(self.sum_of.values(), default=self.place.get(stop, number) - 1) + 1

    def result(self, gradients: Sequence[View]) -> tuple[Rolled, list[View]]:
        """Return the program, and the results of the gradient."""
        old, plan, loop = self.program.groups, self.plan, self.loop
        heads, stop = range(loop.first, loop.first + loop.heads), loop.stop
        inside = [*range(loop.first + loop.heads, stop), *plan.taken_in]
        rest = [i for i in range(stop, len(old)) if i not in plan.taken_in]
        groups = [
            *old[: loop.first],
            *[reading(old[i], self._inside) for i in heads],
            *[self._head(i) for i in plan.sums],
            *[reading(old[i], self._inside) for i in plan.copied],
            *[reading(old[i], self._inside) for i in inside],
            *[self._sum(i) for i in plan.sums],
            *[reading(self._rest_of_sum(i), self._outside) for i in rest],
        ]
        first, stop = loop.first, len(groups) - len(rest)
        every = np.arange(self.steps + 1)
        offsets = tuple(every * (group.size // self.steps) for group in groups[first:stop])
        loops = list(self.program.loops)
        count = len(heads) + len(plan.sums)
        loops[self.index] = Loop(first, stop, offsets, count, loop.backwards)
        for i, other in enumerate(loops[self.index + 1 :], self.index + 1):
            start = self.place[other.first]
            end = start + other.stop - other.first
            loops[i] = replace(other, first=start, stop=end)
        roles = {self.place[i]: (r, self.place[of]) for i, (r, of) in self.program.roles.items()}
        tables = {self.place[i]: table for i, table in self.program.tables.items()}
        for i, copy in self.copy_of.items():
            if i in self.program.tables:
                tables[copy] = self.program.tables[i]
        outputs = tuple(View(self.place[v.group], v.positions) for v in self.program.outputs)
        moved = [View(self.place[v.group], v.positions) for v in gradients]
        return Rolled(tuple(groups), outputs, roles, tables, tuple(loops)), moved

    def _inside(self, group: int, positions: Indices) -> Operand:
        """Return what a group of the loop reads."""
        return self.copy_of.get(group, self.place[group]), positions

    def _outside(self, group: int, positions: Indices) -> Operand:
        """Return what a group behind the loop reads; its own sums have their new numbers."""
        return (-1 - group if group < 0 else self.place[group]), positions

    def _head(self, i: int) -> Sum:
        """Return what a sum has come to when a step begins."""
        size, steps = self.program.groups[i].size, self.steps
        every, rest = np.arange(steps * size + 1), (steps - 1) * size
        if self.loop.backwards:
            run = Runs(self.sum_of[i], every[size:-1], np.minimum(every, rest))
        else:
            run = Runs(self.sum_of[i], every[:rest], np.maximum(every - size, 0))
        return Sum((run,), batched=False)

    def _sum(self, i: int) -> Sum:
        """Return what a sum has come to when a step ends."""
        size = self.program.groups[i].size
        every = np.arange(self.steps * size + 1)
        runs = [Runs(self.heads_of[i], every[:-1], every)]
        for r in self.plan.sums[i]:
            width = self.program.groups[r.group].size // self.steps
            row = np.repeat(np.arange(size), r.offsets[1:] - r.offsets[:-1])
            target = r.positions // width * size + row
            order = np.argsort(target, kind="stable")
            counts = np.bincount(target, minlength=self.steps * size)
            offsets = np.concatenate([[0], np.cumsum(counts)])
            runs.append(Runs(self.place[r.group], r.positions[order], offsets))
        return Sum(tuple(runs), batched=False)

    def _rest_of_sum(self, i: int) -> Group:
        """Return a group behind the loop; of a sum, what the loop did not add up."""
        group = self.program.groups[i]
        if i not in self.plan.sums:
            return group
        assert isinstance(group, Sum)
        every = np.arange(group.size + 1)
        last = 0 if self.loop.backwards else (self.steps - 1) * group.size
        done = Runs(-1 - self.sum_of[i], last + every[:-1], every)
        inside = {id(r) for r in self.plan.sums[i]}
        return Sum((done, *[r for r in group.operands if id(r) not in inside]), batched=False)
