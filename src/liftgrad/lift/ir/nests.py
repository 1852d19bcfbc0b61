"""Nests: a program as loop nests over affine index maps, ready to become kernels.

    out[affine(rows)] (+)= body,    body = numbers, loads, operations, and reductions Σ_k body

An access's position is offset + Σ stride_d · index_d over the nest's rows and, inside a reduction,
over the reduction's own dimensions. What is not affine is looked up in a table of positions.
`text` prints a program, `check` says what is wrong with it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, assert_never

import numpy as np
from numpy.typing import NDArray

from liftgrad.ops import Operation


@dataclass(frozen=True, slots=True, eq=False)
class Buffer:
    """Memory for a group's numbers."""

    name: str
    size: int
    batched: bool
    role: Literal["leaf", "index", "constant", "temporary"]
    group: int
    """The group of the rolled program whose numbers these are."""
    layout: NDArray[np.int64] | None = None
    """The position in memory of each element of the group; None: in order."""


@dataclass(frozen=True, slots=True)
class Access:
    """One element of a buffer for each step of the loops, outermost stride first."""

    buffer: int
    offset: int
    strides: tuple[int, ...]
    table: int | None = None
    """The number of a table of positions; offset and strides then give a position in that table."""
    index: "Access | None" = None
    """A run-time index: `step` times its value is added to the position."""
    step: int = 0
    extent: int = 0
    """The index must be from 0 up to, not including, this."""


@dataclass(frozen=True, slots=True)
class Load:
    """A number read from a buffer."""

    access: Access


@dataclass(frozen=True, slots=True)
class Number:
    """A number written in the program."""

    value: float


@dataclass(frozen=True, slots=True)
class Apply:
    """An operation on the values of expressions."""

    operation: Operation
    operands: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Reduce:
    """The sum, or the largest, of the body's values over loops of its own."""

    kind: Literal["sum", "max"]
    extents: tuple[int, ...]
    body: "Expression"
    samples: bool = False
    """Also over the samples of the batch."""


Expression = Load | Number | Apply | Reduce


@dataclass(frozen=True, slots=True)
class Nest:
    """`out = body`, or `out += body`, for all rows, and all samples if it is batched."""

    extents: tuple[int, ...]
    batched: bool
    out: Access
    accumulate: bool
    body: Expression


@dataclass(frozen=True, slots=True)
class Timed:
    """A nest within a loop over time."""

    nest: Nest
    first: int
    """The first step in which it runs. In each following one it runs the next index of its
    outermost dimension, which is time: `extents[0]` steps in all."""
    rows: int | None = None
    """The number of a table, if steps have different numbers of rows: it has one more element than
    the loop has steps, and step t runs the rows from table[t] up to, not including, table[t + 1] of
    the outermost dimension, which then is no time. `first` is 0."""


@dataclass(frozen=True, slots=True)
class TimeLoop:
    """`for t < steps:` the nests that run in step t, in order."""

    steps: int
    body: tuple[Timed, ...]
    backwards: bool = False
    """Whether t goes from the last step to the first."""


Statement = Nest | TimeLoop


@dataclass(frozen=True, slots=True)
class Program:
    """Nests in order, the buffers they work on and the tables they look positions up in."""

    buffers: tuple[Buffer, ...]
    tables: tuple[NDArray[np.int64], ...]
    nests: tuple[Statement, ...]
    outputs: frozenset[int]
    """The buffers that hold outputs: those that are read when all nests have run."""


def nests_of(statement: Statement) -> Iterator[Nest]:
    """Yield the nests of a statement, in order."""
    match statement:
        case Nest():
            yield statement
        case TimeLoop(body=body):
            for timed in body:
                yield timed.nest
        case _:
            assert_never(statement)


def count_nests(program: Program) -> int:
    """Return how many nests a program has, within loops and outside."""
    return sum(1 for statement in program.nests for _ in nests_of(statement))


def at_step(timed: Timed, step: int, tables: Sequence[NDArray[np.int64]]) -> Nest | None:
    """Return what a nest of a loop does in one step; None: it does not run then.

    Args:
        timed: the nest.
        step: the step.
        tables: the program's.

    """
    nest = timed.nest
    if timed.rows is None:
        start, stop = step - timed.first, step - timed.first + 1
        if not 0 <= start < nest.extents[0]:
            return None
    else:
        start, stop = map(int, tables[timed.rows][step : step + 2])
        if start == stop:
            return None
    return replace(begun_at(nest, start), extents=(stop - start, *nest.extents[1:]))


def begun_at(nest: Nest, start: int) -> Nest:
    """Return a nest whose accesses at the outermost index 0 are those at `start` of another."""

    def moved(access: Access) -> Access:
        index = access.index and moved(access.index)
        return replace(access, offset=access.offset + start * access.strides[0], index=index)

    return with_accesses(nest, moved)


def with_accesses(nest: Nest, changed: Callable[[Access], Access]) -> Nest:
    """Return a nest with other accesses, given what becomes of each."""

    def of(expression: Expression) -> Expression:
        match expression:
            case Load(access=access):
                return Load(changed(access))
            case Apply(operands=operands):
                return replace(expression, operands=tuple(map(of, operands)))
            case Reduce(body=body):
                return replace(expression, body=of(body))
            case Number():
                return expression
            case _:
                assert_never(expression)

    return replace(nest, out=changed(nest.out), body=of(nest.body))


def stores(statement: Statement) -> Iterator[Access]:
    """Yield what a statement writes."""
    for nest in nests_of(statement):
        yield nest.out


def reads(statement: Statement) -> Iterator[Access]:
    """Yield what a statement reads."""
    for nest in nests_of(statement):
        yield from loads(nest.body)
        if nest.out.index is not None:
            yield nest.out.index


def own_buffers(program: Program) -> dict[int, int]:
    """Return the buffers that one statement alone uses and no output is in, by their numbers.

    Each with the number of that statement. What a loop over time writes to them need not be in
    memory, unless a later step reads it there.
    """
    users: dict[int, set[int]] = {}
    for i, statement in enumerate(program.nests):
        for access in (*stores(statement), *reads(statement)):
            users.setdefault(access.buffer, set()).add(i)
    return {
        buffer: min(numbers)
        for buffer, numbers in users.items()
        if len(numbers) == 1
        and program.buffers[buffer].role == "temporary"
        and buffer not in program.outputs
    }


def loads(expression: Expression) -> Iterator[Access]:
    """Yield the accesses within an expression."""
    match expression:
        case Load(access=access):
            yield access
            if access.index is not None:
                yield access.index
        case Apply(operands=operands):
            for operand in operands:
                yield from loads(operand)
        case Reduce(body=body):
            yield from loads(body)
        case Number():
            pass
        case _:
            assert_never(expression)
