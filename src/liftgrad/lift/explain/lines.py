"""Lines: loop nests of one pattern, and the elements that their accesses touch.

Nests that differ only in how long they are, such as the rows of causal attention, are one line.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, assert_never

import numpy as np

from liftgrad import ops
from liftgrad.lift.ir import affine
from liftgrad.lift.ir.groups import Indices, View
from liftgrad.lift.ir.nests import (
    Access,
    Apply,
    Expression,
    Load,
    Nest,
    Number,
    Program,
    Reduce,
    Timed,
    TimeLoop,
)


@dataclass(slots=True, eq=False)
class Touch:
    """The elements that an access touches, in each of a line's nests."""

    group: int
    blocks: list[Indices]
    """Of shape (rows, reduced elements), or with an index (rows, reduced elements, values)."""
    reduction: int | None = None
    """Which of the line's reductions the access is in."""
    index: "Touch | None" = None


@dataclass(slots=True, eq=False)
class Time:
    """When the nests of a line run."""

    loop: TimeLoop
    steps: list[Indices]
    """For each nest the step in which it computes each of its rows."""


@dataclass(slots=True, eq=False)
class Line:
    """Nests of one pattern, which compute elements of one group."""

    nests: list[Nest]
    body: Expression
    """The body of the first nest."""
    accumulate: bool
    batched: bool
    out: Touch
    touches: dict[int, Touch]
    """By the identity of the body's accesses."""
    reductions: list[Reduce]
    lengths: list[list[int]] = field(default_factory=list)
    """For each reduction its length in each nest."""
    time: "Time | None" = None
    """None: the nests are in no loop over time."""

    @property
    def rows(self) -> list[int]:
        """The number of rows of each nest."""
        return [len(block) for block in self.out.blocks]


def lines(program: Program) -> list[Line]:
    """Return a program's lines, initial values merged into what follows where nothing is lost."""
    found = []
    for _, alike in groupby(_in_order(program), _kind):
        loops, nests, steps = zip(*alike, strict=True)
        line = _line(program, list(nests))
        line.time = None if loops[0] is None else Time(loops[0], list(steps))
        found.append(line)
    return _without_fills(found, {b.group: b.size for b in program.buffers})


def renaming(group: int, view: View, start: int, *, batched: bool) -> Line:
    """Return a line that computes nothing: elements start, ... of a group are those of a view."""
    access = Access(0, 0, ())
    elements = np.arange(start, start + len(view.positions))[:, None]
    return Line(
        [],
        Load(access),
        accumulate=False,
        batched=batched,
        out=Touch(group, [elements]),
        touches={id(access): Touch(view.group, [view.positions[:, None]])},
        reductions=[],
    )


def with_nests(program: Program, line: Line, start: int, stop: int) -> Line:
    """Return a line of only the nests start, ..., stop - 1 of another."""
    result = _line(program, line.nests[start:stop])
    result.accumulate = line.accumulate
    if line.time is not None:
        result.time = Time(line.time.loop, line.time.steps[start:stop])
    if line.body is not line.nests[0].body:
        _keep_second_operand(result)
    return result


def _in_order(program: Program) -> Iterator[tuple[TimeLoop | None, Nest, Indices]]:
    """Yield a program's nests, each with the loop that it is in and the step of each row."""
    for unit in program.nests:
        match unit:
            case Nest():
                yield None, unit, np.zeros(0, np.int64)
            case TimeLoop(body=body):
                for timed in body:
                    yield unit, timed.nest, _steps(program, timed)
            case _:
                assert_never(unit)


def _steps(program: Program, timed: Timed) -> Indices:
    """Return the step in which a nest computes each of its rows."""
    extents = timed.nest.extents
    if timed.rows is None:
        steps = timed.first + np.arange(extents[0])
    else:
        each = np.diff(program.tables[timed.rows])
        steps = np.repeat(np.arange(len(each)), each)
    return np.repeat(steps, math.prod(extents[1:]))


def _kind(unit: tuple[TimeLoop | None, Nest, Indices]) -> Any:
    loop, nest, _ = unit
    return id(loop), _pattern(nest, nest.body)


def _pattern(nest: Nest, body: Expression) -> Any:
    """Return what the nests of one line have in common."""

    def of_access(access: Access) -> Any:
        return access.buffer, access.index and of_access(access.index)

    def of(x: Expression) -> Any:
        match x:
            case Number(value=value):
                return repr(value)
            case Load(access=access):
                return of_access(access)
            case Apply(operation=operation, operands=operands):
                return (id(operation), *map(of, operands))
            case Reduce(kind=kind, samples=samples, body=body):
                return kind, samples, of(body)
            case _:
                assert_never(x)

    return of_access(nest.out), nest.batched, nest.accumulate, of(body)


