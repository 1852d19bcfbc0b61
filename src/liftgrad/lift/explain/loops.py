"""Loops: what the nests of a program touch, as indices of loops in the user's own order.

Nests that only differ in how long they are, such as the rows of causal attention, are one line
with loops whose lengths depend on each other. A line's loops are fitted anew, to the indices of
what it touches: positions in memory and their layouts are the compiler's business.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

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
)


@dataclass(slots=True, eq=False)
class Touch:
    """The elements that an access touches, in each of a line's nests."""

    group: int
    blocks: list[Indices]
    """Of shape (rows, reduced elements), or with an index (rows, reduced elements, values)."""
    reduction: int | None = None
    """The number of the reduction that it is in."""
    index: "Touch | None" = None


@dataclass(slots=True, eq=False)
class Line:
    """Nests that compute one thing."""

    nests: list[Nest]
    body: Expression
    """Of the first of them."""
    accumulate: bool
    batched: bool
    out: Touch
    touches: dict[int, Touch]
    """By the identity of the body's accesses."""
    reductions: list[Reduce]
    lengths: list[list[int]] = field(default_factory=list)
    """For each reduction its length in each nest."""

    @property
    def blocks(self) -> list[int]:
        """How many rows each nest has."""
        return [len(block) for block in self.out.blocks]


def lines(program: Program) -> list[Line]:
    """Return a program's lines, initial values merged into what follows where nothing is lost."""
    found = [
        _line(program, list(nests))
        for _, nests in groupby(program.nests, lambda nest: _skeleton(nest, nest.body))
    ]
    return _without_fills(found, {b.group: b.size for b in program.buffers})


def copied(out: int, view: View, first: int, *, batched: bool) -> Line:
    """Return the line that says what elements of a group are called otherwise."""
    access = Access(0, 0, ())
    here = np.arange(first, first + len(view.positions))[:, None]
    touches = {id(access): Touch(view.group, [view.positions[:, None]])}
    return Line(
        [],
        Load(access),
        accumulate=False,
        batched=batched,
        out=Touch(out, [here]),
        touches=touches,
        reductions=[],
    )


def part(program: Program, line: Line, start: int, stop: int) -> Line:
    """Return some of a line's nests as a line of their own."""
    result = _line(program, line.nests[start:stop])
    result.accumulate = line.accumulate
    if line.body is not line.nests[0].body:
        _keep_second_operand(result)
    return result


def _skeleton(nest: Nest, x: Expression) -> Any:
    """Return what two nests of one line have in common."""

    def look(access: Access) -> Any:
        return access.buffer, access.index and look(access.index)

    def visit(x: Expression) -> Any:
        match x:
            case Number(value=value):
                return repr(value)
            case Load(access=access):
                return look(access)
            case Apply(operation=operation, operands=operands):
                return (id(operation), *map(visit, operands))
            case Reduce(kind=kind, samples=samples, body=body):
                return kind, samples, visit(body)

    return look(nest.out), nest.batched, nest.accumulate, visit(x)


def _line(program: Program, nests: list[Nest]) -> Line:
    first = nests[0]
    every = [list(_loads(nest.body, None)) for nest in nests]
    reductions = [list(_reductions(nest.body)) for nest in nests]
    numbers = {id(reduce): r for r, reduce in enumerate(reductions[0])}
    lengths = [[math.prod(reduce.extents) for reduce in r] for r in zip(*reductions, strict=True)]
    touches = {}
    for place, (access, within) in enumerate(every[0]):
        here = [loads[place] for loads in every]
        number = None if within is None else numbers[id(within)]
        extents = [() if reduce is None else reduce.extents for _, reduce in here]
        touches[id(access)] = _touch(program, nests, [a for a, _ in here], extents, number)
    none: list[tuple[int, ...]] = [()] * len(nests)
    out = _touch(program, nests, [nest.out for nest in nests], none, None)
    return Line(
        nests, first.body, first.accumulate, first.batched, out, touches, reductions[0], lengths
    )


