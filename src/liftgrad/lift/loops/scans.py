"""Scans: a tape with scans as groups, which have the elements of all of their steps.

The tape is rolled up as if each scan had one step (`one_step`). Then the groups of a scan get the
elements of all steps, and what they read of the state comes by way of heads. Only groups that
depend on themselves by way of heads are in loops: all others are computed for all steps at once.
"""

from collections.abc import Mapping, Sequence
from typing import assert_never

import numpy as np

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
    views,
)
from liftgrad.lift.ir.loop_error import LoopError
from liftgrad.lift.ir.operands import Operand, reading
from liftgrad.lift.loops.joins import Part, joined
from liftgrad.lift.loops.one_step import OneStep, Origin
from liftgrad.lift.loops.ordered import ordered
from liftgrad.lift.rolling.roll import roll
from liftgrad.lift.trace.nodes import Node
from liftgrad.lift.trace.scans import OfArray, OfNodes, OfNumbers, Scan
from liftgrad.lift.trace.tape import Tape


def roll_scans(
    tape: Tape, nodes: Sequence[Node], leaves: Sequence[Leaf], outputs: Sequence[int]
) -> Rolled:
    """Return a tape with scans as groups and loops.

    Args:
        tape: what was recorded.
        nodes: its nodes, of which some may be inputs instead of constants if there are no scans.
        leaves: the leaf groups that its leaf nodes are elements of, but for those of scans.
        outputs: numbers of the nodes that are results.

    Raises:
        LoopError: if a number of one step of a scan is used outside of it.

    """
    if not tape.scans:
        return roll(nodes, leaves, outputs)
    return _AllSteps(OneStep(tape, leaves, outputs), tape.scans, leaves).program()