def _line(program: Program, nests: list[Nest]) -> Line:
    first = nests[0]
    loads = [list(_loads(nest.body, None)) for nest in nests]
    reductions = [list(_reductions(nest.body)) for nest in nests]
    which = {id(reduce): r for r, reduce in enumerate(reductions[0])}
    lengths = [[math.prod(reduce.extents) for reduce in r] for r in zip(*reductions, strict=True)]
    touches = {}
    for alike in zip(*loads, strict=True):
        accesses = [access for access, _ in alike]
        extents = [() if reduce is None else reduce.extents for _, reduce in alike]
        access, within = alike[0]
        reduction = None if within is None else which[id(within)]
        touches[id(access)] = _touch(program, nests, accesses, extents, reduction)
    none: list[tuple[int, ...]] = [()] * len(nests)
    out = _touch(program, nests, [nest.out for nest in nests], none, None)
    return Line(
        nests, first.body, first.accumulate, first.batched, out, touches, reductions[0], lengths
    )


def _loads(x: Expression, within: Reduce | None) -> Iterator[tuple[Access, Reduce | None]]:
    """Yield an expression's accesses, each with the reduction that it is in."""
    match x:
        case Load(access=access):
            yield access, within
        case Apply(operands=operands):
            for operand in operands:
                yield from _loads(operand, within)
        case Reduce(body=body):
            yield from _loads(body, x)
        case Number():
            pass
        case _:
            assert_never(x)


def _reductions(x: Expression) -> Iterator[Reduce]:
    match x:
        case Apply(operands=operands):
            for operand in operands:
                yield from _reductions(operand)
        case Reduce():
            yield x
        case Load() | Number():
            pass
        case _:
            assert_never(x)


def _touch(
    program: Program,
    nests: Sequence[Nest],
    accesses: Sequence[Access],
    extents: Sequence[tuple[int, ...]],
    reduction: int | None,
) -> Touch:
    blocks = [
        _elements(program, access, nest.extents, reduced)
        for nest, access, reduced in zip(nests, accesses, extents, strict=True)
    ]
    indices = [access.index for access in accesses if access.index is not None]
    index = _touch(program, nests, indices, extents, reduction) if indices else None
    return Touch(program.buffers[accesses[0].buffer].group, blocks, reduction, index)


def _elements(
    program: Program, access: Access, rows: tuple[int, ...], reduced: tuple[int, ...]
) -> Indices:
    """Return the elements that an access touches, in the group's own order."""
    extents = (*rows, *reduced)
    strides = (*access.strides, *[0] * (len(extents) - len(access.strides)))
    positions = access.offset + affine.linear(strides[: len(extents)], extents)
    positions = positions.reshape(math.prod(rows), math.prod(reduced))
    if access.index is not None:
        positions = positions[..., None] + access.step * np.arange(access.extent)
    if access.table is not None:
        positions = program.tables[access.table][positions]
    layout = program.buffers[access.buffer].layout
    return positions if layout is None else np.argsort(layout)[positions]


# --- initial values ------------------------------------------------------------------------------


def _without_fills(found: list[Line], sizes: dict[int, int]) -> list[Line]:
    """Drop initial values where each element is then added to, or compared with, just once."""
    result = []
    for i, line in enumerate(found):
        if isinstance(line.body, Number) and not line.accumulate:
            writers = [x for x in found[i + 1 :] if x.out.group == line.out.group]
            if _write_each_once(writers, sizes):
                if line.body.value == 0.0 and all(x.accumulate for x in writers):
                    for x in writers:
                        x.accumulate = False
                    continue
                if line.body.value == -np.inf and all(_is_maximum(x) for x in writers):
                    for x in writers:
                        _keep_second_operand(x)
                    continue
        result.append(line)
    return result


def _write_each_once(writers: list[Line], sizes: dict[int, int]) -> bool:
    """Whether the lines together write every element of their group just once."""
    if not writers or any(line.out.index is not None for line in writers):
        return False
    written = np.concatenate([block.reshape(-1) for line in writers for block in line.out.blocks])
    return len(written) == sizes[writers[0].out.group] == len(np.unique(written))


def _is_maximum(line: Line) -> bool:
    """Whether a line replaces each element by the larger of itself and something else."""
    if not isinstance(line.body, Apply) or line.body.operation is not ops.maximum:
        return False
    before = line.body.operands[0]
    return isinstance(before, Load) and before.access == line.nests[0].out


def _keep_second_operand(line: Line) -> None:
    assert isinstance(line.body, Apply)
    line.body = line.body.operands[1]
