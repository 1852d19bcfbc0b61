"""Backwards: the adjoint of a loop over time, a loop that runs the other way.

The groups of a loop are pulled once, with the elements of all steps. What a head takes over gives
its adjoint to the step that it came from, which the loop has yet to come to; so the adjoints of
heads are read before they are made, and stand-ins take their place until then. In the end the
groups of the gradient are put in order (`backward_loops`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from liftgrad.lift.differentiation.backward_loops import put_in_order
from liftgrad.lift.differentiation.branches import Term, use_condition, used
from liftgrad.lift.differentiation.pull import Terms, add_term, total
from liftgrad.lift.differentiation.symbol import Symbol
from liftgrad.lift.ir.groups import (
    Builder,
    Constants,
    Group,
    Indices,
    Leaf,
    Loop,
    Runs,
    Sum,
    View,
    identity,
    views,
)
from liftgrad.lift.ir.operands import Operand, reading, rows_of_reads

_ATTEMPTS = 4
"""After so many, which elements have an adjoint is left to conditions at run time."""


@dataclass(slots=True)
class Foreseen:
    """What must be known of the adjoints of heads before they are made."""

    conditional: set[int] = field(default_factory=set)
    """The heads whose adjoints come with a condition."""
    used: dict[int, NDArray[np.bool_]] = field(default_factory=dict)
    """The elements of heads that have an adjoint, where not all do."""
    attempts: int = 0


class Backwards:
    """The loops of a program while its gradient is made."""

    def __init__(
        self, builder: Builder, terms: Terms, active: set[int], foreseen: Foreseen
    ) -> None:
        self.builder, self.terms, self.active = builder, terms, active
        self.foreseen = foreseen
        self.conditional: set[int] = set()
        """Heads whose adjoints turned out to come with a condition that was not foreseen."""
        self.used: dict[int, NDArray[np.bool_]] = {}
        """The elements of heads that turned out to have an adjoint, where it was not foreseen."""
        self.ends = {loop.stop - 1: loop for loop in builder.loops}
        self.heads = {h for loop in builder.loops for h in _heads(loop)}
        self.members = {i for loop in builder.loops for i in range(loop.first, loop.stop)}
        self.stand_ins: dict[int, _StandIns] = {}
        """Those for the adjoint of each head."""
        self.known: dict[int, View] = {}
        """What each stand-in stands for."""
        self.new_heads: dict[int, Loop] = {}
        """The sums that read heads' adjoints, and whose loop they come from."""

    def enter(self, loop: Loop) -> None:
        """Give what a loop's heads take over their adjoints, which are not known yet."""
        certain: Terms = {}
        maybe: Terms = {}
        counts: Terms = {}
        for head in sorted(_reached(self.builder.groups, loop, self.active, self.terms)):
            self.stand_ins[head] = stand_ins = self._new_stand_ins(head)
            for target, rows in self._taken_over(head):
                term = View(stand_ins.adjoint, rows)
                conditional = head in self.foreseen.conditional
                if not loop.first <= target.group < loop.stop:
                    alive = View(stand_ins.alive, rows) if conditional else None
                    add_term(self.builder, self.terms, target, term, alive)
                elif conditional:
                    add_term(self.builder, maybe, target, term, None)
                    add_term(self.builder, counts, target, View(stand_ins.uses, rows), None)
                else:
                    add_term(self.builder, certain, target, term, None)
        for i in range(loop.first, loop.stop):
            terms = self._from_behind(i, self.terms.pop(i, []), certain)
            if i in certain:
                terms.append(self._head(loop, i, certain[i]))
            if i in maybe:
                terms.append(self._head_with_condition(loop, i, maybe[i], counts[i]))
            if terms:
                self.terms[i] = terms

    def _new_stand_ins(self, head: int) -> "_StandIns":
        group, add = self.builder.groups[head], self.builder.add
        return _StandIns(*(add(Leaf("", group.size, "input", group.batched)) for _ in range(3)))

    def _taken_over(self, head: int) -> Iterator[tuple[View, Indices]]:
        """Yield what a head takes over, and which of its elements it is for."""
        group, used = self.builder.groups[head], self.foreseen.used.get(head)
        for operand, rows in zip(views(group), rows_of_reads(group), strict=True):
            if operand.group not in self.active:
                continue
            kept = slice(None) if used is None else used[rows]
            if len(rows[kept]):
                yield View(operand.group, operand.positions[kept]), rows[kept]

    def _from_behind(self, i: int, later: list[Term], across: Terms) -> list[Term]:
        """Return the terms that come from behind the loop as one.

        They are added up for all steps at once. But where the final state is read and nothing else,
        it is the head that takes the adjoint over from there, among the terms `across` steps.
        """
        if not later:
            return []
        builder, one_each = self.builder, identity(self.builder.groups[i].size + 1)
        if any(term.alive is not None for term in later):
            taken = use_condition(builder, later, i)
            adjoint = total(builder, later, i)
            alive = None if taken is None else Runs(taken.group, taken.positions, one_each)
            return [Term(Runs(adjoint.group, adjoint.positions, one_each), alive)]
        if i in across and not (used(later) & used(across[i])).any():
            over_samples = any(builder.groups[term.runs.group].batched for term in later)
            if builder.groups[i].batched or not over_samples:
                across[i] += later
                return []
        adjoint = total(builder, later, i)
        return [_of_some(Runs(adjoint.group, adjoint.positions, one_each), used(later))]

    def _head(self, loop: Loop, of: int, terms: list[Term]) -> Term:
        """Return as a term what a new head brings from the steps in which they are made."""
        group = self.builder.groups[of]
        head = self.builder.add(Sum(tuple(term.runs for term in terms), group.batched))
        self.builder.roles[head] = ("∂′", of)
        self.new_heads[head] = loop
        runs = Runs(head, identity(group.size), identity(group.size + 1))
        return _of_some(runs, used(terms))

    def _head_with_condition(
        self, loop: Loop, of: int, terms: list[Term], counts: list[Term]
    ) -> Term:
        """Return the same where another head counts how many of the terms there really are."""
        builder, runs = self.builder, self._head(loop, of, terms).runs
        count = self._head(loop, of, counts).runs.group
        builder.roles[count] = ("#", of)
        alive = (Symbol(builder, View(count, runs.positions)) > 0.0).view
        return Term(runs, Runs(alive.group, alive.positions, runs.offsets))

    def meet(self, head: int, adjoint: View, alive: View | None, of: NDArray[np.bool_]) -> None:
        """Note what a head's adjoint is.

        Args:
            head: its number.
            adjoint: of all its elements.
            alive: for each element whether the branch that it is in was taken; None: all were.
            of: the elements that have an adjoint at all.

        """
        builder, stand_ins = self.builder, self.stand_ins[head]
        batched = builder.groups[head].batched
        self.known[stand_ins.adjoint] = _batched(builder, adjoint, batched)
        if head in self.foreseen.conditional:
            one = builder.add(Constants(of.astype(float)))
            ones = View(one, identity(len(of)))
            uses = ones if alive is None else Symbol(builder, alive)._select(1.0, 0.0).view
            count = self.known[stand_ins.uses] = _batched(builder, uses, batched)
            self.known[stand_ins.alive] = (Symbol(builder, count) > 0.0).view
        elif alive is not None:
            self.conditional.add(head)
        elif not np.array_equal(of, self.foreseen.used.get(head, np.ones_like(of))):
            self.used[head] = of

    def surprising(self) -> bool:
        """Return whether the gradient is to be made again, with what is foreseen now."""
        for head in self.stand_ins:
            size = self.builder.groups[head].size
            if self.stand_ins[head].adjoint not in self.known:
                zero = self.builder.constant(0.0, size)
                self.meet(head, zero, None, np.zeros(size, np.bool_))
        foreseen = self.foreseen
        foreseen.attempts += 1
        foreseen.conditional |= self.conditional
        if foreseen.attempts < _ATTEMPTS:
            foreseen.used |= self.used
        else:
            foreseen.conditional |= set(self.used)
        return bool(self.conditional or self.used)

    def put_in_order(self, forward: int, gradients: Sequence[View]) -> list[View]:
        """Put the groups of the gradient in order, its loops among them.

        Args:
            forward: the number of the program's own groups.
            gradients: views of the gradient's groups, or of others.

        Returns:
            the gradients where they are then.

        """
        builder = self.builder
        stand_ins = {i for some in self.stand_ins.values() for i in some}
        new = {
            i: reading(group, self._made)
            for i, group in enumerate(builder.groups[forward:], forward)
            if i not in stand_ins
        }
        made = [self._made(view.group, view.positions) for view in gradients]
        place = put_in_order(builder, forward, new, self.new_heads)
        return [View(place.get(group, group), positions) for group, positions in made]

    def _made(self, group: int, positions: Indices) -> Operand:
        """Return what is really read where a stand-in may be."""
        while group in self.known:
            view = self.known[group]
            group, positions = view.group, view.positions[positions]
        return group, positions


