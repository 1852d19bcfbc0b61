"""Few forms: programs in which nothing repeats need few kernels all the same."""

import random
from collections import Counter

import numpy as np
import pytest
from stages import scheduled, values

from liftgrad import lift
from liftgrad.functional import exp, tanh, where
from liftgrad.lift.ir.check import check_nests
from liftgrad.lift.ir.nests import TimeLoop
from liftgrad.lift.kernels.form import Form


def tangle(length, seed=0, factors=(0.4, 0.9)):
    """Return a function of five numbers, written by chance, in which no line is like another.

    In a loop the same operations would be at one place in the program, and found to be a loop.
    """
    draw = random.Random(seed)
    lines = ["def written(x):", *[f"    v{i} = x[{i}]" for i in range(5)]]
    for i in range(5, 5 + length):
        a, b = (f"v{draw.randrange(max(i - 40, 0), i)}" for _ in range(2))
        factor = draw.choice(factors)
        choices = [
            *(f"{a} + {b} * {factor!r}", f"tanh({a} * {b} - {factor!r})", f"{factor!r} * {a}"),
            *(f"{a} / ({b} * {b} + 1.5)", f"where({a} < {b}, exp(-{a} * {a}), {b} * 0.5)"),
        ]
        lines.append(f"    v{i} = {draw.choice(choices)}")
    left = ", ".join(f"v{i}" for i in range(length - 35, 5 + length))
    lines.append(f"    return sum([{left}]) * 0.1")
    namespace = {"exp": exp, "tanh": tanh, "where": where}
    exec("\n".join(lines), namespace)
    return namespace["written"]


def forms(program):
    return Counter(Form(nest, program.buffers).key for nest in program.nests)


def test_a_tangle_has_few_forms_however_long():
    """Of programs four times as long the forms are not four times as many."""
    short, long = (forms(scheduled(tangle(n), values(5), gradient=True)) for n in (500, 2000))
    assert short.total() > 1000
    assert len(short) < 350
    assert len(long) < 1.5 * len(short)


def test_numbers_that_are_seldom_used_are_loaded():
    """A thousand different factors are not a thousand kernels."""
    draw = random.Random(1)
    factors = [draw.uniform(0.5, 1.0) for _ in range(1000)]
    program = scheduled(tangle(800, factors=factors), values(5), gradient=True)
    check_nests(program, after="schedule")
    assert len(forms(program)) < 350


def test_a_program_with_few_forms_stays_as_it_is():
    """Where expressions are alike, none is cut: each step of a long chain is one nest."""
    steps = "\n".join(["    y = tanh(y * y + 0.5) * 0.5"] * 600)
    namespace = {"tanh": tanh}
    exec(f"def chain(x):\n    y = x[0]\n{steps}\n    return y", namespace)
    program = scheduled(namespace["chain"], values(1))
    assert len(program.nests) == 600
    assert len(forms(program)) == 1


def test_a_tangle_that_is_cut_computes_the_same():
    """Values and gradients are the eager engine's."""
    draw = random.Random(2)
    factors = [draw.uniform(0.5, 1.0) for _ in range(300)] + [-0.0, 0.0]
    function = tangle(1500, 3, factors)
    lifted = lift(function)
    x, y = values(5), values(5)
    result, expected = lifted(x), function(y)
    result.backward()
    expected.backward()
    assert result.data == pytest.approx(expected.data, rel=1e-12)
    np.testing.assert_allclose([v.grad for v in x], [v.grad for v in y], rtol=1e-9, atol=1e-12)


WAYS = (
    lambda a, b: a + b * 0.5,
    lambda a, b: a * b * 0.3,
    lambda a, _: tanh(a),
    lambda a, b: a - 0.7 * b,
    lambda a, b: a / (b * b + 1.5),
    lambda a, _: exp(a * 0.4) * 0.3,
    lambda a, _: 0.9 * a,
)


def mixed_up(x, steps):
    """Go round a loop in which each step takes one of several ways, by a generator of its own."""
    live, state = list(x), 1
    for _ in range(steps):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        a, b = (live[-1 - (state >> shift) % min(60, len(live))] for shift in (37, 45))
        live.append(WAYS[(state >> 33) % len(WAYS)](a, b))
    return sum(live[-60:])


def test_a_loop_whose_steps_have_little_in_common_is_unrolled():
    """Most of its nests would have nothing to do in most of its steps."""
    program = scheduled(lambda x: mixed_up(x, 400), values(5), gradient=True)
    assert not any(isinstance(statement, TimeLoop) for statement in program.nests)
    x, y = values(5), values(5)
    result, expected = lift(mixed_up)(x, 400), mixed_up(y, 400)
    result.backward()
    expected.backward()
    assert result.data == pytest.approx(expected.data, rel=1e-12)
    assert [v.grad for v in x] == pytest.approx([v.grad for v in y], rel=1e-9)
