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
class Elements:
    """The step of each element of a loop's group, and its position within that."""

    steps: Indices
    within: Indices

    @classmethod
    def of(cls, loop: Loop, group: int) -> "Elements":
        """Return those of a group."""
        offsets = loop.offsets[group - loop.first]
        steps = np.repeat(np.arange(loop.steps), np.diff(offsets))
        return cls(steps, np.arange(len(steps)) - offsets[steps])


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """What a group holds: elements of another of its loop, as they were some steps before."""

    group: int
    source: Elements
    """The elements of that group."""
    read: Elements
    """For each element the one that it holds, which may be before the first step."""

    def columns(self, of_group: tuple[Column, ...]) -> tuple[Column, ...] | None:
        """Return the indices of the elements from those of the other group.

        They go on before the first step, and after the last: None if they do not do so evenly, or
        if none of them is the step.
        """
        if not any(column.time for column in of_group):
            return None
        result = []
        alike = self.source.within == self.read.within[0]
        first, last = self.source.steps[alike][[0, -1]]
        for column in of_group:
            ends = column.values[alike][[0, -1]]
            slope = int(ends[1] - ends[0]) // int(last - first) if last > first else column.time
            base = np.zeros(self.source.within.max() + 1, np.int64)
            base[self.source.within] = column.values - slope * self.source.steps
            if (column.values != base[self.source.within] + slope * self.source.steps).any():
                return None
            values = base[self.read.within] + slope * self.read.steps
            result.append(replace(column, values=values))
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
        self.positions: dict[int, Indices] = {}
        """For each of those groups the positions of the elements; -1: before the first step."""
        self.before: dict[tuple[int, int, int], list[Hashable]] = {}
        """For elements outside of a loop's steps, by group, step and place, what is added up."""

    def add(self, loop: Loop, i: int) -> None:
        """Add a group if it holds a state."""
        found = self.read(loop, i)
        # A head that others take over stays itself: x, y = y, x is a circle of heads.
        if found is None or any(state.group == i for state in self.states.values()):
            return
        source, positions = found
        state = None if source == i else _state(loop, i, source, positions)
        if state is None:
            return
        said = {
            (source, int(state.read.steps[e]), int(state.read.within[e])): self.terms(i, e)
            for e in np.nonzero(positions < 0)[0].tolist()
        }
        if all(self.before.get(place, terms) == terms for place, terms in said.items()):
            self.before |= said
            self.states[i], self.positions[i] = state, positions

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
            taken = run.positions if state is None else self.positions[run.group][run.positions]
            read[counts > 0] = taken
        return (sources.pop(), read) if len(sources) == 1 else None

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


def _state(loop: Loop, i: int, source: int, positions: Indices) -> State | None:
    """Return the state that a group holds which takes these elements from another; -1: none."""
    own, other = Elements.of(loop, i), Elements.of(loop, source)
    inside = positions >= 0
    lags = own.steps[inside] - other.steps[positions[inside]]
    if not len(lags) or (lags != lags[0]).any() or lags[0] == 0:
        return None
    steps = own.steps - lags[0]
    # Outside of the steps it holds the same elements as within.
    held = np.full(own.within.max() + 1, -1)
    held[own.within[inside]] = other.within[positions[inside]]
    within = held[own.within]
    within[inside] = other.within[positions[inside]]
    outside = (steps < 0) | (steps >= loop.steps)
    if (outside == inside).any() or (within < 0).any():
        return None
    uneven = (within != held[own.within]).any() and not inside.all()
    distinct = len(np.unique(steps * (within.max() + 1) + within)) == len(steps)
    return State(source, other, Elements(steps, within)) if distinct and not uneven else None
