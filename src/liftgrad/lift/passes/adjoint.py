"""Adjoint: reverse mode on the rolled program, in the rolled program's own language.

The derivative rules of the table of operations run on symbols whose operations append groups.
An operand's adjoint is a sum, for each of its elements, over all places that read the element:
the index sequence of the operand turned around. No scatter is needed, and since the result is a
rolled program again, derivatives of derivatives are, too.

A recorded program computes both branches of a `where`. In a branch not taken the adjoint is zero,
but zero times an infinite derivative is nan; so a condition travels with adjoints that went through
a `where`, and selects zero after each rule in the branch, as if the branch had not been computed.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from liftgrad import ops
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
from liftgrad.lift.passes.roll import identity
from liftgrad.numbers import to_float
from liftgrad.operators import Symbolic
from liftgrad.ops import Operation


class Symbol(Symbolic):
    """Elements of a group as one symbolic number: an operation on symbols appends a group."""

    __slots__ = ("program", "view")

    def __init__(self, program: Rolled, view: View) -> None:
        self.program = program
        self.view = view

    def _apply(self, operation: Operation, *operands: Any) -> "Symbol":
        folded = _folded(operation, operands)
        if folded is not None:
            return folded
        program, size = self.program, len(self.view.positions)
        looks = tuple(
            x.view if isinstance(x, Symbol) else program.constant(to_float(x), size)
            for x in operands
        )
        batched = any(program.groups[look.group].batched for look in looks)
        number = program.add(Elementwise(operation, looks, batched))
        return Symbol(program, View(number, identity(size)))

    def _constant(self, number: float) -> "Symbol":
        return Symbol(self.program, self.program.constant(number, len(self.view.positions)))

    @property
    def number(self) -> float | None:
        """The number that all elements are known to be, if so."""
        group = self.program.groups[self.view.group]
        if not isinstance(group, Constants):
            return None
        numbers = group.numbers[self.view.positions]
        first = float(numbers[0])
        return first if (numbers == first).all() else None


def _folded(operation: Operation, operands: tuple[Any, ...]) -> Symbol | None:
    """Return the result if it is known: an operation on constants, or multiplying by 1."""
    numbers = [_number(x) for x in operands]
    if operation is ops.multiply and numbers[1] == 1.0:
        return operands[0]  # type: ignore[no-any-return]
    if operation is ops.multiply and numbers[0] == 1.0:
        return operands[1]  # type: ignore[no-any-return]
    if operation not in ops.CONDITIONS and all(number is not None for number in numbers):
        symbol = next(x for x in operands if isinstance(x, Symbol))
        return symbol._constant(operation.forward(*numbers))
    return None


def _number(x: Any) -> float | None:
    return x.number if isinstance(x, Symbol) else x


@dataclass(slots=True, eq=False)
class _Part:
    """Some of what a group's adjoint is the sum of."""

    runs: Runs
    alive: Runs | None
    """For each of its terms a condition: whether the branch that it comes from was taken."""


def adjoint(program: Rolled, seeds: list[View | None], wanted: list[int]) -> list[View]:
    """Append the gradient of the program's outputs and return the wanted groups' adjoints.

    Args:
        program: is extended in place.
        seeds: the adjoint of each output, or None for those of which no gradient is taken. Where
            there are several, those that are zero count as branches that were not taken.
        wanted: numbers of leaf groups.

    Returns:
        for each wanted group a view of all its elements' adjoints.

    """
    forward = len(program.groups)
    active = _active(program, wanted)
    owed: dict[int, list[_Part]] = {}
    several = sum(seed is not None for seed in seeds) > 1
    for output, seed in zip(program.outputs, seeds, strict=True):
        if seed is not None and output.group in active:
            _owe(program, owed, output, seed, _alive(program, seed) if several else None)
    for number in sorted(active, reverse=True):
        if number not in owed or isinstance(program.groups[number], Leaf):
            continue
        parts = owed.pop(number)
        alive = _collect_alive(program, parts, number)
        seed = _collect(program, parts, number)
        _note_adjoint(program, seed, number, forward)
        _pull(program, owed, active, number, seed, alive)
    gradients = [
        _collect(program, owed[number], number)
        if number in owed
        else program.constant(0.0, program.groups[number].size)
        for number in wanted
    ]
    for number, gradient in zip(wanted, gradients, strict=True):
        _note_adjoint(program, gradient, number, forward)
    return gradients


