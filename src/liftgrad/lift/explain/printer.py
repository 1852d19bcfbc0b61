"""Printer: the tensor program for people, as mathematics with the user's own names.

    h1[s,i] = relu(z1 := model.layers.0.b[i] + Σ_k model.layers.0.w[i,k]·X[s,k])    s<100, i<16, k<2

One line for each loop nest, or for nests of one pattern. What is kept has a name by the operation
that made it; where the gradient speaks of a part of a line, `:=` introduces a name for the part.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad import ops
from liftgrad.lift.call.leaf_names import LeafNames, Listed
from liftgrad.lift.explain.line_text import LineText
from liftgrad.lift.explain.listing import Listing, PrintedLine
from liftgrad.lift.explain.loops import Line, Loops, copied, lines, part, row_extents
from liftgrad.lift.explain.naming import Column, Naming, Paths, array_columns
from liftgrad.lift.ir.groups import (
    Constants,
    Elementwise,
    Group,
    Largest,
    Leaf,
    Put,
    Rolled,
    Sum,
    View,
)
from liftgrad.lift.ir.nests import Apply, Expression, Load, Number, Program, Reduce
from liftgrad.lift.pipeline import Built

_NUMBERS_IN_NOTE = 12
_NOUNS = frozenset(
    o.noun for o in (*ops.OPERATIONS.values(), *ops.CONDITIONS, ops.select) if o.noun
)


def listing(
    name: str,
    signature: str,
    built: Built,
    program: Program,
    update: int | None = None,
) -> Listing:
    """Return a built program's nests as text.

    Args:
        name: of the function, and so of its result.
        signature: names of its arguments.
        built: says what the groups are that the program computes.
        program: the nests.
        update: the group that an optimiser's update begins with, if there is one.

    """
    names = dict(built.names)
    if built.seed is not None:
        one: list[Listed] = [(f"∂{name}", None)]
        listed = one if built.outputs == 1 else [(f"∂{name}", built.outputs)]
        names[built.seed] = LeafNames(f"∂{name}", listed)
    headings = [("gradient:", built.forward)]
    if update is not None:
        headings.append(("update:", update))
    printer = _Printer(name, built, program, names)
    # The printer learns what is called how before it is asked in earnest.
    for _ in range(2):
        printer.sections(headings)
        printer.learn_from_readers()
    sections = printer.sections(headings)
    every = "\n".join(line.formula for _, section in sections for line in section)
    notes = ["#x counts those uses of x that are in branches taken."] if "#" in every else []
    for i, group in enumerate(built.rolled.groups):
        if isinstance(group, Constants) and f"{printer.namings[i].name}[" in every:
            notes.append(_note(printer.namings[i].name, group.numbers.tolist()))
    notes += [_note(table, numbers) for numbers, table in printer.tables.items()]
    traced = " for one sample" if built.batched_groups else ""
    title = (
        f"{name}({signature}): {built.scalar_operations:,} scalar operations{traced} → "
        f"{len(program.nests):,} loop nests"
    )
    return Listing(title, sections, tuple(notes))


def _note(name: str, numbers: Sequence[Any]) -> str:
    shown = ", ".join(str(x).removesuffix(".0") for x in numbers[:_NUMBERS_IN_NOTE])
    more = len(numbers) > _NUMBERS_IN_NOTE
    return f"{name} = {shown}, … ({len(numbers):,} numbers)" if more else f"{name} = {shown}"


class _Printer:
    """What the lines of a program share: see `line_text.Names`."""

    def __init__(
        self, result: str, built: Built, program: Program, names: Mapping[int, LeafNames]
    ) -> None:
        rolled = built.rolled
        self.program, self.rolled = program, rolled
        self.result, self.results = result, rolled.outputs[: built.outputs]
        self.tables: dict[tuple[Any, ...], str] = {}
        self.taken = {name.name for name in names.values()}
        self.sample = next(x for x in "stuvn" if x not in self.taken)
        if any(group.batched for group in rolled.groups):
            self.taken.add(self.sample)
        self.samples = not any(group.batched for group in rolled.groups)
        """Whether the first dimension of data counts samples: vmap says so itself."""
        self.namings: dict[int, Naming] = {}
        self.texts: list[LineText] = []
        self.numbered: Counter[str] = Counter()
        self.introduced: dict[int, str] = {}
        self.home: dict[int, int] = {}
        """For parts of lines that have a name, by group, the group that the line computes."""
        self.lines = lines(program)
        for i, group in enumerate(rolled.groups):
            if isinstance(group, Leaf):
                self.namings[i] = self.leaf(group, names.get(i))
            elif isinstance(group, Constants):
                self.namings[i] = Naming(self.numbered_name(i))
        kept = {buffer.group for buffer in program.buffers}
        wanted = {of for group, (_, of) in rolled.roles.items() if group in kept}
        for line in self.lines:
            self.name(line, wanted)
        for line in self.lines:
            self.find_ragged(line)
        leaves = [built.leaf_of[i] for i in built.parameter_groups]
        gradients = dict(zip(leaves, built.gradients, strict=False))
        self.returned = [*self.name_results(), *self.name_gradients(gradients)]

    def naming(self, group: int) -> Naming:
        """Return a group's naming, with the indices of the group that it belongs to."""
        naming = self.namings[group]
        if naming.columns is None and naming.paths is None:
            of = self.home.get(group)
            if of is None:
                of = self.rolled.roles.get(group, ("", -1))[1]
            if of in self.namings:
                naming.columns = self.naming(of).columns
        return naming

    def constants(self, group: int) -> NDArray[np.float64] | None:
        """Return a group's numbers, if they are written in the program."""
        found = self.rolled.groups[group] if group < len(self.rolled.groups) else None
        return found.numbers if isinstance(found, Constants) else None

    def size(self, group: int, otherwise: int) -> int:
        """Return how many elements a group has, if it is one of the program's."""
        groups = self.rolled.groups
        return groups[group].size if group < len(groups) else otherwise

    def table(self, numbers: Sequence[Any], stem: str) -> str:
        """Return the name of a table of numbers, which is listed below the program."""
        stem += str(sum(name.startswith(stem) for name in self.tables.values()) + 1)
        return self.tables.setdefault(tuple(numbers), stem)

    # --- names -------------------------------------------------------------------------------

    def leaf(self, group: Leaf, names: LeafNames | None) -> Naming:
        sample = self.sample if group.batched else ""
        if names is None:
            flat = Column(np.arange(group.size), flat=True)
            return Naming(group.name, sample, () if group.size == 1 else (flat,))
        if names.shape is not None:
            shape = names.shape[1:] if group.batched else names.shape
            return Naming(names.name, sample, array_columns(shape, samples=self.samples))
        return Naming(names.name, paths=Paths(names.paths))

    def name(self, line: Line, wanted: set[int]) -> None:
        """Name what a line computes, and those parts of it that the gradient speaks of."""
        number = line.out.group
        if number not in self.namings:
            self.namings[number] = self.new_naming(number)
        for piece, inner in _parts(self.rolled, number, line.body):
            if inner in wanted and inner not in self.namings:
                name = self.numbered_name(inner)
                self.introduced[id(piece)] = name
                self.home[inner] = number
                self.namings[inner] = Naming(name, self.namings[number].sample)

    def new_naming(self, number: int) -> Naming:
        group = self.rolled.groups[number]
        naming = Naming("", self.sample if group.batched else "", () if group.size == 1 else None)
        role, of = self.rolled.roles.get(number, ("", -1))
        results = [view for view in _joined(self.results) if view.group == number]
        own = sum(len(view.positions) for view in results) == len(self.results)
        if own and results and _identity(results[0].positions, group.size):
            naming.name = self.result
        elif of in self.namings:
            original = self.namings[of]
            naming.name, naming.paths = original.name, original.paths
            taken = {other.prefix + other.name for other in self.namings.values()}
            while role + original.prefix + original.name in taken:
                role += "′"
            naming.prefix = role + original.prefix
        else:
            naming.name = self.numbered_name(number)
        return naming

    def numbered_name(self, number: int) -> str:
        stem = _stem(self.rolled.groups[number])
        self.numbered[stem] += 1
        while f"{stem}{self.numbered[stem]}" in self.taken:
            self.numbered[stem] += 1
        return f"{stem}{self.numbered[stem]}"

    def name_results(self) -> Iterator[Line]:
        """Yield lines that say which elements the results are, if they have no name so far."""
        if any(naming.name == self.result for naming in self.namings.values()):
            return
        number = len(self.rolled.groups) + len(self.namings)
        groups = self.rolled.groups
        places = np.arange(len(self.results))
        columns = () if len(self.results) == 1 else (Column(places),)
        place = 0
        for view in _joined(self.results):
            sample = self.sample if groups[view.group].batched else ""
            self.namings[number] = Naming(self.result, sample, columns)
            yield copied(number, view, place, batched=groups[view.group].batched)
            place += len(view.positions)
            number += 1

    def name_gradients(self, gradients: Mapping[int, View]) -> Iterator[Line]:
        """Yield lines that say which elements the gradients are, if they have no name so far."""
        number = 2 * (len(self.rolled.groups) + len(self.namings))
        for leaf, view in gradients.items():
            numbers = self.constants(view.group)
            none = numbers is not None and not numbers[view.positions].any()
            unnamed = self.rolled.roles.get(view.group) != ("∂", leaf)
            if (unnamed or numbers is not None) and not none:
                original = self.namings[leaf]
                self.namings[number] = Naming(
                    original.name, "", original.columns, original.paths, "∂"
                )
                yield copied(number, view, 0, batched=False)
                number += 1

    def find_ragged(self, line: Line) -> None:
        """Give the elements of ragged reductions the indices of their row and place in it."""
        for r, lengths in enumerate(line.lengths):
            if len(set(lengths)) == 1:
                continue
            rows = np.repeat(np.array(lengths), line.blocks)
            where = np.concatenate([block.reshape(-1) for block in line.out.blocks])
            loops = Loops.rectangular(row_extents([rows, where]))
            for touch in line.touches.values():
                naming = self.namings.get(touch.group)
                if touch.reduction != r or naming is None or touch.index is not None:
                    continue
                order = np.concatenate([block.reshape(-1) for block in touch.blocks])
                known = naming.columns is not None or naming.paths is not None
                if known or not np.array_equal(order, np.arange(len(order))):
                    continue
                if len(order) == self.rolled.groups[touch.group].size:
                    columns = [Column(np.repeat(column, rows)) for column in loops.columns]
                    places = np.concatenate([np.arange(n) for n in rows])
                    naming.columns = (*columns, Column(places))

    def learn_from_readers(self) -> None:
        """Let those who read elements give them their indices, where who computes them cannot."""
        for text in self.texts:
            group = text.line.out.group
            if not text.misfits or not text.defines:
                continue
            for reader in self.texts:
                columns = reader.indices_for(group, self.size(group, 0))
                if columns is not None:
                    self.namings[group].columns = columns
                    break

    # --- lines -------------------------------------------------------------------------------

    def sections(
        self, headings: Sequence[tuple[str, int]]
    ) -> tuple[tuple[str, tuple[PrintedLine, ...]], ...]:
        """Return the headings and the lines under each, without headings of nothing."""
        self.tables.clear()
        self.texts.clear()
        starts = [("", 0), *headings]
        printed: list[list[PrintedLine]] = [[] for _ in starts]
        for line in self.lines:
            number = line.out.group
            assigned = isinstance(self.rolled.groups[number], Leaf)
            section = len(starts) - 1
            while section and starts[section][1] > number and not assigned:
                section -= 1
            printed[section] += self.line(line, count=section == 0)
        for line in self.returned:
            gradient = self.namings[line.out.group].prefix == "∂"
            printed[min(int(gradient), len(starts) - 1)] += self.line(line, count=False)
        titled = zip([heading for heading, _ in starts], map(tuple, printed), strict=True)
        return tuple((heading, some) for heading, some in titled if some or not heading)

    def line(self, line: Line, *, count: bool) -> list[PrintedLine]:
        """Return a line's text; in several lines if its nests do not fit common loops."""
        tables, every = dict(self.tables), len(line.nests)
        text = LineText(self, line)
        if not text.misfits or every < 2:
            self.texts.append(text)
            origin = _origin(line) if count else ""
            return [PrintedLine(text.formula, text.extents, origin)]
        # The longest run of nests that fits, by bisection: what fits does so without its end.
        fits, fails = 1, every
        while fails - fits > 1:
            middle = (fits + fails) // 2
            if LineText(self, part(self.program, line, 0, middle)).misfits:
                fails = middle
            else:
                fits = middle
        self.tables = tables
        first, rest = part(self.program, line, 0, fits), part(self.program, line, fits, every)
        return self.line(first, count=count) + self.line(rest, count=count)


