"""Backwards: the adjoint of a loop over time, a loop that runs the other way.

The groups of a loop are pulled once, with the elements of all steps. What a head takes over gives
its adjoint to the step that it came from, which the loop has yet to come to; so the adjoints of
heads are read before they are made, and stand-ins take their place until then. In the end the
groups of the gradient are put in order. Those that depend on themselves become loops, whose heads
are the sums that read heads' adjoints; all others, such as sums over time, are in no loop.
"""

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from liftgrad.lift.ir.components import components
from liftgrad.lift.ir.groups import (
    Builder,
    Group,
    Indices,
    Leaf,
    Loop,
    Put,
    Runs,
    Sum,
    View,
    identity,
    views,
)
from liftgrad.lift.ir.loop_error import LoopError
from liftgrad.lift.ir.operands import Operand, reading, rows_of_reads
from liftgrad.lift.ir.rules_of_loops import steps_at
from liftgrad.lift.passes.branches import Term, use_condition
from liftgrad.lift.passes.pull import Terms, add_term, total
from liftgrad.lift.passes.symbol import Symbol


class Backwards:
    """The loops of a program while its gradient is made."""

    def __init__(
        self, builder: Builder, terms: Terms, active: set[int], conditional: Collection[int]
    ) -> None:
        self.builder, self.terms, self.active = builder, terms, active
        self.conditional = conditional
        self.missed: set[int] = set()
        """Heads whose adjoints have a condition, which was not foreseen."""
        self.loops = list(builder.loops)
        self.ends = {loop.stop - 1: loop for loop in self.loops}
        self.heads = {h for loop in self.loops for h in _heads(loop)}
        self.stand_ins: dict[int, tuple[int, int, int]] = {}
        """For each head those for its adjoint, for its condition, and for that as a number."""
        self.known: dict[int, View] = {}
        """What each stand-in stands for."""
        self.new_heads: dict[int, Loop] = {}
        """The sums that read heads' adjoints, and whose loop they come from."""

    # --- terms -----------------------------------------------------------------------------------

    def enter(self, loop: Loop) -> None:
        """Give what a loop's heads take over their adjoints, which are not known yet."""
        across: dict[bool, Terms] = {False: {}, True: {}}
        uses: Terms = {}
        for head in sorted(_reached(self.builder.groups, loop, self.active, self.terms)):
            conditional = head in self.conditional
            adjoint, condition, number = self._stand_ins(head)
            group = self.builder.groups[head]
            assert isinstance(group, Sum)
            for runs, rows in zip(group.operands, rows_of_reads(group), strict=True):
                if runs.group not in self.active or not len(runs.positions):
                    continue
                target = View(runs.group, runs.positions)
                term, alive = View(adjoint, rows), View(condition, rows)
                if not loop.first <= runs.group < loop.stop:
                    add_term(self.builder, self.terms, target, term, alive if conditional else None)
                    continue
                add_term(self.builder, across[conditional], target, term, None)
                if conditional:
                    add_term(self.builder, uses, target, View(number, rows), None)
        for i in range(loop.first, loop.stop):
            later = self.terms.pop(i, [])
            certain, maybe = across[False].get(i, []), across[True].get(i, [])
            if later:
                later, certain = self._from_behind(i, later, certain)
            terms = list(later)
            if certain:
                terms.append(self._head(loop, i, certain))
            if maybe:
                brought = self._head(loop, i, maybe).runs
                counts = self._head(loop, i, uses[i]).runs
                self.builder.roles[counts.group] = ("#", i)
                every = Symbol(self.builder, View(counts.group, counts.positions))
                counted = (every > 0.0).view
                taken = Runs(counted.group, counted.positions, brought.offsets)
                terms.append(Term(brought, taken))
            if terms:
                self.terms[i] = terms

    def _stand_ins(self, head: int) -> tuple[int, int, int]:
        group, builder = self.builder.groups[head], self.builder
        adjoint, condition, number = (
            builder.add(Leaf("", group.size, "input", group.batched)) for _ in range(3)
        )
        self.stand_ins[head] = adjoint, condition, number
        return adjoint, condition, number

    def _from_behind(
        self, i: int, later: list[Term], across: list[Term]
    ) -> tuple[list[Term], list[Term]]:
        """Return the terms that come from behind the loop as one, and those of the heads.

        They are added up for all steps at once. But where the final state is read and nothing else,
        it is the head that takes the adjoint over from there.
        """
        builder, one_each = self.builder, identity(self.builder.groups[i].size + 1)
        if all(term.alive is None for term in later):
            used = _used(later)
            over_samples = any(self._over_samples(term, i) for term in later)
            if across and not over_samples and not (used & _used(across)).any():
                return [], [*across, *later]
            adjoint = total(builder, later, i)
            runs = Runs(adjoint.group, adjoint.positions, one_each)
            return [Term(runs, None, None if used.all() else used)], across
        taken = use_condition(builder, later, i)
        adjoint = total(builder, later, i)
        alive = None if taken is None else Runs(taken.group, taken.positions, one_each)
        return [Term(Runs(adjoint.group, adjoint.positions, one_each), alive)], across

    def _over_samples(self, term: Term, i: int) -> bool:
        groups = self.builder.groups
        return groups[term.runs.group].batched and not groups[i].batched

    def _head(self, loop: Loop, of: int, terms: list[Term]) -> Term:
        """Return as a term what a new head brings from the steps in which they are made."""
        group = self.builder.groups[of]
        head = self.builder.add(Sum(tuple(term.runs for term in terms), group.batched))
        self.builder.roles[head] = ("∂′", of)
        self.new_heads[head] = loop
        used = _used(terms)
        runs = Runs(head, identity(group.size), identity(group.size + 1))
        return Term(runs, None, None if used.all() else used)

    def meet(self, head: int, adjoint: View, alive: View | None) -> None:
        """Note what a head's adjoint is."""
        builder = self.builder
        batched = builder.groups[head].batched
        of_adjoint, of_condition, of_number = self.stand_ins[head]
        self.known[of_adjoint] = _batched(builder, adjoint, batched)
        if alive is not None and head not in self.conditional:
            self.missed.add(head)
        if head in self.conditional:
            one = builder.constant(1.0, builder.groups[head].size)
            uses = one if alive is None else Symbol(builder, alive)._select(1.0, 0.0).view
            number = _batched(builder, uses, batched)
            self.known[of_number] = number
            self.known[of_condition] = (Symbol(builder, number) > 0.0).view

    # --- order -----------------------------------------------------------------------------------

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
            i: reading(group, self._resolved)
            for i, group in enumerate(builder.groups[forward:], forward)
            if i not in stand_ins
        }
        numbers = list(new)
        position = {i: n for n, i in enumerate(numbers)}
        depends = [
            [position[view.group] for view in views(group) if view.group >= forward]
            for group in new.values()
        ]
        order: list[int] = []
        loops: list[tuple[int, Loop]] = []
        for component in components(depends):
            members = sorted(numbers[n] for n in component)
            if len(members) > 1 or component[0] in depends[component[0]]:
                members.sort(key=lambda i: (i not in self.new_heads, i))
                first = forward + len(order)
                loops.append((first, self._loop(first, members, new)))
            order += members
        place = {i: forward + n for n, i in enumerate(order)}
        place.update((i, i) for i in range(forward))
        builder.groups[forward:] = [
            reading(new[i], lambda group, positions: (place[group], positions)) for i in order
        ]
        builder.roles = {place[i]: role for i, role in builder.roles.items() if i in place}
        builder.tables = {place[i]: table for i, table in builder.tables.items() if i in place}
        builder.loops += [loop for _, loop in loops]
        moved = [self._resolved(view.group, view.positions) for view in gradients]
        return [View(place[group], positions) for group, positions in moved]

    def _resolved(self, group: int, positions: Indices) -> Operand:
        """Return what is really read where a stand-in may be."""
        while group in self.known:
            view = self.known[group]
            group, positions = view.group, view.positions[positions]
        return group, positions

    def _loop(self, first: int, members: list[int], new: dict[int, Group]) -> Loop:
        """Return the loop of groups that depend on each other."""
        if any(isinstance(new[i], Put) for i in members):
            raise LoopError("a loop over time cannot add to positions known at run time only")
        if len({new[i].batched for i in members}) > 1:
            raise LoopError("some groups of a loop over time are the same for all samples")
        heads = [i for i in members if i in self.new_heads]
        origin = self.new_heads[heads[0]]
        offsets: dict[int, Indices] = {}
        for i in members:
            offsets[i] = self._offsets(i, new[i], origin, offsets)
        return Loop(
            first,
            first + len(members),
            tuple(offsets.values()),
            len(heads),
            backwards=not origin.backwards,
        )

    def _offsets(self, i: int, group: Group, origin: Loop, known: dict[int, Indices]) -> Indices:
        """Return where the elements of each step begin.

        Sums have the elements of the group that they are an adjoint of, and so do others that are
        nothing else; what is left has elements of the steps that they are made of.
        """
        _, of = self.builder.roles.get(i, ("", -1))
        if origin.first <= of < origin.stop:
            return origin.offsets[of - origin.first]
        for view, rows in zip(views(group), rows_of_reads(group), strict=True):
            if view.group not in known or not np.array_equal(rows, identity(group.size)):
                continue
            source = known[view.group]
            if np.array_equal(view.positions, identity(source[-1])):
                return source
            steps = steps_at(source, view.positions)
            if (steps[1:] >= steps[:-1]).all():
                return np.searchsorted(steps, identity(origin.steps + 1)).astype(np.int64)
        raise LoopError("the steps of a gradient's group are not those of what it reads")


def _heads(loop: Loop) -> range:
    return range(loop.first, loop.first + loop.heads)


def _used(terms: Sequence[Term]) -> NDArray[np.bool_]:
    """Return for each element of a group whether any of the terms is really one for it."""
    used = np.zeros(len(terms[0].runs.offsets) - 1, np.bool_)
    for term in terms:
        used |= term.certain()
    return used


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