class _AllSteps:
    """Groups that have the elements of all steps; they have numbers in the order of making."""

    def __init__(self, once: OneStep, scans: Mapping[int, Scan], leaves: Sequence[Leaf]) -> None:
        self.once, self.scans, self.leaves = once, scans, leaves
        self.old = once.rolled.groups
        self.scan_of = self._scans_of_groups()
        """The scan in whose steps each group is computed; None: outside of all."""
        self.made: list[Group] = []
        self.steps: dict[int, int] = {}
        """How many steps the groups have that are computed in steps."""
        self.widths: dict[int, int] = {}
        """How many elements the heads have in a step."""
        self.number: dict[int, int] = {}
        """The new number of each old group that has one."""
        self.number_of_leaf: dict[int, int] = {}
        self.slots: dict[tuple[int, int], tuple[int, int]] = {}
        """For each scan and number of its state the head, and the position in it."""
        self.tables: dict[tuple[int, int], tuple[int, Indices]] = {}
        """For each scan and sequence what it reads: a group, and positions by step."""
        self.totals: dict[tuple[int, int], int] = {}
        self.spread: dict[tuple[int, int, bytes], Indices] = {}
        """Positions in all steps by those in one."""

    def program(self) -> Rolled:
        """Return the program, in an order in which everything can be computed."""
        for g, group in enumerate(self.old):
            if g not in self.once.origin:
                self.number[g] = self._new(group)
                if isinstance(group, Leaf):
                    self.number_of_leaf[id(group)] = self.number[g]
        heads = self._reserved_heads()
        for g, group in enumerate(self.old):
            if g in self.once.origin:
                continue
            scan = self.scan_of[g]
            if scan is None:
                self.made[self.number[g]] = reading(group, self._outside)
            else:
                self.made[self.number[g]] = self._in_all_steps(group, scan)
                self.steps[self.number[g]] = self.scans[scan].steps
        for head, scan, slots in heads:
            self.made[head] = self._head(scan, slots, batched=self.made[head].batched)
            self.steps[head] = self.scans[scan].steps
        outputs = [View(*self._outside(v.group, v.positions)) for v in self.once.outputs]
        again = {head for head, scan, _ in heads if self.scans[scan].checkpoint}
        origins = self.once.nodes
        return ordered(
            *(self.made, outputs, self.steps, {head for head, _, _ in heads}, again),
            {self.number[g]: node for g, node in origins.items() if g in self.number},
        )

    def _new(self, group: Group) -> int:
        self.made.append(group)
        return len(self.made) - 1

    def _scans_of_groups(self) -> list[int | None]:
        found: list[int | None] = []
        for g, group in enumerate(self.old):
            origin = self.once.origin.get(g)
            if origin is not None:
                # The other state of an attempt to record a step is of no step.
                lost = origin.kind in ("state", "last") and origin.index >= 0
                if origin.scan not in self.scans or lost:
                    raise LoopError(_USED_OUTSIDE)
                inside = origin.kind in ("state", "given", "outside")
                found.append(origin.scan if inside else None)
                continue
            scans = {found[view.group] for view in views(group)} - {None}
            if len(scans) > 1:
                raise LoopError(_USED_OUTSIDE)
            found.append(scans.pop() if scans else None)
        return found

    # --- what is read ------------------------------------------------------------------------

    def _outside(self, g: int, positions: Indices) -> Operand:
        """Return where elements are of an old group that no step computes."""
        if self.scan_of[g] is not None:
            raise LoopError(_USED_OUTSIDE)
        origin = self.once.origin.get(g)
        if origin is None:
            return self.number[g], positions
        scan = self.scans[origin.scan]
        if origin.kind == "last":
            last, following = np.array([scan.steps - 1]), scan.following
            slots = (origin.first + positions).tolist()
            return self._one([self._at(origin.scan, following[k], last) for k in slots])
        source = scan.results[origin.index]
        if origin.kind == "each":
            return self._at(origin.scan, source, positions)
        key = origin.scan, origin.index
        if key not in self.totals:
            number, every = self._at(origin.scan, source, np.arange(scan.steps))
            run = Runs(number, every, np.array([0, scan.steps]))
            self.totals[key] = self._new(Sum((run,), self.made[number].batched))
        return self.totals[key], positions

    def _at(self, scan: int, node: int, steps: Indices) -> Operand:
        """Return where a node of a scan's step is at some steps."""
        view = self.once.view[node]
        g, position = view.group, view.positions
        if self.scan_of[g] is None:
            number, positions = self._outside(g, position)
            return number, np.repeat(positions, len(steps))
        if self.scan_of[g] != scan:
            raise LoopError(_USED_OUTSIDE)
        origin, width, places = self.once.origin.get(g), self.old[g].size, position
        if origin is None:
            number = self.number[g]
        elif origin.kind == "state":
            number, places = self._slots(origin, position)
            width = self.widths[number]
        elif origin.kind == "given":
            number, table = self._table(origin)
            return number, table[steps, origin.first + position[0]]
        else:
            number, places = self._same(origin)
            width = 0
        return number, steps * width + places[0]

    def _all(self, g: int, positions: Indices, scan: int) -> Operand:
        """Return what a group of a scan reads in all steps."""
        steps, origin = self.scans[scan].steps, self.once.origin.get(g)
        if self.scan_of[g] is None:
            number, positions = self._outside(g, positions)
            return number, self._spread(0, steps, positions)
        if origin is None:
            return self.number[g], self._spread(self.old[g].size, steps, positions)
        if origin.kind == "given":
            number, table = self._table(origin)
            return number, table[:, origin.first + positions].reshape(-1)
        if origin.kind == "outside":
            number, position = self._same(origin)
            return number, self._spread(0, steps, np.repeat(position, len(positions)))
        head, places = self._slots(origin, positions)
        return head, self._spread(self.widths[head], steps, places)

    def _same(self, origin: Origin) -> Operand:
        """Return where a number is that is the same in all steps."""
        view = self.once.view[origin.index]
        return self._outside(view.group, view.positions)

    def _slots(self, origin: Origin, positions: Indices) -> Operand:
        """Return where some numbers of a state are, which share a head."""
        slots = [self.slots[origin.scan, k] for k in (origin.first + positions).tolist()]
        return slots[0][0], np.array([place for _, place in slots])

    def _spread(self, width: int, steps: int, positions: Indices) -> Indices:
        """Return positions in all steps by those in a step, of a group that has so many in each."""
        key = width, steps, positions.tobytes()
        found = self.spread.get(key)
        if found is None:
            first = np.arange(steps)[:, None] * width
            found = self.spread[key] = (first + positions).reshape(-1)
        return found

    def _one(self, operands: Sequence[Operand]) -> Operand:
        """Return elements of several groups as those of one."""
        positions = np.concatenate([p for _, p in operands])
        if len({number for number, _ in operands}) == 1:
            return operands[0][0], positions
        ends = np.cumsum([len(p) for _, p in operands])
        parts = [
            Part(number, p, np.arange(end - len(p), end))
            for (number, p), end in zip(operands, ends, strict=True)
        ]
        batched = any(self.made[number].batched for number, _ in operands)
        size = len(positions)
        return self._new(joined(parts, size, batched=batched)), np.arange(size)

    def _table(self, origin: Origin) -> tuple[int, Indices]:
        """Return the group that a scan's sequence is of, and its positions by step."""
        key = origin.scan, origin.index
        if key not in self.tables:
            self.tables[key] = self._new_table(self.scans[origin.scan], origin.index)
        return self.tables[key]

    def _new_table(self, scan: Scan, index: int) -> tuple[int, Indices]:
        source = scan.sequences[index]
        if isinstance(source, OfArray):
            leaf = self.leaves[source.group]
            if id(leaf) not in self.number_of_leaf:
                self.number_of_leaf[id(leaf)] = self._new(leaf)
            return self.number_of_leaf[id(leaf)], source.positions
        if isinstance(source, OfNumbers):
            number = self._new(Constants(source.numbers.reshape(-1)))
            return number, np.arange(source.numbers.size).reshape(source.numbers.shape)
        if isinstance(source, OfNodes):
            every = [self.once.view[i] for nodes in source.nodes for i in nodes]
            number, positions = self._one(self._by_group(every))
            return number, positions.reshape(scan.steps, -1)
        columns = [
            self._at(source.scan, self.scans[source.scan].results[r], source.steps)
            for r in source.results
        ]
        number, positions = self._one(columns)
        return number, positions.reshape(len(columns), -1).T

    def _by_group(self, every: Sequence[View]) -> list[Operand]:
        """Return where single elements are, as few operands."""
        if len({view.group for view in every}) > 1:
            return [self._outside(view.group, view.positions) for view in every]
        return [self._outside(every[0].group, np.concatenate([v.positions for v in every]))]

    # --- heads -------------------------------------------------------------------------------

    def _reserved_heads(self) -> list[tuple[int, int, list[int]]]:
        """Return the heads that are needed, with their scans and the numbers that each holds."""
        together: dict[tuple[int, int], list[int]] = {}
        batched: dict[tuple[int, int], bool] = {}
        for group in self.old:
            for view in views(group):
                self._note_slots(view.group, view.positions, together, batched)
        for view in [*self.once.view.values(), *self.once.outputs]:
            self._note_slots(view.group, view.positions, together, batched)
        heads = []
        for key, slots in together.items():
            if key in self.slots:
                continue
            scan = key[0]
            head = self._new(Sum((), batched[key]))
            self.widths[head] = len(slots)
            for place, k in enumerate(sorted(slots)):
                self.slots[scan, k] = head, place
            heads.append((head, scan, sorted(slots)))
        return heads

    def _note_slots(
        self,
        g: int,
        positions: Indices,
        together: dict[tuple[int, int], list[int]],
        batched: dict[tuple[int, int], bool],
    ) -> None:
        """Note which numbers of a state are read together: they are in one head."""
        origin = self.once.origin.get(g)
        if origin is None or origin.kind != "state":
            return
        scan, slots = origin.scan, sorted(set((origin.first + positions).tolist()))
        merged = list({id(x): x for k in slots if (x := together.get((scan, k)))}.values())
        every = sorted({*slots, *[k for some in merged for k in some]})
        for k in every:
            together[scan, k] = every
            batched[scan, k] = origin.batched

    def _head(self, number: int, slots: list[int], *, batched: bool) -> Sum:
        """Return the state as the steps find it: at first the initial one, then the steps'."""
        scan = self.scans[number]
        width, steps = len(slots), scan.steps
        later = np.arange(steps - 1)
        parts = []
        for j, k in enumerate(slots):
            view = self.once.view[scan.initial[k]]
            initial, position = self._outside(view.group, view.positions)
            parts.append(Part(initial, position, np.array([j])))
            source, positions = self._at(number, scan.following[k], later)
            parts.append(Part(source, positions, (later + 1) * width + j))
        if any(self.made[p.group].batched for p in parts) != batched:
            raise LoopError("a state is for each sample in some steps only")
        return joined(parts, steps * width, batched=batched)

    # --- groups ------------------------------------------------------------------------------

    def _in_all_steps(self, group: Group, scan: int) -> Group:
        """Return a group of a scan with the elements of all of its steps."""
        steps = self.scans[scan].steps
        match group:
            case Elementwise(operation=operation, operands=operands, batched=batched):
                every = tuple(View(*self._all(v.group, v.positions, scan)) for v in operands)
                return Elementwise(operation, every, batched)
            case Sum(operands=runs, batched=batched):
                return Sum(self._runs(runs, scan), batched)
            case Largest(operands=runs, batched=batched):
                return Largest(self._runs(runs, scan), batched)
            case Take(index=index, group=source, table=table, batched=batched):
                place = View(*self._all(index.group, index.positions, scan))
                number, positions = self._all(source, table.reshape(-1), scan)
                rows = positions.reshape(steps * len(table), -1)
                return Take(place, number, rows, batched)
            case Leaf() | Constants() | Put():
                raise LoopError("a group of this kind is in no loop")
            case _:
                assert_never(group)

    def _runs(self, runs: Sequence[Runs], scan: int) -> tuple[Runs, ...]:
        found = []
        for r in runs:
            number, positions = self._all(r.group, r.positions, scan)
            count, steps = len(r.positions), self.scans[scan].steps
            first = (np.arange(steps) * count)[:, None]
            offsets = np.append((first + r.offsets[:-1]).reshape(-1), steps * count)
            found.append(Runs(number, positions, offsets))
        return tuple(found)


_USED_OUTSIDE = "a number of one step of scan is used outside of it"
