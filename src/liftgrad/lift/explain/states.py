"""States: what a loop over time carries from step to step, as a reader knows it.

A loop's heads hold "the state as the step finds it": x[t-1] in step t, and in the first step what x
was before. For a reader that is no array of its own, but x one step earlier, and its first number
is x[-1]. A sum of one term that takes a head, or what the loop begins with, is no other.
"""

from collections.abc import Hashable
from dataclasses import dataclass, replace

import numpy as np

from liftgrad.lift.explain.naming import Column
from liftgrad.lift.ir.groups import Constants, Indices, Loop, Rolled, Sum


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """What a group holds: elements of another of its loop, as they were some steps before."""

    group: int
    lag: int
    """How many steps before; negative in a loop that runs backwards."""
    read: Indices
    """For each element that of the other group; -1: it would be outside of the steps."""
    steps: int
    """How many the loop has."""

    def columns(self, of_group: tuple[Column, ...]) -> tuple[Column, ...] | None:
        """Return the indices of the elements from those of the other group.

        They go on before the first step, and after the last: None if they do not do so evenly.
        """
        if (self.read >= 0).all():
            return tuple(replace(column, values=column.values[self.read]) for column in of_group)
        result = []
        inside = self.read.reshape(self.steps, -1)[:, 0] >= 0
        row, *others = np.nonzero(inside)[0]
        for column in of_group:
            values = column.values[self.read].reshape(self.steps, -1)
            slope = int(values[others[0], 0] - values[row, 0]) if others else int(column.time)
            every = values[row] + slope * (np.arange(self.steps) - row)[:, None]
            if not (values == every)[inside].all():
                return None
            result.append(replace(column, values=every.reshape(-1)))
        return tuple(result)


def states(rolled: Rolled) -> dict[int, State]:
    """Return which groups of a program's loops hold nothing but one state.

    No two of them say different things of a state before the first step.
    """
    finder = _Finder(rolled)
    for loop in rolled.loops:
        for i in range(loop.first, loop.stop):
            finder.add(loop, i)
    return finder.states


class _Finder:
    def __init__(self, rolled: Rolled) -> None:
        self.groups = rolled.groups
        self.states: dict[int, State] = {}
        self.before: dict[tuple[int, int], list[Hashable]] = {}
        """For elements outside of a loop's steps, by group and position, what is added up there."""

    def add(self, loop: Loop, i: int) -> None:
        """Add a group if it holds a state."""
        state = self.state(loop, i)
        # A head that others take over stays itself: x, y = y, x is a circle of heads.
        if state is None or state.group == i or any(s.group == i for s in self.states.values()):
            return
        said = self.said_before(loop, i, state)
        if all(self.before.get(place, terms) == terms for place, terms in said.items()):
            self.before |= said
            self.states[i] = state

    def state(self, loop: Loop, i: int) -> State | None:
        """Return the state that a group holds, whatever is said before the first step."""
        found = self.read(loop, i)
        if found is None:
            return None
        source, read = found
        inside = read >= 0
        reading, of_source = _steps(loop, i), loop.offsets[source - loop.first]
        lags = (reading - (np.searchsorted(of_source, read, side="right") - 1))[inside]
        if not len(lags) or (lags != lags[0]).any() or lags[0] == 0:
            return None
        if len(np.unique(read[inside])) < np.count_nonzero(inside):
            return None  # several elements would have one name, and so would their adjoints
        state = State(source, int(lags[0]), read, loop.steps)
        if inside.all():
            return state
        at = reading - state.lag
        outside = (at < 0) | (at >= loop.steps)
        widths, of_steps = np.diff(loop.offsets[i - loop.first]), np.diff(of_source)
        uniform = (widths == widths[0]).all() and (of_steps == of_steps[0]).all()
        if not uniform or (outside == inside).any():
            return None
        elements = np.where(inside, read % of_steps[0], -1).reshape(loop.steps, -1)
        known = elements[inside.reshape(elements.shape).all(axis=1)]
        return state if len(known) and (known == known[0]).all() else None

    def read(self, loop: Loop, i: int) -> tuple[int, Indices] | None:
        """Return the one group of the loop that a sum takes its elements from, and which; -1: none.

        A group that holds a state stands for that. None: it is no such sum.
        """
        group = self.groups[i]
        if not isinstance(group, Sum):
            return None
        every = [np.diff(run.offsets) for run in group.operands]
        terms = np.sum(every, axis=0)
        read, sources = np.full(group.size, -1), set()
        for run, counts in zip(group.operands, every, strict=True):
            if not loop.first <= run.group < loop.stop or not counts.any():
                continue
            if (terms[counts > 0] != 1).any():
                return None
            state = self.states.get(run.group)
            sources.add(run.group if state is None else state.group)
            read[counts > 0] = run.positions if state is None else state.read[run.positions]
        return (sources.pop(), read) if len(sources) == 1 else None

    def said_before(
        self, loop: Loop, i: int, state: State
    ) -> dict[tuple[int, int], list[Hashable]]:
        """Return what a group adds up for the elements of its state outside of the steps."""
        elements = np.nonzero(state.read < 0)[0]
        if not len(elements):
            return {}
        each = state.read.reshape(state.steps, -1)
        row = int(np.nonzero(each[:, 0] >= 0)[0][0])
        width = int(loop.offsets[state.group - loop.first][1])
        said = {}
        for element in elements.tolist():
            step, j = divmod(element, each.shape[1])
            said[state.group, int(each[row, j]) + (step - row) * width] = self.terms(i, element)
        return said

    def terms(self, i: int, element: int) -> list[Hashable]:
        """Return the terms of an element of a sum; constants are their numbers."""
        group = self.groups[i]
        assert isinstance(group, Sum)
        found: list[Hashable] = []
        for run in group.operands:
            source = self.groups[run.group]
            for position in run.positions[run.offsets[element] : run.offsets[element + 1]].tolist():
                if isinstance(source, Constants):
                    found.append(float(source.numbers[position]).hex())
                elif run.group in self.states:
                    found += self.terms(run.group, position)
                else:
                    found.append((run.group, position))
        return found


def _steps(loop: Loop, group: int) -> Indices:
    """Return the step of each element of a loop's group."""
    return np.repeat(np.arange(loop.steps), np.diff(loop.offsets[group - loop.first]))
