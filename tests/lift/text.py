"""Rolled programs and loop nests as short text, for tests that show them before and after."""

from dataclasses import replace
from typing import Any

import numpy as np

from liftgrad import Value
from liftgrad.lift.call.flatten import flatten
from liftgrad.lift.function import lift
from liftgrad.lift.ir.check import check_nests
from liftgrad.lift.ir.groups import (
    Constants,
    Elementwise,
    Largest,
    Leaf,
    Put,
    Rolled,
    Runs,
    Sum,
    Take,
    View,
)
from liftgrad.lift.ir.nests import Access, Apply, Expression, Load, Number, Program, Reduce
from liftgrad.lift.passes.schedule import schedule
from liftgrad.lift.pipeline import differentiated


def values(count: int) -> list[Value]:
    return [Value(i + 1.0) for i in range(count)]


def rolled(function: Any, *arguments: Any, gradient: bool = False) -> Rolled:
    """Return the program that a function rolls up to; gradients are outputs, too."""
    lifted = lift(function)
    taken = lifted.source.arguments(arguments, {})
    built = lifted.source.build(taken, flatten(taken))
    if gradient:
        built = differentiated(built, unit_seed=True)
        return replace(built.rolled, outputs=[*built.rolled.outputs, *built.gradients])
    return built.rolled


def scheduled(function: Any, *arguments: Any, gradient: bool = False) -> Program:
    """Return the loop nests that a function becomes."""
    groups = rolled(function, *arguments, gradient=gradient)
    program = schedule(groups, groups.outputs)
    check_nests(program, after="schedule")
    return program


def text_of_groups(program: Rolled) -> list[str]:
    """Return a line for each group, with its number, and one for the outputs.

    Operands are `group[positions]`; sums have a row of positions for each element.
    """
    lines = []
    for number, group in enumerate(program.groups):
        match group:
            case Leaf(name=name, size=size):
                line = f"{name}[{size}]"
            case Constants(numbers=numbers):
                line = " ".join(f"{x:g}" for x in numbers)
            case Elementwise(operation=operation, operands=operands):
                line = f"{operation.name} {' '.join(map(_view, operands))}"
            case Sum(operands=operands):
                line = f"sum {' '.join(map(_runs, operands))}"
            case Largest(operands=operands):
                line = f"largest {' '.join(map(_runs, operands))}"
            case Take(index=index, group=source, table=table):
                line = f"take {source}{_rows(table)} at {_view(index)}"
            case Put(source=source, index=index, table=table):
                line = f"put {_view(source)} into {_rows(table)} at {_view(index)}"
        lines.append(f"{number}: {line}{' for each sample' if group.batched else ''}")
    return [*lines, f"return {' '.join(map(_view, program.outputs))}"]


def _view(view: View) -> str:
    return f"{view.group}[{' '.join(map(str, view.positions))}]"


def _runs(runs: Runs) -> str:
    rows = np.split(runs.positions, runs.offsets[1:-1])
    return f"{runs.group}[{' | '.join(' '.join(map(str, row)) for row in rows)}]"


def _rows(table: Any) -> str:
    return f"[{' | '.join(' '.join(map(str, row)) for row in table)}]"


def text_of_nests(program: Program) -> list[str]:
    """Return a line for each nest: `(extents) buffer[offset + strides] = expression`."""
    names = [f"{b.name}{'*' if b.layout is not None else ''}" for b in program.buffers]

    def access(a: Access) -> str:
        place = f"{a.offset}{''.join(f' {s:+d}' for s in a.strides)}"
        table = f" via table {a.table}" if a.table is not None else ""
        index = f" at {a.step}*{access(a.index)}" if a.index is not None else ""
        return f"{names[a.buffer]}[{place}{table}{index}]"

    def text(expression: Expression) -> str:
        match expression:
            case Load(access=a):
                return access(a)
            case Number(value=value):
                return f"{value:g}"
            case Apply(operation=operation, operands=operands):
                return f"{operation.name}({', '.join(map(text, operands))})"
            case Reduce(kind=kind, extents=extents, body=body, samples=samples):
                return f"{kind}{_extents(extents, samples=samples)}{text(body)}"

    return [
        f"{_extents(nest.extents, samples=nest.batched)}{access(nest.out)} "
        f"{'+=' if nest.accumulate else '='} {text(nest.body)}"
        for nest in program.nests
    ]


def _extents(extents: tuple[int, ...], *, samples: bool) -> str:
    return f"({' '.join([*map(str, extents), *(['samples'] if samples else [])])}) "
