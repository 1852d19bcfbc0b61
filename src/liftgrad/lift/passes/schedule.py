"""Schedule: from groups to loop nests: what is fused, where numbers lie, which loops run.

Fused groups are composed into expressions by composing their index sequences; then the sequences
of each nest are fitted with affine maps over common loops. The layout of a group in memory is
free: the dimension over which parameters do not vary (the samples of a batch, the tokens of a
text) goes innermost, where vectors run along it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from liftgrad import ops
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
    identity,
)
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
)
from liftgrad.lift.passes.draft import Applied, Draft, Loads, Reduced, added, all_loads, rows_of
from liftgrad.lift.passes.fuse import kept_groups

_MOST_TERMS = 16
"""Operands that one nest adds up; a gradient may be the sum of thousands of them."""


@dataclass(slots=True, frozen=True, eq=False)
class Assignment:
    """A leaf's elements are to become those of an output: a parameter's next value."""

    leaf: int
    positions: Indices
    """The elements of the leaf that change."""
    value: View


def schedule(
    rolled: Rolled, outputs: Sequence[View], assignments: Sequence[Assignment] = ()
) -> Program:
    """Return the nests that compute these outputs of a rolled program, and then the assignments.

    Every group of an output, and of a value that is assigned, is kept whole in a buffer of its own.
    A group that is assigned to a whole leaf is computed in that leaf's memory, unless an old number
    there is read after a new one has taken its place.
    """
    kept = kept_groups(rolled, [*outputs, *(a.value for a in assignments)])
    in_place = {
        a.value.group: a.leaf
        for a in assignments
        if rolled.groups[a.value.group].size == rolled.groups[a.leaf].size
        and np.array_equal(a.value.positions, identity(rolled.groups[a.leaf].size))
        and np.array_equal(a.positions, a.value.positions)
    }
    while True:
        scheduler = _Scheduler(rolled, kept, assignments, in_place)
        program = scheduler.run(outputs)
        late = [
            group
            for group, leaf in in_place.items()
            if group in scheduler.overtaken
            or any(leaf in read for number, read in scheduler.reads if number > group)
        ]
        if not late:
            return program
        for group in late:
            del in_place[group]


class _Scheduler:
    def __init__(
        self,
        rolled: Rolled,
        kept: Sequence[bool | None],
        assignments: Sequence[Assignment],
        in_place: dict[int, int],
    ) -> None:
        self.rolled, self.kept, self.assignments = rolled, kept, assignments
        self.in_place = in_place
        self.reads: list[tuple[int, set[int]]] = []
        """For each nest the group it computes and the groups it reads."""
        self.overtaken: set[int] = set()
        """Groups in a leaf's memory that would write elements of it which are read later on."""
        self.buffers: list[Buffer] = []
        self.buffer_of: dict[int, int] = {}
        self.tables: list[Indices] = []
        self.table_of: dict[bytes, int] = {}
        self.nests: list[Nest] = []
        self.settled: set[int] = set()
        """Groups that a nest was fitted to: where their numbers lie cannot change any more."""

    def run(self, outputs: Sequence[View]) -> Program:
        for number, group in enumerate(self.rolled.groups):
            if not self.kept[number]:
                continue
            if number in self.in_place:
                self.buffer_of[number] = self.buffer_of[self.in_place[number]]
            else:
                self.buffer_of[number] = len(self.buffers)
                self.buffers.append(_buffer(number, group))
            self.compute(number)
        for assignment in self.assignments:
            value = assignment.value
            if value.group not in self.in_place:
                out = Loads(assignment.leaf, assignment.positions)
                source = Loads(value.group, value.positions)
                self.nest(assignment.leaf, assignment.positions, source, accumulate=False, out=out)
        return Program(
            tuple(self.buffers),
            tuple(self.tables),
            tuple(self.nests),
            frozenset(self.buffer_of[view.group] for view in outputs),
        )

    # --- what each kept group needs ----------------------------------------------------------

    def compute(self, number: int) -> None:
        group = self.rolled.groups[number]
        rows = identity(group.size)
        match group:
            case Leaf() | Constants():
                return
            case Elementwise() | Take():
                draft = self.draft(number, rows, top=True)
                if _is_condition(group):
                    draft = Applied(ops.select, (draft, Number(1.0), Number(0.0)))
                self.nest(number, rows, draft, accumulate=False)
            case Sum(operands=runs):
                self.compute_sum(number, runs)
            case Largest(operands=runs):
                if not all(run.uniform for run in runs):
                    self.fill(number, -np.inf)
                    for run in runs:
                        for piece, part in self.pieces(run, group.batched, "max"):
                            before = Loads(number, piece)
                            both = Applied(ops.maximum, (before, part))
                            self.nest(number, piece, both, accumulate=False)
                else:
                    self.nest(number, rows, self.draft(number, rows, top=True), accumulate=False)
            case Put(source=source, index=index, table=table):
                self.fill(number, 0.0)
                targets = Loads(
                    number,
                    np.zeros(len(table), np.int64),
                    Loads(index.group, index.positions),
                    table,
                )
                part = self.draft(source.group, source.positions)
                self.nest(number, identity(len(table)), part, accumulate=True, out=targets)

    def compute_sum(self, number: int, runs: tuple[Runs, ...]) -> None:
        group = self.rolled.groups[number]
        rows = identity(group.size)
        # Sums over samples are apart from the rest, so that samples may come in portions.
        sampled = [
            run for run in runs if self.rolled.groups[run.group].batched and not group.batched
        ]
        whole = [run for run in runs if run.uniform and run not in sampled]
        written = np.zeros(group.size, bool)
        if sampled and not whole:
            self.fill(number, 0.0)
            written[:] = True
        parts = [self.run_of(run, rows, group.batched) for run in whole]
        for first in range(0, len(parts), _MOST_TERMS):
            some = added(parts[first : first + _MOST_TERMS])
            self.nest(number, rows, some, accumulate=bool(written.any()))
            written[:] = True
        for run in runs:
            if run in whole:
                continue
            for piece, part in self.pieces(run, group.batched, "sum"):
                for subset in (True, False):
                    chosen = written[piece] == subset
                    if chosen.any():
                        self.nest(
                            number,
                            piece[chosen],
                            part if chosen.all() else rows_of(part, chosen),
                            accumulate=subset,
                        )
                written[piece] = True
        if not written.all():
            self.nest(number, np.nonzero(~written)[0], Number(0.0), accumulate=False)

    def fill(self, number: int, value: float) -> None:
        rows = identity(self.rolled.groups[number].size)
        self.nest(number, rows, Number(value), accumulate=False)

    def pieces(self, run: Runs, batched: bool, kind: str) -> Iterator[tuple[Indices, "Draft"]]:
        """Yield the rows whose runs have one length, with the reduction of their runs."""
        lengths = np.diff(run.offsets)
        for length in np.unique(lengths):
            if length == 0:
                continue
            rows = np.nonzero(lengths == length)[0]
            places = run.offsets[rows][:, None] + np.arange(length)
            yield rows, self.reduction(run, run.positions[places], batched, kind)

    # --- composing expressions ---------------------------------------------------------------

    def draft(self, number: int, positions: Indices, *, top: bool = False) -> Draft:
        """Return the expression for these elements of a group."""
        group = self.rolled.groups[number]
        if isinstance(group, Constants):
            numbers = group.numbers[positions]
            first = numbers.reshape(-1)[0]
            if (numbers.view(np.int64) == first.view(np.int64)).all():
                return Number(float(first))
        if self.kept[number] and not top:
            load = Loads(number, positions)
            if _is_condition(group):
                return Applied(ops.not_equal, (load, Number(0.0)))
            return load
        match group:
            case Elementwise(operation=operation, operands=views):
                operands = [self.draft(v.group, v.positions[positions]) for v in views]
                return Applied(operation, tuple(operands))
            case Sum(operands=runs):
                return added([self.run_of(run, positions, group.batched) for run in runs])
            case Largest(operands=runs):
                parts = [self.run_of(run, positions, group.batched, "max") for run in runs]
                result = parts[0]
                for part in parts[1:]:
                    result = Applied(ops.maximum, (result, part))
                return result
            case Take(index=index, group=source, table=table):
                chosen = Loads(index.group, index.positions[positions])
                return Loads(source, np.zeros_like(positions), chosen, table[positions])
        raise AssertionError(group)

    def run_of(self, run: Runs, rows: Indices, batched: bool, kind: str = "sum") -> Draft:
        """Return the reduction of the runs, all of one length, of these rows."""
        length = run.uniform
        assert length is not None
        if length == 1 and (batched or not self.rolled.groups[run.group].batched):
            return self.draft(run.group, run.positions[rows])
        return self.reduction(run, run.positions.reshape(-1, length)[rows], batched, kind)

    def reduction(self, run: Runs, positions: Indices, batched: bool, kind: str) -> Draft:
        samples = self.rolled.groups[run.group].batched and not batched
        body = self.draft(run.group, positions)
        return Reduced(kind, positions.shape[1], body, samples)

    # --- fitting loops -----------------------------------------------------------------------

    def nest(
        self,
        number: int,
        rows: Indices,
        draft: Draft,
        *,
        accumulate: bool,
        out: Loads | None = None,
    ) -> None:
        out = out or Loads(number, rows)
        self.choose_layouts(number, out, draft)
        sequences = [self.by_row(x) for x in all_loads((out, draft))]
        extents = affine.common_extents(len(rows), (s for group in sequences for s in group))
        batched = self.rolled.groups[number].batched
        if out.index is not None:
            # A scatter runs over the samples of its source, wherever it puts them.
            batched = any(self.rolled.groups[x.group].batched for x in all_loads((out, draft)))
        self.reads.append((number, {x.group for x in all_loads((draft,))}))
        leaf = self.in_place.get(number)
        if any(x.group == leaf and not _same(x, out) for x in all_loads((draft,))) or (
            number in self.settled and leaf in self.reads[-1][1]
        ):
            self.overtaken.add(number)
        self.settled |= {x.group for x in all_loads((out, draft))}
        access = self.fit(out, extents, ())
        body = self.fitted(draft, extents, ())
        self.nests.append(Nest(extents, batched, access, accumulate, body))

    def physical(self, group: int, positions: Indices) -> Indices:
        layout = self.buffers[self.buffer_of[group]].layout
        return positions if layout is None else layout[positions]

    def by_row(self, x: Loads) -> list[Indices]:
        """Return the sequences of row positions of a load that a common radix should suit."""
        if x.table is not None:
            table = self.physical(x.group, x.table)
            return [table.reshape(len(table), -1)[:, 0]]
        positions = self.physical(x.group, x.positions)
        return [positions if positions.ndim == 1 else positions[:, 0]]

    def fitted(self, draft: Draft, rows: tuple[int, ...], reduced: tuple[int, ...]) -> Expression:
        match draft:
            case Number():
                return draft
            case Loads():
                return Load(self.fit(draft, rows, reduced))
            case Applied(operation=operation, operands=operands):
                return Apply(operation, tuple(self.fitted(x, rows, reduced) for x in operands))
            case Reduced(kind=kind, length=length, body=body, samples=samples):
                columns = [self.by_column(x) for x in all_loads((body,))]
                extents = affine.common_extents(length, columns)
                return Reduce(kind, extents, self.fitted(body, rows, extents), samples)  # type: ignore[arg-type]

    def by_column(self, x: Loads) -> Indices:
        positions = self.physical(x.group, x.positions if x.table is None else x.table[..., 0])
        first: Indices = positions[0]
        return first

    def fit(self, x: Loads, rows: tuple[int, ...], reduced: tuple[int, ...]) -> Access:
        """Return the access of a load; by way of a table where its positions are not affine."""
        buffer = self.buffer_of[x.group]
        if x.table is not None:
            assert x.index is not None
            return self.fit_indexed(x, x.table, self.fit(x.index, rows, reduced), rows, reduced)
        positions = self.physical(x.group, x.positions)
        fitted = _fit(positions, rows, reduced)
        if fitted is not None:
            return Access(buffer, *fitted)
        return Access(buffer, 0, _steps((*rows, *reduced)), table=self.table(positions))

    def fit_indexed(
        self,
        x: Loads,
        table: Indices,
        index: Access,
        rows: tuple[int, ...],
        reduced: tuple[int, ...],
    ) -> Access:
        table = self.physical(x.group, table)
        extent = table.shape[-1]
        step = int(table.reshape(-1)[1] - table.reshape(-1)[0]) if extent > 1 else 0
        heads = table[..., 0]
        fitted = _fit(heads, rows, reduced)
        buffer = self.buffer_of[x.group]
        if fitted is not None and (table == heads[..., None] + step * np.arange(extent)).all():
            return Access(buffer, *fitted, index=index, step=step, extent=extent)
        steps = tuple(s * extent for s in _steps((*rows, *reduced)))
        number = self.table(table)
        return Access(buffer, 0, steps, table=number, index=index, step=1, extent=extent)

    def table(self, positions: Indices) -> int:
        flat = np.ascontiguousarray(positions.reshape(-1))
        key = flat.tobytes()
        if key not in self.table_of:
            self.table_of[key] = len(self.tables)
            self.tables.append(flat)
        return self.table_of[key]

    # --- layouts -----------------------------------------------------------------------------

    def choose_layouts(self, number: int, out: Loads, draft: Draft) -> None:
        """Put the dimension over which parameters do not vary innermost, in what is still free."""
        accesses = list(all_loads((out, draft)))
        if out.positions.ndim != 1 or len(out.positions) < 2 or out.index is not None:
            return
        groups = self.rolled.groups
        rows = len(out.positions)
        heads = [self.by_row(x)[0] for x in accesses if x.table is None]
        extents = affine.common_extents(rows, heads)
        if len(extents) < 2:
            self.adopt_layout(number, out, accesses)
            return
        weights = [
            affine.strides(self.by_row(x)[0], extents)
            for x in accesses
            if _is_parameter(groups[x.group])
        ]
        if not weights or any(w is None for w in weights):
            self.adopt_layout(number, out, accesses)
            return
        shared = [
            d
            for d, extent in enumerate(extents)
            if extent >= 4 and all(w[d] == 0 for w in weights)  # type: ignore[index]
        ]
        if not shared:
            return
        inner = max(shared, key=lambda d: extents[d])
        for x in accesses:
            if not _is_parameter(groups[x.group]) and x.table is None:
                self.permute(x, extents, inner)

    def permute(self, x: Loads, extents: tuple[int, ...], inner: int) -> None:
        """Lay a buffer out with the rows' dimension `inner` innermost, if it covers the buffer."""
        number = self.buffer_of[x.group]
        buffer = self.buffers[number]
        fixed = x.group in self.settled or x.group in self.in_place
        if fixed or buffer.layout is not None or buffer.role == "constant":
            return
        grid = x.positions.reshape(*extents, -1)
        lines = np.moveaxis(grid, inner, -1)
        # Without the repetitions along dimensions over which it does not vary.
        for axis in range(lines.ndim - 2, -1, -1):
            if (lines == lines[(slice(None),) * axis + (slice(0, 1),)]).all():
                lines = lines[(slice(None),) * axis + (slice(0, 1),)]
        order = lines.reshape(-1)
        if len(order) != buffer.size or len(np.unique(order)) != buffer.size:
            return
        layout = np.empty(buffer.size, np.int64)
        layout[order] = identity(buffer.size)
        if (layout != identity(buffer.size)).any():
            self.buffers[number] = replace(buffer, layout=layout)

    def adopt_layout(self, number: int, out: Loads, accesses: list[Loads]) -> None:
        """Lay an element-wise result out as its first operand of the same size is."""
        buffer = self.buffers[self.buffer_of[number]]
        fixed = number in self.settled or number in self.in_place
        if fixed or buffer.layout is not None or len(out.positions) != buffer.size:
            return
        for x in accesses:
            if x.group == number or x.positions.ndim != 1 or x.table is not None:
                continue
            other = self.buffers[self.buffer_of[x.group]]
            alike = other.layout is not None and other.size == buffer.size
            if alike and (x.positions == out.positions).all():
                self.buffers[self.buffer_of[number]] = replace(buffer, layout=other.layout)
                return


