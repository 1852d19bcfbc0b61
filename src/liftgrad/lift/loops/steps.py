"""Steps: which classes depend on themselves, and in which step of their loop each node is.

Strongly connected classes are a loop. The step of a node is how often the longest chain of
operands within the loop that leads to it went round.
"""

from dataclasses import dataclass

import numpy as np

from liftgrad.lift.ir.components import components
from liftgrad.lift.ir.groups import Indices
from liftgrad.lift.ir.loop_error import LoopError
from liftgrad.lift.loops.hoist import hoisted
from liftgrad.lift.loops.place import Place, Places, distinct
from liftgrad.lift.loops.stages import staged

_FEWEST = 4
"""The steps of the longest loop of a program, of which fewer are not worth it."""
_MOST_ROUNDS = 16
"""Of taking out what does not depend on loops: a program that needs more is not made of loops."""


@dataclass(slots=True, eq=False)
class Steps:
    """Classes, of which some are in loops."""

    places: Places
    loop_of: Indices
    """For each class the loop that it is in, or -1."""
    step: Indices
    """For each node its step in its loop, 0 if it is in none."""


def steps(places: Places) -> Steps | None:
    """Return the loops of a program's classes, or None if there are none that are worth it.

    Raises:
        LoopError: if a loop would be batched in part.

    """
    for _ in range(_MOST_ROUNDS):
        loop_of = _loops(places)
        if not (loop_of >= 0).any():
            return None
        step = _steps(places, loop_of)
        rest = hoisted(places, loop_of, step)
        if rest is None:
            break
        places = rest
    else:
        return None
    if step.max() + 1 < _FEWEST:
        return None
    found = Steps(places, loop_of, step)
    for loop in range(int(loop_of.max()) + 1):
        found = Steps(*staged(found.places, found.loop_of, found.step, loop))
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
    return distinct(places.of[np.concatenate(operands)])


def _steps(places: Places, loop_of: Indices) -> Indices:
    """Return the step of each node: as late as those that read it in their steps allow."""
    order, reads, edges = _reads_within(places, loop_of)
    of = places.of.tolist()
    step = [0] * len(of)
    for i, read in zip(order, reads, strict=True):
        mine, earliest = of[i], 0
        for a in read:
            at = step[a] + (of[a] >= mine)
            if at > earliest:  # noqa: PLR1730, which is quicker than max() for each of very many
                earliest = at
        step[i] = earliest
    found = np.array(step, np.int64)
    if not _can_wait(found, places.of, *edges):
        return found
    latest: dict[int, int] = {}
    for i, read in zip(reversed(order), reversed(reads), strict=True):
        mine, at = of[i], latest.get(i, step[i])
        step[i] = at
        for a in read:
            before = at - (of[a] >= mine)
            if latest.get(a, before) >= before:
                latest[a] = before
    return np.array(step, np.int64)


def _can_wait(step: Indices, of: Indices, readers: Indices, read: Indices) -> bool:
    """Return whether some node is in an earlier step than all that read it would allow."""
    needed = step[readers] - (of[read] >= of[readers])
    waits = np.zeros(len(step), np.bool_)
    waits[read] = True
    waits[read[needed == step[read]]] = False
    return bool(waits.any())


def _reads_within(
    places: Places, loop_of: Indices
) -> tuple[list[int], list[list[int]], tuple[Indices, Indices]]:
    """Return the nodes of loops in the order of the tape, and what each reads within its loop.

    The last are all the pairs of a node and one that it reads.
    """
    reads: list[list[int]] = [[]] * len(places.of)
    inside = np.zeros(len(places.of), np.bool_)
    pairs: list[tuple[Indices, Indices]] = [(np.zeros(0, np.int64), np.zeros(0, np.int64))]
    for c, place in enumerate(places.places):
        if loop_of[c] < 0:
            continue
        inside[place.members] = True
        operands, readers = places.within(c, loop_of)
        pairs.append((place.members[readers], operands))
        flat = operands[np.argsort(readers, kind="stable")].tolist()
        ends = np.cumsum(np.bincount(readers, minlength=len(place.members))).tolist()
        start = 0
        for i, end in zip(place.members.tolist(), ends, strict=True):
            reads[i] = flat[start:end]
            start = end
    every = np.array(places.order, np.int64)
    order = every[inside[every]].tolist()
    first, second = zip(*pairs, strict=True)
    return order, [reads[i] for i in order], (np.concatenate(first), np.concatenate(second))
