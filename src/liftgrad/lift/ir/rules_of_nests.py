"""Rules of nests: the invariants of a program of loop nests.

Nests are checked in order, with a record of which elements of each buffer have been set, so that
each access is checked at every step of its loops.
"""

from collections import Counter
from collections.abc import Iterator
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from liftgrad import ops
from liftgrad.lift.ir import affine
from liftgrad.lift.ir.groups import Indices, identity
from liftgrad.lift.ir.nests import (
    Access,
    Apply,
    Buffer,
    Expression,
    Load,
    Nest,
    Number,
    Program,
    Reduce,
    Timed,
    TimeLoop,
    at_step,
    loads,
)
from liftgrad.lift.ir.rules import Sort, is_sequence, named, outside, problems_of_operands

Mask = NDArray[np.bool_]


def problems_of_nests(program: Program) -> Iterator[str]:
    """Yield what is wrong with a program; only the first can be relied on."""
    for i, buffer in enumerate(program.buffers):
        for problem in _problems_of_buffer(buffer):
            yield f"buffer {i} ({buffer.name}): {problem}"
    for group, count in Counter(buffer.group for buffer in program.buffers).items():
        if count > 1:
            yield f"group {group} has {count} buffers"
    for i, table in enumerate(program.tables):
        if not is_sequence(table):
            yield f"table {i} is no sequence of int64"
    state = _State(program)
    for i, statement in enumerate(program.nests):
        match statement:
            case Nest():
                for problem in state.problems_of_nest(statement):
                    yield f"nest {i}, which writes {state.name(statement.out)}: {problem}"
            case TimeLoop():
                for problem in state.problems_of_loop(statement):
                    yield f"nest {i}, {problem}"
            case _:
                assert_never(statement)
    for i in sorted(program.outputs):
        if not 0 <= i < len(program.buffers):
            yield f"output buffer {i} does not exist"
        elif not state.known[i].all():
            name, missing = program.buffers[i].name, np.argmin(state.known[i])
            yield f"element {missing} of the output {name} is never written"


def _problems_of_buffer(buffer: Buffer) -> Iterator[str]:
    if buffer.size < 1:
        yield "it has no elements"
    if buffer.role not in ("leaf", "index", "constant", "temporary"):
        yield f"its role is {buffer.role!r}"
    if buffer.role == "constant" and buffer.batched:
        yield "constants are the same for all samples, but it is batched"
    if buffer.layout is not None and not np.array_equal(
        np.sort(buffer.layout), identity(buffer.size)
    ):
        yield "its layout is no permutation of its elements"


