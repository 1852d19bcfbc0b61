"""Heads: nests at a step's beginning that copy what the step before computed.

In a loop's first step other nests run in their place, which would make it a segment of its own. But
a copy costs nothing in registers: what the first step has at those places is what is carried into
the loop, and what the others have there is what the step before leaves.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import product

from liftgrad.lift.ir.nests import Access, Load, loads
from liftgrad.lift.kernels.registers import Place, Registers
from liftgrad.lift.kernels.segments import Segment, StepNest

_MOST_ROWS = 256
"""Rows of a head that is carried in registers."""


def merged(
    first: Segment,
    rest: Segment,
    written: Collection[int],
    write: Callable[[Sequence[StepNest], Registers], None],
) -> Segment | None:
    """Return two segments as one, if all that makes the first differ is what its heads are.

    Args:
        first: the segment that runs before the other.
        rest: the other.
        written: the buffers that the loop writes.
        write: writes nests, given what is known.

    """
    initial = [nest for nest in first.nests if nest not in rest.nests]
    heads = [nest for nest in rest.nests if nest not in first.nests]
    common = [nest for nest in rest.nests if nest in first.nests]
    outs = {nest.nest.out.buffer for nest in heads}
    if first.steps > 1 or outs != {nest.nest.out.buffer for nest in initial}:
        return None
    if outs & {nest.nest.out.buffer for nest in common}:
        return None
    if any(access.buffer in written for nest in initial for access in loads(nest.nest.body)):
        return None
    sources: dict[Place, Place] = {}
    for head in heads:
        if not _copies(head):
            return None
        sources.update(_copied(head))
    registers = Registers()
    write(initial, registers)
    if registers.clobbered:
        return None
    known = registers
    registers = Registers()
    write(heads, registers)
    places: dict[Place, Place] = {}
    for place in registers.stored:
        source = _together([sources.get(element) for element in place.elements()], place)
        if source is None or known.find(place) is None:
            return None
        places[place] = source
    if registers.clobbered:
        return None
    start, stop = min(first.start, rest.start), max(first.stop, rest.stop)
    return Segment(start, stop, common, initial, places)


def _copies(head: StepNest) -> bool:
    """Return whether a nest copies rows from places that are known but for the step."""
    nest = head.nest
    if head.rows is not None or nest.accumulate or not isinstance(nest.body, Load):
        return False
    accesses = (nest.out, nest.body.access)
    rows = 1
    for extent in head.extents.values():
        rows *= extent
    return rows <= _MOST_ROWS and all(x.table is None and x.index is None for x in accesses)


def _copied(head: StepNest) -> Iterator[tuple[Place, Place]]:
    """Yield where a copy writes each number, and where it reads it."""
    assert isinstance(head.nest.body, Load)

    def place(access: Access, index: Sequence[int]) -> Place:
        time, *strides = access.strides
        offset = access.offset + sum(s * i for s, i in zip(strides, index, strict=True))
        return Place(access.buffer, time, offset)

    for index in product(*map(range, head.extents.values())):
        yield place(head.nest.out, index), place(head.nest.body.access, index)


def _together(elements: Sequence[Place | None], like: Place) -> Place | None:
    """Return the place of a vector's numbers, which are in one buffer; None: there is none."""
    first, *others = elements
    if first is None:
        return None
    step = others[0].offset - first.offset if others and others[0] is not None else 1
    place = Place(first.buffer, first.time, first.offset, like.numbers, step, like.lanes)
    return place if place.elements() == elements else None
