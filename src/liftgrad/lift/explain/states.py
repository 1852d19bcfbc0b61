"""States: what a loop over time carries from step to step, as a reader knows it.

A loop's heads hold "the state as the step finds it": x[t-1] in step t, and in the first step what x
was before. For a reader that is no array of its own, but x one step earlier, and its first number
is x[-1].
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np

from liftgrad.lift.explain.naming import Column
from liftgrad.lift.ir.groups import Constants, Indices, Loop, Rolled, Runs, Sum


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """What a head holds: elements of another group of its loop, as they were `lag` steps before."""

    group: int
    lag: int
    """Negative in a loop that runs backwards."""
    width: int
    """How many elements the group has in each step."""
    elements: Indices
    """Which of them the head has, in each step."""

    def columns(self, of_group: tuple[Column, ...]) -> tuple[Column, ...] | None:
        """Return the indices of the head's elements from those of the group.

        They go on before the first step, and after the last: None if they do not do so evenly.
        """
        result = []
        for column in of_group:
            values = column.values.reshape(-1, self.width)
            steps = np.arange(len(values))
            slope = int(values[1, 0] - values[0, 0]) if len(values) > 1 else int(column.time)
            if not (values == values[0] + slope * steps[:, None]).all():
                return None
            shifted = values[0, self.elements] + slope * (steps - self.lag)[:, None]
            result.append(
                Column(shifted.reshape(-1), column.samples, column.labels, time=column.time)
            )
        return tuple(result)


def states(rolled: Rolled) -> dict[int, State]:
    """Return what the heads of a program's loops hold, so far as they hold one state.

    No two of them say different things of the state before the first step.
    """
    result: dict[int, State] = {}
    before: dict[tuple[int, int], tuple[Hashable, ...]] = {}
    for loop in rolled.loops:
        for head in range(loop.first, loop.first + loop.heads):
            found = _state(rolled, loop, head)
            if found is None or found.group in result:
                continue
            said = _said_before(rolled, loop, head, found)
            if all(before.get(place, terms) == terms for place, terms in said.items()):
                before.update(said)
                result[head] = found
    return result


def _state(rolled: Rolled, loop: Loop, head: int) -> State | None:
    group = rolled.groups[head]
    offsets = loop.offsets[head - loop.first]
    if not isinstance(group, Sum) or (width := _width(offsets)) is None:
        return None
    own = [run for run in group.operands if loop.first <= run.group < loop.stop]
    if len({run.group for run in own}) != 1:
        return None
    source = own[0].group
    of_source = _width(loop.offsets[source - loop.first])
    terms = sum(np.diff(run.offsets) for run in group.operands)
    own_terms = sum(np.diff(run.offsets) for run in own)
    assert isinstance(terms, np.ndarray)
    carried = np.asarray(own_terms) > 0
    if of_source is None or not carried.any() or (terms[carried] != 1).any():
        return None
    read = np.full(group.size, -1)
    for run in own:
        read[np.diff(run.offsets) > 0] = run.positions
    steps = np.arange(loop.steps)[:, None]
    step, element = np.divmod(read.reshape(-1, width), of_source)
    carried = carried.reshape(-1, width)
    row = int(np.argmax(carried.all(axis=1)))
    lag = int(row - step[row, 0])
    elements = element[row]
    outside = (steps < lag) | (steps - lag >= loop.steps)
    alike = (step == steps - lag) & (element == elements)
    if not (np.where(outside, ~carried, carried & alike)).all():
        return None
    distinct = len(np.unique(elements)) == len(elements)
    return State(source, lag, of_source, elements) if distinct else None


def _said_before(
    rolled: Rolled, loop: Loop, head: int, state: State
) -> Mapping[tuple[int, int], tuple[Hashable, ...]]:
    """Return for each element of a state outside of the loop's steps the terms of its sum.

    An element is known by its group and its position, which is negative before the first step.
    """
    group = rolled.groups[head]
    assert isinstance(group, Sum)
    width = len(state.elements)
    border = range(state.lag) if state.lag > 0 else range(loop.steps + state.lag, loop.steps)
    said = {}
    for step in border:
        for j, element in enumerate(state.elements.tolist()):
            place = state.group, (step - state.lag) * state.width + element
            said[place] = tuple(
                term for run in group.operands for term in _terms(rolled, run, step * width + j)
            )
    return said


def _terms(rolled: Rolled, run: Runs, element: int) -> list[Hashable]:
    """Return the terms of an element, those written in the program as their numbers."""
    positions = run.positions[run.offsets[element] : run.offsets[element + 1]]
    group = rolled.groups[run.group]
    if isinstance(group, Constants):
        return [float(number).hex() for number in group.numbers[positions]]
    return [(run.group, position) for position in positions.tolist()]


def _width(offsets: Indices) -> int | None:
    """Return how many elements a group has in each step, or None if not in all the same."""
    widths = np.diff(offsets)
    return int(widths[0]) if (widths == widths[0]).all() and widths[0] else None
