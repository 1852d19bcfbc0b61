"""Peel: a reduction over all steps of a loop, of which the first or the last is not like the rest.

The state before the first step is often fewer numbers than those after it, or elsewhere. Without
that step the others are affine, and take no table.
"""

from dataclasses import replace
from typing import assert_never

from liftgrad import ops
from liftgrad.lift.ir import affine
from liftgrad.lift.ir.groups import Indices
from liftgrad.lift.ir.nests import Number
from liftgrad.lift.scheduling.draft import Applied, Draft, Loads, Reduced, added, all_loads
from liftgrad.lift.scheduling.layout import Layouts

_SHORTEST = 4
"""The least length of a reduction that is worth two."""


def peeled(draft: Draft, layouts: Layouts) -> Draft:
    """Return a draft in whose reductions a first or last element is apart, where that helps."""
    match draft:
        case Applied(operands=operands):
            return replace(draft, operands=tuple(peeled(x, layouts) for x in operands))
        case Reduced(length=length, body=body):
            if length < _SHORTEST or draft.samples:
                return draft
            loads = all_loads(body)
            if any(x.table is not None for x in loads):
                return draft
            positions = [layouts.physical(x.group, x.positions) for x in loads]
            rest = _regular(positions, length)
            return draft if rest is None else _in_two(draft, rest)
        case Loads() | Number():
            return draft
        case _:
            assert_never(draft)


def _regular(positions: list[Indices], length: int) -> slice | None:
    """Return all elements but one, if they are affine and all together are not."""
    if all(_is_affine(x) for x in positions):
        return None
    for rest in (slice(1, length), slice(0, length - 1)):
        if all(_is_affine(x[:, rest]) for x in positions):
            return rest
    return None


def _is_affine(positions: Indices) -> bool:
    """Return whether positions are affine along each row, and in the same way in all."""
    first = positions[0]
    return affine.radices(first) is not None and bool(
        (positions - positions[:, :1] == first - first[0]).all()
    )


def _in_two(draft: Reduced, rest: slice) -> Draft:
    """Return a reduction of these elements, and the other one."""
    alone = 0 if rest.start else draft.length - 1
    others = Reduced(draft.kind, draft.length - 1, _elements(draft.body, rest), draft.samples)
    terms = [_elements(draft.body, alone), others]
    return added(terms) if draft.kind == "sum" else Applied(ops.maximum, tuple(terms))


def _elements(draft: Draft, chosen: int | slice) -> Draft:
    """Return the body of a reduction for some of the elements that are reduced."""
    match draft:
        case Loads(positions=positions):
            return replace(draft, positions=positions[:, chosen])
        case Applied(operands=operands):
            return replace(draft, operands=tuple(_elements(x, chosen) for x in operands))
        case Number() | Reduced():
            return draft
        case _:
            assert_never(draft)
