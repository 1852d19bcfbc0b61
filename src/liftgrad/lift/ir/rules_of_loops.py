"""Rules of loops: which elements the groups of a loop may read, and when those are computed."""

from collections.abc import Iterator, Sequence

import numpy as np

from liftgrad.lift.ir.groups import (
    Constants,
    Group,
    Indices,
    Leaf,
    Loop,
    Put,
    Rolled,
    Sum,
    views,
)
from liftgrad.lift.ir.operands import rows_of_reads


def problems_of_loops(program: Rolled) -> Iterator[str]:
    """Yield what is wrong with a program's loops, whose groups are right one by one."""
    stop = 0
    for i, loop in enumerate(program.loops):
        named = f"loop {i} (groups {loop.first} to {loop.stop - 1})"
        if not stop <= loop.first < loop.stop <= len(program.groups):
            yield f"{named}: it has no groups, or they are in another loop as well"
        stop = loop.stop
        for problem in _problems_of_loop(loop, program.groups):
            yield f"{named}: {problem}"


def _problems_of_loop(loop: Loop, groups: Sequence[Group]) -> Iterator[str]:
    members = range(loop.first, loop.stop)
    if len(loop.offsets) != len(members):
        yield f"it has {len(loop.offsets)} sequences of offsets"
        return
    if not 1 <= loop.heads <= len(members):
        yield f"it has {loop.heads} heads"
    if len({groups[i].batched for i in members}) > 1:
        yield "some of its groups are batched and some are not"
    for i, offsets in zip(members, loop.offsets, strict=True):
        group = groups[i]
        if isinstance(group, Leaf | Constants | Put):
            yield f"group {i} depends on no step before"
            return
        if i < loop.first + loop.heads and not isinstance(group, Sum):
            yield f"group {i} is a head and no sum"
        if (
            offsets.dtype != np.int64
            or len(offsets) != loop.steps + 1
            or offsets[0] != 0
            or offsets[-1] != group.size
            or (offsets[1:] < offsets[:-1]).any()
        ):
            yield f"the steps of group {i} are not its {group.size} elements, one after another"
            return
    for i in members:
        for problem in _problems_of_reads(loop, groups, i):
            yield f"group {i}: {problem}"


def _problems_of_reads(loop: Loop, groups: Sequence[Group], i: int) -> Iterator[str]:
    group = groups[i]
    is_head = i < loop.first + loop.heads
    for operand, rows in zip(views(group), rows_of_reads(group), strict=True):
        if not loop.first <= operand.group < loop.stop:
            continue
        of_reader = steps_at(loop.offsets[i - loop.first], rows)
        of_read = steps_at(loop.offsets[operand.group - loop.first], operand.positions)
        ago = of_read - of_reader if loop.backwards else of_reader - of_read
        if is_head and (ago < 1).any():
            yield f"it reads elements of group {operand.group} before their step"
        if not is_head and (ago != 0).any():
            yield f"it reads elements of group {operand.group} at another step"


def steps_at(offsets: Indices, positions: Indices) -> Indices:
    """Return the step of each of a group's positions, given where each step begins."""
    return np.searchsorted(offsets, positions, side="right") - 1
