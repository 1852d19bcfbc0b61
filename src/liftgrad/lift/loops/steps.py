"""Steps: which classes depend on themselves, and in which step of their loop each node is.

Strongly connected classes are a loop. The step of a node is how often the longest chain of
operands within the loop that leads to it went round. Where the steps' numbers of nodes have a
period, as in a loop of four stages within one over time, a period becomes one step, and each class
one class for each stage.
"""

from dataclasses import dataclass

import numpy as np

from liftgrad.lift.ir.components import components
from liftgrad.lift.ir.groups import Indices
from liftgrad.lift.ir.loop_error import LoopError
from liftgrad.lift.loops.places import Place, Places

_MOST_STAGES, _MOST_CLASSES = 64, 600
_ALIKE = 0.9
"""The share of steps that have to be like those one period before."""


@dataclass(slots=True, eq=False)
class Steps:
    """Classes, of which some are in loops."""

    places: Places
    loop_of: Indices
    """For each class the loop that it is in, or -1."""
    step: Indices
    """For each node its step in its loop, 0 if it is in none."""
    count: list[int]
    """For each loop its number of steps."""


def steps(places: Places) -> Steps | None:
    """Return the loops of a program's classes, or None if it has none."""
    while True:
        loop_of = _loops(places)
        if not (loop_of >= 0).any():
            return None
        step = _steps(places, loop_of)
        apart = _apart(places, loop_of, step)
        if apart is None:
            break
        places = apart
    count = int(loop_of.max()) + 1
    found = Steps(places, loop_of, step, [0] * count)
    for loop in range(count):
        found = _staged(found, loop)
    for loop in range(count):
        classes = np.nonzero(found.loop_of == loop)[0]
        members = [found.places.places[c].members for c in classes]
        found.count[loop] = 1 + int(max(found.step[m].max() for m in members))
    return found


def _loops(places: Places) -> Indices:
    """Return the number of the loop of each class, or -1."""
    depends = [_read(place, places) for place in places.places]
    loop_of = np.full(len(depends), -1, np.int64)
    count = 0
    for component in components(depends):
        if len(component) == 1 and component[0] not in depends[component[0]]:
            continue
        if len({places.places[c].batched for c in component}) > 1:
            raise LoopError("some of a loop is for each sample, and some for all of them")
        loop_of[component] = count
        count += 1
    return loop_of


def _read(place: Place, places: Places) -> list[int]:
    operands = place.operands()
    if not operands:
        return []
    found: list[int] = np.unique(places.of[np.concatenate(operands)]).tolist()
    return found


def _steps(places: Places, loop_of: Indices) -> Indices:
    """Return the step of each node: as late as those that read it in their steps allow."""
    of = places.of.tolist()
    order, reads = _reads_within(places, loop_of)
    step = [0] * len(of)
    for i, read in zip(order, reads, strict=True):
        mine, earliest = of[i], 0
        for a in read:
            at = step[a] + (of[a] >= mine)
            if at > earliest:  # noqa: PLR1730, which is quicker than max() for each of very many
                earliest = at
        step[i] = earliest
    latest: dict[int, int] = {}
    for i, read in zip(reversed(order), reversed(reads), strict=True):
        mine, at = of[i], latest.get(i, step[i])
        step[i] = at
        for a in read:
            before = at - (of[a] >= mine)
            if latest.get(a, before) >= before:
                latest[a] = before
    return np.array(step, np.int64)


def _reads_within(places: Places, loop_of: Indices) -> tuple[list[int], list[list[int]]]:
    """Return the nodes of loops in the order of the tape, and what each reads within its loop."""
    reads: dict[int, list[int]] = {}
    for c, place in enumerate(places.places):
        if loop_of[c] < 0:
            continue
        operands, readers = _within(place, places, loop_of, loop_of[c])
        flat = operands[np.argsort(readers, kind="stable")].tolist()
        ends = np.cumsum(np.bincount(readers, minlength=len(place.members))).tolist()
        start = 0
        for i, end in zip(place.members.tolist(), ends, strict=True):
            reads[i] = flat[start:end]
            start = end
    order = [i for i in places.order if i in reads]
    return order, [reads[i] for i in order]


def _within(place: Place, places: Places, loop_of: Indices, loop: int) -> tuple[Indices, Indices]:
    """Return the operands of a class that are in a loop, and the member that reads each."""
    operands, readers = np.concatenate(place.operands()), np.concatenate(place.readers())
    within = loop_of[places.of[operands]] == loop
    return operands[within], readers[within]


