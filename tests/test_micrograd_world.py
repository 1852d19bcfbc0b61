"""Programs in the manner of micrograd's demo, its lecture, makemore and microgpt, unchanged.

They run with the import changed, eagerly, and with one decorator lifted, to the same numbers.
"""

import math
import random

import numpy as np
import pytest

from liftgrad import lift
from liftgrad.engine import Value
from liftgrad.errors import LiftError
from liftgrad.nn import MLP, Layer, Module, Neuron

BACKENDS = ["native", "numpy"]


def numbers(model):
    return [p.grad for p in model.parameters()]


def same_lifted(function, model, *arguments):
    """Assert that the lifted function gives what the eager one does, and return that number."""
    model.zero_grad()
    expected = function(model, *arguments)
    expected.backward()
    wanted = numbers(model)
    assert any(wanted)
    for backend in BACKENDS:
        model.zero_grad()
        result = lift(backend=backend)(function)(model, *arguments)
        result.backward()
        assert result.data == pytest.approx(expected.data, rel=1e-12)
        assert numbers(model) == pytest.approx(wanted, rel=1e-12, abs=1e-15)
    model.zero_grad()
    return expected.data


def test_the_demo():
    """The notebook's loss: hinge, L2, and the accuracy by looking at data."""

    def loss(model, X, y):
        inputs = [list(map(Value, row)) for row in X]
        scores = list(map(model, inputs))
        losses = [(1 + -yi * scorei).relu() for yi, scorei in zip(y, scores, strict=True)]
        data_loss = sum(losses) * (1.0 / len(losses))
        alpha = 1e-4
        reg_loss = alpha * sum(p * p for p in model.parameters())
        return data_loss + reg_loss

    random.seed(1337)
    model = MLP(2, [16, 16, 1])
    assert repr(model) == (
        "MLP of [Layer of [" + ", ".join(["ReLUNeuron(2)"] * 16) + "], "
        "Layer of [" + ", ".join(["ReLUNeuron(16)"] * 16) + "], Layer of [LinearNeuron(16)]]"
    )
    X = np.random.default_rng(1).normal(size=(20, 2))
    y = np.where(X[:, 0] * X[:, 1] > 0, 1.0, -1.0)
    first = same_lifted(loss, model, X, y)
    lifted = lift(loss)
    for k in range(20):
        model.zero_grad()
        total = lifted(model, X, y)
        total.backward()
        learning_rate = 1.0 - 0.9 * k / 100
        for p in model.parameters():
            p.data -= learning_rate * p.grad
    assert total.data < first


def test_the_lectures_neuron():
    """Labels, tanh, and tanh once more by exp; figures of the lecture."""
    x1, x2 = Value(2.0, label="x1"), Value(0.0, label="x2")
    w1, w2 = Value(-3.0, label="w1"), Value(1.0, label="w2")
    b = Value(6.8813735870195432, label="b")
    x1w1 = x1 * w1
    x1w1.label = "x1*w1"
    n = x1w1 + x2 * w2 + b
    n.label = "n"
    e = (2 * n).exp()
    for o in (n.tanh(), (e - 1) / (e + 1)):
        for leaf in (x1, x2, w1, w2, b):
            leaf.grad = 0.0
        o.label = "o"
        o.backward()
        assert o.data == pytest.approx(0.7071067811865476, rel=1e-12)
        found = [v.grad for v in (x1, w1, x2, w2)]
        assert found == pytest.approx([-1.5, 1.0, 0.5, 0.0], rel=1e-12)


def test_drawing_code():
    """It walks `_prev` and `_op`, and reads labels."""

    def trace(root):
        nodes, edges = set(), set()

        def build(v):
            if v not in nodes:
                nodes.add(v)
                for child in v._prev:
                    edges.add((child, v))
                    build(child)

        build(root)
        return nodes, edges

    a, b = Value(2.0, label="a"), Value(-3.0, label="b")
    c = (a * b).relu() + a
    nodes, edges = trace(c)
    assert sorted(n._op for n in nodes) == ["", "", "*", "+", "ReLU"]
    assert len(edges) == 5
    assert {n.label for n in nodes if not n._prev} == {"a", "b"}
    assert all(f"{n.data:.4f} {n.grad:.4f}" for n in nodes)


class Scaled(Module):
    """A module of the user's own, with `parameters` overridden."""

    def __init__(self, inside):
        self.inside, self.scale = inside, Value(1.5)

    def __call__(self, x):  # noqa: D102
        y = self.inside(x)
        return [self.scale * v for v in y] if isinstance(y, list) else self.scale * y

    def parameters(self):  # noqa: D102
        return [*self.inside.parameters(), self.scale]