def _parts(rolled: Rolled, number: int, x: Expression) -> Iterator[tuple[Expression, int]]:
    """Yield the parts of a group's expression that are other groups, element by element."""
    match rolled.groups[number], x:
        case Elementwise(operation=operation, operands=views), Apply(operands=operands) if (
            x.operation is operation
        ):
            for view, operand in zip(views, operands, strict=True):
                size = rolled.groups[view.group].size
                if isinstance(operand, Apply | Reduce) and _identity(view.positions, size):
                    yield operand, view.group
                    yield from _parts(rolled, view.group, operand)
        case Sum(operands=(run,)), Apply() if run.uniform == 1:
            if _identity(run.positions, rolled.groups[run.group].size):
                yield from _parts(rolled, run.group, x)


def _identity(positions: NDArray[np.int64], size: int) -> bool:
    return len(positions) == size and bool((positions == np.arange(size)).all())


def _joined(views: Iterable[View]) -> list[View]:
    """Return views with neighbours in one group put together."""
    result: list[View] = []
    for view in views:
        if result and result[-1].group == view.group:
            result[-1] = View(view.group, np.concatenate([result[-1].positions, view.positions]))
        else:
            result.append(view)
    return result


def _stem(group: Group) -> str:
    """Return how names of a group begin: h for an activation, else by the operation, or z."""
    match group:
        case Elementwise(operation=operation) if operation.activation:
            return "h"
        case Elementwise(operation=operation) if (
            operation is not ops.select and operation.notation.startswith(f"{operation.symbol}(")
        ):
            return operation.symbol
        case Constants():
            return "numbers"
        case Largest():
            return "max"
        case Put():
            return "scatter"
        case _:
            return "z"


