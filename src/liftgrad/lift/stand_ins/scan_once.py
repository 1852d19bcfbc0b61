"""Scan once: record one step of a scan, which stands for all of them."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from liftgrad.lift.call.flatten import flatten_result
from liftgrad.lift.stand_ins.scan_checks import check_result, check_state, state_and_result
from liftgrad.lift.stand_ins.sequences import (
    NotOnce,
    class_of,
    given,
    index_bounds,
    nodes_of,
    stand_in,
)
from liftgrad.lift.stand_ins.series import Result, Series
from liftgrad.lift.stand_ins.time_axis import like
from liftgrad.lift.trace.nodes import CONSTANT
from liftgrad.lift.trace.scans import Meaning, OfNumbers, RecordAllSteps, Scan
from liftgrad.lift.trace.step_nodes import accumulated, nodes_of_step, operations_in, substituted
from liftgrad.lift.trace.tape import Tape

_ATTEMPTS = 5
"""How often a step is recorded at most until it gives a state of the kinds that it was given."""


class _RecordingScans(threading.local):
    """The tape on which scans of this thread are recorded by one step; None: all of their steps."""

    tape: Tape | None = None


recording_scans = _RecordingScans()


def scanned_once(
    tape: Tape,
    step: Callable[[Any, Any], Any],
    state: Any,
    xs: Any,
    steps: int,
    *,
    checkpoint: bool,
) -> tuple[Any, Any]:
    """Return the last state and the results of a scan, of which one step is recorded.

    The step is run until it gives a state of the kinds of numbers that it was given, and once more
    on that, to see whether it does the same again.

    Raises:
        NotOnce: if that is not possible.
        RecordAllSteps: if it is not, and the step was run; the function is to be traced again.

    """
    if tape.around is not None and steps <= tape.around[1]:
        raise NotOnce
    tape.scans_begun += 1
    number = tape.scans_begun
    if tape.around is not None:  # of the two it is the longer one that should be short
        raise RecordAllSteps(tape.around[0])
    if tape.in_all_steps is None or number in tape.in_all_steps:
        raise NotOnce
    recording = _Recording(tape, number, Scan(steps, checkpoint), state, xs)
    before = [d.count for d in tape.draws], tape.maps
    tape.around = number, steps
    try:
        recorded = recording.run(step)
    except Exception:  # noqa: BLE001, if all steps are recorded, one of them raises it again
        raise RecordAllSteps(number) from None
    finally:
        tape.around = None
    if before != ([d.count for d in tape.draws], tape.maps):
        raise RecordAllSteps(number)
    return recorded


class _Recording:
    """A scan whose step is recorded; its state is known by its numbers, without None."""

    def __init__(self, tape: Tape, number: int, scan: Scan, state: Any, xs: Any) -> None:
        self.tape, self.number, self.state = tape, number, state
        self.scan = scan
        self.start = len(tape.nodes)
        self.initial, self.nested = _numbers(state)
        self.classes = [*map(class_of, self.initial)]
        self.nodes = [*map(tape.index_of, self.initial)]
        self.varies = [*map(tape.depends_on_batch, self.nodes)]
        self.fixed = [False] * len(self.initial)
        """Which numbers of the state no step changes."""
        self.x = given(tape, self.scan, number, xs)
        tape.scans_begun += 1
        self.other_x = given(tape, Scan(scan.steps), tape.scans_begun, xs)
        """What a step is given, and what another is given."""

    def run(self, step: Callable[[Any, Any], Any]) -> tuple[Any, Any]:
        """Record the step until it gives a state of the kinds of numbers that it was given."""
        for _ in range(_ATTEMPTS):
            following, y = state_and_result(step(self.nested(iter(self.states())), self.x))
            check_state(self.state, following, 0)
            after = _numbers(following)[0]
            nodes = [*map(self.tape.index_of, after)]
            if not self.adapted(after, nodes):
                break
        else:
            raise NotOnce
        ys, series = self.results(y)
        results = [*map(self.tape.index_of, ys)]
        self.compare([*nodes, *results], y, step(following, self.other_x))
        return self.finished(nodes, ys, series)

    def compare(self, nodes: list[int], y: Any, again: Any) -> None:
        """Raise NotOnce if the step, run on what it gave, does something else than before."""
        following, other_y = state_and_result(again)
        check_state(self.state, following, 1)
        check_result(y, other_y, 1)
        found = [*map(self.tape.index_of, [*_numbers(following)[0], *self.results(other_y)[0]])]
        instead = {
            state._index: node
            for state, node, fixed in zip(self.states(), nodes, self.fixed, strict=False)
            if not fixed
        }
        instead |= zip(nodes_of(self.x), nodes_of(self.other_x), strict=True)
        step = nodes_of_step(self.tape, self.number, self.start, nodes)
        if substituted(self.tape, step, instead, nodes) != found:
            raise NotOnce

    def states(self) -> list[Any]:
        """Return what stands for the state as a step finds it."""
        return [
            x if self.fixed[i] else self.of_scan("state", i) for i, x in enumerate(self.initial)
        ]

    def of_scan(self, kind: Any, i: int) -> Any:
        """Return what stands for a number of the state."""
        meaning = Meaning(kind, self.number, i)
        node = self.tape.leaf_of_scan(meaning, varies=self.varies[i])
        return stand_in(self.tape, node, self.classes[i])

    def adapted(self, after: list[Any], nodes: list[int]) -> bool:
        """Return whether the kinds of the state's numbers had to be adapted to a step's."""
        kinds = [*self.classes], [*self.varies], [*self.fixed]
        states = self.states()
        for i, x in enumerate(after):
            if self.fixed[i]:
                if nodes[i] != self.nodes[i]:
                    raise NotOnce
            elif nodes[i] == states[i]._index:
                self.fixed[i] = True
            else:
                self.classes[i] = _common(self.classes[i], class_of(x))
                self.varies[i] = self.varies[i] or self.tape.depends_on_batch(nodes[i])
        return kinds != (self.classes, self.varies, self.fixed)

    def results(self, y: Any) -> tuple[list[Any], Callable[[Iterator[Result]], Any]]:
        """Return the numbers of a step's result, and what makes all steps' results of them."""
        if isinstance(y, tuple | dict):
            items = y.values() if isinstance(y, dict) else y
            parts = [self.results(item) for item in items]
            numbers = [x for part, _ in parts for x in part]

            def nested(results: Iterator[Result]) -> Any:
                made = [make(results) for _, make in parts]
                return dict(zip(y, made, strict=True)) if isinstance(y, dict) else like(y, made)

            return numbers, nested
        if y is None:
            return [], lambda _: None
        numbers, entry = flatten_result(y)
        if not numbers:
            raise NotOnce
        every = np.arange(self.scan.steps)
        return numbers, lambda results: Series(
            self.tape, [next(results) for _ in numbers], entry, every
        )

    def finished(
        self, following: list[int], ys: list[Any], series: Callable[[Iterator[Result]], Any]
    ) -> tuple[Any, Any]:
        """Enter the scan, and return the last state and the results."""
        tape, scan = self.tape, self.scan
        moving = [i for i, fixed in enumerate(self.fixed) if not fixed]
        states = {i: self.of_scan("state", i)._index for i in moving}
        results = [*map(tape.index_of, ys)]
        nodes = [following[i] for i in moving]
        step = nodes_of_step(tape, self.number, self.start, [*nodes, *results])
        sums = accumulated(tape, step, [*states.values()])
        last = [*self.initial]
        totals: list[int] = []
        for i in moving:
            total = sums.get(states[i])
            if total is not None and total[0] == following[i]:
                added = self.result(len(results) + len(totals), total[1], self.classes[i])
                last[i] = stand_in(tape, self.nodes[i], self.classes[i]) + added.at(tape, "total")
                totals.append(total[1])
            else:
                scan.initial.append(self.nodes[i])
                scan.states.append(states[i])
                scan.following.append(following[i])
                last[i] = self.of_scan("last", i)
                scan.numbers[i] = len(scan.states) - 1
        scan.results = [*results, *totals]
        step = nodes_of_step(tape, self.number, self.start, [*scan.following, *scan.results])
        if not self.depends_on_arguments(step.outside):
            raise NotOnce
        scan.inside, scan.outside = step.inside, sorted(step.outside)
        tape.repeated += (scan.steps - 1) * operations_in(tape.nodes, step.inside)
        for leaf, extent in index_bounds(tape, scan, self.number):
            tape.bounds[leaf] = min(extent, tape.bounds.get(leaf, extent))
        tape.scans[self.number] = scan
        made = [self.result(i, results[i], class_of(y)) for i, y in enumerate(ys)]
        return self.nested(iter(last)), series(iter(made))

    def result(self, i: int, node: int, cls: type | None) -> Result:
        """Return a result of the steps, by its number and its node."""
        return Result(self.number, i, cls, self.tape.depends_on_batch(node))

    def depends_on_arguments(self, outside: set[int]) -> bool:
        """Return whether the scan is no computation on known numbers."""
        nodes = self.tape.nodes
        return any(not isinstance(s, OfNumbers) for s in self.scan.sequences) or any(
            nodes[i][0] is not CONSTANT for i in [*outside, *self.nodes]
        )


def _numbers(state: Any) -> tuple[list[Any], Callable[[Iterator[Any]], Any]]:
    """Return the numbers of a nested state, and what makes such a state of others."""
    leaves, nested = flatten_result(state)
    absent = [x is None for x in leaves]
    numbers = [x for x in leaves if x is not None]
    if len(numbers) == len(leaves):
        return numbers, nested
    return numbers, lambda others: nested(iter([None if no else next(others) for no in absent]))


def _common(a: type | None, b: type | None) -> type | None:
    """Return the class of numbers of which some are of one class and some of another."""
    if a is b or a is None:
        return a
    if b is None:
        return None
    for plain, other in ((a, b), (b, a)):  # a step makes NumPy's number of a plain one
        if plain in (int, float) and issubclass(other, float | np.floating):
            return other
    raise NotOnce
