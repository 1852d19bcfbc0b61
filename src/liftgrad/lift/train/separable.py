"""Combination: whether a result on all samples follows from its results on portions of them.

Data that does not fit into memory is evaluated a portion at a time. That is right for a mean over
the samples, and wrong for the root of one: so the program is asked how the result is made. Numbers
could not tell, since a mean over the samples that count may be one on the first million rows.
"""

from enum import Enum, auto
from typing import Any, Literal, assert_never

import numpy as np

from liftgrad import ops
from liftgrad.lift.call.flatten import flatten
from liftgrad.lift.ir.groups import (
    Constants,
    Elementwise,
    Group,
    Largest,
    Leaf,
    Put,
    Sum,
    Take,
    views,
)
from liftgrad.lift.pipeline import Built
from liftgrad.lift.source import Source
from liftgrad.lift.trace.tape import Node, Tape

Combination = Literal["mean", "total"]


def combination(
    source: Source, arguments: dict[str, Any], data: set[str], sizes: set[int]
) -> Combination | None:
    """Return what a function's result on all samples is of its results on portions of them.

    Args:
        source: the function that is asked about.
        arguments: all of its arguments, by name.
        data: which of them are arrays with a sample in each row.
        sizes: how many samples the portions have.

    Returns:
        "mean", weighted by how many samples the portions have; "total"; or None if it is neither
        or cannot be known, as where samples are not mapped over by `vmap`.

    """
    if any(arguments[name].dtype.kind not in "fiu" for name in data):
        return None  # other numbers are a part of the program
    smallest, *larger = sorted({*sizes, min(sizes) + 1})
    traced = _traced(source, arguments, data, smallest)
    if traced is None:
        return None
    built, nodes = traced
    for size in larger:
        other = _traced(source, arguments, data, size)
        if other is None or other[1] != nodes:
            return None
    kind = _kinds(built)[built.rolled.outputs[0].group]
    return "mean" if kind in _MEANS else "total" if kind in _TOTALS else None


def _traced(
    source: Source, arguments: dict[str, Any], data: set[str], size: int
) -> tuple[Built, list[Node]] | None:
    """Return the program for so many samples, and its tape; None if it may not be cut."""
    # One row stands for all: only shapes are looked at.
    shown = {
        name: np.broadcast_to(x[:1], (size, *x.shape[1:])) if name in data else x
        for name, x in arguments.items()
    }
    flat = flatten(shown)
    tape = Tape(flat.groups)
    try:
        with source.lock:
            built = source.build(shown, flat, tape)
    except Exception:  # noqa: BLE001, the user's code may want another number of samples
        return None
    names = [group.name for group in flat.groups]
    mapped = {names[i] for i in built.batched_groups}
    used = {names[i] for i in built.leaf_of}
    counted = {names[i] for i in tape.measured} & data
    each_is_mapped = mapped and used & data <= mapped <= data and not counted
    return (built, tape.nodes) if each_is_mapped and built.single and not built.draws else None


class _Kind(Enum):
    """How numbers depend on the samples."""

    SAME = auto()
    """Not at all."""
    EACH = auto()
    """Each sample has its own, made of nothing of the others."""
    COUNT = auto()
    """It is how many samples there are."""
    MEAN = auto()
    """On all samples it is the weighted mean of what it is on portions."""
    TOTAL = auto()
    """On all samples it is the total of what it is on portions."""
    OTHER = auto()


_MEANS = {_Kind.SAME, _Kind.MEAN}
_TOTALS = {_Kind.COUNT, _Kind.TOTAL}


def _kinds(built: Built) -> list[_Kind]:
    """Return the kind of each group."""
    kinds: list[_Kind] = []
    for number, group in enumerate(built.rolled.groups):
        kinds.append(_Kind.COUNT if number == built.sizes else _kind(group, kinds))
    return kinds


def _kind(group: Group, kinds: list[_Kind]) -> _Kind:
    operands = [view.group for view in views(group)]
    of_operands = [kinds[i] for i in operands]
    if group.batched:
        return _Kind.EACH if set(of_operands) <= {_Kind.SAME, _Kind.EACH} else _Kind.OTHER
    if set(of_operands) <= {_Kind.SAME}:
        return _Kind.SAME
    match group:
        case Elementwise(operation=operation):
            return _of_operation(operation, of_operands)
        case Sum():
            # Over the samples, too, where an operand has a number for each.
            return _of_sum([_Kind.TOTAL if k is _Kind.EACH else k for k in of_operands])
        case Largest() | Take() | Put() | Leaf() | Constants():
            return _Kind.OTHER
        case _:
            assert_never(group)


def _of_operation(operation: ops.Operation, operands: list[_Kind]) -> _Kind:
    if operation in (ops.add, ops.subtract, ops.negate, ops.detach):
        return _of_sum(operands)
    if operation is ops.divide:
        dividend, divisor = operands
        if divisor is _Kind.SAME:
            return _of_sum([dividend])
        if dividend in _TOTALS and divisor is _Kind.COUNT:
            return _Kind.MEAN
    if operation is ops.multiply:
        for one, other in (operands, operands[::-1]):
            if one is _Kind.SAME:
                return _of_sum([other])
            if one is _Kind.COUNT and other in _MEANS:
                return _Kind.TOTAL
    return _Kind.OTHER


def _of_sum(terms: list[_Kind]) -> _Kind:
    for kinds, kind in ((_MEANS, _Kind.MEAN), (_TOTALS, _Kind.TOTAL)):
        if set(terms) <= kinds:
            return kind
    return _Kind.OTHER
