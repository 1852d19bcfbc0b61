"""Recomputed: the loop of a gradient computes quick things of its loop once more.

What a gradient reads of a loop over time would be kept for all steps. For long loops that is far
more memory than a processor has close by, and even for short ones a few products are quicker than
to store and load them. Here the loop of the gradient computes them by itself, from what is kept
anyway, such as the states as the steps found them; and products that are read by sums over time
alone, which `schedule` has the loop add up.

Invariant: groups before those of the gradient keep their numbers, and all numbers stay the same.
"""

from collections.abc import Iterable, Sequence
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
    Sum,
    View,
    views,
)
from liftgrad.lift.ir.operands import Operand, reading, rows_of_reads

_QUICK = {ops.add, ops.subtract, ops.multiply, ops.negate, ops.absolute, ops.select, ops.detach}
_FEW_TERMS = 4
"""The most terms of a sum that are added up again as quickly as the sum is stored and loaded."""
_FEW_SUMS = 16
"""The most elements of a sum over time that is worth taking its terms into a loop."""


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
    for i in range(len(program.loops)):
        loop = program.loops[i]
        if loop.first >= forward:
            plan = _Planning(program, loop, results, forward).plan()
            if plan is not None:
                program, results = _Rewriting(program, i, plan).result(results)
    return program, results


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """What the loop of a gradient is to compute by itself."""

    copied: list[int]
    """Groups of the loop that it is the gradient of."""
    before: list[int]
    """Groups before it, which only it reads."""
    taken_in: list[int]
    """Groups behind it, which only sums over time read."""
    steps_of: dict[int, Indices]
    """The step of each element of these groups."""
    offsets: dict[int, Indices]
    """Where the elements of each step begin, for some of them."""