@pytest.mark.parametrize("make", [lambda: Neuron(3), lambda: Layer(3, 1), lambda: MLP(3, [4, 1])])
def test_modules_that_override_parameters(make):
    random.seed(3)
    model = Scaled(make())
    X = np.random.default_rng(3).normal(size=(5, 3))
    same_lifted(lambda model, X: sum((model(x) - 0.5) ** 2 for x in X), model, X)


class Linear(Module):
    """In the manner of makemore: it keeps its output for later looks."""

    def __init__(self, inputs, outputs):
        self.weight = [[Value(random.gauss(0, 1)) for _ in range(outputs)] for _ in range(inputs)]
        self.bias = [Value(0.0) for _ in range(outputs)]

    def __call__(self, x):  # noqa: D102
        self.out = [
            sum((xi * row[j] for xi, row in zip(x, self.weight, strict=True)), b)
            for j, b in enumerate(self.bias)
        ]
        return self.out

    def parameters(self):  # noqa: D102
        return [w for row in self.weight for w in row] + self.bias


class Tanh(Module):
    """Without parameters."""

    def __call__(self, x):  # noqa: D102
        self.out = [v.tanh() for v in x]
        return self.out

    def parameters(self):  # noqa: D102
        return []


class Stack(Module):
    """Layers in order."""

    def __init__(self, layers):
        self.layers = layers

    def __call__(self, x):  # noqa: D102
        for layer in self.layers:
            x = layer(x)
        self.out = x
        return x

    def parameters(self):  # noqa: D102
        return [p for layer in self.layers for p in layer.parameters()]


def test_layers_that_keep_their_outputs():
    """Lifted first: outputs kept by an eager call would be data that the lifted one changes."""
    X = np.random.default_rng(4).normal(size=(6, 3))

    def loss(model, X):
        return sum(sum(v * v for v in model(x)) for x in X) / len(X)

    def make():
        random.seed(5)
        return Stack([Linear(3, 4), Tanh(), Linear(4, 2)])

    eager = make()
    expected = loss(eager, X)
    expected.backward()
    for backend in BACKENDS:
        model = make()
        result = lift(backend=backend)(loss)(model, X)
        result.backward()
        assert result.data == pytest.approx(expected.data, rel=1e-12)
        assert numbers(model) == pytest.approx(numbers(eager), rel=1e-12)


def test_data_in_the_middle_of_a_forward_pass():
    """A softmax that subtracts plain data; Python's own max would be a branch, and is refused."""

    def softmax(logits):
        exps = [(v - logits[0].data).exp() for v in logits]
        return [e / sum(exps) for e in exps]

    def loss(model, X):
        total = 0.0
        for x in X:
            probabilities = softmax(model(x))
            total = total + -probabilities[1].log()
        return total / len(X)

    random.seed(7)
    model = MLP(2, [5, 3])
    X = np.random.default_rng(7).normal(size=(4, 2))
    value = same_lifted(loss, model, X)
    assert math.isfinite(value)


def test_data_is_a_constant():
    """What is computed from `data` passes no gradient, lifted as eagerly."""

    def loss(model, X):
        return sum(model(x) * model(x).data + model(x).data ** 2 for x in X)

    random.seed(8)
    same_lifted(loss, MLP(2, [3, 1]), np.random.default_rng(8).normal(size=(4, 2)))


def test_new_values_are_constants():
    """Of numbers, and of inputs; in the function, in one that it calls, and as sum()'s start."""

    def row(x):
        return [v if isinstance(v, Value) else Value(v) for v in x]

    def loss(model, X):
        total = sum((model(row(x)) for x in X), Value(0.0))
        return total * Value(2.0, label="two") + Value(np.float64(0.5)) ** 2

    random.seed(9)
    model = MLP(2, [3, 1])
    X = np.random.default_rng(9).normal(size=(4, 2))
    same_lifted(loss, model, X)
    row_of_module = _row

    def by_globals(model, X):
        return sum(model(row_of_module(x)) for x in X)

    same_lifted(by_globals, model, X)


def _row(x):
    return [Value(v) for v in x]


def test_no_gradient_flows_from_a_new_value_to_what_it_was_made_of():
    """It is a leaf, as it is eagerly when made of a float."""

    def loss(model, X):
        return sum(Value(model(x).data) * model(x) for x in X)

    random.seed(10)
    same_lifted(loss, MLP(2, [3, 1]), np.random.default_rng(10).normal(size=(4, 2)))


def test_a_new_value_with_operands_of_its_own_is_refused():
    """Nobody knows its derivative; eager it has none either."""

    @lift
    def loss(model, X):
        out = Value(model(X[0]).data, (model(X[0]),), "mine")
        return out * 2.0

    with pytest.raises(LiftError, match=r"test_micrograd_world.py:\d+: a Value is made with oper"):
        loss(MLP(2, [1]), np.ones((1, 2)))