# --- what a line was rolled from ---------------------------------------------------------------


def _origin(line: Line) -> str:
    """Return how many scalar operations a line stands for: "from 1,600 × (2 products, sum)"."""
    counts = []
    for nest in line.nests:
        body = nest.body
        if line.body is not line.nests[0].body and isinstance(body, Apply):
            body = body.operands[1]  # the kernel compares with what was there; the program did not
        counts.append(_count(body, 1))
    names = max(counts, key=lambda found: sum(found.values()))
    parts = []
    for name, many in names.items():
        few = min(found[name] for found in counts) or many
        number = f"{many:,}" if few == many else f"{few:,} to {many:,}"
        parts.append(name if many == 1 else f"{number} {_plural(name)}")
    rows = sum(line.blocks)
    times = "samples × " * line.batched + f"{rows:,} × " * (rows > 1)
    inside = ", ".join(parts)
    if len(parts) > 1 and times:
        inside = f"({inside})"
    return f"from {times}{inside}" if parts else ""


def _count(x: Expression, times: int) -> Counter[str]:
    found: Counter[str] = Counter()
    match x:
        case Apply(operation=operation, operands=operands):
            for operand in operands:
                found += _count(operand, times)
            sums = any(isinstance(y, Reduce) and y.kind == "sum" for y in operands)
            # The first term of a sum of many is added to the rest outside of the loop.
            if operation.notation != "{0}" and not (operation is ops.add and sums):
                found[operation.noun or operation.name] += times
        case Reduce(kind=kind, extents=extents, body=body, samples=samples):
            length = math.prod(extents)
            inside = _count(body, times * length)
            if samples:
                inside = Counter(f"samples × {_several(n, name)}" for name, n in inside.items())
            found += inside
            if length > 1 or samples:
                found["sum" if kind == "sum" else "maximum"] += times
        case Load() | Number():
            pass
    return found


def _several(number: int, name: str) -> str:
    return name if number == 1 else f"{number:,} {_plural(name)}"


def _plural(name: str) -> str:
    return f"{name}s" if name in _NOUNS or name == "sum" else name
