"""Loops over time as nests: what a loop of groups becomes, and that it computes the same."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from looped_programs import looped_program
from nests import Nests

from liftgrad import ops
from liftgrad.lift.ir.check import InvalidProgramError, check_nests
from liftgrad.lift.ir.groups import (
    Assignment,
    Builder,
    Elementwise,
    Leaf,
    Loop,
    Runs,
    Sum,
    View,
    identity,
)
from liftgrad.lift.ir.loop_error import LoopError
from liftgrad.lift.ir.nests import Load, own_buffers
from liftgrad.lift.ir.text import text_of_nests
from liftgrad.lift.run.numpy_executor import execute
from liftgrad.lift.scheduling.schedule import schedule
from liftgrad.lift.scheduling.stages import local_buffers, stages

STEPS = 5


def taken_over(initial, state, width=1):
    """The operands of a head: the initial numbers in the first step, else the last step's state."""
    rows = width * STEPS
    firsts, others = np.minimum(identity(rows + 1), width), rows - width
    later = np.maximum(identity(rows + 1) - width, 0)
    return Runs(initial, identity(width), firsts), Runs(state, identity(others), later)


def offsets(*widths):
    return tuple(width * identity(STEPS + 1) for width in widths)


def every(builder, group):
    return View(group, identity(builder.groups[group].size))


def decay(*, batched=False):
    """Five steps of s = tanh(s·w) + x[t], and the groups of the state and of s·w."""
    builder = Builder()
    w, x = builder.add(Leaf("w", 1, "parameter")), builder.add(Leaf("x", STEPS, "input", batched))
    head = builder.add(Sum(taken_over(w, 5), batched))
    weights = View(w, np.zeros(STEPS, np.int64))
    product = builder.add(Elementwise(ops.multiply, (every(builder, head), weights), batched))
    squashed = builder.add(Elementwise(ops.tanh, (every(builder, product),), batched))
    addends = every(builder, squashed), every(builder, x)
    state = builder.add(Elementwise(ops.add, addends, batched))
    builder.loops.append(Loop(head, state + 1, offsets(1, 1, 1, 1), 1))
    return builder, product, state


def lines(builder, *outputs, assignments=()):
    """What comes after the buffers."""
    nests = schedule(builder.program(), [every(builder, i) for i in outputs], assignments)
    check_nests(nests, "schedule")
    text = text_of_nests(nests).splitlines()
    return [line for line in text if " = leaf[" not in line and " = temporary[" not in line]


def test_a_recurrence_is_a_loop_of_few_nests():
    """What one nest of the loop alone reads is fused into it."""
    builder, _, state = decay()
    assert lines(builder, state) == [
        "for t<5:",
        "    t=0: t2[0] = w[0]",
        "    1≤t<5: t2[t] = t5[t-1]",
        "    t5[t] = add(tanh(multiply(t2[t], w[0])), x[t])",
        "return t5",
    ]


def total_of(builder, group):
    """Add the sum of a group's elements."""
    runs = Runs(group, identity(STEPS), np.array([0, STEPS]))
    return builder.add(Sum((runs,), batched=False))


def test_what_is_read_outside_of_a_loop_is_kept():
    """It is not computed again there."""
    builder, product, state = decay()
    total = total_of(builder, product + 1)
    assert lines(builder, state, total)[3:] == [
        "    t4[t] = tanh(multiply(t2[t], w[0]))",
        "    t5[t] = add(t4[t], x[t])",
        "t6[0] = sum[k<5](t4[k])",
        "return t5, t6",
    ]


def test_what_is_as_quickly_computed_as_loaded_is_computed_again():
    """From what is read outside of the loop as well."""
    builder, product, state = decay()
    totals = total_of(builder, product - 1), total_of(builder, product)
    assert lines(builder, state, *totals)[3:] == [
        "    t5[t] = add(tanh(multiply(t2[t], w[0])), x[t])",
        "t6[0] = sum[k<5](t2[k])",
        "t7[0] = sum[k<5](multiply(t2[k], w[0]))",
        "return t5, t6, t7",
    ]