class _State:
    """Which elements of a program's buffers are set after the nests so far."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.known: list[Mask] = [
            np.full(buffer.size, buffer.role != "temporary") for buffer in program.buffers
        ]
        """The elements that are set."""
        self.written = [np.zeros(buffer.size, bool) for buffer in program.buffers]
        """Those of them that a nest has written."""

    def name(self, access: Access) -> str:
        """Return the name of an access's buffer, whether there is one or not."""
        exists = 0 <= access.buffer < len(self.program.buffers)
        return self.program.buffers[access.buffer].name if exists else f"buffer {access.buffer}"

    def problems_of_loop(self, loop: TimeLoop) -> Iterator[str]:
        """Yield what is wrong with a loop over time; then mark as set what it writes."""
        if loop.steps < 1:
            yield f"a loop over time of {loop.steps} steps"
        if len({timed.nest.batched for timed in loop.body}) > 1:
            yield "a loop over time, of which some nests run for each sample and some do not"
        for timed in loop.body:
            for problem in self.problems_of_time(timed, loop.steps):
                yield f"in which {self.name(timed.nest.out)} is written: {problem}"
        steps = range(loop.steps)
        for step in reversed(steps) if loop.backwards else steps:
            for timed in loop.body:
                nest = at_step(timed, step, self.program.tables)
                for problem in () if nest is None else self.problems_of_nest(nest):
                    yield f"step {step}, which writes {self.name(timed.nest.out)}: {problem}"

    def problems_of_time(self, timed: Timed, steps: int) -> Iterator[str]:
        """Yield what is wrong with the steps in which a nest of a loop runs."""
        extents = timed.nest.extents
        if not extents:
            yield "it has no dimension for time"
        elif timed.rows is None:
            if not 0 <= timed.first <= timed.first + extents[0] <= steps:
                yield f"it runs for {extents[0]} of {steps} steps, from step {timed.first}"
        elif not 0 <= timed.rows < len(self.program.tables):
            yield f"table {timed.rows} does not exist"
        else:
            rows = self.program.tables[timed.rows]
            ends = len(rows) == steps + 1 and (rows[0], rows[-1]) == (0, extents[0])
            if timed.first or not ends or (rows[1:] < rows[:-1]).any():
                yield f"its rows are in no table of {steps} steps"

    def problems_of_nest(self, nest: Nest) -> Iterator[str]:
        """Yield what is wrong with a nest; then mark as set what it writes."""
        if any(extent < 1 for extent in nest.extents):
            yield f"its extents are {nest.extents}"
        yield from self.problems_of_access(nest.out, nest.extents)
        yield from _Body(self, nest).problems()
        out = self.program.buffers[nest.out.buffer]
        if out.role in ("index", "constant"):
            yield f"it writes numbers of role {out.role!r}"
        scatters = nest.out.index is not None
        if out.batched and not nest.batched:
            yield "it runs once for all samples, but each sample has its own numbers there"
        if nest.batched and not out.batched and not scatters:
            yield "it runs for each sample, but all samples have the same numbers there"
        if nest.out.index is not None and not nest.batched:
            indices = self.program.buffers[nest.out.index.buffer]
            if indices.batched:
                yield f"{indices.name} has numbers for each sample, and no loop over samples"
        if scatters and not nest.accumulate:
            yield "it writes at run-time indices, which may meet, without accumulating"
        positions = self.positions(nest.out, nest.extents)
        if not scatters and len(np.unique(positions)) < int(np.prod(nest.extents)):
            yield "two of its rows write the same element"
        written = self.written[nest.out.buffer]
        if nest.accumulate and not written[positions].all():
            first = positions[~written[positions]][0]
            yield f"it adds to element {first}, which no nest has written before"
        updates = any(
            access.buffer == nest.out.buffer and _same(access, nest.out)
            for access in loads(nest.body)
        )
        if not nest.accumulate and written[positions].any() and not updates:
            first = positions[written[positions]][0]
            yield f"it writes element {first}, which a nest has written before"
        written[positions] = True
        self.known[nest.out.buffer][positions] = True

    def problems_of_access(self, access: Access, extents: tuple[int, ...]) -> Iterator[str]:
        """Yield what is wrong with an access, whether it reads or writes."""
        if not 0 <= access.buffer < len(self.program.buffers):
            yield f"buffer {access.buffer} does not exist"
        name, buffer = self.name(access), self.program.buffers[access.buffer]
        if len(access.strides) != len(extents):
            yield f"{name} has {len(access.strides)} strides in {len(extents)} loops"
        if access.index is not None:
            yield from self.problems_of_index(access.index, extents)
            if access.extent < 1:
                yield f"the index into {name} has the extent {access.extent}"
        places = _places(access, extents)
        if access.table is not None:
            if not 0 <= access.table < len(self.program.tables):
                yield f"table {access.table} does not exist"
            size = len(self.program.tables[access.table])
            yield from outside(places, size, f"table {access.table}")
        yield from outside(self.positions(access, extents), buffer.size, name)

    def problems_of_index(self, index: Access, extents: tuple[int, ...]) -> Iterator[str]:
        """Yield what is wrong with a run-time index."""
        yield from self.problems_of_access(index, extents)
        if index.index is not None:
            yield f"the index {self.name(index)} is itself read at a run-time index"
        if self.program.buffers[index.buffer].role != "index":
            yield f"the index {self.name(index)} has no buffer of indices"

    def positions(self, access: Access, extents: tuple[int, ...]) -> Indices:
        """Return the positions of an access, each once for all loops over which it stays."""
        places = _places(access, extents)
        return places if access.table is None else self.program.tables[access.table][places]


