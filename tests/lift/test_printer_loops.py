"""Loops over time as they are printed: their lines indented, states at the step before."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from formulas import Reader
from looped_programs import SAMPLES, looped_program

from liftgrad import Value, ops
from liftgrad.lift.call.leaves import LeafNames
from liftgrad.lift.differentiation.adjoint import adjoint
from liftgrad.lift.explain import printer
from liftgrad.lift.explain.printer import listing
from liftgrad.lift.ir.groups import (
    Builder,
    Constants,
    Elementwise,
    Leaf,
    Loop,
    Runs,
    Sum,
    View,
    identity,
)
from liftgrad.lift.ir.loop_error import LoopError
from liftgrad.lift.run.numpy_executor import execute
from liftgrad.lift.scheduling.schedule import schedule

STEPS = 5
tanh = ops.OPERATIONS["tanh"]


def runs(group: int, lists: Sequence[Sequence[int]]) -> Runs:
    """Return runs of these positions."""
    offsets = np.cumsum([0, *map(len, lists)])
    return Runs(group, np.array([p for some in lists for p in some], np.int64), offsets)


class Recurrence:
    """x[t] = tanh(w·x[t-1] + xs[t]) from x[-1] = 0.5 on, and the derivative of the last by w."""

    def __init__(self) -> None:
        builder = Builder()
        every = identity(STEPS)
        one = np.arange(STEPS + 1)
        self.w = builder.add(Leaf("w", 1, "parameter"))
        self.xs = builder.add(Leaf("xs", STEPS, "input"))
        start = builder.add(Constants(np.array([0.5])))
        before = len(builder.groups)
        state = before + 3
        first = runs(start, [[0], *[[]] * (STEPS - 1)])
        builder.add(Sum((first, runs(state, [[], *[[t] for t in range(STEPS - 1)]])), False))
        w = View(self.w, np.zeros(STEPS, np.int64))
        z = builder.add(Elementwise(ops.multiply, (w, View(before, every)), False))
        z = builder.add(Elementwise(ops.add, (View(z, every), View(self.xs, every)), False))
        builder.add(Elementwise(tanh, (View(z, every),), False))
        builder.loops.append(Loop(before, state + 1, (one,) * 4, 1))
        self.result = View(state, np.array([STEPS - 1]))
        self.forward = len(builder.groups)
        # Backwards: the state's adjoint is that of the next step's head.
        seed = builder.add(Constants(np.array([1.0])))
        after = len(builder.groups)
        last = runs(seed, [*[[]] * (STEPS - 1), [0]])
        later = runs(after + 4, [*[[t + 1] for t in range(STEPS - 1)], []])
        builder.add(Sum((last, later), False))
        builder.add(Elementwise(ops.multiply, (View(state, every),) * 2, False))
        builder.add(
            Elementwise(ops.subtract, (View(seed, every * 0), View(after + 1, every)), False)
        )
        builder.add(Elementwise(ops.multiply, (View(after, every), View(after + 2, every)), False))
        builder.add(Elementwise(ops.multiply, (View(after + 3, every), w), False))
        builder.loops.append(Loop(after, after + 5, (one,) * 5, 1, backwards=True))
        product = View(after + 3, every), View(before, every)
        terms = builder.add(Elementwise(ops.multiply, product, False))
        self.gradient = View(builder.add(Sum((runs(terms, [range(STEPS)]),), False)), identity(1))
        builder.roles |= {after: ("∂", state), after + 3: ("∂", z), after + 4: ("∂", before)}
        builder.roles[self.gradient.group] = ("∂", self.w)
        self.rolled, self.state, self.sum = builder.program(), state, z

    def text(self, **variables: str) -> str:
        """Return the printed program, some of its groups being known as the user's variables."""
        return str(
            listing(
                "last(w, xs)",
                schedule(self.rolled, [self.result, self.gradient]),
                self.rolled,
                function="last",
                leaves={
                    self.w: LeafNames("w", [("w", None)]),
                    self.xs: LeafNames("xs", shape=(STEPS,)),
                },
                results=[self.result],
                gradients={self.w: self.gradient},
                sections=[("gradient:", self.forward)],
                variables={getattr(self, group): name for group, name in variables.items()},
            )
        )


