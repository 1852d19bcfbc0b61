"""Schedule: from groups to loop nests.

`fuse` decides which groups are kept in memory, `compose` makes the expressions of those, with what
is fused into them, `layout` chooses the order in which each buffer keeps its elements, and `fit`
turns index sequences into strides over common loops.

The groups of a loop over time become one statement, whose nests run step by step.

Invariant: nests compute the groups that are kept, in order, so that what a nest reads was written
by those before it, or in an earlier step; and a leaf that is assigned keeps its old numbers until
all who read them have.
"""

from collections.abc import Iterable, Sequence
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from liftgrad import ops
from liftgrad.lift.ir.groups import (
    Assignment,
    Constants,
    Elementwise,
    Group,
    Indices,
    Largest,
    Leaf,
    Loop,
    Put,
    Rolled,
    Runs,
    Sum,
    Take,
    View,
    identity,
    loop_of_each,
)
from liftgrad.lift.ir.loop_error import LoopError
from liftgrad.lift.ir.nests import Expression, Nest, Number, Program, Statement, Timed, TimeLoop
from liftgrad.lift.scheduling.again import computed_again
from liftgrad.lift.scheduling.compose import Composer, is_condition
from liftgrad.lift.scheduling.draft import Applied, Draft, Loads, all_loads
from liftgrad.lift.scheduling.elements import MOST_TERMS, Elements, Fusion, joined
from liftgrad.lift.scheduling.few_forms import with_few_forms
from liftgrad.lift.scheduling.fit import Fitter
from liftgrad.lift.scheduling.fuse import kept_groups
from liftgrad.lift.scheduling.layout import Layouts
from liftgrad.lift.scheduling.over_time import RowsOverTime, starts_among, timed_nests
from liftgrad.lift.scheduling.peel import peeled
from liftgrad.lift.scheduling.sum_parts import Part, SumParts
from liftgrad.lift.scheduling.sums_over_time import sums_over_time

_MANY_NESTS = 64
"""Nests of a loop's step that take so long to compile that each should be worth it."""


def schedule(
    rolled: Rolled, outputs: Sequence[View], assignments: Sequence[Assignment] = ()
) -> Program:
    """Return the nests that compute these outputs of a rolled program, and then the assignments.

    Every group of an output, and of a value that is assigned, is kept whole in a buffer of its own.
    A group that is assigned to a whole leaf is computed in that leaf's memory, unless an old number
    there is read after a new one has taken its place.

    A sum of squares is one nest, the squares being fused into the sum:

    >>> from liftgrad.lift.ir.groups import Builder
    >>> from liftgrad.lift.ir.text import text_of_nests
    >>> builder = Builder()
    >>> every = View(builder.add(Leaf("p", 9, "parameter")), identity(9))
    >>> squares = builder.add(Elementwise(ops.multiply, (every, every), batched=False))
    >>> runs = Runs(squares, identity(9), np.array([0, 9]))
    >>> total = View(builder.add(Sum((runs,), batched=False)), identity(1))
    >>> print(text_of_nests(schedule(builder.program(), [total])))
    p = leaf[9]
    t2 = temporary[1]
    t2[0] = sum[k<9](multiply(p[k], p[k]))
    return t2

    """
    read = [*outputs, *(a.value for a in assignments)]
    loop_of = loop_of_each(rolled)
    again = computed_again(rolled, read)
    fusion = with_few_forms(rolled.groups, kept_groups(rolled, read, again), loop_of)
    in_place = {
        a.value.group: a.leaf
        for a in assignments
        if a.value.group not in loop_of
        and rolled.groups[a.value.group].size == rolled.groups[a.leaf].size
        and np.array_equal(a.value.positions, identity(rolled.groups[a.leaf].size))
        and np.array_equal(a.positions, a.value.positions)
    }
    while True:
        composer = Composer(rolled.groups, fusion.kept, {i: loop_of[i] for i in again})
        scheduler = _Scheduler(rolled, read, fusion, composer, in_place)
        program = scheduler.run(outputs, assignments)
        late = scheduler.late()
        if not late:
            return program
        in_place = {group: leaf for group, leaf in in_place.items() if group not in late}