def test_what_is_computed_from_numbers_that_nobody_else_reads_is_not_computed_again():
    """They would have to be kept instead."""
    builder, product, state = decay()
    assert lines(builder, state, total_of(builder, product))[3:] == [
        "    t3[t] = multiply(t2[t], w[0])",
        "    t5[t] = add(tanh(t3[t]), x[t])",
        "t6[0] = sum[k<5](t3[k])",
        "return t5, t6",
    ]


def test_what_no_output_depends_on_is_not_computed():
    """Of a loop, too: its heads read later groups."""
    builder, _, _ = decay()
    constant = builder.constant(2.0, 1)
    builder.add(Elementwise(ops.exp, (constant,), batched=False))
    assert lines(builder, len(builder.groups) - 1) == ["t7[0] = exp(2)", "return t7"]


def matrix_recurrence():
    """Five steps of s = M·s + u, u being exp of the inputs."""
    builder = Builder()
    m, x = builder.add(Leaf("m", 9, "parameter")), builder.add(Leaf("x", 3 * STEPS, "input"))
    u = builder.add(Elementwise(ops.exp, (every(builder, x),), batched=False))
    head = builder.add(Sum(taken_over(m, 5, 3), batched=False))
    step, row, column = np.indices((STEPS, 3, 3)).reshape(3, -1)
    factors = View(m, 3 * row + column), View(head, 3 * step + column)
    products = builder.add(Elementwise(ops.multiply, factors, batched=False))
    runs = Runs(products, identity(9 * STEPS), 3 * identity(3 * STEPS + 1))
    inputs = Runs(u, identity(3 * STEPS), identity(3 * STEPS + 1))
    state = builder.add(Sum((runs, inputs), batched=False))
    builder.loops.append(Loop(head, state + 1, offsets(3, 9, 3), 1))
    return builder, state


def test_what_is_slow_and_does_not_depend_on_the_loop_is_computed_before_it():
    """By vectors that run along time; a contraction within the loop is one nest."""
    builder, state = matrix_recurrence()
    assert lines(builder, state) == [
        "for i<15: t2[i] = exp(x[i])",
        "for t<5:",
        "    t=0: for i<3: t3[i] = m[i]",
        "    1≤t<5: for i<3: t3[3t+i] = t5[3t+i-3]",
        "    for i<3: t5[3t+i] = add(t2[3t+i], sum[k<3](multiply(m[3i+k], t3[3t+k])))",
        "return t5",
    ]


def test_a_loop_that_runs_backwards_reads_later_steps():
    builder = Builder()
    x = builder.add(Leaf("x", STEPS, "input"))
    runs = (
        Runs(2, identity(STEPS - 1) + 1, np.minimum(identity(STEPS + 1), STEPS - 1)),
        Runs(x, np.array([0]), np.maximum(identity(STEPS + 1) - STEPS + 1, 0)),
    )
    head = builder.add(Sum(runs, batched=False))
    factors = every(builder, head), every(builder, x)
    state = builder.add(Elementwise(ops.multiply, factors, batched=False))
    builder.loops.append(Loop(head, state + 1, offsets(1, 1), 1, backwards=True))
    assert lines(builder, state) == [
        "for t<5 backwards:",
        "    t<4: t1[t] = t2[t+1]",
        "    t=4: t1[4] = x[0]",
        "    t2[t] = multiply(t1[t], x[t])",
        "return t2",
    ]


def backwards():
    """Five steps, from the last on, of s = (later s)·w + x[t]; and the groups of s·w and the state.

    Its first groups are w, and x, a parameter and an input.
    """
    builder = Builder()
    w, x = builder.add(Leaf("w", 1, "parameter")), builder.add(Leaf("x", STEPS, "input"))
    later = np.minimum(identity(STEPS + 1), STEPS - 1)
    last = np.maximum(identity(STEPS + 1) - STEPS + 1, 0)
    runs = Runs(4, identity(STEPS - 1) + 1, later), Runs(x, np.array([0]), last)
    head = builder.add(Sum(runs, batched=False))
    factors = every(builder, head), View(w, np.zeros(STEPS, np.int64))
    product = builder.add(Elementwise(ops.multiply, factors, batched=False))
    terms = every(builder, product), every(builder, x)
    state = builder.add(Elementwise(ops.add, terms, batched=False))
    builder.loops.append(Loop(head, state + 1, offsets(1, 1, 1), 1, backwards=True))
    return builder, head, state