def _loads(x: Expression, within: Reduce | None) -> Iterator[tuple[Access, Reduce | None]]:
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


def _reductions(x: Expression) -> Iterator[Reduce]:
    match x:
        case Apply(operands=operands):
            for operand in operands:
                yield from _reductions(operand)
        case Reduce():
            yield x
        case Load() | Number():
            pass


def _touch(
    program: Program,
    nests: Sequence[Nest],
    accesses: Sequence[Access],
    extents: Sequence[tuple[int, ...]],
    reduction: int | None,
) -> Touch:
    blocks = [
        _positions(program, access, nest.extents, reduced)
        for nest, access, reduced in zip(nests, accesses, extents, strict=True)
    ]
    indices = [access.index for access in accesses if access.index is not None]
    index = _touch(program, nests, indices, extents, reduction) if indices else None
    return Touch(program.buffers[accesses[0].buffer].group, blocks, reduction, index)


def _positions(
    program: Program, access: Access, rows: tuple[int, ...], reduced: tuple[int, ...]
) -> Indices:
    """Return the elements that an access touches, in the group's own order."""
    extents = (*rows, *reduced)
    strides = (*access.strides, *[0] * (len(extents) - len(access.strides)))
    places = access.offset + affine.linear(strides[: len(extents)], extents)
    places = places.reshape(math.prod(rows), math.prod(reduced))
    if access.index is not None:
        places = places[..., None] + access.step * np.arange(access.extent)
    if access.table is not None:
        places = program.tables[access.table][places]
    layout = program.buffers[access.buffer].layout
    return places if layout is None else np.argsort(layout)[places]


def _without_fills(found: list[Line], sizes: dict[int, int]) -> list[Line]:
    """Drop initial values which every element gets exactly one thing added to, or compared with."""
    result = []
    for i, line in enumerate(found):
        match line.body:
            case Number(value=0.0):
                follow = [x for x in found[i + 1 :] if x.out.group == line.out.group]
                if all(x.accumulate for x in follow) and _once(follow, sizes):
                    for x in follow:
                        x.accumulate = False
                    continue
            case Number(value=value) if value == -np.inf:
                follow = [x for x in found[i + 1 :] if x.out.group == line.out.group]
                if all(_raises(x) for x in follow) and _once(follow, sizes):
                    for x in follow:
                        _keep_second_operand(x)
                    continue
        result.append(line)
    return result


def _once(found: list[Line], sizes: dict[int, int]) -> bool:
    """Tell whether the lines write every element of a group just once."""
    if not found or any(line.out.index is not None for line in found):
        return False
    written = np.concatenate([block.reshape(-1) for line in found for block in line.out.blocks])
    return len(written) == sizes[found[0].out.group] == len(np.unique(written))


def _raises(line: Line) -> bool:
    """Tell whether a line makes elements the larger of themselves and something else."""
    match line.body:
        case Apply(operation=ops.maximum, operands=(Load(access=access), _)):
            return access == line.nests[0].out
    return False


def _keep_second_operand(line: Line) -> None:
    assert isinstance(line.body, Apply)
    line.body = line.body.operands[1]


# --- fitting -----------------------------------------------------------------------------------


