"""Sums over time: what is added up over all steps of a loop is added up in the loop.

The gradient by a parameter that each step uses is a sum over all steps. If each step adds its own
terms, their factors are not kept in memory for all steps, to be read there once: of a hundred
thousand steps of an integrator, that is two thirds of what goes through the memory.

Only loops that run backwards do so: they belong to a gradient, as the sums do. Sums of more than a
few terms a step, such as the gradients of matrices, are left to kernels for matrices.

Invariant: each step adds to an element of a sum once in a nest, and terms of its own only.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import assert_never

import numpy as np

from liftgrad import ops
from liftgrad.lift.ir.groups import (
    Group,
    Indices,
    Loop,
    Rolled,
    Sum,
    View,
    identity,
    loop_of_each,
    views,
)
from liftgrad.lift.ir.nests import Number
from liftgrad.lift.scheduling.compose import Composer
from liftgrad.lift.scheduling.draft import Applied, Draft, Loads, Reduced, added, all_loads, rows_of
from liftgrad.lift.scheduling.over_time import step_of

_MOST_TERMS = 4
"""Terms of one operand that each step adds."""
_MOST_SUMS = 16
"""Elements of a sum: they stay in registers."""
_QUICK = {ops.add, ops.subtract, ops.multiply, ops.negate}


@dataclass(frozen=True, slots=True, eq=False)
class TermsOverTime:
    """Terms that the steps of a loop add to a sum."""

    sum: int
    """The number of the sum."""
    operands: tuple[int, ...]
    """Which of its operands they are."""
    out: Indices
    """The element that each term is added to, step by step."""
    terms: Draft
    ends: Indices
    """Where each step's terms begin, and at the end their number."""


@dataclass(frozen=True, slots=True, eq=False)
class _Operand:
    """An operand of a sum that the loop may add up."""

    sum: int
    number: int
    terms: Draft
    read: frozenset[int]
    """The groups of the loop that it reads."""
    order: Indices
    """The terms, step by step."""
    steps: Indices
    """Their steps, in this order."""
    out: Indices
    """The elements that they are added to."""


def sums_over_time(
    program: Rolled, outputs: Sequence[View], loop: Loop, composer: Composer, others: Container[int]
) -> list[TermsOverTime]:
    """Return what the steps of a loop add to sums behind it.

    Args:
        program: the loop's.
        outputs: what is read from outside.
        loop: the loop.
        composer: composes the program's expressions.
        others: groups that are left as they are.

    """
    if not loop.backwards:
        return []
    loop_of = loop_of_each(program)
    operands = [
        operand
        for i in range(loop.stop, len(program.groups))
        if composer.kept[i] and i not in others and i not in loop_of
        for operand in _operands(i, program.groups, loop, composer)
    ]
    while operands:
        stored = _stored(program, outputs, loop, composer, operands)
        worth = [operand for operand in operands if not operand.read <= stored]
        if len(worth) == len(operands):
            break
        operands = worth
    return _joined(loop, operands)


def _operands(i: int, groups: Sequence[Group], loop: Loop, composer: Composer) -> list[_Operand]:
    """Return the operands of a group that are terms of each step, if it is a sum."""
    group = groups[i]
    if not isinstance(group, Sum) or group.batched or group.size > _MOST_SUMS:
        return []
    found = []
    for number, runs in enumerate(group.operands):
        few = 0 < len(runs.positions) <= _MOST_TERMS * loop.steps
        if not few or groups[runs.group].batched or runs.group < loop.first:
            continue
        terms = composer.draft(runs.group, runs.positions)
        loads = all_loads(terms)
        read = frozenset(x.group for x in loads if loop.first <= x.group < loop.stop)
        known = all(x.group < loop.stop for x in loads)
        if read and known and _is_quick(terms):
            steps = _steps(loads, loop)
            rows = np.repeat(identity(group.size), np.diff(runs.offsets))
            if steps is None:
                continue
            order = np.argsort(steps * group.size + rows, kind="stable")
            steps, rows = steps[order], rows[order]
            if not ((steps[1:] == steps[:-1]) & (rows[1:] == rows[:-1])).any():
                found.append(_Operand(i, number, terms, read, order, steps, rows))
    return found


def _is_quick(draft: Draft) -> bool:
    match draft:
        case Applied(operation=operation, operands=operands):
            return operation in _QUICK and all(map(_is_quick, operands))
        case Reduced():
            return False
        case Loads() | Number():
            return True
        case _:
            assert_never(draft)


def _steps(loads: Sequence[Loads], loop: Loop) -> Indices | None:
    """Return the step that each term reads of the loop; None: there are several."""
    found: Indices | None = None
    for x in loads:
        if loop.first <= x.group < loop.stop:
            offsets = loop.offsets[x.group - loop.first]
            steps = step_of(x.positions, offsets)
            if found is None:
                found = steps
            elif (steps != found).any():
                return None
    return found


def _stored(
    program: Rolled,
    outputs: Sequence[View],
    loop: Loop,
    composer: Composer,
    operands: Sequence[_Operand],
) -> set[int]:
    """Return the loop's groups that are read outside by others than what the loop adds up."""
    groups, loop_of = program.groups, loop_of_each(program)
    inside = {(operand.sum, operand.number) for operand in operands}
    read = {view.group for view in outputs}
    """What is read outside of the loop, from the last group to the first."""
    for i in range(len(groups) - 1, loop.first - 1, -1):
        within = loop_of.get(i) is loop
        if (i in read and i in composer.again) if within else (i in read or composer.kept[i]):
            numbered = enumerate(views(groups[i]))
            read |= {view.group for j, view in numbered if (i, j) not in inside}
    return {i for i in read if loop_of.get(i) is loop and i not in composer.again}


def _joined(loop: Loop, operands: Sequence[_Operand]) -> list[TermsOverTime]:
    """Return the terms of operands in order of steps, those together that are alike in that."""
    alike: dict[tuple[int, bytes, bytes], list[TermsOverTime]] = {}
    for operand in operands:
        ends = np.searchsorted(operand.steps, identity(loop.steps + 1))
        terms = rows_of(operand.terms, operand.order)
        out = operand.out
        some = TermsOverTime(operand.sum, (operand.number,), out, terms, ends)
        alike.setdefault((operand.sum, out.tobytes(), ends.tobytes()), []).append(some)
    return [
        TermsOverTime(
            some[0].sum,
            tuple(number for one in some for number in one.operands),
            some[0].out,
            added([one.terms for one in some]),
            some[0].ends,
        )
        for some in alike.values()
    ]