def times_x(builder, group):
    """Add the sum of a group's elements, each times x."""
    factors = every(builder, group), every(builder, 1)
    return total_of(builder, builder.add(Elementwise(ops.multiply, factors, batched=False)))


def test_the_loop_of_a_gradient_adds_up_what_is_a_sum_over_its_steps():
    """So that the factors are not kept for all steps; two sums are one nest if they can."""
    builder, head, state = backwards()
    total = times_x(builder, state)
    runs = [builder.groups[i].operands[0] for i in (total, times_x(builder, head))]
    both = builder.add(Sum(tuple(runs), batched=False))
    assert lines(builder, both) == [
        "t9[0] = 0",
        "for t<5 backwards:",
        "    t<4: t2[t] = t4[t+1]",
        "    t=4: t2[4] = x[0]",
        "    t4[t] = add(multiply(t2[t], w[0]), x[t])",
        "    t9[0] += add(multiply(t4[t], x[t]), multiply(t2[t], x[t]))",
        "return t9",
    ]


def test_a_sum_of_what_is_kept_anyway_is_added_up_behind_the_loop():
    """By vectors along time."""
    builder, _, state = backwards()
    total = times_x(builder, state)
    assert lines(builder, state, total)[-2] == "t6[0] = sum[k<5](multiply(t4[k], x[k]))"


def test_a_sum_over_some_steps_gets_the_rest_of_its_terms_behind_the_loop():
    builder, _, state = backwards()
    factors = every(builder, state), every(builder, 1)
    products = builder.add(Elementwise(ops.multiply, factors, batched=False))
    ends = np.array([0, STEPS, STEPS])
    first = Runs(products, identity(STEPS), ends), Runs(0, np.array([0, 0]), identity(3))
    total = builder.add(Sum(first, batched=False))
    assert lines(builder, total)[-3:] == [
        "    t6[0] += multiply(t4[t], x[t])",
        "for i<2: t6[i] += w[0]",
        "return t6",
    ]


def test_steps_with_other_numbers_of_rows_have_them_from_a_table():
    """As the anti-diagonals of a table have, of which each is a step."""
    builder = Builder()
    x = builder.add(Leaf("x", 16, "input"))
    ends = np.array([0, 1, 3, 6, 10, 13, 15, 16])
    above = [0, 0, 1, 1, 2, 3, 3, 4, 5, 7, 8, 9, 11, 12, 14]
    reads = Runs(2, np.array(above), np.array([0, *range(16)]))
    initial = Runs(x, np.array([0]), np.array([0, *[1] * 16]))
    head = builder.add(Sum((reads, initial), batched=False))
    terms = every(builder, head), every(builder, x)
    state = builder.add(Elementwise(ops.add, terms, batched=False))
    builder.loops.append(Loop(head, state + 1, (ends, ends), 1))
    assert lines(builder, state) == [
        "table0 = 0 0..1 1..3 3..5 7..9 11..12 14",
        "table1 = 0 0 2 5 9 12 14 15",
        "table2 = 0 1 3 6 10 13 15 16",
        "for t<7:",
        "    for table1[t]≤i<table1[t+1]: t1[i+1] = t2[table0[i]]",
        "    t=0: t1[0] = x[0]",
        "    for table2[t]≤i<table2[t+1]: t2[i] = add(t1[i], x[i])",
        "return t2",
    ]


