"""Fuse: decide which groups are kept in memory and which are computed where they are used.

A group that is read no more often than it has elements costs nothing extra where it is used: a
product goes into its sum, which makes a contraction, and an activation into the sum before it.

Of a loop over time, what is read in another step or outside of the loop is kept; and what takes
long, and does not depend on the loop, is computed before it, by vectors along time.

Invariant: leaves, scatters and outputs are kept; no reduction is fused into another; what is the
same for all samples is not computed for each; and no expression grows beyond a bound.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import assert_never

from liftgrad import ops
from liftgrad.lift.ir.groups import (
    Constants,
    Elementwise,
    Group,
    Largest,
    Leaf,
    Loop,
    Put,
    Rolled,
    Runs,
    Sum,
    Take,
    View,
    loop_of_each,
    views,
)
from liftgrad.lift.scheduling.again import is_copy

_LARGEST_EXPRESSION = 40
"""Operations in one expression: beyond this, kernels compile slowly and spill registers."""
_QUICK = {ops.add, ops.subtract, ops.multiply, ops.negate, ops.absolute, ops.select}


def kept_groups(
    program: Rolled, outputs: Sequence[View], again: AbstractSet[int] = frozenset()
) -> list[bool | None]:
    """Return for each group whether it is kept in memory; None: no output depends on it.

    Args:
        program: the groups.
        outputs: what is read from outside.
        again: groups of loops that are computed again where they are read outside of their loop.

    """
    large: set[int] = set()
    while True:
        kept = _kept(program, outputs, large, again)
        # What is kept cuts expressions, and keeping more changes what else is: until all fit.
        grown = large | _large(program.groups, kept)
        if grown == large:
            return kept
        large = grown


def _kept(
    program: Rolled, outputs: Sequence[View], large: set[int], again: AbstractSet[int]
) -> list[bool | None]:
    """Return what is kept in memory, if at least these groups are."""
    groups, loop_of = program.groups, loop_of_each(program)
    repeated = [False] * len(groups)
    """Whether a group that is in no loop over time is read in one, if it is not kept."""
    reads = [0.0] * len(groups)
    kept: list[bool | None] = [None] * len(groups)
    within_reduction = [False] * len(groups)
    wanted = [False] * len(groups)
    for output in outputs:
        wanted[output.group] = True
        kept[output.group] = True
    is_batched = [group.batched for group in groups]
    for i in range(len(groups) - 1, -1, -1):
        group, loop = groups[i], loop_of.get(i)
        if loop is not None and i == loop.stop - 1:
            _enter(loop, groups, wanted, kept)
        if not wanted[i]:
            continue
        size, batched, kind = group.size, is_batched[i], group.__class__
        if kept[i] is None:
            kept[i] = (
                i in large
                or _over_samples(group, groups)
                or _keep(group, reads[i], within_reduction[i])
                or (repeated[i] and not _quick(group, groups))
            ) and not (loop is not None and i < loop.first + loop.heads and is_copy(group))
        scale = 1.0 if kept[i] else reads[i] / max(size, 1)
        reduced = (within_reduction[i] and not kept[i]) or (
            isinstance(group, Sum | Largest) and not _plain(group, groups)
        )
        read = views(group)
        if again and kind is not Take and kind is not Put:
            read = list(_from_outside(read, loop, groups, loop_of, again))
        for view in read:
            j = view.group
            wanted[j] = True
            reads[j] += len(view.positions) * scale
            if reduced and not (loop is not None and kept[i] and _is_term(view)):
                within_reduction[j] = True
            if is_batched[j] is not batched:
                if batched:
                    reads[j] = math.inf  # each sample would compute it again
                else:
                    within_reduction[j] = True
            if kind is Take or kind is Put:
                kept[j] = True
            if loop_of and loop_of.get(j) is not loop:
                if j in loop_of:
                    kept[j] = True
                elif loop is not None or (repeated[i] and not kept[i]):
                    repeated[j] = True
    return kept


def _from_outside(
    read: Iterable[View | Runs],
    loop: Loop | None,
    groups: Sequence[Group],
    loop_of: Mapping[int, Loop],
    again: AbstractSet[int],
) -> Iterator[View | Runs]:
    """Yield what is read, for what is computed again what that reads, as often."""
    for view in read:
        if view.group not in again or loop_of[view.group] is loop:
            yield view
            continue
        operands = [View(x.group, view.positions) for x in views(groups[view.group])]
        yield from _from_outside(operands, loop, groups, loop_of, again)


def _enter(
    loop: Loop, groups: Sequence[Group], wanted: list[bool], kept: list[bool | None]
) -> None:
    """Note what is wanted of a loop, whose heads read later groups, and what they keep."""
    waiting = [i for i in range(loop.first, loop.stop) if wanted[i]]
    while waiting:
        i = waiting.pop()
        for view in views(groups[i]):
            if not loop.first <= view.group < loop.stop:
                continue
            if i < loop.first + loop.heads:
                kept[view.group] = True
            if not wanted[view.group]:
                wanted[view.group] = True
                waiting.append(view.group)


def _keep(group: Group, reads: float, within_reduction: bool) -> bool:
    match group:
        case Elementwise(operation=operation):
            return reads > group.size and operation not in ops.CONDITIONS
        case Leaf() | Put():
            return True
        case Constants(numbers=numbers):
            return len(numbers) > 1
        case Sum(operands=runs) | Largest(operands=runs):
            uniform = all(run.uniform for run in runs)
            return not uniform or within_reduction or reads > group.size
        case Take():
            return reads > group.size
        case _:
            assert_never(group)


def _over_samples(group: Group, groups: Sequence[Group]) -> bool:
    """Return whether a group is a sum over the samples of a batch."""
    return (
        isinstance(group, Sum)
        and not group.batched
        and any(groups[run.group].batched for run in group.operands)
    )


def _plain(group: Sum | Largest, groups: Sequence[Group]) -> bool:
    """Return whether every run is one element, so that there is no loop."""
    return all(
        run.uniform == 1 and groups[run.group].batched == group.batched for run in group.operands
    )


def _is_term(view: View | Runs) -> bool:
    """Return whether an operand of a sum is one term for each element, which takes no loop."""
    return isinstance(view, Runs) and view.uniform == 1


def _quick(group: Group, groups: Sequence[Group]) -> bool:
    """Return whether a group is as quickly computed as loaded, even if not by vectors."""
    match group:
        case Elementwise(operation=operation):
            return operation in _QUICK or operation in ops.CONDITIONS
        case Sum() | Largest():
            return _plain(group, groups)
        case Leaf() | Constants() | Take() | Put():
            return True
        case _:
            assert_never(group)


def _large(groups: Sequence[Group], kept: list[bool | None]) -> set[int]:
    """Return the groups at which an expression would grow beyond bounds if nothing were kept."""
    sizes = [0] * len(groups)
    large: set[int] = set()
    for i, group in enumerate(groups):
        if kept[i] is None or isinstance(group, Leaf | Constants):
            continue
        read = views(group)
        size = len(read) if isinstance(group, Sum | Largest) else 1
        for view in read:
            size += sizes[view.group]
        if size > _LARGEST_EXPRESSION:
            large.add(i)
        sizes[i] = 0 if kept[i] or i in large else size
    return large
