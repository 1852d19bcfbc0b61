"""Loops over time made by hand or at random, and a plain interpreter of what they mean."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad import ops
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

Memory = list[NDArray[Any]]


def numbers_of(program: Program, samples: int, seed: int = 0) -> Memory:
    """Return memory for a program's buffers, of which leaves have random numbers."""
    rng = np.random.default_rng(seed)
    return [
        rng.uniform(-1, 1, (b.size, samples) if b.batched else b.size)
        if b.role == "leaf"
        else np.zeros((b.size, samples) if b.batched else b.size)
        for b in program.buffers
    ]


def interpreted(program: Program, memory: Memory, samples: int = 1) -> None:
    """Run a program on its buffers' memory, one number at a time."""
    for statement in program.nests:
        if isinstance(statement, Nest):
            _run(statement, program, memory, samples)
            continue
        steps = range(statement.steps)
        for step in reversed(steps) if statement.backwards else steps:
            for timed in statement.body:
                nest = at_step(timed, step, program.tables)
                if nest is not None:
                    _run(nest, program, memory, samples)


def _run(nest: Nest, program: Program, memory: Memory, samples: int) -> None:
    def place(access: Access, index: Sequence[int], sample: int) -> tuple[int, ...]:
        position = access.offset + sum(s * i for s, i in zip(access.strides, index, strict=True))
        if access.table is not None:
            position = int(program.tables[access.table][position])
        return (position, sample) if program.buffers[access.buffer].batched else (position,)

    def value(expression: Expression, index: tuple[int, ...], sample: int) -> Any:
        match expression:
            case Number(value=number):
                return number
            case Load(access=access):
                found = place(access, index, sample)
                assert min(found) >= 0
                return memory[access.buffer][found]
            case Apply(operation=operation, operands=operands):
                return operation.forward(*(float(value(x, index, sample)) for x in operands))
            case Reduce(kind=kind, extents=extents, body=body):
                terms = (
                    value(body, (*index, *k), sample)
                    for k in itertools.product(*map(range, extents))
                )
                return sum(terms) if kind == "sum" else max(terms)

    for index in itertools.product(*map(range, nest.extents)):
        for sample in range(samples if nest.batched else 1):
            found = place(nest.out, index, sample)
            result = value(nest.body, index, sample)
            memory[nest.out.buffer][found] = (
                result + nest.accumulate * memory[nest.out.buffer][found]
            )


@dataclass
class Making:
    """A program as it is made."""

    batched: bool = False
    buffers: list[Buffer] = field(default_factory=list)
    tables: list[NDArray[np.int64]] = field(default_factory=list)
    before: list[Nest] = field(default_factory=list)
    body: list[Timed] = field(default_factory=list)

    def leaf(self, size: int, *, batched: bool = False) -> int:
        """Return a new buffer of numbers from outside."""
        return self._buffer(size, "leaf", batched=batched)

    def group(self, size: int) -> int:
        """Return a new buffer of numbers that are computed."""
        return self._buffer(size, "temporary", batched=self.batched)

    def table(self, positions: Sequence[int]) -> int:
        """Return the number of a new table."""
        self.tables.append(np.array(positions, np.int64))
        return len(self.tables) - 1

    def add(
        self,
        first: int,
        extents: tuple[int, ...],
        out: Access,
        body: Expression,
        *,
        accumulate: bool = False,
        rows: int | None = None,
    ) -> None:
        """Append a nest to the loop's body."""
        nest = Nest(extents, self.batched, out, accumulate, body)
        self.body.append(Timed(nest, first, rows))

    def program(self, steps: int, outputs: Sequence[int], *, backwards: bool = False) -> Program:
        """Return the program: the loop, and what comes before it."""
        loop = TimeLoop(steps, tuple(self.body), backwards)
        return Program(
            tuple(self.buffers), tuple(self.tables), (*self.before, loop), frozenset(outputs)
        )

    def _buffer(self, size: int, role: Any, *, batched: bool) -> int:
        number = len(self.buffers)
        self.buffers.append(Buffer(f"b{number}", size, batched, role, number))
        return number


def at(buffer: int, *strides: int, offset: int = 0, table: int | None = None) -> Access:
    return Access(buffer, offset, strides, table)


def of(operation: ops.Operation, *operands: Expression | Access) -> Apply:
    return Apply(operation, tuple(Load(x) if isinstance(x, Access) else x for x in operands))


def random_loop(seed: int) -> Program:
    """Return a loop of several states, lags, reductions, and rows of many widths."""
    return _Random(seed).program()