def test_runs_that_grow_with_the_steps_are_added_up_piece_by_piece():
    """However many steps there are: the pieces' lengths are powers of two."""
    builder = Builder()
    steps = 12
    x = builder.add(Leaf("x", 1, "input"))
    before = [i for t in range(steps) for i in range(t)]
    ends = np.cumsum([0, *range(steps)])
    initial = Runs(x, np.array([0]), np.minimum(identity(steps + 1), 1))
    head = builder.add(Sum((Runs(2, np.array(before), ends), initial), batched=False))
    state = builder.add(Elementwise(ops.sin, (every(builder, head),), batched=False))
    builder.loops.append(Loop(head, state + 1, (identity(steps + 1),) * 2, 1))
    text = lines(builder, state)
    assert text[text.index("for t<12:") + 1 : -2] == [
        "    1≤t<12: t1[t] = 0",
        "    for table0[t]≤i<table0[t+1]: t1[i+8] += sum[k<8](t2[k])",
        "    for table1[t]≤i<table1[t+1]: t1[i+4] += sum[k<4](t2[k])",
        "    for table4[t]≤i<table4[t+1]: t1[table2[i]] += sum[k<2](t2[table3[2i+k]])",
        "    for table5[t]≤i<table5[t+1]: t1[2i+1] += t2[2i]",
        "    t=0: t1[0] = x[0]",
    ]


def ring(width):
    """Five steps in which each number is that to its left, times x; they stand in a ring."""
    builder = Builder()
    x = builder.add(Leaf("x", width, "input"))
    head = builder.add(Sum(taken_over(x, 2, width), batched=False))
    step, row = np.indices((STEPS, width)).reshape(2, -1)
    factors = View(head, width * step + (row - 1) % width), View(x, row)
    state = builder.add(Elementwise(ops.multiply, factors, batched=False))
    builder.loops.append(Loop(head, state + 1, offsets(width, width), 1))
    return builder, state


def test_rows_at_a_border_are_a_nest_of_their_own():
    """So that no positions have to be looked up."""
    assert lines(*ring(9))[3:-1] == [
        "    for i<2: t2[9t+i] = multiply(t1[9t-8i+8], x[i])",
        "    for i<7: t2[9t+i+2] = multiply(t1[9t+i+1], x[i+2])",
    ]


def test_a_first_step_that_reads_elsewhere_is_a_nest_of_its_own():
    builder, _, state = decay()
    first = np.array([4, 1, 2, 3, 4])
    builder.groups[state] = Elementwise(ops.add, (every(builder, 4), View(1, first)), batched=False)
    assert lines(builder, state)[-3:-1] == [
        "    t=0: t5[0] = add(tanh(multiply(t2[0], w[0])), x[4])",
        "    1≤t<5: t5[t] = add(tanh(multiply(t2[t], w[0])), x[t])",
    ]


@pytest.mark.parametrize(
    ("positions", "line"),
    [
        ([4, 0, 1, 2, 3], "t6[0] = add(t5[4], sum[k<4](t5[k]))"),
        ([1, 2, 3, 4, 0], "t6[0] = add(t5[0], sum[k<4](t5[k+1]))"),
        ([4, 0, 3, 1, 2], "t6[0] = sum[k<5](t5[table0[k]])"),
    ],
)
def test_a_sum_over_all_steps_has_an_irregular_end_apart(positions, line):
    """The others are affine then; if they are not, all are looked up."""
    builder, _, state = decay()
    runs = Runs(state, np.array(positions), np.array([0, STEPS]))
    builder.add(Sum((runs,), batched=False))
    assert lines(builder, state, state + 1)[-2] == line


def test_a_parameter_becomes_the_state_that_a_loop_ends_with():
    """Which is copied when the loop has run: it is no whole group."""
    builder, _, state = decay()
    value = View(state, np.array([STEPS - 1]))
    (line,) = lines(builder, state, assignments=[Assignment(0, np.array([0]), value)])[-2:-1]
    assert line == "w[0] = t5[4]"


def test_a_loop_keeps_for_itself_what_nothing_outside_reads():
    builder, product, state = decay()
    program = schedule(builder.program(), [View(state, np.array([STEPS - 1]))])
    own = {program.buffers[i].name: loop for i, loop in own_buffers(program).items()}
    assert own == {"t2": 0}
    program = schedule(builder.program(), [every(builder, product)])
    assert {program.buffers[i].name for i in own_buffers(program)} == {"t2", "t5"}


