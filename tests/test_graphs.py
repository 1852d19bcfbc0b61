"""Random expression graphs against an oracle of its own: forward-mode dual numbers."""

import math
import random
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liftgrad import Value
from liftgrad import functional as F  # noqa: N812

INPUTS = 4


@dataclass
class Dual:
    """A number, its derivatives by the inputs, and how large their summands are together.

    The last says how much rounding may matter: summands that cancel leave only their errors.
    """

    x: float
    d: list[float]
    size: list[float]


def chained(x: float, *parts: tuple[float, Dual]) -> Dual:
    """The chain rule: x with local derivatives by each operand."""
    d = [sum(local * dual.d[i] for local, dual in parts) for i in range(INPUTS)]
    size = [sum(abs(local) * dual.size[i] for local, dual in parts) for i in range(INPUTS)]
    return Dual(x, d, size)


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0.0 else math.exp(x) / (1.0 + math.exp(x))


# Each: on Values, and on Duals with derivatives written from the textbook.
OPERATIONS = [
    (lambda a, b: (a + b) * 0.5, lambda a, b: chained((a.x + b.x) * 0.5, (0.5, a), (0.5, b))),
    (lambda a, b: 0.3 - a, lambda a, b: chained(0.3 - a.x, (-1.0, a))),
    (lambda a, b: a - b / 2, lambda a, b: chained(a.x - b.x / 2, (1.0, a), (-0.5, b))),
    (lambda a, b: a * b, lambda a, b: chained(a.x * b.x, (b.x, a), (a.x, b))),
    (
        lambda a, b: a / (b * b + 1.0),
        lambda a, b: chained(
            a.x / (b.x * b.x + 1.0),
            (1.0 / (b.x * b.x + 1.0), a),
            (-2.0 * a.x * b.x / (b.x * b.x + 1.0) ** 2, b),
        ),
    ),
    (lambda a, b: a**3, lambda a, b: chained(math.pow(a.x, 3), (3.0 * a.x * a.x, a))),
    (lambda a, b: a.tanh(), lambda a, b: chained(math.tanh(a.x), (1.0 - math.tanh(a.x) ** 2, a))),
    (lambda a, b: F.sin(a), lambda a, b: chained(math.sin(a.x), (math.cos(a.x), a))),
    (
        lambda a, b: F.sigmoid(a),
        lambda a, b: chained(sigmoid(a.x), (sigmoid(a.x) * sigmoid(-a.x), a)),
    ),
    (lambda a, b: a.relu(), lambda a, b: chained(max(a.x, 0.0), (float(a.x > 0.0), a))),
    (lambda a, _: abs(a), lambda a, b: chained(abs(a.x), ((a.x > 0.0) - (a.x < 0.0), a))),
    (
        F.maximum,
        lambda a, b: chained(
            max(a.x, b.x),
            (0.5 * (a.x > b.x) + 0.5 * (a.x >= b.x), a),
            (0.5 * (b.x > a.x) + 0.5 * (b.x >= a.x), b),
        ),
    ),
    (
        lambda a, b: F.dot([a, b, a], [b, 0.25, 0.5], start=a),
        lambda a, b: chained(
            a.x + a.x * b.x + b.x * 0.25 + a.x * 0.5, (1.5 + b.x, a), (a.x + 0.25, b)
        ),
    ),
    (lambda a, b: F.total([a, b, b]), lambda a, b: chained(a.x + b.x + b.x, (1.0, a), (2.0, b))),
]


@pytest.mark.parametrize("largest", [10, 100, 3000])
@given(data=st.data())
def test_backward_agrees_with_dual_numbers(largest, data):
    """On graphs with much sharing, reverse mode gives what forward mode gives."""
    start = data.draw(st.lists(st.floats(-2.0, 2.0), min_size=INPUTS, max_size=INPUTS))
    size = data.draw(st.integers(1, largest))
    choose = random.Random(data.draw(st.integers(0, 2**32)))

    unit = [[float(i == j) for j in range(INPUTS)] for i in range(INPUTS)]
    leaves = list(map(Value, start))
    values = list(leaves)
    duals = [Dual(x, unit[i], unit[i]) for i, x in enumerate(start)]
    for _ in range(size):
        on_values, on_duals = choose.choice(OPERATIONS)
        # Recent operands make the graph deep and shared.
        a, b = (max(0, len(values) - 1 - int(choose.expovariate(0.2))) for _ in range(2))
        values.append(on_values(values[a], values[b]))
        duals.append(on_duals(duals[a], duals[b]))
        if abs(duals[-1].x) > 4.0:  # so that the numbers stay ordinary
            x = duals[-1].x
            values[-1] = F.sin(values[-1])
            duals[-1] = chained(math.sin(x), (math.cos(x), duals[-1]))

    assert [value.data for value in values] == [dual.x for dual in duals]
    values[-1].backward()
    for leaf, derivative, magnitude in zip(leaves, duals[-1].d, duals[-1].size, strict=True):
        if math.isfinite(magnitude):
            assert abs(leaf.grad - derivative) <= 1e-11 * magnitude + 1e-300


@given(st.lists(st.sampled_from(["add", "double", "square", "share"]), max_size=12))
def test_inner_gradients_are_the_derivatives_by_inner_values(steps):
    """Every value on the way, not only the leaves, gets the derivative of the result by it."""
    x = Value(0.5)
    chain = [x]
    slopes = []
    for step in steps:
        v = chain[-1]
        result, slope = {
            "add": (v + 1.0, 1.0),
            "double": (v + v, 2.0),
            "square": (v * v, 2.0 * v.data),
            "share": ((v + v) * 0.5 + v, 2.0),
        }[step]
        if abs(result.data) > 1e3:
            break
        chain.append(result)
        slopes.append(slope)
    chain[-1].backward()
    expected = 1.0
    for value, slope in zip(reversed(chain), reversed([*slopes, None]), strict=True):
        expected *= slope if slope is not None else 1.0
        assert value.grad == pytest.approx(expected)