class _Scheduler:
    """Makes the nests of a program, some groups of which are computed in leaves' memory."""

    def __init__(
        self,
        rolled: Rolled,
        outputs: Sequence[View],
        fusion: Fusion,
        composer: Composer,
        in_place: dict[int, int],
    ) -> None:
        self.rolled, self.outputs = rolled, outputs
        self.groups, self.loops = rolled.groups, rolled.loops
        self.kept, self.in_place = fusion.kept, in_place
        self.layouts = Layouts(rolled.groups)
        self.composer = composer
        self.fitter = Fitter(self.layouts)
        self.elements = Elements(rolled.groups, fusion, self.layouts)
        self.nests: list[Statement] = []
        self.loop: Loop | None = None
        """The loop over time whose groups are computed."""
        self.timed: list[Timed] = []
        """Its nests so far."""
        self.added: dict[int, set[int]] = {}
        """The operands of sums that loops before them have added up."""
        self.reads: list[tuple[int, set[int]]] = []
        """For each nest the group it computes and the groups it reads."""
        self.overtaken: set[int] = set()
        """Groups in a leaf's memory whose nests overwrite elements before they have read them."""

    def run(self, outputs: Sequence[View], assignments: Sequence[Assignment]) -> Program:
        """Return the program."""
        first = 0
        for loop in self.loops:
            self.compute_all(range(first, loop.first))
            self.compute_loop(loop)
            first = loop.stop
        self.compute_all(range(first, len(self.groups)))
        for assignment in assignments:
            value = assignment.value
            if value.group not in self.in_place:
                out = Loads(assignment.leaf, assignment.positions)
                source = Loads(value.group, value.positions)
                self.nest(assignment.leaf, assignment.positions, source, out=out)
        return Program(
            tuple(self.layouts.buffers),
            tuple(self.fitter.tables),
            tuple(self.nests),
            frozenset(self.layouts.buffer_of[view.group] for view in outputs),
        )

    def late(self) -> set[int]:
        """Return the groups in leaves' memory whose leaf's old numbers are read too late."""
        return {
            group
            for group, leaf in self.in_place.items()
            if group in self.overtaken or any(leaf in read for i, read in self.reads if i > group)
        }

    def compute_all(self, groups: range) -> None:
        """Append the nests that compute those of some groups that are kept, one after another."""
        for i in groups:
            if not self.kept[i]:
                continue
            if i in self.in_place:
                self.layouts.add_in_place(i, self.in_place[i])
            elif i not in self.added:
                self.layouts.add(i)
            self.compute(i)

    def compute_loop(self, loop: Loop) -> None:
        """Append the loop that computes those of its groups that are kept, step by step."""
        kept = [i for i in range(loop.first, loop.stop) if self.kept[i]]
        for i in kept:
            self.layouts.add_in_order(i)  # heads read what comes later
        self.composer.loop = loop
        sums = sums_over_time(self.rolled, self.outputs, loop, self.composer, self.in_place)
        for some in sums:
            if some.sum not in self.added:
                self.layouts.add_in_order(some.sum)
                self.fill(some.sum, 0.0)
            self.added.setdefault(some.sum, set()).update(some.operands)
        self.loop, self.timed = loop, []
        for i in kept:
            self.compute(i)
        for some in sums:
            self.in_steps(Loads(some.sum, some.out), some.terms, some.ends, accumulate=True)
        if self.timed:
            made = TimeLoop(loop.steps, tuple(self.timed), loop.backwards)
            if _is_mostly_idle(made, self.fitter.tables):
                raise LoopError("most of a loop's nests have nothing to do in most of its steps.")
            self.nests.append(made)
        self.loop = self.composer.loop = None

    def compute(self, i: int) -> None:
        """Append the nests that compute a group that is kept."""
        group = self.groups[i]
        if self.elements.without_loops[i] and group.size == 1 and self.is_plain(i):
            self.compute_element(i, group)
            return
        rows = identity(group.size)
        match group:
            case Leaf() | Constants():
                return
            case Elementwise() | Take():
                draft = self.composer.computed(i)
                if is_condition(group):
                    draft = Applied(ops.select, (draft, Number(1.0), Number(0.0)))
                self.nest(i, rows, draft)
            case Sum():
                self.compute_sum(i, group)
            case Largest(operands=operands):
                if all(runs.uniform for runs in operands):
                    self.nest(i, rows, self.composer.computed(i))
                    return
                self.fill(i, -np.inf)
                for runs in operands:
                    for some, term in self.composer.runs(runs, group.batched, "max"):
                        before = Loads(i, some)
                        self.nest(i, some, Applied(ops.maximum, (before, term)))
            case Put() if self.loop is not None:
                raise LoopError("a loop over time scatters numbers to run-time indices.")
            case Put(source=source, index=index, table=table):
                self.fill(i, 0.0)
                chosen = Loads(index.group, index.positions)
                targets = Loads(i, np.zeros(len(table), np.int64), chosen, table)
                term = self.composer.draft(source.group, source.positions)
                self.nest(i, identity(len(table)), term, accumulate=True, out=targets)
            case _:
                assert_never(group)

    def is_plain(self, i: int) -> bool:
        """Return whether a group has memory of its own, and nothing to do with loops over time."""
        return self.loop is None and i not in self.in_place and i not in self.added

    def compute_element(self, i: int, group: Group) -> None:
        """Append the nests of a group of one element that is computed without a loop."""
        if isinstance(group, Sum):
            self.add_terms(i, 0, self.elements.terms(i, 0), accumulate=False)
        elif not isinstance(group, Constants):
            self.element(i, 0, self.elements.stored(i))

    def add_terms(
        self, i: int, position: int, terms: Sequence[Expression], *, accumulate: bool
    ) -> None:
        """Append the nests that add terms to an element."""
        for first in range(0, len(terms), MOST_TERMS):
            some = joined(ops.add, terms[first : first + MOST_TERMS])
            self.element(i, position, some, accumulate=accumulate or first > 0)

    def element(self, i: int, position: int, body: Expression, *, accumulate: bool = False) -> None:
        """Append the nest that computes an element, by an expression that was made just now."""
        if self.in_place:
            self.reads.append((i, self.elements.read))
            self.elements.read = set()
        out = self.elements.access(i, position)
        self.nests.append(Nest((1,), self.groups[i].batched, out, accumulate, body))

    def compute_sum(self, i: int, group: Sum) -> None:
        """Append the nests of a sum: of the runs of one length together, then of the others."""
        # Sums over samples are apart from the rest, so that samples may come in portions.
        sampled = False
        whole: list[Runs] = []
        rest: list[Runs] = []
        known = self.added.get(i, ())
        for runs in [runs for j, runs in enumerate(group.operands) if j not in known]:
            over_samples = self.groups[runs.group].batched and not group.batched
            if over_samples and self.loop is not None:
                raise LoopError("a loop over time adds up over the samples of a batch.")
            sampled = sampled or over_samples
            (whole if runs.uniform and not over_samples else rest).append(runs)
        parts = SumParts(group, self.composer, begun=bool(known))
        if sampled and not whole:
            self.nests_of(i, parts.zeros())
        self.nests_of(i, parts.uniform(whole))
        if len(rest) > MOST_TERMS and not sampled and self.is_plain(i):
            rest = self.add_scattered(i, rest, parts.written)
        for runs in rest:
            self.nests_of(i, parts.ragged(runs))
        self.nests_of(i, parts.zeros())

    def nests_of(self, i: int, parts: Iterable[Part]) -> None:
        """Append the nests that compute parts of a sum."""
        for part in parts:
            self.nest(i, part.rows, part.terms, accumulate=part.accumulate)

    def add_scattered(self, i: int, operands: list[Runs], written: NDArray[np.bool_]) -> list[Runs]:
        """Append the nests that add runs of a few elements, row by row; return all other runs."""
        if not self.elements.are_scattered(operands):
            return operands
        for row, terms in self.elements.scattered(operands).items():
            # What is left is added one by one, which takes no kernels that others do not.
            most, accumulate = len(terms) - len(terms) % MOST_TERMS, bool(written[row])
            self.add_terms(i, row, terms[:most], accumulate=accumulate)
            for j, term in enumerate(terms[most:], most):
                self.element(i, row, term, accumulate=accumulate or j > 0)
            written[row] = True
        return []

    def fill(self, i: int, value: float) -> None:
        """Append the nest that gives all elements of a group one number."""
        self.nest(i, identity(self.groups[i].size), Number(value))

    def nest(
        self,
        i: int,
        rows: Indices,
        draft: Draft,
        *,
        accumulate: bool = False,
        out: Loads | None = None,
    ) -> None:
        """Append a nest.

        Args:
            i: the index of the group that it computes.
            rows: the elements of it.
            draft: their expression.
            accumulate: whether it is added to what is there.
            out: what is written, if it is not the rows.

        """
        out = out or Loads(i, rows)
        if self.loops:
            draft = peeled(draft, self.layouts)
        read = all_loads(draft)
        if self.loop is not None:
            ends = starts_among(rows, self.loop.offsets[i - self.loop.first])
            self.in_steps(out, draft, ends, accumulate=accumulate)
            return
        accesses = [*all_loads(out), *read]
        self.layouts.choose(i, out, accesses)
        extents = self.fitter.extents(len(rows), accesses)
        batched = self.groups[i].batched
        if out.index is not None:
            # A scatter runs over the samples of its source, wherever it puts them.
            batched = any(self.groups[x.group].batched for x in accesses)
        self.note_reads(i, out, read)
        self.layouts.settle(accesses)
        access = self.fitter.access(out, extents)
        body = self.fitter.expression(draft, extents)
        self.nests.append(Nest(extents, batched, access, accumulate, body))

    def in_steps(self, out: Loads, body: Draft, ends: Indices, *, accumulate: bool) -> None:
        """Append the nests of the loop that compute rows of all its steps, each in its step."""
        read = all_loads(body)
        self.note_reads(out.group, out, read)
        self.layouts.settle(read)
        batched = self.groups[out.group].batched
        some = RowsOverTime(out, body, accumulate, batched, ends)
        self.timed += timed_nests(some, self.fitter)

    def note_reads(self, i: int, out: Loads, loads: Sequence[Loads]) -> None:
        """Note what a nest reads, and whether it comes too late for that in a leaf's memory."""
        self.reads.append((i, {x.group for x in loads}))
        leaf = self.in_place.get(i)
        of_leaf = [x for x in loads if x.group == leaf]
        if of_leaf and (i in self.layouts.settled or not all(_same(x, out) for x in of_leaf)):
            self.overtaken.add(i)


def _is_mostly_idle(loop: TimeLoop, tables: Sequence[Indices]) -> bool:
    """Return whether a large loop would look for work, not do it, most of the time."""
    busy = [
        x.nest.extents[0] if x.rows is None else np.count_nonzero(np.diff(tables[x.rows]))
        for x in loop.body
    ]
    return len(busy) > _MANY_NESTS and bool(sum(busy) < len(busy) * loop.steps / 2)


def _same(x: Loads, out: Loads) -> bool:
    """Return whether a load reads, for each row, the very element that the row writes."""
    return x.table is None and np.array_equal(x.positions, out.positions)
