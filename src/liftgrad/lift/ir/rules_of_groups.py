"""Rules of groups: the invariants of a program of groups."""

from collections.abc import Iterator, Sequence
from typing import assert_never

import numpy as np

from liftgrad import ops
from liftgrad.lift.ir.groups import (
    Assignment,
    Constants,
    Elementwise,
    Group,
    Indices,
    Largest,
    Leaf,
    Put,
    Rolled,
    Runs,
    Sum,
    Take,
    View,
    views,
)
from liftgrad.lift.ir.rules import Sort, is_sequence, named, outside, problems_of_operands
from liftgrad.lift.ir.rules_of_loops import problems_of_loops


def problems_of_groups(
    program: Rolled, outputs: Sequence[View], assignments: Sequence[Assignment]
) -> Iterator[str]:
    """Yield what is wrong with a program; only the first can be relied on.

    Args:
        program: the groups, outputs, roles and tables.
        outputs: what is to be computed beside the program's own outputs.
        assignments: what is to be assigned.

    """
    groups = program.groups
    # A head may read whatever is in its loop.
    heads = {
        h: loop.stop for loop in program.loops for h in range(loop.first, loop.first + loop.heads)
    }
    for i, group in enumerate(groups):
        for problem in _problems_of_group(groups, i, heads.get(i, i)):
            yield f"group {i} ({_kind_of(group)}): {problem}"
    yield from problems_of_loops(program)
    for j, output in enumerate([*program.outputs, *outputs]):
        for problem in _problems_of_result(groups, output):
            yield f"output {j}: {problem}"
    for j, assignment in enumerate(assignments):
        for problem in _problems_of_assignment(groups, assignment):
            yield f"assignment {j}, to group {assignment.leaf}: {problem}"
    for i, (role, of) in program.roles.items():
        if not (0 <= i < len(groups) and 0 <= of < len(groups)):
            yield f"the role of group {i}, {role!r} of group {of}: there is no such group"
        elif role not in ("∂", "∂′", "#", "="):
            yield f"the role of group {i} is {role!r}"
        elif groups[i].size != groups[of].size:
            yield f"group {i} has the role {role!r} of group {of}, whose size is another"
    for i, table in program.tables.items():
        if not 0 <= i < len(groups) or _sort(groups[i]) != "condition":
            yield f"the table for group {i} belongs to no condition"
        else:
            yield from outside(table, groups[i].size, f"the table for group {i}")


def _problems_of_result(groups: Sequence[Group], view: View) -> Iterator[str]:
    yield from _problems_of_operand(groups, view, len(groups))
    if _sort(groups[view.group]) != "number":
        yield f"it is {named(_sort(groups[view.group]))} instead of a number"


def _problems_of_assignment(groups: Sequence[Group], assignment: Assignment) -> Iterator[str]:
    positions, value = assignment.positions, assignment.value
    yield from _problems_of_operand(groups, View(assignment.leaf, positions), len(groups))
    leaf = groups[assignment.leaf]
    if not isinstance(leaf, Leaf) or leaf.kind != "parameter":
        yield f"it is a {_kind_of(leaf)} and no parameter"
    if len(np.unique(positions)) < len(positions):
        yield "an element is assigned twice"
    for problem in _problems_of_result(groups, value):
        yield f"its value: {problem}"
    if len(value.positions) != len(positions):
        yield f"its value has {len(value.positions)} elements, and {len(positions)} are assigned"
    if groups[value.group].batched:
        yield "its value is batched, but parameters are the same for all samples"


def _kind_of(group: Group) -> str:
    return group.operation.name if isinstance(group, Elementwise) else type(group).__name__.lower()


def _sort(group: Group) -> Sort:
    if isinstance(group, Elementwise) and group.operation in ops.CONDITIONS:
        return "condition"
    return "index" if isinstance(group, Leaf) and group.kind == "index" else "number"