class Random:
    """A random program with loops, and the arguments of the function that it may come from."""

    def __init__(self, seed: int) -> None:
        self.looped = looped_program(seed)
        self.leaves: dict[int, LeafNames] = {}
        self.arguments: dict[str, Any] = {}
        for i, group in enumerate(self.looped.program.groups):
            if isinstance(group, Leaf):
                self._argument(i, group)
        self.forward = len(self.looped.program.groups)
        self.program, self.gradients = adjoint(
            self.looped.program, self.looped.seeds, self.looped.wanted
        )
        self.outputs = self.program.outputs
        self.arrays = execute(self.program, self.looped.leaves)

    def _argument(self, i: int, group: Leaf) -> None:
        name, numbers = f"{group.name}{len(self.leaves)}", self.looped.leaves[i]
        if group.kind == "parameter":
            self.arguments[name] = [Value(float(x)) for x in numbers]
            self.leaves[i] = LeafNames(name, [(name, group.size)])
        else:
            self.arguments[name] = numbers.T
            self.leaves[i] = LeafNames(name, shape=numbers.T.shape)

    def text(self) -> str:
        """Return the printed program."""
        nests = schedule(self.program, [*self.outputs, *self.gradients])
        return str(
            listing(
                *("f()", nests, self.program),
                function="f",
                leaves=self.leaves,
                results=self.outputs,
                gradients=dict(zip(self.looped.wanted, self.gradients, strict=True)),
                sections=[("gradient:", self.forward)],
            )
        )

    def results(self) -> dict[tuple[Any, ...], float]:
        """Return the results by their names and indices: the sample, and which result it is."""
        found: dict[tuple[Any, ...], float] = {}
        elements = [x for view in self.outputs for x in self.numbers(view)]
        for n, element in enumerate(elements):
            for s, number in enumerate(np.atleast_1d(element)):
                sample = (s,) if np.ndim(element) else ()
                found["f", *sample, *([n] if len(elements) > 1 else [])] = number
        return found

    def derivatives(self) -> dict[tuple[Any, ...], float]:
        """Return the gradient by the parameters."""
        found: dict[tuple[Any, ...], float] = {}
        for leaf, view in zip(self.looped.wanted, self.gradients, strict=True):
            for value, number in zip(
                self.arguments[self.leaves[leaf].name], self.numbers(view), strict=True
            ):
                found["∂", id(value)] = number
        return found

    def numbers(self, view: View) -> Any:
        """Return the numbers of some elements."""
        return self.arrays[view.group][view.positions]


MORE = [pytest.param(seed, marks=pytest.mark.thorough) for seed in range(25, 200)]


@pytest.mark.parametrize("seed", [*range(25), *MORE])
def test_so_is_any_program_with_loops(seed, monkeypatch):
    """Ragged steps, lags, several states, batches and branches, in whatever order."""
    monkeypatch.setattr(printer, "_NUMBERS_IN_NOTE", 1_000_000)
    program = Random(seed)
    try:
        text = program.text()
    except LoopError:  # it would run, and be printed, without its loops
        return
    reader = Reader(program.arguments, SAMPLES)
    with np.errstate(all="ignore"):
        reader.run(text)
    for place, number in (program.results() | program.derivatives()).items():
        found = reader.numbers.get(place, 0.0)
        if np.isinf(number):  # of either sign, where the derivative at ±0 is
            assert np.isinf(found)
        else:
            assert found == pytest.approx(number, rel=1e-9, abs=1e-12, nan_ok=True)


def test_a_loop_is_a_line_with_its_nests_indented():
    """A head is the state a step before, and its first value stands before the loop."""
    forward, backward = Recurrence().text().split("gradient:\n")
    assert forward.splitlines()[2:] == [
        "  h1[-1] = 0.5",
        "  for t < 5:",
        "    h1[t] = tanh(z1 := w·h1[t-1] + xs[t])        from 5 × (product, addition, tanh)",
        "  last = h1[4]",
        "",
    ]
    assert (
        """  for t from 4 down to 0:
    ∂z1[t] = ∂h1[t]·(1 - h1[t]²)
    ∂h1[t-1] = ∂z1[t]·w
"""
        in backward
    )
    assert "  ∂h1[4] = 1\n" in backward.split("for t")[0]


def test_groups_have_the_names_of_the_users_variables():
    """The state first of all; a name that an argument has is numbered."""
    text = Recurrence().text(state="h", sum="xs")
    assert "h[-1] = 0.5" in text
    assert "h[t] = tanh(xs1 := w·h[t-1] + xs[t])" in text
    assert "∂h[t-1] = ∂xs1[t]·w" in text
    text = Recurrence().text(state="h", sum="h")
    assert "h[t] = tanh(h1 := w·h[t-1] + xs[t])" in text


def test_it_is_carried_out_as_it_is_printed():
    """Step by step, forwards and backwards."""
    w, xs = Value(0.7), np.array([0.3, -0.2, 0.9, 0.0, 0.4])
    reader = Reader({"w": w, "xs": xs})
    reader.run(Recurrence().text())
    x = Value(0.5)
    for each in xs:
        x = (w * x + each).tanh()
    x.backward()
    assert reader.numbers["last",] == pytest.approx(x.data, rel=1e-12)
    assert reader.numbers["∂", id(w)] == pytest.approx(w.grad, rel=1e-12)


def test_a_zero_that_is_added_is_no_initial_value():
    """What was there before it is not lost."""
    builder = Builder()
    x = builder.add(Leaf("x", 3, "parameter"))
    zero = builder.add(Constants(np.array([0.0])))
    y = builder.add(Leaf("y", 4, "parameter"))
    terms = runs(x, [[0], [1], [2]]), runs(zero, [[0], [], []]), runs(y, [[0], [1], [2, 3]])
    total = View(builder.add(Sum(terms, False)), identity(3))
    program = builder.program()
    text = str(
        listing(
            *("f()", schedule(program, [total]), program),
            function="f",
            leaves={x: LeafNames("x", [("x", 3)]), y: LeafNames("y", [("y", 4)])},
            results=[total],
            gradients={},
            sections=[],
        )
    )
    assert [line.split("  ")[1] for line in text.splitlines()[2:6]] == [
        "z1[i] = x[i]",
        "z1[0] += 0",
        "z1[i] += y[i]",
        "z1[2] += Σ_k y[k+2]",
    ]