class _Random:
    def __init__(self, seed: int) -> None:
        self.rng = rng = np.random.default_rng(seed)
        self.backwards = bool(rng.integers(2))
        self.made = Making(batched=bool(rng.integers(4) == 0))
        self.steps = int(rng.choice([1, 2, 3, 5, 9]))
        self.widths: dict[int, int] = {}
        self.parameters = self.made.leaf(400)
        self.inputs = self.made.leaf(self.steps * 20, batched=self.made.batched)
        self.total = self.made.group(20)
        first = Nest((20,), self.made.batched, at(self.total, 1), False, Load(at(0, 1)))
        self.made.before.append(first)

    def program(self) -> Program:
        rng, made = self.rng, self.made
        states = [self.group() for _ in range(rng.integers(1, 4))]
        heads = [self.group(self.widths[s]) for s in states]
        done: list[int] = []
        for head, state in zip(heads, states, strict=True):
            self.head(head, state)
            done.append(head)
        others = [self.group() for _ in range(rng.integers(0, 4))]
        for group in rng.permutation([*others, *states]).tolist():
            self.rows(group, done)
            done.append(group)
            if rng.integers(3) == 0 and len(done) > 1:
                self.add_to_some(group, done)
            if rng.integers(3) == 0:
                self.add_to_total(done)
        outputs = [g for g in done if rng.integers(3) == 0] or [done[-1]]
        outputs += [self.total]
        return made.program(self.steps, outputs, backwards=self.backwards)

    def group(self, width: int | None = None) -> int:
        width = width or int(self.rng.choice([1, 1, 2, 3, 4, 5, 8, 11, 16, 17]))
        group = self.made.group(self.steps * width)
        self.widths[group] = width
        return group

    def head(self, head: int, state: int) -> None:
        """Give a head the state of an earlier step, and in the first steps something else."""
        steps, width = self.steps, self.widths[head]
        lag = min(int(self.rng.choice([1, 1, 1, 2, 3])), steps)
        turn = self.rng.integers(4) == 0
        begin, stride = (width - 1, -1) if turn else (0, 1)
        first, later = (steps - lag, 0) if self.backwards else (0, lag)
        out = at(head, width, 1, offset=width * first)
        self.made.add(first, (lag, width), out, Load(at(self.parameters, 3, 1)))
        if steps > lag:
            source = lag if self.backwards else 0
            out = at(head, width, 1, offset=width * later)
            read = at(state, width, stride, offset=width * source + begin)
            self.made.add(later, (steps - lag, width), out, Load(read))

    def rows(self, group: int, done: list[int]) -> None:
        """Compute a group's rows, in one nest or several, some of them in two halves."""
        width, steps = self.widths[group], self.steps
        cut = int(self.rng.integers(1, width)) if width > 1 and self.rng.integers(4) == 0 else width
        for first, last in ((0, cut), (cut, width)):
            if first == last:
                continue
            extents = (steps, last - first)
            out = at(group, width, 1, offset=first)
            if self.rng.integers(5) == 0:
                positions = [
                    t * width + first + i for t in range(steps) for i in range(last - first)
                ]
                out = at(group, last - first, 1, table=self.made.table(positions))
            self.made.add(0, extents, out, of(ops.tanh, self.expression(last - first, done, 2)))
            if self.rng.integers(4) == 0:
                body = of(ops.multiply, Number(0.5), self.expression(last - first, done, 1))
                self.made.add(0, extents, out, body, accumulate=True)

    def add_to_some(self, group: int, done: list[int]) -> None:
        """Add to some neighbours among a group's rows."""
        width = self.widths[group]
        first = int(self.rng.integers(width))
        rows = int(self.rng.integers(1, width - first + 1))
        others = [other for other in done if other != group]
        body = of(ops.tanh, self.expression(rows, others, 1))
        self.made.add(
            *(0, (self.steps, rows), at(group, width, 1, offset=first), body), accumulate=True
        )

    def add_to_total(self, done: list[int]) -> None:
        """Add to what lies at one place in all steps."""
        rows = int(self.rng.choice([1, 1, 3, 8, 12]))
        first = int(self.rng.integers(20 - rows + 1))
        body = of(ops.tanh, self.expression(rows, done, 1))
        while self.total in {access.buffer for access in loads(body)}:
            body = of(ops.tanh, self.expression(rows, done, 1))
        out = at(self.total, 0, 1, offset=first)
        self.made.add(0, (self.steps, rows), out, body, accumulate=True)

    def expression(self, rows: int, done: list[int], depth: int) -> Expression:
        rng = self.rng
        kind = rng.integers(6) if depth else 0
        if kind == 0:
            return Load(self.read(rows, done))
        if kind == 1:
            return of(ops.sin, self.expression(rows, done, depth - 1))
        if kind == 2:
            return self.reduction(done)
        operation = ops.add if kind < 5 else ops.multiply
        return of(
            *(operation, self.expression(rows, done, depth - 1)),
            self.expression(rows, done, depth - 1),
        )

    def read(self, rows: int, done: list[int]) -> Access:
        """Read a group's rows, one of them in each row, inputs or parameters."""
        rng = self.rng
        source = int(rng.choice([self.parameters, self.inputs, self.total, *done, *done]))
        if source == self.total:
            return at(source, 0, 1, offset=int(rng.integers(20 - rows + 1)))
        if source == self.parameters:
            return at(source, 0, int(rng.choice([0, 1, 2])), offset=int(rng.integers(9)))
        if source == self.inputs:
            return at(source, 20, 1 if rows <= 20 else 0)
        width = self.widths[source]
        if width < rows or rng.integers(3) == 0:
            return at(source, width, 0, offset=int(rng.integers(width)))
        if rng.integers(5) == 0:
            return at(source, width, -1, offset=rows - 1)
        return at(source, width, 1, offset=int(rng.integers(width - rows + 1)))

    def reduction(self, done: list[int]) -> Expression:
        """Reduce products of parameters and a group's elements."""
        source = int(self.rng.choice(done))
        width = self.widths[source]
        weights = (
            at(self.parameters, 0, width, 1)
            if self.rng.integers(2)
            else at(self.parameters, 0, 1, 17)
        )
        kind: Any = "sum" if self.rng.integers(3) else "max"
        product = of(ops.multiply, weights, at(source, width, 0, 1))
        return of(ops.multiply, Number(0.3), Reduce(kind, (width,), product))
