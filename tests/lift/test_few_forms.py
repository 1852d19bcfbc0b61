"""Few forms: programs in which nothing repeats need few kernels all the same."""

import random
from collections import Counter

import numpy as np
import pytest
from stages import scheduled, values

from liftgrad import lift
from liftgrad.functional import exp, tanh, where
from liftgrad.lift.ir.check import check_nests
from liftgrad.lift.kernels.form import Form


def tangle(x, length, seed=0, factors=(0.4, 0.9)):
    """Return a sum of what a random sequence of operations leaves, each on any earlier results."""
    draw = random.Random(seed)
    live = list(x)
    for _ in range(length):
        a, b = draw.choice(live[-40:]), draw.choice(live[-40:])
        live.append(
            draw.choice(
                [
                    lambda a, b: a + b * draw.choice(factors),
                    lambda a, b: tanh(a * b - draw.choice(factors)),
                    lambda a, b: a / (b * b + 1.5),
                    lambda a, b: where(a < b, exp(-a * a), b * 0.5),
                    lambda a, _: draw.choice(factors) * a,
                ]
            )(a, b)
        )
    return sum(live[-40:]) * 0.1


def forms(program):
    return Counter(Form(nest, program.buffers).key for nest in program.nests)


def test_a_tangle_has_few_forms_however_long():
    """Of programs four times as long the forms are not four times as many."""
    short, long = (
        forms(scheduled(lambda x, n=n: tangle(x, n), values(5), gradient=True)) for n in (500, 2000)
    )
    assert short.total() > 1000
    assert len(short) < 350
    assert len(long) < 1.5 * len(short)


def test_numbers_that_are_seldom_used_are_loaded():
    """A thousand different factors are not a thousand kernels."""
    draw = random.Random(1)
    factors = [draw.uniform(0.5, 1.0) for _ in range(1000)]
    program = scheduled(lambda x: tangle(x, 800, factors=factors), values(5), gradient=True)
    check_nests(program, after="schedule")
    assert len(forms(program)) < 350


def test_a_program_with_few_forms_stays_as_it_is():
    """Where expressions are alike, none is cut: each step of a long chain is one nest."""

    def f(x):
        y = x[0]
        for _ in range(600):
            y = tanh(y * y + 0.5) * 0.5
        return y

    program = scheduled(f, values(1))
    assert len(program.nests) == 600
    assert len(forms(program)) == 1


def test_a_tangle_that_is_cut_computes_the_same():
    """Values and gradients are the eager engine's."""
    draw = random.Random(2)
    factors = [draw.uniform(0.5, 1.0) for _ in range(300)] + [-0.0, 0.0]
    lifted = lift(lambda x: tangle(x, 1500, 3, factors))
    x, y = values(5), values(5)
    result, expected = lifted(x), tangle(y, 1500, 3, factors)
    result.backward()
    expected.backward()
    assert result.data == pytest.approx(expected.data, rel=1e-12)
    np.testing.assert_allclose([v.grad for v in x], [v.grad for v in y], rtol=1e-9, atol=1e-12)