def test_a_loop_over_samples_is_one_unit_of_a_stage():
    """All of it runs on a portion of the samples before the next one does."""
    builder, _, state = decay(batched=True)
    builder.add(Sum((Runs(state, identity(STEPS), np.array([0, STEPS])),), batched=False))
    program = schedule(builder.program(), [every(builder, state + 1)])
    (stage,) = stages(program, range(len(program.nests)))
    assert [len(stage.plain), len(stage.sampled)] == [1, 2]
    local = local_buffers(program, [stage])
    assert {program.buffers[i].name for i in local} == {"t2", "t5"}


def test_a_sum_over_samples_is_in_no_loop():
    """It would need all samples in each step: the program goes the road without loops."""
    builder, _, state = decay()
    builder.groups[1] = Leaf("x", STEPS, "input", batched=True)
    terms = tuple(Runs(i, identity(STEPS), identity(STEPS + 1)) for i in (4, 1))
    builder.groups[state] = Sum(terms, batched=False)
    with pytest.raises(LoopError, match="samples"):
        schedule(builder.program(), [every(builder, state)])


def are_decided(program, numbers):
    """Whether no comparison hangs on rounding: sums are added up in another order."""
    for group in program.groups:
        if isinstance(group, Elementwise) and group.operation is ops.less:
            left, right = group.operands
            a, b = (numbers[x.group][x.positions].reshape(group.size, -1) for x in (left, right))
            same = (left.positions == right.positions) & (left.group == right.group)
            apart = np.abs(a - b).min(axis=1) > 1e-9
            if not (same | apart).all():
                return False
    return True


@given(st.integers(0, 2**32))
def test_a_loop_of_nests_computes_what_its_groups_do(seed):
    looped = looped_program(seed)
    program = looped.program
    nests = schedule(program, program.outputs)
    check_nests(nests, "schedule")
    expected = execute(program, looped.leaves)
    assume(are_decided(program, expected))
    memory = Nests(nests, program, looped.leaves)
    memory.run()
    for view in program.outputs:
        numbers = expected[view.group][view.positions]
        numbers = numbers if numbers.ndim == 2 else numbers[:, None]
        found = memory.numbers(view.group, view.positions)
        np.testing.assert_allclose(found, np.broadcast_to(numbers, found.shape), 1e-12, 1e-14)


def broken(change, **attributes):
    """The nests of `decay`, of whose loop one nest is changed, and what else is given."""
    builder, _, state = decay()
    program = schedule(builder.program(), [every(builder, state)])
    (loop,) = program.nests
    body = list(loop.body)
    for number, change_one in change.items():
        body[number] = change_one(body[number])
    return replace(program, nests=(replace(loop, body=tuple(body), **attributes),))


def moved(**attributes):
    return lambda timed: replace(timed, **attributes)


def reading(**attributes):
    """Change where the nest that copies the state reads it."""
    return lambda timed: replace(
        timed,
        nest=replace(
            timed.nest, body=Load(replace(timed.nest.body.access, strides=(1,), **attributes))
        ),
    )


@pytest.mark.parametrize(
    ("program", "problem"),
    [
        (broken({}, backwards=True), "element 0 of t5 is read before it is written"),
        (broken({}, steps=4), "it runs for 4 of 4 steps, from step 1"),
        (broken({0: moved(first=5)}), "it runs for 1 of 5 steps, from step 5"),
        (broken({1: reading(offset=1)}), "element 1 of t5 is read before it is written"),
        (broken({1: reading(offset=2)}), "position 5 in t5, of 5 elements, is outside"),
        (broken({0: moved(rows=0)}), "table 0 does not exist"),
        (
            replace(broken({1: moved(rows=0)}), tables=(np.array([0, 1, 2, 3, 4, 4]),)),
            "its rows are in no table of 5 steps",
        ),
        (
            replace(broken({1: moved(rows=0, first=0)}), tables=(np.array([0, 1, 2, 3, 4, 4]),)),
            "element 0 of t5 is read before it is written",
        ),
        (
            broken({0: lambda timed: replace(timed, nest=replace(timed.nest, batched=True))}),
            "some nests run for each sample and some do not",
        ),
    ],
)
def test_a_loop_that_breaks_a_rule_is_found(program, problem):
    """At whatever step it does."""
    with pytest.raises(InvalidProgramError, match=problem):
        check_nests(program, "schedule")
