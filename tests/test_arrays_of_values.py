"""Values in NumPy's arrays of objects: parameters like those in nested lists, eager and lifted."""

import numpy as np
import pytest

from liftgrad import Trainer, Value, lift, nn, optim, recording
from liftgrad.errors import TraceError
from liftgrad.plot.layers import parameter_arrays

values = np.vectorize(Value, otypes=[object])


class Line(nn.Module):
    """Weights in an array, a bias in one without dimensions, and modules in a third."""

    def __init__(self):
        self.w = values([[0.1, -0.2], [0.3, 0.4]])
        self.b = np.array(Value(0.5))
        self.parts = np.array([nn.Linear(1, 1), nn.Linear(1, 1)])
        for part in self.parts:
            part.load_state_dict({"weight": [[2.0]], "bias": [1.0]})

    def __call__(self, x):  # noqa: D102
        h = np.dot(self.w, x)
        return self.parts[0]([h[0] + self.b[()]])[0] * self.parts[1]([h[1]])[0].tanh()


def test_values_in_an_array_are_parameters():
    """Found, named, saved and loaded as in nested lists."""
    model = Line()
    names = ["w.0.0", "w.0.1", "w.1.0", "w.1.1", "b.0"]
    parts = [f"parts.{i}.{name}" for i in (0, 1) for name in ("weight.0.0", "bias.0")]
    assert [name for name, _ in model.named_parameters()] == names + parts
    assert [name for name, _ in model.named_children()] == ["parts.0", "parts.1"]
    state = model.state_dict()
    assert state["w"].tolist() == [[0.1, -0.2], [0.3, 0.4]]
    state["w"] *= 2.0
    model.load_state_dict(state)
    assert [v.data for v in model.w.ravel()] == [0.2, -0.4, 0.6, 0.8]
    assert dict(parameter_arrays(model))["w"].shape == (2, 2)


def outcome(function, *arguments):
    parameters = arguments[0].parameters()
    for p in parameters:
        p.grad = 0.0
    result = function(*arguments)
    result.backward()
    return [result.data, *[p.grad for p in parameters]]


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_lifted_and_recorded_they_are_as_in_the_engine(backend):
    """At each of several calls, between which numbers and the Values themselves change."""

    def loss(model, X):
        return sum(model(x) ** 2 for x in X)

    model, X = Line(), np.random.default_rng(1).normal(size=(3, 2))
    lifted = lift(backend=backend)(loss)
    for change in (None, "number", "Value"):
        if change == "number":
            model.w[0, 1].data = 0.7
        if change == "Value":
            model.w[0, 1] = Value(-0.7)
        expected = outcome(loss, model, X)
        assert all(expected)
        assert outcome(lifted, model, X) == pytest.approx(expected, rel=1e-12)
        with recording():
            assert outcome(loss, model, X) == pytest.approx(expected, rel=1e-12)
    assert lifted.stats.traces == 1


def test_numpys_functions_on_them_lift():
    """As far as they call the operators and methods of what is in the arrays."""
    W, b = values(np.arange(6.0).reshape(2, 3)), values([1.0, 2.0])

    def f(W, b, x):
        return np.sum((np.dot(W, x) + b) ** 2) + np.tanh(W.T).mean() * np.einsum("ij,i->", W, b)

    x = np.array([1.0, -1.0, 2.0])
    expected = f(W, b, x)
    assert lift(f)(W, b, x).data == pytest.approx(expected.data, rel=1e-12)
    captured = lift(lambda x: f(W, b, x))
    assert captured(x).data == pytest.approx(expected.data, rel=1e-12)
    W[0, 0] = Value(5.0)
    assert captured(x).data == pytest.approx(f(W, b, x).data, rel=1e-12)


def test_a_lifted_function_may_not_change_such_an_array():
    """It runs once for many calls."""

    def f(W):
        W[0] = W[0] * 2.0
        return W[0]

    with pytest.raises(TraceError, match="W is changed by the lifted function"):
        lift(f)(values([1.0, 2.0]))


def test_they_are_trained():
    """By a trainer."""
    model, X = Line(), np.random.default_rng(1).normal(size=(8, 2))

    def loss(model, X):
        return sum((model(x) - 1.0) ** 2 for x in X) / len(X)

    trainer = Trainer(lift(loss), optim.SGD(model.parameters(), lr=0.05))
    history = trainer.run(30, model, X)
    assert history.loss[-1] < 0.5 * history.loss[0]
