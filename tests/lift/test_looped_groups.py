"""Loops in the language of groups: what one computes, how one prints, and what may be wrong."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from looped_programs import looped_program
from unrolling import unrolled

from liftgrad import ops
from liftgrad.lift.ir.check import InvalidProgramError, check_groups
from liftgrad.lift.ir.components import components
from liftgrad.lift.ir.groups import (
    Constants,
    Elementwise,
    Leaf,
    Loop,
    Rolled,
    Runs,
    Sum,
    View,
)
from liftgrad.lift.ir.text import text_of_groups
from liftgrad.lift.run.numpy_executor import execute


def runs(group, positions, lengths):
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Runs(group, np.array(positions, np.int64), offsets.astype(np.int64))


def view(group, *positions):
    return View(group, np.array(positions, np.int64))


def powers():
    """A state that is multiplied by p in each of four steps."""
    return Rolled(
        groups=(
            Leaf("p", 1, "parameter"),
            Constants(np.array([-0.0, 1.0])),
            Sum((runs(1, [1], [1, 0, 0, 0]), runs(3, [0, 1, 2], [0, 1, 1, 1])), batched=False),
            Elementwise(ops.multiply, (view(2, 0, 1, 2, 3), view(0, 0, 0, 0, 0)), batched=False),
        ),
        outputs=(view(3, 3),),
        loops=(Loop(2, 4, (np.arange(5), np.arange(5)), heads=1),),
    )


def test_a_loop_goes_step_by_step():
    """Each step finds the state that the step before left."""
    arrays = execute(powers(), {0: np.array([3.0])})
    assert arrays[2].tolist() == [1.0, 3.0, 9.0, 27.0]
    assert arrays[3].tolist() == [3.0, 9.0, 27.0, 81.0]


def test_a_state_keeps_the_sign_of_zero():
    """A head is no addition where it takes over one number."""
    program = powers()
    groups = list(program.groups)
    groups[1] = Constants(np.array([1.0, -0.0]))
    arrays = execute(replace(program, groups=groups), {0: np.array([3.0])})
    assert np.signbit(arrays[3]).all()


@given(st.integers(0, 2**32))
def test_a_loop_computes_what_it_does_unrolled(seed):
    """Step by step, or all groups of all steps one after another: the numbers are the same."""
    looped = looped_program(seed)
    check_groups(looped.program, "the test")
    flat = unrolled(looped.program)
    check_groups(flat, "unrolled")
    assert not flat.loops
    leaves = [i for i, group in enumerate(flat.groups) if isinstance(group, Leaf)]
    given_numbers = [looped.leaves[i] for i in sorted(looped.leaves)]
    expected = execute(flat, dict(zip(leaves, given_numbers, strict=True)))
    computed = execute(looped.program, looped.leaves)
    for a, b in zip(looped.program.outputs, flat.outputs, strict=True):
        numbers = computed[a.group][a.positions], expected[b.group][b.positions]
        np.testing.assert_allclose(*numbers, rtol=1e-12, atol=1e-14)


def test_a_loop_prints_its_groups_indented():
    program = powers()
    assert text_of_groups(program).splitlines() == [
        "p = parameter[1]",
        "c1[2] = -0 1",
        "for t<4:",
        "    t2[4] = sum(c1[1 |  |  | ], t3[ | 0 | 1 | 2])",
        "    t3[4] = multiply(t2[0 1 2 3], p[0 0 0 0])",
        "return t3[3]",
    ]
    back = replace(program, loops=[replace(program.loops[0], backwards=True)])
    assert text_of_groups(back).splitlines()[2] == "for t<4 backwards:"


LOOP = powers().loops[0]
STATE = powers().groups[2]
FOUR = np.arange(5)


@pytest.mark.parametrize(
    ("changes", "loop", "problem"),
    [
        ({}, replace(LOOP, stop=5), "it has no groups, or they are in another loop as well"),
        ({}, replace(LOOP, offsets=(FOUR,)), "it has 1 sequences of offsets"),
        ({2: Sum(STATE.operands[:1], batched=False)}, replace(LOOP, heads=0), "it has 0 heads"),
        ({}, replace(LOOP, heads=2), "group 3 is a head and no sum"),
        (
            {2: Leaf("x", 4, "input")},
            LOOP,
            "group 2 depends on no step before",
        ),
        (
            {},
            replace(LOOP, offsets=(FOUR, np.array([0, 1, 2, 3, 3]))),
            "the steps of group 3 are not its 4 elements, one after another",
        ),
        ({}, replace(LOOP, backwards=True), "it reads elements of group 3 before their step"),
        (
            {2: Sum((runs(3, [0, 1, 2, 3], [1, 1, 1, 1]),), batched=False)},
            LOOP,
            "group 2: it reads elements of group 3 before their step",
        ),
        (
            {3: Elementwise(ops.multiply, (view(2, 0, 0, 2, 3), view(0, 0, 0, 0, 0)), False)},
            LOOP,
            "group 3: it reads elements of group 2 at another step",
        ),
        ({2: Sum(STATE.operands, batched=True)}, LOOP, "an operand is batched"),
    ],
)
def test_a_loop_that_breaks_an_invariant_is_refused(changes, loop, problem):
    """The message names the loop, or the group, and says what is wrong."""
    groups = [changes.get(i, group) for i, group in enumerate(powers().groups)]
    with pytest.raises(InvalidProgramError, match=problem):
        check_groups(replace(powers(), groups=groups, loops=[loop]), "the test")


def test_a_group_that_is_no_head_reads_earlier_groups_only():
    program = powers()
    groups = [*program.groups, Elementwise(ops.negate, (view(3, 0, 1, 2, 3),), batched=False)]
    groups[3] = Elementwise(ops.multiply, (view(4, 0, 1, 2, 3), view(2, 0, 1, 2, 3)), False)
    loop = replace(LOOP, stop=5, offsets=(FOUR,) * 3)
    with pytest.raises(InvalidProgramError, match="group 4 is not computed before"):
        check_groups(replace(program, groups=groups, loops=[loop]), "the test")


def test_components_of_a_graph():
    """Those that depend on each other are together, and behind what they depend on."""
    assert components([[1], [2], [1, 3], []]) == [[3], [2, 1], [0]]


def test_a_long_chain_is_no_recursion():
    """A graph of thousands of nodes, each of which depends on the next, has components."""
    size = 20_000
    assert len(components([[i + 1] if i + 1 < size else [0] for i in range(size)])) == 1
