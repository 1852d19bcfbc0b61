"""The figures that micrograd publishes, repeated."""

import random

import pytest

from liftgrad.engine import Value
from liftgrad.nn import MLP


def test_the_readme_example():
    """micrograd's README: 24.7041, and the gradients 138.8338 and 645.5773."""
    a = Value(-4.0)
    b = Value(2.0)
    c = a + b
    d = a * b + b**3
    c += c + 1
    c += 1 + c + (-a)
    d += d * 2 + (b + a).relu()
    d += 3 * d + (b - a).relu()
    e = c - d
    f = e**2
    g = f / 2.0
    g += 10.0 / f
    assert f"{g.data:.4f}" == "24.7041"
    g.backward()
    assert f"{a.grad:.4f}" == "138.8338"
    assert f"{b.grad:.4f}" == "645.5773"


def test_the_sanity_check():
    """micrograd's first test: at x = -4, y is -20 and dy/dx is 46."""
    x = Value(-4.0)
    z = 2 * x + 2 + x
    q = z.relu() + z * x
    h = (z * z).relu()
    y = h + q + q * x
    y.backward()
    assert (y.data, x.grad) == (-20.0, 46.0)


@pytest.mark.thorough
def test_the_demo():
    """micrograd's demo.ipynb, loss as written there: losses as published, the first exactly."""
    from liftgrad.data import make_moons  # noqa: PLC0415, the figures above need no data

    random.seed(1337)
    points, labels = make_moons(100, noise=0.1, seed=1337)
    model = MLP(2, [16, 16, 1])

    losses = []
    for k in range(100):
        inputs = [list(map(Value, row)) for row in points]
        scores = list(map(model, inputs))
        margins = [(1 + -yi * score).relu() for yi, score in zip(labels, scores, strict=True)]
        data_loss = sum(margins) * (1.0 / len(margins))
        penalty = 1e-4 * sum(p * p for p in model.parameters())
        total_loss = data_loss + penalty
        losses.append(total_loss.data)

        model.zero_grad()
        total_loss.backward()
        learning_rate = 1.0 - 0.9 * k / 100
        for p in model.parameters():
            p.data -= learning_rate * p.grad

    assert losses[0] == 0.8958441028683222
    assert losses[1] == pytest.approx(1.7235905336972022, rel=1e-9)
    assert losses[99] == pytest.approx(0.010978370135492717, rel=1e-9)
