"""Separable: whether a result on all samples follows from its results on portions of them.

Data that does not fit into memory is evaluated a portion at a time. That is right for a mean over
the samples, and wrong for the root of a mean: how the result depends on the samples is read off the
program. Comparing numbers would not do, since a mean over only those samples that meet a condition
is an ordinary mean as long as all of them meet it.
"""

from collections.abc import Sequence
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
from liftgrad.lift.trace.nodes import Node
from liftgrad.lift.trace.tape import Tape

Combination = Literal["mean", "total"]


def combination(
    source: Source, arguments: dict[str, Any], data: set[str], sizes: set[int]
) -> Combination | None:
    """Return how a function's results on portions of the samples make up that on all of them.

    Args:
        source: the function that is asked about.
        arguments: all of its arguments, by name.
        data: the names of those that are arrays with a sample in each row.
        sizes: the numbers of samples that portions have.

    Returns:
        "mean", weighted by the portions' sizes; "total"; or None if it is neither or unknown, as
        where samples are not mapped over by `vmap`.

    """
    if any(arguments[name].dtype.kind not in "fiu" for name in data):
        return None  # other numbers are written in the program
    smallest, *larger = sorted({*sizes, min(sizes) + 1})
    traced = _traced(source, arguments, data, smallest)
    if traced is None:
        return None
    built, nodes = traced
    for size in larger:
        other = _traced(source, arguments, data, size)
        if other is None or other[1] != nodes:
            return None
    found = _dependences(built)[built.rolled.outputs[0].group]
    return "mean" if found in _MEANS else "total" if found in _TOTALS else None


def _traced(
    source: Source, arguments: dict[str, Any], data: set[str], size: int
) -> tuple[Built, list[Node]] | None:
    """Return the program for data of one size, and its tape; None if the data may not be split."""
    # One row stands for all: only shapes matter.
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


class _Dependence(Enum):
    """How a group's numbers depend on the samples."""

    SAME = auto()
    """Not at all."""
    EACH = auto()
    """There is a number for each sample, which depends on that sample alone."""
    COUNT = auto()
    """The number of samples."""
    MEAN = auto()
    """On all samples the weighted mean of the numbers on portions."""
    TOTAL = auto()
    """On all samples the total of the numbers on portions."""
    OTHER = auto()


_MEANS = {_Dependence.SAME, _Dependence.MEAN}
_TOTALS = {_Dependence.COUNT, _Dependence.TOTAL}


def _dependences(built: Built) -> list[_Dependence]:
    groups, found = built.rolled.groups, list[_Dependence]()
    loops = {loop.first: loop for loop in built.rolled.loops}
    while len(found) < len(groups):
        i = len(found)
        if i in loops:
            of_loop = _dependence_of_loop(groups[i : loops[i].stop], found)
            found += [of_loop] * (loops[i].stop - i)
        else:
            found.append(_Dependence.COUNT if i == built.sizes else _dependence(groups[i], found))
    return found


def _dependence_of_loop(groups: Sequence[Group], earlier: list[_Dependence]) -> _Dependence:
    """Return how the groups of a loop, which depend on each other, all depend on the samples."""
    of_operands = {
        earlier[view.group]
        for group in groups
        for view in views(group)
        if view.group < len(earlier)
    }
    if groups[0].batched:
        separate = of_operands <= {_Dependence.SAME, _Dependence.EACH}
        return _Dependence.EACH if separate else _Dependence.OTHER
    return _Dependence.SAME if of_operands <= {_Dependence.SAME} else _Dependence.OTHER


def _dependence(group: Group, earlier: list[_Dependence]) -> _Dependence:
    of_operands = [earlier[view.group] for view in views(group)]
    if group.batched:
        separate = set(of_operands) <= {_Dependence.SAME, _Dependence.EACH}
        return _Dependence.EACH if separate else _Dependence.OTHER
    if set(of_operands) <= {_Dependence.SAME}:
        return _Dependence.SAME
    match group:
        case Elementwise(operation=operation):
            return _of_operation(operation, of_operands)
        case Sum():
            # An operand with a number for each sample is summed over the samples, too.
            each, total = _Dependence.EACH, _Dependence.TOTAL
            return _of_sum([total if term is each else term for term in of_operands])
        case Largest() | Take() | Put() | Leaf() | Constants():
            return _Dependence.OTHER
        case _:
            assert_never(group)


def _of_operation(operation: ops.Operation, operands: list[_Dependence]) -> _Dependence:
    if operation in (ops.add, ops.subtract, ops.negate, ops.detach):
        return _of_sum(operands)
    if operation is ops.divide:
        dividend, divisor = operands
        if divisor is _Dependence.SAME:
            return _of_sum([dividend])
        if dividend in _TOTALS and divisor is _Dependence.COUNT:
            return _Dependence.MEAN
    if operation is ops.multiply:
        for one, other in (operands, operands[::-1]):
            if one is _Dependence.SAME:
                return _of_sum([other])
            if one is _Dependence.COUNT and other in _MEANS:
                return _Dependence.TOTAL
    return _Dependence.OTHER


def _of_sum(terms: list[_Dependence]) -> _Dependence:
    for alike, found in ((_MEANS, _Dependence.MEAN), (_TOTALS, _Dependence.TOTAL)):
        if set(terms) <= alike:
            return found
    return _Dependence.OTHER