def _problems_of_group(groups: Sequence[Group], i: int, before: int) -> Iterator[str]:
    group = groups[i]
    for j, operand in enumerate(views(group)):
        for problem in _problems_of_operand(groups, operand, before):
            yield f"operand {j}: {problem}"
    sorts = [_sort(groups[operand.group]) for operand in views(group)]
    batched = any(groups[operand.group].batched for operand in views(group))
    if group.size < 1 and not isinstance(group, Leaf):
        yield "it has no elements"
    match group:
        case Leaf(kind=kind):
            if kind not in ("parameter", "input", "index"):
                yield f"a leaf of unknown kind {kind!r}"
            if kind == "parameter" and group.batched:
                yield "parameters are the same for all samples, but it is batched"
        case Constants(numbers=numbers):
            if numbers.dtype != np.float64 or numbers.ndim != 1:
                yield f"its numbers are {numbers.dtype} in {numbers.ndim} dimensions"
            if group.batched:
                yield "constants are the same for all samples, but it is batched"
        case Elementwise(operation=operation, operands=operands):
            yield from problems_of_operands(operation, sorts)
            if len({len(view.positions) for view in operands}) > 1:
                yield f"its operands have {[len(view.positions) for view in operands]} elements"
            yield from _problems_of_batching(group, batched)
        case Sum(operands=operands):
            yield from _problems_of_runs(operands)
            yield from _other_than_numbers(sorts)
        case Largest(operands=operands):
            yield from _problems_of_runs(operands)
            yield from _other_than_numbers(sorts)
            yield from _problems_of_batching(group, batched)
            lengths = sum(np.diff(runs.offsets) for runs in operands)
            if not np.all(lengths):
                yield f"element {np.argmin(lengths)} is the largest of no elements"
        case Take(index=index, table=table):
            yield from _problems_of_table(table, {"its index": index}, sorts[0])
            yield from _other_than_numbers(sorts[1:])
            yield from _problems_of_batching(group, batched)
        case Put(source=source, index=index, table=table, size=size):
            yield from _problems_of_table(
                table, {"its source": source, "its index": index}, sorts[1]
            )
            yield from _other_than_numbers(sorts[:1])
            yield from outside(table, size, "its table")
        case _:
            assert_never(group)


def _problems_of_operand(
    groups: Sequence[Group], operand: View | Runs, before: int
) -> Iterator[str]:
    """Yield what is wrong with a view of groups before a certain one."""
    if not 0 <= operand.group < before:
        yield f"group {operand.group} is not computed before"
    elif not is_sequence(operand.positions):
        yield "its positions are no sequence of int64"
    else:
        yield from outside(operand.positions, groups[operand.group].size, f"group {operand.group}")


def _other_than_numbers(sorts: Sequence[Sort]) -> Iterator[str]:
    for sort in sorts:
        if sort != "number":
            yield f"an operand is {named(sort)} instead of a number"


def _problems_of_batching(group: Group, batched: bool) -> Iterator[str]:
    if group.batched and not batched:
        yield "it is batched, but none of its operands is"
    if batched and not group.batched:
        yield "an operand is batched, but it is not: only sums add up over samples"


def _problems_of_runs(operands: Sequence[Runs]) -> Iterator[str]:
    if len({len(runs.offsets) for runs in operands}) > 1:
        yield f"its operands have {[len(runs.offsets) - 1 for runs in operands]} runs"
    for j, runs in enumerate(operands):
        offsets = runs.offsets
        if not is_sequence(offsets) or offsets[0] != 0 or offsets[-1] != len(runs.positions):
            yield f"operand {j}: its offsets are not from 0 to its {len(runs.positions)} positions"
        elif (np.diff(offsets) < 0).any():
            yield f"operand {j}: its offsets fall"


def _problems_of_table(table: Indices, rows: dict[str, View], index: Sort) -> Iterator[str]:
    if table.dtype != np.int64 or table.ndim != 2 or not table.shape[1]:
        yield f"its table of shape {table.shape} is no matrix of int64"
    for what, view in rows.items():
        if len(view.positions) != len(table):
            yield f"{what} has {len(view.positions)} elements and its table {len(table)} rows"
    if index != "index":
        yield f"its index is {named(index)} instead of an index"
