"""Stages: a loop within another becomes part of each step of that.

Where the steps' numbers of nodes have a period, as in a loop of four steps within one over time, a
period becomes one step, and each class one class for each stage of it.
"""

import numpy as np

from liftgrad.lift.ir.groups import Indices
from liftgrad.lift.loops.place import Place, Places

_MOST_STAGES, _MOST_CLASSES = 64, 600
_ALIKE = 0.9
"""The share of steps that have to be like those one period before."""


def staged(
    places: Places, loop_of: Indices, step: Indices, loop: int
) -> tuple[Places, Indices, Indices]:
    """Return classes, their loops and the nodes' steps, with those of a loop split by its period.

    Args:
        places: the classes.
        loop_of: for each of them its loop, or -1.
        step: the step of each node.
        loop: the loop.

    """
    classes = np.nonzero(loop_of == loop)[0].tolist()
    total = 1 + max(int(step[places.places[c].members].max()) for c in classes)
    counts = np.array(
        [np.bincount(step[places.places[c].members], minlength=total) for c in classes]
    )
    period = _period(counts)
    if period == 1 or period * len(classes) > _MOST_CLASSES:
        return places, loop_of, step
    split: list[Place] = []
    loops: list[int] = []
    of_period = step.copy()
    # The classes of a stage come before those of the next; all of them where the first was.
    for c, place in enumerate(places.places):
        if c == classes[0]:
            for stage in range(period):
                for of_loop in classes:
                    one = places.places[of_loop]
                    chosen = step[one.members] % period == stage
                    if chosen.any():
                        split.append(one.some(np.nonzero(chosen)[0]))
                        loops.append(loop)
        elif loop_of[c] != loop:
            split.append(place)
            loops.append(int(loop_of[c]))
    for c in classes:
        of_period[places.places[c].members] //= period
    return places.replaced(split), np.array(loops), of_period


def _period(counts: Indices) -> int:
    """Return the smallest period of the numbers of nodes in each step, 1 if there is none."""
    total = counts.shape[1]
    for period in range(1, min(_MOST_STAGES, total // 4) + 1):
        alike = (counts[:, period:] == counts[:, :-period]).all(axis=0)
        if alike.mean() > _ALIKE:
            return period
    return 1