@dataclass(slots=True, frozen=True, eq=False)
class Loops:
    """Loops, outermost first: for each step of all of them together their indices."""

    columns: tuple[Indices, ...]
    extents: tuple[int, ...] | None = None
    """None: they depend on each other."""

    @classmethod
    def rectangular(cls, extents: Sequence[int]) -> "Loops":
        """Return loops of fixed extents."""
        extents = tuple(e for e in extents if e > 1)
        grid = np.indices(extents).reshape(len(extents), math.prod(extents))
        return cls(tuple(grid), extents)

    def fit(self, sequence: Indices) -> "Index | None":
        """Return the sequence as offset and strides, or None if it is not of that form."""
        if self.extents is not None:
            strides = affine.strides(sequence, self.extents)
            return None if strides is None else Index(int(sequence[0]), strides)
        design = np.stack([*self.columns, np.ones_like(sequence)], axis=1).astype(np.float64)
        solution = np.linalg.lstsq(design, sequence.astype(np.float64), rcond=None)[0]
        *steps, offset = (int(x) for x in np.rint(solution))
        found = np.full_like(sequence, offset)
        for step, column in zip(steps, self.columns, strict=True):
            found += step * column
        return Index(offset, tuple(steps)) if (found == sequence).all() else None

    def ahead(self, sequence: Indices) -> "Loops":
        """Return the same loops with those turned round along which the sequence counts down."""
        index = self.fit(sequence)
        columns = list(self.columns)
        for d, stride in enumerate(index.strides if index else ()):
            if stride < 0:
                columns[d] = columns[d].max() - columns[d]
        turned = Loops(tuple(columns))
        changed = any(a is not b for a, b in zip(columns, self.columns, strict=True))
        return turned if changed and turned.counts() else self

    def lengths(self) -> list["Index | None"]:
        """Return each loop's extent by the indices of those around it."""
        if self.extents is not None:
            return [Index(extent, ()) for extent in self.extents]
        return [
            Loops(self.columns[:d]).fit(_largest(self.columns[:d], column) + 1)
            for d, column in enumerate(self.columns)
        ]

    def counts(self) -> bool:
        """Tell whether every loop counts from 0 without a gap, and no step is done twice."""
        before = 1
        for d, column in enumerate(self.columns):
            around = self.columns[:d]
            steps, first = np.unique(np.stack((*around, column)), axis=1, return_index=True)
            starts = first[steps[-1] == 0]
            lengths = _largest(around, column)[starts] + 1
            if len(starts) != before or len(first) != lengths.sum():
                return False
            before = len(first)
        return before == len(self.columns[0])


def _largest(around: Sequence[Indices], column: Indices) -> Indices:
    """Return for each step the largest index of a loop while those around it stay as they are."""
    if not around:
        return np.full_like(column, column.max())
    _, rows = np.unique(np.stack(around), axis=1, return_inverse=True)
    rows = rows.reshape(-1)
    largest = np.zeros(rows.max() + 1, np.int64)
    np.maximum.at(largest, rows, column)
    return largest[rows]


@dataclass(slots=True, frozen=True)
class Index:
    """offset + Σ stride_d · index_d over the loops."""

    offset: int
    strides: tuple[int, ...]

    @property
    def loop(self) -> int | None:
        """The loop whose index this is and nothing else."""
        moving = [d for d, stride in enumerate(self.strides) if stride]
        plain = self.offset == 0 and len(moving) == 1 and self.strides[moving[0]] == 1
        return moving[0] if plain else None

    def text(self, letters: Sequence[str]) -> str:
        """Return for example "4i+k", "s-1", "7-s", "3"."""
        return affine.text(self.offset, self.strides, letters)


def row_extents(sequences: Sequence[Indices]) -> tuple[int, ...]:
    """Return the extents of rectangular loops that suit as many sequences as possible."""
    return affine.common_extents(len(sequences[0]), sequences)


def fit_blocks(blocks: Sequence[Indices], rows: Loops, reduced: Loops | None) -> Index | None:
    """Return the index, over the loops of rows and reduction, that counts up as the blocks do."""
    heads = rows.fit(np.concatenate([block[:, 0] for block in blocks]))
    if heads is None or reduced is None:
        return heads
    longest = max(blocks, key=lambda block: block.shape[1])[0]
    across = reduced.fit(longest)
    if across is None:
        return None
    for block in blocks:
        if not (block == block[:, :1] + (longest[: block.shape[1]] - longest[0])).all():
            return None
    return Index(heads.offset, (*heads.strides, *across.strides))