def _buffer(number: int, group: Group) -> Buffer:
    match group:
        case Leaf(name=name, kind=kind):
            role: Literal["leaf", "index"] = "index" if kind == "index" else "leaf"
            return Buffer(name, group.size, group.batched, role, number)
        case Constants():
            return Buffer(f"c{number}", group.size, group.batched, "constant", number)
        case _:
            return Buffer(f"t{number}", group.size, group.batched, "temporary", number)


def _is_condition(group: Group) -> bool:
    """Tell whether a group's elements are conditions; if it is kept, they are 1 and 0."""
    return isinstance(group, Elementwise) and group.operation in ops.CONDITIONS


def _is_parameter(group: Group) -> bool:
    return isinstance(group, Leaf) and group.kind == "parameter"


def _same(x: Loads, out: Loads) -> bool:
    """Tell whether a load reads, for each row, the very element that the row writes."""
    return x.table is None and np.array_equal(x.positions, out.positions)


def _fit(
    positions: Indices, rows: tuple[int, ...], reduced: tuple[int, ...]
) -> tuple[int, tuple[int, ...]] | None:
    """Return offset and strides of positions of shape (rows,) or (rows, reduced)."""
    if positions.ndim == 1:
        steps = affine.strides(positions, rows)
        return None if steps is None else (int(positions[0]), (*steps, *(0 for _ in reduced)))
    down = affine.strides(positions[:, 0], rows)
    across = affine.strides(positions[0], reduced)
    if down is None or across is None:
        return None
    if not (positions == positions[:, :1] + (positions[0] - positions[0, 0])).all():
        return None
    return int(positions[0, 0]), (*down, *across)


def _steps(extents: tuple[int, ...]) -> tuple[int, ...]:
    steps = [1]
    for extent in extents[:0:-1]:
        steps.append(steps[-1] * extent)
    return tuple(steps[::-1])
