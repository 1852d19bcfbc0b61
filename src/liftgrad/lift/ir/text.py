"""Text: programs in the two languages, readable, a line for each group or nest.

Three dot products, first as groups, then as the loop nest that they become:

>>> import numpy as np
>>> from liftgrad import ops
>>> from liftgrad.lift.ir.groups import Builder, Elementwise, Leaf, Runs, Sum, View
>>> from liftgrad.lift.scheduling.schedule import schedule
>>> builder = Builder()
>>> p, x = builder.add(Leaf("p", 3, "parameter")), builder.add(Leaf("x", 6, "input"))
>>> factors = View(p, np.array([0, 1, 0, 1, 0, 1])), View(x, np.arange(6))
>>> products = builder.add(Elementwise(ops.multiply, factors, batched=False))
>>> pairs, bias = Runs(products, np.arange(6), np.array([0, 2, 4, 6])), Runs(
...     p, np.array([2, 2, 2]), np.array([0, 1, 2, 3])
... )
>>> sums = View(builder.add(Sum((pairs, bias), batched=False)), np.arange(3))
>>> program = builder.program()
>>> print(text_of_groups(program, [sums]))
p = parameter[3]
x = input[6]
t2[6] = multiply(p[0 1 0 1 0 1], x[0 1 2 3 4 5])
t3[3] = sum(t2[0 1 | 2 3 | 4 5], p[2 | 2 | 2])
return t3[0 1 2]
>>> print(text_of_nests(schedule(program, [sums])))
p = leaf[3]
x = leaf[6]
t3 = temporary[3]
for i<3: t3[i] = add(p[2], sum[k<2](multiply(p[k], x[2i+k])))
return t3

The notation of groups:

    line     = name = kind[size]                    a leaf
             | name[size] = number ...              constants
             | name[size] = operation(operand, ...)
             | name[size] = take(name[rows] at view)        of each row the position at an index
             | name[size] = put(view into [rows] at view)   adds to that position
             | return view, ...
             | for t<steps:                         a loop over time: the lines below it, indented
             | for t<steps backwards:               have the elements of all steps, in order
    size     = elements [, samples]                 how many; samples: for each sample
             | i<extent, ... [, samples]            where they are many: as loops, outermost first
    operand  = view                                 a position for each element
             | name[rows]                           a run for each element of a sum or maximum
    view     = name[position ...] | name[affine]    affine: over the loops
    rows     = position ... | ...                   | between them
             | element: position ... | ...          where few of the rows have any
             | affine, k<extent, ...                over the loops, and those of one row
    position = number | first..last | …             … stands for those that are left out
    affine   = 2i+k+5                               offset + Σ stride·index
    # says which group's adjoint a group is, or a term of it; or which group's uses it counts; or of
      which elements of a condition one always holds

and of nests:

    line     = name = role[size] [laid out as position ...]        a buffer
             | tableN = position ...
             | nest
             | for t<steps [backwards]:              a loop over time, its nests in the lines below
             | return name, ...
    nest     = [steps:] [for loop, ..., samples:] access = value        += where it accumulates
    steps    = t<step | step≤t<step | t=step        in a loop over time: when it runs, if not always
    loop     = i<extent | tableN[t]≤i<tableN[t+1]   by a table, where each step has other rows
    access   = name[place]
    place    = affine                               the position at each step of the loops
             | affine+step·access of extent         moved by an index, known at run time
             | tableN[place]                        looked up in a table
    value    = access | number | operation(value, ...)
             | sum[k<extent, ..., samples](value)   or max
"""

from collections import Counter
from collections.abc import Sequence
from typing import assert_never

import numpy as np

from liftgrad.lift.ir import affine
from liftgrad.lift.ir.groups import (
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
)
from liftgrad.lift.ir.nests import (
    Access,
    Apply,
    Expression,
    Load,
    Nest,
    Number,
    Program,
    Reduce,
    Statement,
    Timed,
    TimeLoop,
    begun_at,
)
from liftgrad.lift.ir.notation import (
    REDUCED,
    ROWS,
    SHOWN,
    affine_text,
    applied_text,
    bounds_text,
    letters_of,
    number_text,
    sequence_text,
    size_text,
)

_TIME = "t"


# --- groups --------------------------------------------------------------------------------------


def text_of_groups(program: Rolled, outputs: Sequence[View] | None = None) -> str:
    """Return a program of groups as text: a line for each, and one for the outputs.

    Args:
        program: the groups.
        outputs: what is returned; by default the function's results.

    """
    names = _names_of_groups(program)
    results = program.outputs if outputs is None else outputs
    lines = [_line_of_group(program, i, names) for i in range(len(program.groups))]
    for loop in reversed(program.loops):
        members = slice(loop.first, loop.stop)
        order = " backwards" if loop.backwards else ""
        indented = [f"    {line}" for line in lines[members]]
        lines[members] = [f"for t<{loop.steps}{order}:", *indented]
    returned = ", ".join(f"{names[v.group]}[{sequence_text(v.positions)}]" for v in results)
    return "\n".join([*lines, f"return {returned}"])