def _note_adjoint(program: Rolled, view: View, of: int, forward: int) -> None:
    """Note, for the printer, that a new group is nothing but the adjoint of another."""
    size = program.groups[of].size
    new = view.group >= forward and program.roles.get(view.group, ("",))[0] != "∂"
    whole = program.groups[view.group].size == size
    if new and whole and np.array_equal(view.positions, identity(size)):
        program.roles[view.group] = ("∂", of)


def _alive(program: Rolled, seed: View) -> View | None:
    symbol = Symbol(program, seed)
    return None if symbol.number else symbol._apply(ops.not_equal, symbol, 0.0).view


def _active(program: Rolled, wanted: list[int]) -> set[int]:
    """Return the groups that depend on the wanted ones by way of operations with derivatives."""
    active = set(wanted)
    for number, group in enumerate(program.groups):
        if isinstance(group, Largest) or (
            isinstance(group, Elementwise)
            and (group.operation in ops.CONDITIONS or group.operation.constant)
        ):
            continue
        if any(look.group in active for look in views(group)):
            active.add(number)
    return active


def _pull(
    program: Rolled,
    owed: dict[int, list[_Part]],
    active: set[int],
    number: int,
    seed: View,
    alive: View | None,
) -> None:
    """Hand the adjoint of group `number` on to its operands."""
    group = program.groups[number]
    match group:
        case Sum(operands=operands):
            for runs in operands:
                if runs.group in active:
                    lengths = np.diff(runs.offsets)
                    part = View(seed.group, np.repeat(seed.positions, lengths))
                    spread = None
                    if alive is not None:
                        spread = View(alive.group, np.repeat(alive.positions, lengths))
                    look = View(runs.group, runs.positions)
                    _owe(program, owed, look, _for_samples(program, part, group, look), spread)
        case Elementwise(operation=operation, operands=looks):
            assert operation.pullback is not None
            y = Symbol(program, View(number, identity(group.size)))
            x = [Symbol(program, look) for look in looks]
            g = Symbol(program, seed)
            adjoints = operation.pullback(g, y, *x)
            condition_of_all = None if alive is None else Symbol(program, alive)
            conditions = _conditions(operation, x, condition_of_all)
            for look, result, condition in zip(looks, adjoints, conditions, strict=True):
                if look.group not in active:
                    continue
                # A rule may answer with a plain zero, as that of x**0 does. It goes on like any
                # other number: an infinite derivative further down makes nan of it.
                masked = result if isinstance(result, Symbol) else g._constant(result)
                if condition is not None and alive is not None and operation not in ops.LINEAR:
                    masked = condition._select(masked, 0.0)
                part = _for_samples(program, masked.view, group, look)
                _owe(program, owed, look, part, None if condition is None else condition.view)
        case Take(index=index, group=source, table=table):
            size = program.groups[source].size
            batched = program.groups[source].batched
            elements = identity(size)
            put = program.add(Put(seed, index, table, size, batched))
            program.roles[put] = ("∂′", source)
            counted = _taken(program, group, alive)
            _owe(program, owed, View(source, elements), View(put, elements), counted)
        case Put(source=source_view, index=index, table=table):
            batched = program.groups[index.group].batched or program.groups[seed.group].batched
            taken = program.add(Take(index, seed.group, seed.positions[table], batched))
            _owe(program, owed, source_view, View(taken, identity(len(table))), None)
        case Leaf() | Constants() | Largest():
            raise AssertionError(group)


def _for_samples(program: Rolled, part: View, group: Group, look: View) -> View:
    """Return an operand's part of an adjoint such that a sum over the samples counts each of them.

    The adjoint of a total over the samples is one number for all of them; an operand of a batched
    group that is no different from sample to sample gets it as often as there are samples.
    """
    groups = program.groups
    if not group.batched or groups[look.group].batched or groups[part.group].batched:
        return part
    size = len(part.positions)
    run = Runs(part.group, part.positions, np.arange(size + 1))
    return View(program.add(Sum((run,), batched=True)), identity(size))


def _taken(program: Rolled, take: Take, alive: View | None) -> View | None:
    """Return for each element of a table whether it was taken; of leaves nobody needs to know."""
    source = program.groups[take.group]
    if isinstance(source, Leaf):
        return None
    one = program.constant(1.0, take.size)
    uses = one if alive is None else Symbol(program, alive)._select(1.0, 0.0).view
    put = program.add(Put(uses, take.index, take.table, source.size, source.batched))
    program.roles[put] = ("#", take.group)
    condition: View = (Symbol(program, View(put, identity(source.size))) > 0.0).view
    if alive is None:
        program.tables[condition.group] = take.table
    return condition


