"""Adjoint: the gradient of a rolled program, in the rolled program's own language."""

from dataclasses import replace

import numpy as np
import pytest
import strategies
from agreement import compare, eager_outcome, stage_outcomes
from stages import rolled, values
from strategies import Program

from liftgrad import functional, ops
from liftgrad.functional import exp, sqrt, take, total, where
from liftgrad.lift.differentiation import adjoint, pull
from liftgrad.lift.ir.text import text_of_groups
from liftgrad.lift.stand_ins.vmap import vmap


def added(function, *arguments):
    """The lines that the gradient adds to a program, and its outputs."""
    before = text_of_groups(rolled(function, *arguments)).splitlines()[:-1]
    after = text_of_groups(rolled(function, *arguments, gradient=True)).splitlines()
    assert after[: len(before)] == before
    return after[len(before) :]


def test_a_product_with_an_input():
    """The adjoint of a sum is that of each term; times 1 is nothing at all."""
    lines = added(lambda p, x: total([p[i] * x[i] for i in range(3)]), values(3), np.ones(3))
    assert lines == ["c4[1] = 1", "return t3[0], x[0 1 2]"]


def test_an_operand_read_in_several_places_gets_the_sum():
    """Index sequences are turned around: p[0] was read by three products, the rest by one each."""
    lines = added(lambda p: total([p[0] * u for u in p[1:]]), values(4))
    assert lines == [
        "c3[1] = 1",
        "t4[4] = sum(p[1 2 3 |  |  | ], p[ | 0 | 0 | 0])  # ∂p",
        "return t2[0], t4[0 1 2 3]",
    ]


def test_a_triangle():
    lines = added(
        lambda p: total([p[j] * p[3 + i] for i in range(3) for j in range(i + 1)]), values(6)
    )
    assert lines == [
        "c3[1] = 1",
        "t4[6] = sum(p[3 4 5 | 4 5 | 5 |  |  | ], p[ |  |  | 0 | 0 1 | 0 1 2])  # ∂p",
        "return t2[0], t4[0 1 2 3 4 5]",
    ]


def test_a_rule_sees_the_result():
    """The derivative of exp is its result."""
    lines = added(lambda p: exp(p[0]) * 2.0, values(1))
    assert lines == ["c4[1] = 1", "t5[1] = multiply(c2[0], t1[0])  # ∂p", "return t3[0], t5[0]"]


def test_what_is_detached_gets_no_gradient():
    assert added(lambda p: sqrt(p[0]).data * p[1], values(2))[-2:] == [
        "t5[2] = sum(t2[ | 0])  # ∂p",
        "return t3[0], t5[0 1]",
    ]


def test_a_branch_that_is_not_taken_is_left_out_by_selection():
    lines = added(lambda p: where(p[0] > 0.0, sqrt(p[0]), p[1]), values(2))
    assert "t13[1] = divide(t7[0], t12[0])" in lines  # maybe infinite
    assert "t15[1] = select(t2[0], t13[0], c14[0])" in lines  # but not if p[0] > 0 does not hold


def test_a_read_at_a_run_time_index_becomes_a_write():
    lines = added(lambda p, k: take(p, k[0]), values(3), np.array([1]))
    assert lines == [
        "c3[1] = 1",
        "t4[3] = put(c3[0] into [0 1 2] at k[0])  # ∂p",
        "return t2[0], t4[0 1 2]",
    ]


def test_what_samples_share_gets_a_term_from_each():
    """One for each sample, though the adjoint of their total is just one number."""
    lines = added(lambda p, X: total(vmap(lambda x: p[0] + x)(X)), values(1), np.ones(3))
    assert lines == [
        "c4[1] = 1",
        "t5[1, samples] = sum(c4[0])",
        "t6[1] = sum(t5[0])  # ∂p",
        "return t3[0], t6[0]",
    ]


NETWORK = Program(
    "return total([{0}(p[i] * x[i % 3] + p[(i + 1) % 5]) for i in range(5)])",
    *([0.3, -0.4, 0.5, 1.1, -0.2], [0.5, 1.5, -0.7], 0.0, [], [[0.0]], [], [1.0]),
)


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "exp", "softplus", "sin"])
def test_a_rule_that_is_wrong_by_a_thousandth_is_caught(name, monkeypatch):
    """The comparison with eager would see it."""
    program = replace(NETWORK, body=NETWORK.body.format(name))
    expected = eager_outcome(program)
    compare(program, expected, stage_outcomes(program))
    entry = getattr(ops, name)
    wrong = replace(entry, pullback=lambda g, y, a: (1.001 * entry.pullback(g, y, a)[0],))
    assert getattr(functional, name) is entry
    monkeypatch.setitem(strategies.NAMES, name, wrong)
    with pytest.raises(AssertionError, match="gradient 0"):
        compare(program, expected, stage_outcomes(program))


def test_a_term_that_lands_at_wrong_positions_is_caught(monkeypatch):
    program = replace(NETWORK, body=NETWORK.body.format("tanh"))
    add_term = pull.add_term

    def shifted(builder, terms, target, term, alive):
        positions = np.roll(term.positions, 1)
        add_term(builder, terms, target, replace(term, positions=positions), alive)

    monkeypatch.setattr(pull, "add_term", shifted)
    monkeypatch.setattr(adjoint, "add_term", shifted)
    with pytest.raises(AssertionError, match="gradient"):
        compare(program, eager_outcome(program), stage_outcomes(program))