def _names_of_groups(program: Rolled) -> list[str]:
    """Return each group's name: that of a leaf, or t and c with the group's number."""
    groups = program.groups
    given = Counter(g.name for g in groups if isinstance(g, Leaf))
    names = []
    for i, group in enumerate(groups):
        if isinstance(group, Leaf):
            single = given[group.name] == 1
            names.append(group.name if single else f"{group.name}_{i}")
        else:
            names.append(f"{'c' if isinstance(group, Constants) else 't'}{i}")
    return names


def _line_of_group(program: Rolled, i: int, names: Sequence[str]) -> str:
    group, name = program.groups[i], names[i]
    steps = _Steps(_steps_of(group), names)
    loops = [str(group.size)] if steps.extents is None else steps.bounds
    match group:
        case Leaf(kind=kind):
            return f"{name} = {kind}[{size_text(str(group.size), batched=group.batched)}]"
        case Constants(numbers=numbers):
            value = " ".join(map(number_text, numbers[:SHOWN].tolist()))
            value += " …" if len(numbers) > SHOWN else ""
        case Elementwise(operation=operation, operands=operands):
            value = applied_text(operation, map(steps.view, operands))
        case Sum(operands=runs):
            value = f"sum({', '.join(map(steps.runs, runs))})"
        case Largest(operands=runs):
            value = f"max({', '.join(map(steps.runs, runs))})"
        case Take(index=index, group=source, table=table):
            value = f"take({names[source]}[{steps.rows(table)}] at {steps.view(index)})"
        case Put(source=source_view, index=index, table=table):
            put = f"{steps.view(source_view)} into [{steps.rows(table)}] at {steps.view(index)}"
            value = f"put({', '.join([put, *steps.bounds])})"
            loops = [str(group.size)]
        case _:
            assert_never(group)
    size = size_text(*loops, batched=group.batched)
    return f"{name}[{size}] = {value}{_role(program, i, names)}"


def _role(program: Rolled, i: int, names: Sequence[str]) -> str:
    """Return what a group of a gradient is, as a comment."""
    if i in program.tables:
        return f"  # one of each row of [{_listed(program.tables[i])}] holds"
    if i not in program.roles:
        return ""
    role, of = program.roles[i]
    said = {"∂": "∂{}", "∂′": "a term of ∂{}", "#": "uses of {}", "=": "{} again"}[role]
    return "  # " + said.format(names[of])


class _Steps:
    """What a group goes through: where it takes many steps, they are loops that have letters."""

    def __init__(self, heads: Sequence[Indices], names: Sequence[str]) -> None:
        self.names = names
        self.extents: tuple[int, ...] | None = None
        self.bounds: list[str] = []
        if heads and len(heads[0]) > SHOWN:
            self.extents = affine.common_extents(len(heads[0]), heads)
            self.bounds = bounds_text(self.extents, ROWS)

    def view(self, view: View) -> str:
        """Return a view as text."""
        return f"{self.names[view.group]}[{self.positions(view.positions)}]"

    def positions(self, positions: Indices) -> str:
        """Return a position for each step as text."""
        strides = None if self.extents is None else affine.strides(positions, self.extents)
        return sequence_text(positions) if strides is None else affine_text(positions[0], strides)

    def runs(self, runs: Runs) -> str:
        """Return a run for each step as text."""
        length = runs.uniform
        if self.extents is not None and length:
            inside = self.rows(runs.positions.reshape(-1, length))
        else:
            inside = _listed(np.split(runs.positions, runs.offsets[1:-1]))
        return f"{self.names[runs.group]}[{inside}]"

    def rows(self, rows: Indices) -> str:
        """Return a row of positions for each step as text."""
        length = rows.shape[1]
        extents = affine.common_extents(length, [rows[0]]) if length > 1 else ()
        across = affine.strides(rows[0], extents)
        down = None if self.extents is None else affine.strides(rows[:, 0], self.extents)
        alike = (rows - rows[:, :1] == rows[0] - rows[0, 0]).all()
        if down is None or across is None or not alike:
            return _listed(rows)
        return ", ".join([affine_text(rows[0, 0], down, across), *bounds_text(extents, REDUCED)])


def _steps_of(group: Group) -> list[Indices]:
    """Return sequences of one position for each step, which common loops should suit."""
    match group:
        case Elementwise(operands=operands):
            return [view.positions for view in operands]
        case Sum(operands=operands) | Largest(operands=operands):
            lengths = [(runs.positions, runs.uniform) for runs in operands]
            uniform = [positions[::length] for positions, length in lengths if length]
            return uniform or [np.zeros(group.size, np.int64)]
        case Take(index=index, table=table):
            return [table[:, 0], index.positions]
        case Put(source=source, index=index, table=table):
            return [table[:, 0], source.positions, index.positions]
        case Leaf() | Constants():
            return []
        case _:
            assert_never(group)