def _apart(places: Places, loop_of: Indices, step: Indices) -> Places | None:
    """Return the classes without members that do not depend on their loop; None: there are none.

    Members of a loop's class that read nothing of the loop are its beginning, or read what comes
    from outside at each step, as a recurrent network does its inputs. Those become a class of their
    own, which is in no loop.
    """
    last = [0] * (1 + int(loop_of.max()))
    for place, loop in zip(places.places, loop_of.tolist(), strict=True):
        if loop >= 0:
            last[loop] = max(last[loop], int(step[place.members].max()))
    result: list[Place] = []
    for c, place in enumerate(places.places):
        if loop_of[c] >= 0:
            _, readers = _within(place, places, loop_of, loop_of[c])
            free = np.ones(len(place.members), bool)
            free[readers] = False
            kinds = _kinds(place, places)
            late = 2 * step[place.members] > last[loop_of[c]]
            chosen = free & np.isin(kinds, kinds[free & late])
            if chosen.any() and not chosen.all():
                result.append(_some(place, np.nonzero(chosen)[0]))
                place = _some(place, np.nonzero(~chosen)[0])  # noqa: PLW2901
        result.append(place)
    return _renumbered(places, result) if len(result) > len(places.places) else None


def _kinds(place: Place, places: Places) -> Indices:
    """Return a number for each member that tells which classes it reads."""
    count = len(places.places)
    kinds = np.zeros(len(place.members), np.int64)
    for operands, readers in zip(place.operands(), place.readers(), strict=True):
        pairs = np.unique(readers * count + places.of[operands])
        codes = pairs % count * 1_000_003 + 1  # a class counts once, in whatever order
        kinds = kinds * 31 + np.bincount(pairs // count, codes, len(kinds)).astype(np.int64)
    return kinds


def _renumbered(places: Places, result: list[Place]) -> Places:
    """Return the nodes in other classes."""
    of = np.full_like(places.of, -1)
    for c, place in enumerate(result):
        of[place.members] = c
    return Places(result, of, places.leaf_positions, places.order)


def _staged(found: Steps, loop: int) -> Steps:
    """Return the classes with those of a loop split up by stages, if its steps have a period."""
    places = found.places
    classes = np.nonzero(found.loop_of == loop)[0].tolist()
    total = 1 + max(int(found.step[places.places[c].members].max()) for c in classes)
    counts = np.array(
        [np.bincount(found.step[places.places[c].members], minlength=total) for c in classes]
    )
    period = _period(counts)
    if period == 1 or period * len(classes) > _MOST_CLASSES:
        return found
    split: list[Place] = []
    loop_of: list[int] = []
    step = found.step.copy()
    # The classes of a stage come before those of the next; all of them where the first was.
    for c, place in enumerate(places.places):
        if c == classes[0]:
            for stage in range(period):
                for of_loop in classes:
                    one = places.places[of_loop]
                    chosen = found.step[one.members] % period == stage
                    if chosen.any():
                        split.append(_some(one, np.nonzero(chosen)[0]))
                        loop_of.append(loop)
        elif found.loop_of[c] != loop:
            split.append(place)
            loop_of.append(int(found.loop_of[c]))
    for c in classes:
        step[places.places[c].members] //= period
    return Steps(_renumbered(places, split), np.array(loop_of), step, found.count)


def _period(counts: Indices) -> int:
    """Return the smallest period of the numbers of nodes in each step, 1 if there is none."""
    total = counts.shape[1]
    for period in range(1, min(_MOST_STAGES, total // 4) + 1):
        alike = (counts[:, period:] == counts[:, :-period]).all(axis=0)
        if alike.mean() > _ALIKE:
            return period
    return 1


def _some(place: Place, chosen: Indices) -> Place:
    """Return the class of some members."""
    runs = place.runs
    if runs is not None:
        lengths = np.diff(runs.offsets)
        starts = runs.offsets[chosen]
        counts = lengths[chosen]
        offsets = np.concatenate([[0], np.cumsum(counts)])
        flat = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], counts)
        runs = type(runs)(runs.nodes[flat], offsets)
    return Place(
        place.operation,
        place.members[chosen],
        [x[chosen] for x in place.slots],
        runs,
        None if place.table is None else place.table[chosen],
        place.batched,
    )
