"""How far lifted sums of products may be from eager's, as docs/design.md says."""

import math
from fractions import Fraction

import numpy as np
import pytest

from liftgrad import Value, lift
from liftgrad.functional import dot


def added(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def results(function, a, b):
    """Return what eager, NumPy and native computing give."""
    p, x = [Value(n) for n in a], np.array(b)
    lifted = [f(p, x).data for f in (lift(backend="numpy")(function), lift(function))]
    return [function(p, b).data, *lifted]


@pytest.mark.parametrize("function", [added, dot])
@pytest.mark.parametrize("n", [1, 3, 8, 100])
def test_they_differ_by_units_in_the_last_place_of_their_terms(function, n):
    """Also where the terms cancel."""
    draw = np.random.default_rng(n)
    a, b = draw.normal(size=n).tolist(), draw.normal(size=n).tolist()
    for left, right in ((a, b), ([*a, *[-x for x in a]], [*b, *b])):
        exact = sum(Fraction(x) * Fraction(y) for x, y in zip(left, right, strict=True))
        unit = 2.0**-52 * math.fsum(abs(x * y) for x, y in zip(left, right, strict=True))
        for result in results(function, left, right):
            assert abs(Fraction(result) - exact) <= len(left) * Fraction(unit)


@pytest.mark.parametrize("function", [added, dot])
def test_products_that_overflow_to_both_sides_are_not_one_number(function):
    """An fma knows no infinite product. What is infinite is computed again, 2e307 is not."""
    eager, numpy, native = results(function, [1e308] * 3, [-2.4, -2.0, 1e16])
    assert math.isnan(eager)
    assert math.isnan(numpy)
    assert math.isnan(native)
    eager, numpy, native = results(function, [-1e308, 1e308], [1.7, 1.9])
    assert eager == numpy == math.inf
    assert native in (math.inf, 1e308 * 1.9 - 1e308 * 1.7, pytest.approx(2e307))
