"""A program with loops over time as one without, in which each step has groups of its own.

It computes the same numbers by the same operations. What is read of a loop from outside is gathered
in one group behind it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from liftgrad import ops
from liftgrad.lift.differentiation.symbol import Symbol
from liftgrad.lift.ir.groups import (
    Builder,
    Elementwise,
    Indices,
    Loop,
    Rolled,
    Runs,
    Sum,
    View,
    identity,
)
from liftgrad.lift.ir.operands import Operand, part, reading
from liftgrad.lift.ir.rules_of_loops import steps_at


def unrolled(program: Rolled) -> Rolled:
    """Return a program without loops that computes the same, step after step."""
    return _Unrolling(program).run()


@dataclass(slots=True)
class _Steps:
    """What a group of a loop has become."""

    offsets: Indices
    groups: dict[int, int]
    """The group of each step that has elements."""
    gathered: int | None = None
    """The group of all steps' elements."""


class _Unrolling:
    def __init__(self, program: Rolled) -> None:
        self.program = program
        self.builder = Builder()
        self.place: dict[int, int] = {}
        """The numbers that groups outside of loops have now."""
        self.steps: dict[int, _Steps] = {}

    def run(self) -> Rolled:
        """Return the program."""
        program, builder = self.program, self.builder
        loop_at = {loop.first: loop for loop in program.loops}
        i = 0
        while i < len(program.groups):
            if i in loop_at:
                self.loop(loop_at[i])
                i = loop_at[i].stop
                continue
            self.place[i] = builder.add(reading(program.groups[i], self.outside))
            i += 1
        builder.outputs = [View(*self.outside(v.group, v.positions)) for v in program.outputs]
        builder.roles = {
            self.place[i]: (role, self.place[of])
            for i, (role, of) in program.roles.items()
            if i in self.place and of in self.place
        }
        builder.tables = {
            self.place[i]: table for i, table in program.tables.items() if i in self.place
        }
        return builder.program()

    def loop(self, loop: Loop) -> None:
        """Append the groups of a loop, step by step."""
        members = range(loop.first, loop.stop)
        for i, offsets in zip(members, loop.offsets, strict=True):
            self.steps[i] = _Steps(offsets, {})
        every = range(loop.steps)
        for t in reversed(every) if loop.backwards else every:
            for i, offsets in zip(members, loop.offsets, strict=True):
                start, stop = int(offsets[t]), int(offsets[t + 1])
                if start == stop:
                    continue
                group = part(self.program.groups[i], slice(start, stop))
                if i < loop.first + loop.heads:
                    assert isinstance(group, Sum)
                    runs = [r for whole in group.operands for r in self.split(whole, loop)]
                    if not runs:
                        zero = self.builder.constant(0.0, 0)
                        runs = [Runs(zero.group, zero.positions, np.zeros(stop - start + 1, int))]
                    group = Sum(tuple(runs), group.batched)
                else:
                    group = reading(group, lambda g, p: self.within(loop, t, g, p))  # noqa: B023
                self.steps[i].groups[t] = self.builder.add(group)

    def within(self, loop: Loop, t: int, group: int, positions: Indices) -> Operand:
        """Return what a loop's group reads in a step."""
        if not loop.first <= group < loop.stop:
            return self.outside(group, positions)
        steps = self.steps[group]
        if t not in steps.groups:
            zero = self.builder.constant(0.0, 0)  # nothing is read
            return zero.group, zero.positions
        return steps.groups[t], positions - steps.offsets[t]

    def split(self, runs: Runs, loop: Loop) -> Iterator[Runs]:
        """Yield what a head reads, for each step that it reads of."""
        if not len(runs.positions):
            return
        if not loop.first <= runs.group < loop.stop:
            yield Runs(*self.outside(runs.group, runs.positions), runs.offsets)
            return
        steps = self.steps[runs.group]
        rows = np.repeat(np.arange(len(runs.offsets) - 1), np.diff(runs.offsets))
        of_position = steps_at(steps.offsets, runs.positions)
        for t in np.unique(of_position).tolist():
            some = of_position == t
            counts = np.bincount(rows[some], minlength=len(runs.offsets) - 1)
            offsets = np.concatenate([[0], np.cumsum(counts)])
            yield Runs(steps.groups[t], runs.positions[some] - steps.offsets[t], offsets)

    def outside(self, group: int, positions: Indices) -> Operand:
        """Return what is to be read, from outside of its loop, instead of a group."""
        if group in self.place:
            return self.place[group], positions
        steps = self.steps[group]
        if steps.gathered is None:
            steps.gathered = self.gather(group, steps)
        return steps.gathered, positions

    def gather(self, number: int, steps: _Steps) -> int:
        """Return a group of all steps' elements."""
        builder, group = self.builder, self.program.groups[number]
        decides = isinstance(group, Elementwise) and group.operation in ops.CONDITIONS
        runs = []
        for t, of_step in steps.groups.items():
            start, stop = int(steps.offsets[t]), int(steps.offsets[t + 1])
            view = View(of_step, identity(stop - start))
            if decides:  # conditions do not add up
                view = Symbol(builder, view)._select(1.0, 0.0).view
            offsets = np.clip(np.arange(group.size + 1) - start, 0, stop - start)
            runs.append(Runs(view.group, view.positions, offsets))
        gathered = View(builder.add(Sum(tuple(runs), group.batched)), identity(group.size))
        return (Symbol(builder, gathered) > 0.0).view.group if decides else gathered.group