class _Body:
    """A nest's body, whose loads are checked against what is known before the nest."""

    def __init__(self, state: _State, nest: Nest) -> None:
        self.state, self.nest = state, nest

    def problems(self) -> Iterator[str]:
        """Yield what is wrong."""
        yield from self.problems_of(self.nest.body, None)
        if self.sort(self.nest.body) != "number":
            yield f"its body is {named(self.sort(self.nest.body))} instead of a number"

    def problems_of(self, expression: Expression, reduction: Reduce | None) -> Iterator[str]:
        """Yield what is wrong with an expression, which may be a reduction's body."""
        match expression:
            case Load(access=access):
                yield from self.problems_of_load(access, reduction)
            case Number():
                pass
            case Apply(operation=operation, operands=operands):
                for operand in operands:
                    yield from self.problems_of(operand, reduction)
                yield from problems_of_operands(operation, [self.sort(x) for x in operands])
            case Reduce(kind=kind, extents=extents, body=body, samples=samples):
                if reduction is not None:
                    yield "a reduction is within another"
                if kind not in ("sum", "max"):
                    yield f"a reduction of unknown kind {kind!r}"
                if any(extent < 1 for extent in extents):
                    yield f"a reduction's extents are {extents}"
                if samples and self.nest.batched:
                    yield "it runs for each sample and reduces over samples"
                if samples and (kind != "sum" or not self.nest.accumulate):
                    # Samples may come in portions.
                    yield "it reduces over samples otherwise than by accumulating sums"
                yield from self.problems_of(body, expression)
                if self.sort(body) != "number":
                    yield f"a reduction's body is {named(self.sort(body))} instead of a number"
            case _:
                assert_never(expression)

    def sort(self, expression: Expression) -> Sort:
        """Return what an expression's values are."""
        match expression:
            case Load(access=access):
                indices = self.state.program.buffers[access.buffer].role == "index"
                return "index" if indices else "number"
            case Apply(operation=operation):
                return "condition" if operation in ops.CONDITIONS else "number"
            case Number() | Reduce():
                return "number"
            case _:
                assert_never(expression)

    def problems_of_load(self, access: Access, reduction: Reduce | None) -> Iterator[str]:
        """Yield what is wrong with a load."""
        state, nest = self.state, self.nest
        inner = () if reduction is None else reduction.extents
        yield from state.problems_of_access(access, (*nest.extents, *inner))
        name = state.name(access)
        over_samples = nest.batched or (reduction is not None and reduction.samples)
        batched = [
            a for a in (access, access.index) if a and state.program.buffers[a.buffer].batched
        ]
        if batched and not over_samples:
            yield f"{state.name(batched[0])} has numbers for each sample, and no loop over samples"
        positions = state.positions(access, (*nest.extents, *inner))
        known = state.known[access.buffer][positions]
        if not known.all():
            yield f"element {positions[~known][0]} of {name} is read before it is written"
        if access.buffer == nest.out.buffer and not _same(access, nest.out):
            writes = np.isin(positions, state.positions(nest.out, nest.extents))
            if writes.any():
                element = positions[writes][0]
                yield f"element {element} of {name} is read by a row that writes another"


def _places(access: Access, extents: tuple[int, ...]) -> Indices:
    """Return positions, in the table if there is one, without the loops over which they stay."""
    moving = [(s, n) for s, n in zip(access.strides, extents, strict=False) if s]
    places = access.offset + affine.linear([s for s, _ in moving], [n for _, n in moving])
    if access.index is not None:
        places = (places[:, None] + access.step * identity(max(access.extent, 0))).reshape(-1)
    return places


def _same(access: Access, out: Access) -> bool:
    """Return whether an access is, in each row, the element that the row writes."""
    rows = len(out.strides)
    same_start = (access.offset, access.table) == (out.offset, out.table)
    stays = not any(access.strides[rows:])
    no_index = access.index is None and out.index is None
    return same_start and access.strides[:rows] == out.strides and stays and no_index
