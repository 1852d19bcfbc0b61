"""Rules of nests: the invariants of a program of loop nests.

Nests are checked in order, with a record of when each element of each buffer is set, so that each
access is checked at every step of its loops. Each nest has a moment of its own; in a loop over
time, each nest in each step.
"""

from collections import Counter
from collections.abc import Iterator
from typing import assert_never

import numpy as np

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
    loads,
)
from liftgrad.lift.ir.rules import Sort, is_sequence, named, outside, problems_of_operands

_NEVER = np.iinfo(np.int64).max


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
                for problem in state.problems_of_single(statement):
                    yield f"nest {i}, which writes {state.name(statement.out)}: {problem}"
            case TimeLoop():
                for problem in state.problems_of_loop(statement):
                    yield f"nest {i}, {problem}"
            case _:
                assert_never(statement)
    for i in sorted(program.outputs):
        if not 0 <= i < len(program.buffers):
            yield f"output buffer {i} does not exist"
        elif (state.known[i] == _NEVER).any():
            name, missing = program.buffers[i].name, np.argmax(state.known[i])
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
    """When the elements of a program's buffers are set, by the nests so far."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.known = [
            np.full(buffer.size, _NEVER if buffer.role == "temporary" else 0)
            for buffer in program.buffers
        ]
        """The moment at which each element is first set."""
        self.written = [np.full(buffer.size, _NEVER) for buffer in program.buffers]
        """The moment at which a nest first writes it."""
        self.moment: Indices = np.zeros((1, 1), np.int64)
        """The moment of the nest that is checked, for each index of a dimension that is time."""
        self.last = 0
        """The last moment that is taken."""

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
        moments = []
        for k, timed in enumerate(loop.body):
            for problem in self.problems_of_time(timed, loop.steps):
                yield f"in which {self.name(timed.nest.out)} is written: {problem}"
            steps = self.steps(timed)
            order = loop.steps - 1 - steps if loop.backwards else steps
            moments.append(self.last + 1 + order[:, None] * len(loop.body) + k)
        # What is read may be written by a later nest, in an earlier step.
        for i in range(2 * len(loop.body)):
            nest, self.moment = loop.body[i % len(moments)].nest, moments[i % len(moments)]
            check = self.problems_of_writing if i < len(moments) else self.problems_of_nest
            for problem in check(nest):
                yield f"a loop over time, in which {self.name(nest.out)} is written: {problem}"
        self.last += loop.steps * len(loop.body)

    def steps(self, timed: Timed) -> Indices:
        """Return the step of each index of a nest's outermost dimension."""
        if timed.rows is None:
            return timed.first + identity(timed.nest.extents[0])
        rows = self.program.tables[timed.rows]
        return np.repeat(identity(len(rows) - 1), np.diff(rows))

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

    def problems_of_single(self, nest: Nest) -> Iterator[str]:
        """Yield what is wrong with a nest that is in no loop; then mark as set what it writes."""
        self.last += 1
        self.moment = np.array([[self.last]])
        yield from self.problems_of_writing(nest)
        yield from self.problems_of_nest(nest)

    def problems_of_writing(self, nest: Nest) -> Iterator[str]:
        """Yield what is wrong with where a nest writes; then mark as set what it writes."""
        if any(extent < 1 for extent in nest.extents):
            yield f"its extents are {nest.extents}"
        yield from self.problems_of_access(nest.out, nest.extents)
        positions = self.positions(nest.out, nest.extents)
        moments = np.broadcast_to(self.moment, positions.shape)
        # A step may add to what another one has added to.
        size = self.program.buffers[nest.out.buffer].size
        rows = positions + size * (moments if nest.accumulate else 0)
        if nest.out.index is None and len(np.unique(rows)) < int(np.prod(nest.extents)):
            yield "two of its rows write the same element"
        for when in (self.written, self.known):
            np.minimum.at(when[nest.out.buffer], positions, moments)

    def problems_of_nest(self, nest: Nest) -> Iterator[str]:
        """Yield what else is wrong with a nest, given when what it reads is set."""
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
        before = self.written[nest.out.buffer][positions] < self.moment
        if nest.accumulate and not before.all():
            first = positions[~before][0]
            yield f"it adds to element {first}, which no nest has written before"
        updates = any(
            access.buffer == nest.out.buffer and _same(access, nest.out)
            for access in loads(nest.body)
        )
        if not nest.accumulate and before.any() and not updates:
            first = positions[before][0]
            yield f"it writes element {first}, which a nest has written before"

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
        places = self.places(access, extents)
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

    def places(self, access: Access, extents: tuple[int, ...]) -> Indices:
        """Return the positions of an access, or their places in its table."""
        time = len(self.moment)
        if time > 1:
            offsets, loops = access.strides[0] * identity(time), range(1, len(extents))
        else:
            offsets, loops = identity(1), range(len(extents))
        moving = [d for d in loops if access.strides[d]]
        places = affine.linear([access.strides[d] for d in moving], [extents[d] for d in moving])
        places = access.offset + offsets[:, None] + places
        if access.index is not None:
            values = access.step * identity(max(access.extent, 0))
            places = (places[..., None] + values).reshape(len(places), -1)
        return places

    def positions(self, access: Access, extents: tuple[int, ...]) -> Indices:
        """Return the positions of an access, each once for all loops over which it stays.

        Of shape (time, positions), if the nest is in a loop over time, else (1, positions).
        """
        places = self.places(access, extents)
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
        known = state.known[access.buffer][positions] < state.moment
        if not known.all():
            yield f"element {positions[~known][0]} of {name} is read before it is written"
        if access.buffer == nest.out.buffer and not _same(access, nest.out):
            size = state.program.buffers[access.buffer].size
            written = state.positions(nest.out, nest.extents) + size * state.moment
            writes = np.isin(positions + size * state.moment, written)
            if writes.any():
                element = positions[writes][0]
                yield f"element {element} of {name} is read by a row that writes another"


def _same(access: Access, out: Access) -> bool:
    """Return whether an access is, in each row, the element that the row writes."""
    rows = len(out.strides)
    same_start = (access.offset, access.table) == (out.offset, out.table)
    stays = not any(access.strides[rows:])
    no_index = access.index is None and out.index is None
    return same_start and access.strides[:rows] == out.strides and stays and no_index
