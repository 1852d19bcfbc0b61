"""The adjoint of a loop over time: a loop that runs the other way, made once for all steps."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from looped_programs import Looped, looped_program
from recurrences import recurrence
from unrolling import unrolled

from liftgrad import ops
from liftgrad.lift.call.flatten import flatten
from liftgrad.lift.capture.tracing import trace
from liftgrad.lift.differentiation.adjoint import adjoint
from liftgrad.lift.function import lift
from liftgrad.lift.ir.check import check_groups
from liftgrad.lift.ir.groups import (
    Builder,
    Elementwise,
    Leaf,
    Loop,
    Rolled,
    Runs,
    Sum,
    View,
    identity,
)
from liftgrad.lift.ir.text import text_of_groups
from liftgrad.lift.loops.find import find_loops
from liftgrad.lift.recovery import _leaves
from liftgrad.lift.rolling.roll import roll
from liftgrad.lift.run.numpy_executor import execute
from liftgrad.lift.trace.sited_tape import SitedTape


def without_loops(looped: Looped) -> Looped:
    """Return the same program with the groups of each step."""
    count = len(looped.program.outputs)
    seeds = [seed for seed in looped.seeds if seed is not None]
    flat = unrolled(replace(looped.program, outputs=[*looped.program.outputs, *seeds]))
    leaves = [i for i, group in enumerate(flat.groups) if isinstance(group, Leaf)]
    place = dict(zip(sorted(looped.leaves), leaves, strict=True))
    return Looped(
        replace(flat, outputs=flat.outputs[:count]),
        flat.outputs[count:],
        [place[i] for i in looped.wanted],
        {place[i]: numbers for i, numbers in looped.leaves.items()},
    )


def differentiated(looped: Looped) -> Looped:
    """Return the program whose results are the gradient."""
    longer, gradients = adjoint(looped.program, looped.seeds, looped.wanted)
    check_groups(longer, "adjoint", gradients)
    return replace(looped, program=replace(longer, outputs=gradients))


def numbers_of(looped: Looped) -> list[np.ndarray]:
    """Return the numbers of the results."""
    arrays = execute(looped.program, looped.leaves)
    return [arrays[view.group][view.positions] for view in looped.program.outputs]


def same(looped: Looped, flat: Looped) -> None:
    for of_loops, of_steps in zip(numbers_of(looped), numbers_of(flat), strict=True):
        np.testing.assert_allclose(of_loops, of_steps, rtol=1e-10, atol=1e-10)


def squared(looped: Looped) -> Looped:
    """Return the program whose results are the squares of the results, added up."""
    builder = Builder(looped.program)
    results = []
    for view in looped.program.outputs:
        size, batched = len(view.positions), builder.groups[view.group].batched
        squares = builder.add(Elementwise(ops.multiply, (view, view), batched))
        every = Runs(squares, identity(size), np.array([0, size]))
        results.append(View(builder.add(Sum((every,), batched=False)), identity(1)))
    builder.outputs = results
    seeds = [builder.constant(1.0, 1) for _ in results]
    return replace(looped, program=builder.program(), seeds=seeds)


@given(st.integers(0, 2**32))
def test_the_gradient_of_a_loop_is_that_of_its_steps(seed):
    """States of any lag, ragged steps, joins, branches, batches: as if there were no loop."""
    looped = looped_program(seed)
    same(differentiated(looped), differentiated(without_loops(looped)))


@pytest.mark.thorough
@pytest.mark.parametrize("start", range(0, 3000, 500))
def test_gradients_of_thousands_of_loops(start):
    """The same for many more programs."""
    for seed in range(start, start + 500):
        looped = looped_program(seed)
        same(differentiated(looped), differentiated(without_loops(looped)))


@given(st.integers(0, 2**32))
def test_a_gradient_of_a_gradient_is_that_of_the_steps(seed):
    """A loop that runs backwards has an adjoint, which runs forwards."""
    looped = looped_program(seed)
    twice = differentiated(squared(differentiated(looped)))
    same(twice, differentiated(squared(differentiated(without_loops(looped)))))


def gradients_by(program: Rolled, change: float) -> list[np.ndarray]:
    """Return a program's gradients at random arguments, of which each is a little larger."""
    builder = Builder(program)
    seeds = [builder.constant(1.0, len(view.positions)) for view in program.outputs]
    wanted = [
        i for i, group in enumerate(program.groups) if getattr(group, "kind", "") == "parameter"
    ]
    leaves = {}
    for i, group in enumerate(program.groups):
        if isinstance(group, Leaf):
            rng = np.random.default_rng([len(group.name), group.size])
            shape = (group.size, 3) if group.batched else group.size
            numbers = rng.uniform(0.5, 1.5, shape) * (1 + change)
            leaves[i] = rng.integers(0, 2, shape) if group.kind == "index" else numbers
            wanted += [i] * (group.kind == "parameter")
    return numbers_of(differentiated(Looped(builder.program(), seeds, wanted, leaves)))