def _listed(rows: Sequence[Indices] | Indices) -> str:
    shown = [sequence_text(row) for row in rows[:SHOWN]]
    if len(rows) > SHOWN and not all(shown):
        filled = [i for i, row in enumerate(rows) if len(row)]
        shown = [f"{i}: {sequence_text(rows[i])}" for i in filled[:SHOWN]]
        more = len(filled) > SHOWN
    else:
        more = len(rows) > SHOWN
    return " | ".join([*shown, "…"] if more else shown)


# --- nests ---------------------------------------------------------------------------------------


def text_of_nests(program: Program) -> str:
    """Return a program of nests as text: a line for each buffer, table and nest."""
    names = _names_of_buffers(program)
    lines = []
    for name, buffer in zip(names, program.buffers, strict=True):
        size = size_text(str(buffer.size), batched=buffer.batched)
        order = "" if buffer.layout is None else f" laid out as {sequence_text(buffer.layout)}"
        lines.append(f"{name} = {buffer.role}[{size}]{order}")
    lines += [f"table{i} = {sequence_text(table)}" for i, table in enumerate(program.tables)]
    lines += [_text_of_statement(statement, names) for statement in program.nests]
    return "\n".join([*lines, f"return {', '.join(names[i] for i in sorted(program.outputs))}"])


def text_of_nest(statement: Statement, program: Program) -> str:
    """Return one nest of a program as text, or a loop over time: a line, and one for each nest."""
    return _text_of_statement(statement, _names_of_buffers(program))


def _names_of_buffers(program: Program) -> list[str]:
    given = Counter(buffer.name for buffer in program.buffers)
    return [b.name if given[b.name] == 1 else f"{b.name}_{b.group}" for b in program.buffers]


def _text_of_statement(statement: Statement, names: Sequence[str]) -> str:
    match statement:
        case Nest(extents=extents, batched=batched):
            loops, letters = _loops(extents, ROWS, samples=batched)
            return _line_of_nest(statement, loops, names, letters)
        case TimeLoop(steps=steps, body=body, backwards=backwards):
            time = f"t<{steps} backwards" if backwards else f"t<{steps}"
            lines = [f"    {_line_of_timed(timed, steps, names)}" for timed in body]
            return "\n".join([f"for {time}:", *lines])
        case _:
            assert_never(statement)


def _line_of_timed(timed: Timed, steps: int, names: Sequence[str]) -> str:
    """Return a nest of a loop over time, its accesses with t as the step."""
    nest, first = timed.nest, timed.first
    if timed.rows is not None:
        inner, letters = _loops(nest.extents[1:], ROWS[1:], samples=nest.batched)
        table, i = f"table{timed.rows}", ROWS[0]
        loops = ", ".join([f"{table}[t]≤{i}<{table}[t+1]", *([inner] if inner else [])])
        return _line_of_nest(nest, loops, names, [i, *letters])
    last = first + nest.extents[0]
    loops, letters = _loops(nest.extents[1:], ROWS, samples=nest.batched)
    line = _line_of_nest(begun_at(nest, -first), loops, names, [_TIME, *letters])
    if (first, last) == (0, steps):
        return line
    if last == first + 1:
        return f"t={first}: {line}"
    return f"{f'{first}≤' if first else ''}t<{last}: {line}"


def _line_of_nest(nest: Nest, loops: str, names: Sequence[str], letters: Sequence[str]) -> str:
    head = f"for {loops}: " if loops else ""
    sign = "+=" if nest.accumulate else "="
    return f"{head}{_access(nest.out, names, letters)} {sign} {_value(nest.body, names, letters)}"


def _loops(extents: Sequence[int], alphabet: str, *, samples: bool) -> tuple[str, list[str]]:
    """Return loops as text, and a letter for each; "" for loops of one step, which are left out."""
    letters = [
        letter if extent > 1 else ""
        for letter, extent in zip(letters_of(alphabet, len(extents)), extents, strict=True)
    ]
    bounds = [f"{letter}<{n}" for letter, n in zip(letters, extents, strict=True) if letter]
    return size_text(*bounds, batched=samples), letters


def _access(access: Access, names: Sequence[str], letters: Sequence[str]) -> str:
    strides = [s if letter else 0 for s, letter in zip(access.strides, letters, strict=True)]
    place = affine.text(access.offset, strides, letters)
    if access.index is not None:
        step = "" if access.step == 1 else f"{access.step}·"
        index = f"{step}{_access(access.index, names, letters)} of {access.extent}"
        place = index if place == "0" else f"{place}+{index}"
    if access.table is not None:
        place = f"table{access.table}[{place}]"
    return f"{names[access.buffer]}[{place}]"


def _value(expression: Expression, names: Sequence[str], letters: Sequence[str]) -> str:
    match expression:
        case Load(access=access):
            return _access(access, names, letters)
        case Number(value=value):
            return number_text(value)
        case Apply(operation=operation, operands=operands):
            return applied_text(operation, (_value(x, names, letters) for x in operands))
        case Reduce(kind=kind, extents=extents, body=body, samples=samples):
            loops, inner = _loops(extents, REDUCED, samples=samples)
            return f"{kind}[{loops or 'k<1'}]({_value(body, names, [*letters, *inner])})"
        case _:
            assert_never(expression)
