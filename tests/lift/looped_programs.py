"""Random programs of groups with loops over time, and the numbers that they are run on."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from liftgrad import ops
from liftgrad.lift.ir.groups import (
    Builder,
    Constants,
    Elementwise,
    Group,
    Indices,
    Largest,
    Leaf,
    Loop,
    Rolled,
    Runs,
    Sum,
    Take,
    View,
    views,
)

SAMPLES = 3
_UNARY = [ops.OPERATIONS[name] for name in ("tanh", "tanh", "sin", "negate", "sqrt")]
_BINARY = [ops.OPERATIONS[name] for name in ("multiply", "multiply", "subtract", "maximum")]


@dataclass(frozen=True)
class Looped:
    """A random program, the adjoints of its outputs, and the numbers of its leaves."""

    program: Rolled
    seeds: Sequence[View | None]
    wanted: Sequence[int]
    leaves: dict[int, np.ndarray]


def looped_program(seed: int, *, loops: int = 2, branches: bool = True) -> Looped:
    """Return the random program of a number.

    Args:
        seed: the number.
        loops: the largest number of loops.
        branches: whether there may be selections and reads at run-time indices.

    """
    return _Random(seed, branches=branches).program(loops)


class _Random:
    def __init__(self, seed: int, *, branches: bool) -> None:
        self.rng = random.Random(seed)
        self.builder = Builder()
        self.leaves: dict[int, np.ndarray] = {}
        self.branches = branches
        self.moving: set[int] = set()
        """Groups that may depend on the parameters: they are read more often."""
        # Of the loop that is being made: its groups, and how many elements they have in each step.
        self.widths: dict[int, list[int]] = {}

    def program(self, loops: int) -> Looped:
        """Return a program with random groups before, between and behind its loops."""
        rng, batch = self.rng, self.rng.random() < 0.4
        wanted = [self.leaf("p", rng.randrange(2, 6), "parameter")]
        wanted += [self.leaf("q", rng.randrange(1, 4), "parameter")]
        self.moving.update(wanted)
        self.leaf("x", rng.randrange(2, 9), "input", batched=batch)
        self.builder.add(Constants(np.array([0.5, -1.0, 2.0])))
        if self.branches:
            self.leaf("k", 3, "index", batched=batch and rng.random() < 0.5)
        for _ in range(rng.randrange(1, loops + 1)):
            for _ in range(rng.randrange(3)):
                self.group([rng.randrange(1, 5)])
            self.loop(batched=batch and rng.random() < 0.7)
        for _ in range(rng.randrange(1, 5)):
            self.group([rng.randrange(1, 4)])
        for i in range(len(self.builder.groups)):
            if rng.random() < 0.1 and self.is_number(i) and self.builder.groups[i].size:
                self.result(i)
        self.result(len(self.builder.groups) - 1)
        self.builder.outputs = self.builder.outputs[-3:]
        seeds = [self.seed(len(view.positions)) for view in self.builder.outputs]
        return Looped(self.builder.program(), seeds, wanted, self.leaves)

    def seed(self, size: int) -> View:
        if self.rng.random() < 0.5:
            return self.builder.constant(self.rng.choice([1.0, 0.5]), size)
        number = self.leaf("seed", size, "input")
        return View(number, np.arange(size))

    def result(self, group: int) -> None:
        """Make the sum of some of a group's elements a result, or those of a group before."""
        while group not in self.moving:
            group -= 1
        size = self.builder.groups[group].size
        positions = np.arange(size) if self.rng.random() < 0.5 else np.array([size - 1])
        run = Runs(group, positions, np.array([0, len(positions)]))
        result = View(self.builder.add(Sum((run,), batched=False)), np.array([0]))
        self.builder.outputs = [*self.builder.outputs, result]

    def leaf(self, name: str, size: int, kind: Any, *, batched: bool = False) -> int:
        number = self.builder.add(Leaf(name, size, kind, batched))
        shape = (size, SAMPLES) if batched else (size,)
        entropy = np.random.default_rng(self.rng.randrange(2**32))
        if kind == "index":
            self.leaves[number] = entropy.integers(0, 2, shape)
        else:
            # Some are zero: the derivative of a square root is infinite there.
            kept = entropy.random(shape) < 0.9
            self.leaves[number] = entropy.normal(size=shape).round(2) * kept
        return number

    # --- loops -----------------------------------------------------------------------------------

    def loop(self, *, batched: bool) -> None:
        """Add a loop of some heads, and of groups that read them."""
        rng, builder = self.rng, self.builder
        steps, heads = rng.choice([1, 2, 3, 4, 7]), rng.randrange(1, 4)
        first, count = len(builder.groups), heads + rng.randrange(1, 9)
        widths = [self.some_widths(steps) for _ in range(count)]
        widths[0] = [max(width, 1) for width in widths[0]]
        backwards = rng.random() < 0.3
        sources = [[self.outside(batched=batched) for _ in range(2)] for _ in range(heads)]
        for i in range(heads):
            self.widths[first + i] = widths[i]
            builder.add(Leaf("later", sum(widths[i]), "input", batched))
            self.moving.add(first + i)
        for of_group in widths[heads:]:
            if len(builder.groups) == first + count:
                break
            self.group(of_group, batched=batched)
        for i in range(heads):
            builder.groups[first + i] = self.head(first + i, sources[i], batched, backwards)
        offsets = tuple(_offsets(of_group) for of_group in self.widths.values())
        stop = len(builder.groups)
        builder.loops.append(Loop(first, stop, offsets, heads, backwards))
        self.widths = {}

    def some_widths(self, steps: int) -> list[int]:
        """Return how many elements a group has in each step."""
        rng, width = self.rng, self.rng.randrange(1, 4)
        kind = rng.random()
        if kind < 0.6:
            return [width] * steps
        if kind < 0.8:
            return [1 + (t + width) % 3 for t in range(steps)]
        some = rng.randrange(2)
        found = [width * (t % 2 == some) for t in range(steps)]
        return found if any(found) else [width] * steps

    def head(self, number: int, sources: list[int], batched: bool, backwards: bool) -> Group:
        """Return a sum of what was computed in other steps, or before the loop."""
        rng, own = self.rng, self.widths[number]
        steps = len(own)
        numbers = [i for i in self.widths if self.is_number(i)]
        read: dict[int, list[list[int]]] = {}
        initial, *_ = sources
        lag = rng.choice([1, 1, 1, 2])
        source = rng.choice(numbers)
        reads = []
        for t, width in enumerate(own):
            before = range(t + lag, steps) if backwards else range(t - lag + 1)
            for i in range(width):
                usual = before[0] if backwards and before else before[-1] if before else None
                if usual is not None and self.widths[source][usual]:
                    start = sum(self.widths[source][:usual])
                    places = [(source, start + i % self.widths[source][usual])]
                else:
                    places = [(initial, i % self.builder.groups[initial].size)]
                if rng.random() < 0.1:  # an irregular one
                    places = [(rng.choice(sources), 0)] * rng.randrange(3)
                    other = rng.choice(numbers)
                    step = rng.choice(before) if before else None
                    if step is not None and self.widths[other][step]:
                        start = sum(self.widths[other][:step])
                        places.append((other, start + rng.randrange(self.widths[other][step])))
                reads.append(places)
        for group in dict.fromkeys(g for places in reads for g, _ in places):
            read[group] = [[p for g, p in places if g == group] for places in reads]
        read = read or {initial: [[] for _ in reads]}
        return Sum(tuple(_runs(g, of_group) for g, of_group in read.items()), batched)

    # --- groups ----------------------------------------------------------------------------------

    def group(self, widths: list[int], *, batched: bool | None = None) -> None:
        """Add a group, of the loop that is being made or of none."""
        rng, in_loop = self.rng, bool(self.widths)
        may_be = self.rng.random() < 0.6 if batched is None else batched
        kind = rng.random()
        if kind < 0.25:
            operation = rng.choice(_UNARY)
            self.elementwise(operation, widths, may_be)
        elif kind < 0.55:
            self.elementwise(rng.choice(_BINARY), widths, may_be)
        elif kind < 0.7 and self.branches:
            self.elementwise(ops.less, widths, may_be)
            operands = [self.operand(widths, may_be) for _ in range(2)]
            condition = len(self.builder.groups) - 1
            taken = View(condition, np.arange(sum(widths)))
            self.add(
                Elementwise(ops.select, (taken, *operands), self.any_batched(taken, *operands)),
                widths,
            )
        elif kind < 0.78 and self.branches:
            self.take(widths, may_be)
        elif kind < 0.82:
            runs = [self.runs(widths, may_be, 1)]
            self.add(Largest(tuple(runs), self.any_batched(*runs)), widths)
        else:
            runs = [self.runs(widths, may_be, rng.randrange(2)) for _ in range(rng.randrange(1, 4))]
            some = self.any_batched(*runs)
            self.add(Sum(tuple(runs), some if in_loop else some and rng.random() < 0.7), widths)

    def add(self, group: Group, widths: list[int]) -> None:
        if self.widths:
            first = min(self.widths)
            group.batched = group.batched or self.builder.groups[first].batched
        number = self.builder.add(group)
        if any(view.group in self.moving for view in views(group)) and self.is_number(number):
            self.moving.add(number)
        if self.widths:
            self.widths[number] = widths

    def elementwise(self, operation: Any, widths: list[int], batched: bool) -> None:
        operands = tuple(
            self.operand(widths, batched, first=i == 0) for i in range(operation.arity)
        )
        self.add(Elementwise(operation, operands, self.any_batched(*operands)), widths)

    def take(self, widths: list[int], batched: bool) -> None:
        """Add a read at run-time indices, of which each row of the table has two."""
        index = next(
            i
            for i, g in enumerate(self.builder.groups)
            if isinstance(g, Leaf) and g.kind == "index"
        )
        if self.builder.groups[index].batched and not batched:
            self.elementwise(ops.OPERATIONS["negate"], widths, batched)
            return
        source = self.operand([2 * width for width in widths], batched, first=True)
        place = View(index, np.array([self.rng.randrange(3) for _ in range(sum(widths))]))
        table = source.positions.reshape(-1, 2)
        some = self.any_batched(place, source)
        self.add(Take(place, source.group, table, some), widths)

    def any_batched(self, *operands: View | Runs) -> bool:
        return any(self.builder.groups[x.group].batched for x in operands)

    def is_number(self, number: int) -> bool:
        group = self.builder.groups[number]
        if isinstance(group, Leaf):
            return group.kind != "index"
        return not isinstance(group, Elementwise) or group.operation not in ops.CONDITIONS

    def outside(self, *, batched: bool) -> int:
        """Return a group of numbers that is not in the loop that is being made."""
        groups = self.builder.groups
        every = [
            i
            for i, group in enumerate(groups)
            if i not in self.widths and self.is_number(i) and (batched or not group.batched)
        ]
        moving = [i for i in every if i in self.moving]
        some = moving if moving and self.rng.random() < 0.7 else every
        return self.rng.choice(some[-5:] if self.rng.random() < 0.5 else some)

    def operand(self, widths: list[int], batched: bool, *, first: bool = False) -> View:
        """Return a view with some positions for each step.

        Args:
            widths: how many.
            batched: whether it may be of a batched group.
            first: whether it is the first operand, which in a loop is one of its groups.

        """
        rng = self.rng
        own = [i for i, of in self.widths.items() if self.is_number(i) and _covers(of, widths)]
        if not own or (not first and rng.random() < 0.4):
            group = self.outside(batched=batched)
            size = self.builder.groups[group].size
            return View(group, self.positions(size, sum(widths)))
        group = rng.choice(own)
        starts = _offsets(self.widths[group])
        pieces = [
            start + self.positions(available, count)
            for start, available, count in zip(starts, self.widths[group], widths, strict=False)
            if count
        ]
        return View(group, np.concatenate([np.zeros(0, np.int64), *pieces]))

    def positions(self, size: int, count: int) -> Indices:
        """Return some positions in a group."""
        rng = self.rng
        if rng.random() < 0.3:
            return np.array([rng.randrange(size) for _ in range(count)], np.int64)
        start, stride = rng.randrange(size), rng.choice([0, 1, 1, 2])
        return (start + stride * np.arange(count)) % size

    def runs(self, widths: list[int], batched: bool, lowest: int) -> Runs:
        """Return a run of some length for each element."""
        rng = self.rng
        longest = rng.randrange(lowest, 4)
        ragged = rng.random() < 0.4
        lengths = [rng.randint(lowest, longest) if ragged else longest for _ in range(sum(widths))]
        bounds = _offsets(widths)
        counts = [sum(lengths[a:b]) for a, b in pairwise(bounds)]
        view = self.operand(counts, batched, first=True)
        return Runs(view.group, view.positions, _offsets(lengths))


def _covers(widths: list[int], asked: list[int]) -> bool:
    return all(width or not count for width, count in zip(widths, asked, strict=True))


def _offsets(lengths: Sequence[int]) -> Indices:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _runs(group: int, places: list[list[int]]) -> Runs:
    positions = np.array([p for of_element in places for p in of_element], np.int64)
    return Runs(group, positions, _offsets([len(of_element) for of_element in places]))