@given(st.integers(0, 2**32))
def test_the_gradient_of_a_random_recurrence_is_that_of_what_it_recorded(seed):
    """As exactly as it is determined by arguments that are rounded."""
    text, function, arguments = recurrence(seed)
    source = lift(function).source
    taken = source.arguments(arguments, {})
    flat = flatten(taken)
    tape = SitedTape(flat.groups)
    outputs = trace(source.run, dict(taken), flat, tape).outputs
    leaves = _leaves(flat, tape)
    looped = find_loops(tape.nodes, tape.sites, leaves, outputs)
    if looped is None:
        return
    recorded = roll(tape.nodes, leaves, outputs)
    nearby = gradients_by(recorded, 1e-15)
    found, expected = gradients_by(looped, 0.0), gradients_by(recorded, 0.0)
    for a, b, c in zip(found, expected, nearby, strict=True):
        if np.isfinite(b).all():
            assert (np.abs(a - b) <= 1e-10 * (1 + np.abs(b)) + 1000 * np.abs(c - b)).all(), text


STEPS = np.arange(5)


def powers(*results: View) -> Rolled:
    """A state that is multiplied by p in each of four steps."""
    builder = Builder()
    p = builder.add(Leaf("p", 1, "parameter"))
    one = builder.constant(1.0, 1)
    initial = Runs(one.group, one.positions, np.array([0, 1, 1, 1, 1]))
    taken_over = Runs(3, np.array([0, 1, 2]), np.array([0, 0, 1, 2, 3]))
    state = builder.add(Sum((initial, taken_over), batched=False))
    factors = View(state, identity(4)), View(p, np.zeros(4, np.int64))
    builder.add(Elementwise(ops.multiply, factors, batched=False))
    builder.loops.append(Loop(2, 4, (STEPS, STEPS), heads=1))
    builder.outputs = results
    return builder.program()


def gradient_of(program: Rolled) -> list[str]:
    """Return the lines that a gradient adds to a program."""
    builder = Builder(program)
    seeds = [builder.constant(1.0, len(view.positions)) for view in program.outputs]
    before = builder.program()
    longer, gradients = adjoint(before, seeds, [0])
    lines = text_of_groups(longer, gradients).splitlines()
    return lines[len(text_of_groups(before).splitlines()) - 1 :]


def test_the_adjoint_of_a_state_runs_backwards():
    """Its head takes over from the step behind it; what is summed over time is in no loop."""
    assert gradient_of(powers(View(3, np.array([3])))) == [
        "for t<4 backwards:",
        "    t5[4] = sum(t6[1 | 2 | 3 | ], c4[ |  |  | 0])  # ∂t3",
        "    t6[4] = multiply(t5[0 1 2 3], p[0 0 0 0])  # ∂t2",
        "t7[4] = multiply(t5[0 1 2 3], t2[0 1 2 3])",
        "t8[1] = sum(t7[0 1 2 3])  # ∂p",
        "return t8[0]",
    ]