class _StandIns(NamedTuple):
    """Groups in place of others that are not made yet."""

    adjoint: int
    alive: int
    """Whether the branch that an element is in was taken."""
    uses: int
    """The same as a number."""


def _heads(loop: Loop) -> range:
    return range(loop.first, loop.first + loop.heads)


def _of_some(runs: Runs, some: NDArray[np.bool_]) -> Term:
    """Return a term of one run for each element, but zero for all but some."""
    return Term(runs, None, None if some.all() else some)


def _reached(groups: Sequence[Group], loop: Loop, active: set[int], terms: Terms) -> set[int]:
    """Return the heads of a loop that will have adjoints."""
    reached = {i for i in range(loop.first, loop.stop) if i in terms and i in active}
    before = -1
    while before < len(reached):
        before = len(reached)
        for i in range(loop.stop - 1, loop.first - 1, -1):
            if i in reached:
                reached.update(
                    view.group
                    for view in views(groups[i])
                    if view.group in active and len(view.positions)
                )
    return reached & set(_heads(loop))


def _batched(builder: Builder, view: View, batched: bool) -> View:
    """Return numbers with one for each sample, if their group is to be batched."""
    if not batched or builder.groups[view.group].batched:
        return view
    size = len(view.positions)
    run = Runs(view.group, view.positions, identity(size + 1))
    return View(builder.add(Sum((run,), batched=True)), identity(size))
