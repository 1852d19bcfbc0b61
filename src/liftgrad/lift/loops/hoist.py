"""Hoist: what members of a loop's classes do not depend on the loop is taken out of it."""

import numpy as np
from numpy.typing import NDArray

from liftgrad.lift.ir.groups import Indices
from liftgrad.lift.loops.place import Place, Places


def hoisted(places: Places, loop_of: Indices, step: Indices) -> Places | None:
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
    out = np.zeros(len(step), np.bool_)
    for c, place in enumerate(places.places):
        if loop_of[c] >= 0:
            operands, readers = places.within(c, loop_of)
            free = np.ones(len(place.members), np.bool_)
            free[readers[~out[operands]]] = False
            late = free & (2 * step[place.members] > last[loop_of[c]])
            kinds = _kinds(place, places.of, out) if late.any() else np.zeros(len(free), np.int64)
            chosen = free & np.isin(kinds, kinds[late])
            if chosen.any() and not chosen.all():
                out[place.members[chosen]] = True
                result.append(place.some(np.nonzero(chosen)[0]))
                place = place.some(np.nonzero(~chosen)[0])  # noqa: PLW2901
        result.append(place)
    return places.replaced(result) if out.any() else None


def _kinds(place: Place, of: Indices, out: NDArray[np.bool_]) -> Indices:
    """Return a number for each member that tells which classes it reads, and if those are out."""
    classes = 2 * of + out
    count = int(classes.max()) + 1
    kinds = np.zeros(len(place.members), np.int64)
    for operands, readers in zip(place.operands(), place.readers(), strict=True):
        pairs = np.unique(readers * count + classes[operands])
        codes = pairs % count * 1_000_003 + 1  # a class counts once, in whatever order
        kinds = kinds * 31 + np.bincount(pairs // count, codes, len(kinds)).astype(np.int64)
    return kinds