def test_adjoints_from_behind_the_loop_are_added_up_before_it():
    """Where they come from each step, no state carries them, and none is a sum within the loop."""
    results = View(3, identity(4)), View(3, np.array([1, 1]))
    assert gradient_of(powers(*results))[:4] == [
        "t6[4] = sum(c4[0 | 0 | 0 | 0], c5[ | 0 0 |  | ])",
        "for t<4 backwards:",
        "    t7[4] = sum(t9[1 | 2 | 3 | ])  # a term of ∂t3",
        "    t8[4] = sum(t6[0 | 1 | 2 | 3], t7[0 | 1 | 2 | 3])  # ∂t3",
    ]


def test_what_the_last_step_computes_for_nothing_has_no_adjoint():
    """It is left out, with no condition that would be asked in each step."""
    builder = Builder()
    p = builder.add(Leaf("p", 1, "parameter"))
    one = builder.constant(1.0, 1)
    initial = Runs(one.group, one.positions, np.array([0, 1, 1, 1, 1]))
    taken_over = Runs(4, np.array([0, 1, 2]), np.array([0, 0, 1, 2, 3]))
    state = builder.add(Sum((initial, taken_over), batched=False))
    every, fixed = View(state, identity(4)), View(p, np.zeros(4, np.int64))
    seen = builder.add(Elementwise(ops.multiply, (every, fixed), batched=False))
    builder.add(Elementwise(ops.multiply, (View(seen, identity(4)), every), batched=False))
    builder.loops.append(Loop(state, 5, (STEPS,) * 3, heads=1))
    builder.outputs = [View(seen, identity(4))]
    assert gradient_of(builder.program())[:6] == [
        "for t<4 backwards:",
        "    t6[4] = sum(t11[1 | 2 | 3 | ])  # ∂t4",
        "    t7[3] = multiply(t6[0 1 2], t2[0 1 2])",
        "    t8[3] = multiply(t6[0 1 2], t3[0 1 2])",
        "    t9[4] = sum(c5[0 | 0 | 0 | 0], t7[0 | 1 | 2 | ])  # ∂t3",
        "    t10[4] = multiply(t9[0 1 2 3], p[0 0 0 0])",
    ]


def test_results_of_one_group_have_their_conditions_together():
    """A Hessian has very many results, and one that is not asked for is a branch not taken."""
    program = powers(*(View(3, np.array([i])) for i in range(4)))
    builder = Builder(program)
    seed = builder.add(Leaf("seed", 4, "input"))
    seeds = [View(seed, np.array([i])) for i in range(4)]
    longer, _ = adjoint(builder.program(), seeds, [0])
    conditions = [g for g in longer.groups if getattr(g, "operation", None) is ops.not_equal]
    assert [condition.size for condition in conditions] == [4]


def test_a_branch_that_no_step_takes_gives_no_gradient():
    """Conditions travel from step to step: zero times the infinite slope of a root is no number."""
    builder = Builder()
    p = builder.add(Leaf("p", 1, "parameter"))
    zero = builder.constant(0.0, 4)
    fixed = View(p, np.zeros(4, np.int64))
    initial = Runs(zero.group, np.array([0]), np.array([0, 1, 1, 1, 1]))
    taken_over = Runs(7, np.array([0, 1, 2]), np.array([0, 0, 1, 2, 3]))
    every = identity(4)
    state = builder.add(Sum((initial, taken_over), batched=False))
    scaled = builder.add(Elementwise(ops.multiply, (View(state, every), fixed), batched=False))
    root = builder.add(Elementwise(ops.OPERATIONS["sqrt"], (View(scaled, every),), batched=False))
    positive = builder.add(Elementwise(ops.less, (zero, View(scaled, every)), batched=False))
    branches = View(positive, every), View(root, every), View(state, every)
    builder.add(Elementwise(ops.select, branches, batched=False))
    last = builder.add(Elementwise(ops.multiply, (View(6, every), fixed), batched=False))
    assert last == 7
    builder.loops.append(Loop(state, last + 1, (STEPS,) * 6, heads=1))
    builder.outputs = [View(last, np.array([3]))]
    seeds = [builder.constant(1.0, 1)]
    looped = differentiated(Looped(builder.program(), seeds, [p], {p: np.array([2.0])}))
    assert numbers_of(looped)[0].tolist() == [0.0]