def _conditions(
    operation: Operation, operands: list[Symbol], alive: Symbol | None
) -> list[Symbol | None]:
    """Return for each operand under which condition its adjoint counts."""
    if operation is not ops.select:
        return [alive] * len(operands)
    taken = operands[0]
    other = taken._apply(ops.logical_not, taken)
    if alive is not None:
        taken, other = taken & alive, other & alive
    return [alive, taken, other]


def _owe(
    program: Rolled,
    owed: dict[int, list[_Part]],
    target: View,
    part: View,
    alive: View | None,
) -> None:
    """Note that element e of `part` belongs to the adjoint of element e of `target`."""
    size = program.groups[target.group].size
    order = np.argsort(target.positions, kind="stable")
    counts = np.bincount(target.positions, minlength=size)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    runs = Runs(part.group, part.positions[order], offsets)
    conditions = None
    if alive is not None:
        conditions = Runs(alive.group, alive.positions[order], offsets)
    owed.setdefault(target.group, []).append(_Part(runs, conditions))


def _collect(program: Rolled, parts: list[_Part], number: int) -> View:
    """Return the sum of the parts, without a group where there is just one of one term each."""
    batched = program.groups[number].batched
    only = parts[0].runs
    single = len(parts) == 1 and only.uniform == 1
    if single and (batched or not program.groups[only.group].batched):
        return View(only.group, only.positions)
    total = program.add(Sum(tuple(part.runs for part in parts), batched))
    return View(total, identity(program.groups[number].size))


def _covering(alive: Runs, table: Indices) -> Indices:
    """Tell for each run whether it holds all elements of a row, one of which is always taken.

    So the normaliser of a softmax is known to count, whichever of the probabilities is scored.
    """
    elements = len(alive.offsets) - 1
    rows = np.unique(np.sort(table, axis=1), axis=0)
    row_of = np.full(max(int(table.max()), int(alive.positions.max(initial=0))) + 1, -1)
    row_of[rows] = np.arange(len(rows))[:, None]
    if rows.size != np.count_nonzero(row_of >= 0) or not len(alive.positions):
        return np.zeros(elements, bool)  # rows that overlap are left to run time
    of_element = np.repeat(np.arange(elements), np.diff(alive.offsets))
    pairs = np.unique(np.stack([of_element, alive.positions]), axis=1)
    pairs = pairs[:, row_of[pairs[1]] >= 0]
    met, counts = np.unique(pairs[0] * len(rows) + row_of[pairs[1]], return_counts=True)
    result = np.zeros(elements, bool)
    result[met[counts == rows.shape[1]] // len(rows)] = True
    return result


def _collect_alive(program: Rolled, parts: list[_Part], number: int) -> View | None:
    """Return for each element whether any of its uses counts; None: all do."""
    group = program.groups[number]
    certain = np.zeros(group.size, bool)
    for part in parts:
        if part.alive is None:
            certain |= np.diff(part.runs.offsets) > 0
        elif part.alive.group in program.tables:
            certain |= _covering(part.alive, program.tables[part.alive.group])
    if certain.all():
        return None
    if all(part.alive is None for part in parts):
        known = View(program.add(Constants(certain.astype(float))), identity(group.size))
        return (Symbol(program, known) > 0.0).view
    only = parts[0].alive
    if len(parts) == 1 and only is not None and only.uniform == 1:  # noqa: SIM102, reads better
        if group.batched or not program.groups[only.group].batched:
            return View(only.group, only.positions)
    counts = []
    for part in parts:
        offsets, size = part.runs.offsets, len(part.runs.positions)
        if part.alive is None:
            one = program.constant(1.0, size)
            counts.append(Runs(one.group, one.positions, offsets))
        elif size:
            condition = Symbol(program, View(part.alive.group, part.alive.positions))
            number_of_uses = condition._select(1.0, 0.0)
            counts.append(Runs(number_of_uses.view.group, identity(size), offsets))
    total = program.add(Sum(tuple(counts), group.batched))
    program.roles[total] = ("#", number)
    uses = Symbol(program, View(total, identity(group.size)))
    return (uses > 0.0).view