class _Planning:
    """Finds what the loop of a gradient can compute by itself."""

    def __init__(self, program: Rolled, loop: Loop, results: Sequence[View], forward: int) -> None:
        self.program, self.groups, self.loop, self.forward = program, program.groups, loop, forward
        self.steps_of: dict[int, Indices] = {}
        """The step of each element of groups that have elements of several steps."""
        self.offsets: dict[int, Indices] = {}
        """Where the elements of each step begin in the groups of loops."""
        self.in_loop = {i for some in program.loops for i in range(some.first, some.stop)}
        self.read_by: list[set[int]] = [set() for _ in self.groups]
        """The groups that read each group, of those that are computed; -1: it is a result."""
        waiting = [(view.group, -1) for view in [*program.outputs, *results]]
        while waiting:
            i, reader = waiting.pop()
            if not self.read_by[i]:
                waiting += [(view.group, i) for view in views(self.groups[i])]
            self.read_by[i].add(reader)

    def plan(self) -> _Plan | None:
        """Return what the loop should compute by itself; None: nothing."""
        origin = self._origin()
        if origin is None:
            return None
        taken_in = self._taken_in(origin)
        # Heads cannot read what is computed in their own step.
        body = {*range(self.loop.first + self.loop.heads, self.loop.stop), *taken_in}
        before = self._before(origin, body) if origin.recompute else set()
        copied = self._copied(origin, body | before)
        if not copied:
            return None
        return _Plan(
            *(sorted(copied), sorted(before), sorted(taken_in)), self.steps_of, self.offsets
        )

    def _origin(self) -> Loop | None:
        """Return the loop before this one of which it reads most groups."""
        members = set(range(self.loop.first, self.loop.stop))
        reads = {
            other: sum(bool(self.read_by[i] & members) for i in range(other.first, other.stop))
            for other in self.program.loops
            if other.stop <= self.loop.first and other.steps == self.loop.steps
        }
        origin = max(reads, key=lambda other: reads[other], default=None)
        if origin is None or not reads[origin]:
            return None
        return origin if self._is_plain(origin) and self._is_plain(self.loop) else None

    def _is_plain(self, loop: Loop) -> bool:
        """Return whether steps have equally many elements each, or none, and no samples."""
        if self.groups[loop.first].batched:
            return False
        steps: dict[int, Indices] = {}  # many groups share their offsets
        for i, offsets in enumerate(loop.offsets, loop.first):
            if id(offsets) not in steps:
                lengths = offsets[1:] - offsets[:-1]
                if ((lengths != 0) & (lengths != lengths.max())).any():
                    return False
                steps[id(offsets)] = np.repeat(np.arange(loop.steps), lengths)
            self.steps_of[i], self.offsets[i] = steps[id(offsets)], offsets
        return True

    def _taken_in(self, origin: Loop) -> set[int]:
        """Return the groups behind the loop that only sums over time read."""
        groups, loop = self.groups, self.loop
        behind = [i for i in range(loop.stop, len(groups)) if i not in self.in_loop]
        sums = {i for i in behind if self.read_by[i] and _is_small_sum(groups[i])}
        found: set[int] = set()
        for i in reversed(behind):
            if self._is_timed(i) and self.read_by[i] <= sums | found:
                found.add(i)
        inside = {i for some in (loop, origin) for i in range(some.first, some.stop)}
        timed = {i for i in sorted(found) if self._note_steps(i, inside)}
        return self._closed(timed, sums)

    def _before(self, origin: Loop, users: AbstractSet[int]) -> set[int]:
        """Return groups before the loop that only these users read, and that read the origin."""
        inside = set(range(origin.first, origin.stop))
        new = range(self.forward, self.loop.first)
        timed = {
            i
            for i in new
            if i not in self.in_loop and self._is_timed(i) and self._note_steps(i, inside)
        }
        timed = {i for i in timed if self._is_read_in_its_step(i, self.read_by[i] & users)}
        return self._closed(timed, users)

    def _closed(self, groups: AbstractSet[int], users: AbstractSet[int]) -> set[int]:
        """Return those of these groups that only they and these users read."""
        while True:
            left = {i for i in groups if self.read_by[i] <= users | groups}
            if left == groups:
                return left
            groups = left

    def _is_timed(self, i: int) -> bool:
        """Return whether a group may have elements in each step."""
        group = self.groups[i]
        return isinstance(group, Elementwise) and not group.batched and bool(self.read_by[i])

    def _note_steps(self, i: int, inside: AbstractSet[int]) -> bool:
        """Note the steps of a group's elements, and return whether it has elements in steps.

        It must read in each step that step, or what is known before the loop.
        """
        of_group: Indices | None = None
        for view in views(self.groups[i]):
            j = view.group
            if j in inside or j in self.steps_of:
                steps = self.steps_of[j][view.positions]
                if of_group is None:
                    of_group = steps
                elif not np.array_equal(steps, of_group):
                    return False
            elif j >= min(i, self.loop.first):
                return False
        if of_group is None or (of_group[1:] < of_group[:-1]).any():
            return False
        self.steps_of[i] = of_group
        return True

    def _is_read_in_its_step(self, i: int, readers: AbstractSet[int]) -> bool:
        """Return whether groups read a group in the same step."""
        return all(
            np.array_equal(self.steps_of[i][view.positions], self.steps_of[reader][rows])
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


def _is_small_sum(group: Group) -> bool:
    return isinstance(group, Sum) and not group.batched and group.size <= _FEW_SUMS


def _is_quick(group: Group) -> bool:
    """Return whether it is as quick to compute a group again as to store and load it."""
    if isinstance(group, Sum):
        return sum(len(r.positions) for r in group.operands) <= _FEW_TERMS * group.size
    return isinstance(group, Elementwise) and (
        group.operation in _QUICK or group.operation in ops.CONDITIONS
    )


class _Rewriting:
    """A program while the loop of its gradient takes in what it computes by itself."""

    def __init__(self, program: Rolled, index: int, plan: _Plan) -> None:
        self.old, self.program, self.index, self.plan = program.groups, program, index, plan
        self.loop = loop = program.loops[index]
        moved = {*plan.before, *plan.taken_in}
        body = loop.first + loop.heads
        self.heads = _each("old", range(loop.first, body))
        self.body = [
            *_each("copy", plan.copied),
            *_each("old", [*plan.before, *range(body, loop.stop), *plan.taken_in]),
        ]
        self.before = _each("old", [i for i in range(loop.first) if i not in moved])
        self.behind = _each("old", [i for i in range(loop.stop, len(self.old)) if i not in moved])
        order = [*self.before, *self.heads, *self.body, *self.behind]
        self.place = {key: number for number, key in enumerate(order)}

    def result(self, gradients: Sequence[View]) -> tuple[Rolled, list[View]]:
        """Return the program, and the results of the gradient."""
        program, place = self.program, self.place
        of_loop = [*self.heads, *self.body]
        inside = [reading(self.old[i], self._inside) for _, i in of_loop]
        groups = [
            *[reading(self.old[i], self._outside) for _, i in self.before],
            *inside,
            *[reading(self.old[i], self._outside) for _, i in self.behind],
        ]
        first = len(self.before)
        loops = [
            replace(
                other,
                first=place["old", other.first],
                stop=place["old", other.first] + other.stop - other.first,
            )
            for other in program.loops
        ]
        loops[self.index] = replace(
            self.loop,
            first=first,
            stop=first + len(of_loop),
            offsets=tuple(self._offsets(i) for _, i in of_loop),
            heads=len(self.heads),
        )
        tables = {place["old", i]: table for i, table in program.tables.items()}
        tables |= {
            place["copy", i]: program.tables[i] for i in self.plan.copied if i in program.tables
        }
        roles = {
            place["old", i]: (role, place["old", of]) for i, (role, of) in program.roles.items()
        }
        roles |= {place["copy", i]: ("=", place["old", i]) for i in self.plan.copied}
        results = [
            [View(*self._outside(view.group, view.positions)) for view in some]
            for some in (program.outputs, gradients)
        ]
        return Rolled(tuple(groups), tuple(results[0]), roles, tables, tuple(loops)), results[1]

    def _inside(self, i: int, positions: Indices) -> Operand:
        """Return what a group of the loop reads."""
        return self.place.get(("copy", i), self.place["old", i]), positions

    def _outside(self, i: int, positions: Indices) -> Operand:
        """Return what a group outside of the loop reads."""
        return self.place["old", i], positions

    def _offsets(self, i: int) -> Indices:
        """Return where the elements of each step begin."""
        if i in self.plan.offsets:
            return self.plan.offsets[i]
        return _ends(self.plan.steps_of[i], self.loop.steps)


def _each(kind: str, groups: Iterable[int]) -> list[tuple[str, int]]:
    """Return these old groups, or what is made of them for the loop."""
    return [(kind, i) for i in groups]


def _ends(numbers: Indices, count: int) -> Indices:
    """Return where 0, 1, 2, ..., so many, begin among sorted numbers, and at the end how many."""
    return np.concatenate([[0], np.cumsum(np.bincount(numbers, minlength=count))])
