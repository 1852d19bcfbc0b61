"""Carrying: which registers a loop over time keeps from one step to the next."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from liftgrad.lift.kernels.registers import Place, Registers

_MOST_LAGS = 4
"""Steps over which a number is carried on; what lies further back is read in memory."""
_MOST_FIXED = 160
"""Numbers that stay the same in all steps and are read before them."""


@dataclass(slots=True)
class Carrying:
    """What a segment of a loop has in registers when a step begins."""

    moving: dict[Place, Place] = field(default_factory=dict)
    """Places, and those that had their numbers in the step before, as this step names them."""
    fixed: list[Place] = field(default_factory=list)
    """What no step changes."""


@dataclass(slots=True)
class Step:
    """What the steps of a segment do with memory."""

    carrying: Carrying
    known: dict[Place, str]
    """What is known behind the last of them, as the step that follows names it."""
    from_memory: set[int]
    """The buffers that are read in memory."""


def plan(
    steps: int,
    ahead: int,
    entry: Collection[Place],
    heads: Mapping[Place, Place],
    write: Callable[[Registers], None],
) -> Step | None:
    """Choose what the steps of a segment carry on.

    Args:
        steps: how many there are.
        ahead: 1, or -1 if time runs backwards.
        entry: the places that are known when the first step begins.
        heads: places that are known in each step, and where the step before had their numbers.
        write: writes a step, given what is known when it begins.

    Returns:
        what they do; None: the heads' numbers are not all in registers at the end of a step.

    """
    if steps == 1:
        registers = starting(entry)
        write(registers)
        known = registers.later(ahead)
        return Step(Carrying(), known, registers.from_memory)
    registers = starting(heads)
    write(registers)
    for source in heads.values():
        found = registers.find(source.later(-ahead))
        if found is None or any(place not in registers.stored for place, _ in found):
            return None
        if registers.changes(source):
            return None
    carrying = Carrying(dict(heads))
    moved = {head.buffer for head in heads}
    for place in registers.exposed:
        if place.time == 0 and place.buffer not in moved and not registers.writes(place.buffer):
            if len(carrying.fixed) < _MOST_FIXED:
                carrying.fixed.append(place)
        else:
            chain = _chain(place, registers, min(_MOST_LAGS, steps), ahead)
            carrying.moving |= {x: x for x in chain}
    registers = starting([*carrying.moving, *carrying.fixed])
    write(registers)
    initial = [x for x in (*carrying.moving, *carrying.fixed) if x not in heads]
    missing = {x.buffer for x in initial if x not in entry}
    known = dict.fromkeys([*carrying.moving.values(), *carrying.fixed], "")
    return Step(carrying, known, registers.from_memory | missing)


def starting(places: Collection[Place]) -> Registers:
    """Return registers that hold the numbers at some places, whatever they are."""
    registers = Registers()
    for place in places:
        registers.set(place, f"{place}")
    return registers


def _chain(place: Place, registers: Registers, lags: int, ahead: int) -> list[Place]:
    """Return the places at the step's beginning that bring a place what an earlier step stored."""
    for lag in range(1, lags + 1):
        found = registers.find(place.later(-ahead * lag))
        if found is not None and all(source in registers.stored for source, _ in found):
            sources = dict.fromkeys(source for source, _ in found)
            chain = [x.later(ahead * i) for x in sources for i in range(1, lag + 1)]
            between = [x.later(ahead * i) for x in sources for i in range(1, lag)]
            # What is carried through a step must be the same after it.
            return [] if any(registers.changes(x) for x in between) else chain
    return []
