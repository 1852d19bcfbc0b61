"""Repeated calls: each sees its own inputs, and each gradient is that of its own call."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liftgrad import Value, lift, nn, optim
from liftgrad.lift.native.memory import Instance

BACKENDS = ["native", "numpy"]
ACTIONS = ["call", "backward", "backward of the last but one", "scaled", "zero", "step", "move"]


def loss(ws, b, X, y):
    """Return a loss whose gradient depends on everything."""
    errors = [
        (sum(w * x for w, x in zip(ws, row, strict=True)) + b - t).tanh()
        for row, t in zip(X, y, strict=True)
    ]
    return sum(e * e for e in errors) / len(errors) + 0.1 * b * b


class Scene:
    """Parameters, their optimiser and data, on which the same actions are done."""

    def __init__(self, function):
        self.function = function
        self.ws, self.b = [Value(0.3), Value(-0.7)], Value(0.1)
        self.optimizer = optim.SGD([*self.ws, self.b], lr=0.25, momentum=0.5)
        self.X = np.arange(6.0).reshape(3, 2) / 7
        self.y = np.array([0.5, -0.25, 0.125])
        self.results = []

    def do(self, action):
        """Do one of the actions, if there is what it needs."""
        if action == "call":
            self.results.append(self.function(self.ws, self.b, self.X, self.y))
        elif action == "backward" and self.results:
            self.results[-1].backward()
        elif action == "backward of the last but one" and len(self.results) > 1:
            self.results[-2].backward()
        elif action == "scaled" and self.results:
            (self.results[-1] * 3.0).backward()
        elif action == "zero":
            self.optimizer.zero_grad()
        elif action == "step":
            self.optimizer.step()
            self.results.clear()  # eager graphs would see the parameters' new numbers
        elif action == "move":
            self.X += 0.125
            self.y = -self.y

    def numbers(self):
        """Return all that can be seen."""
        values = [*self.results, *self.ws, self.b]
        return [x.data for x in values] + [p.grad for p in [*self.ws, self.b]]


@pytest.mark.parametrize("backend", BACKENDS)
@given(actions=st.lists(st.sampled_from(ACTIONS), max_size=12))
@settings(max_examples=150, deadline=None)
def test_any_order_of_calls_and_gradients_is_as_in_the_engine(backend, actions):
    """Calls, gradients and steps in random order give the eager engine's numbers."""
    eager, lifted = Scene(loss), Scene(LIFTED[backend])
    for action in actions:
        eager.do(action)
        lifted.do(action)
        np.testing.assert_allclose(lifted.numbers(), eager.numbers(), rtol=1e-12, atol=1e-14)


LIFTED = {backend: lift(backend=backend)(loss) for backend in BACKENDS}


def arrays_alike(X):
    """Yield arrays with X's numbers that lie otherwise in memory, or are of another type."""
    yield X
    yield np.asfortranarray(X)
    yield np.repeat(X, 2, axis=1)[:, ::2]
    yield X[::-1].copy()[::-1]
    yield X.astype(np.float32)
    yield X.astype(">f8")


@pytest.mark.parametrize("backend", BACKENDS)
def test_inputs_may_have_any_layout_in_memory(backend):
    """Strided, reversed, big-endian and float32 arrays are inputs like others."""
    function = lift(backend=backend)(loss)
    scene = Scene(function)
    for X in itertools.chain(arrays_alike(scene.X), arrays_alike(scene.X + 1)):
        expected = loss(scene.ws, scene.b, np.array(X, np.float64), scene.y)
        again = function(scene.ws, scene.b, X, scene.y)
        assert again.data == pytest.approx(expected.data, rel=1e-12)


def test_inputs_changed_in_place_are_seen():
    """A number that changes within an array is used at the next call."""
    function = lift(loss)
    scene = Scene(function)
    for number in (0.0, 1.0, -2.0):
        scene.X[1, 1] = number
        expected = loss(scene.ws, scene.b, scene.X, scene.y).data
        assert function(scene.ws, scene.b, scene.X, scene.y).data == pytest.approx(expected)


def test_a_layout_that_strides_cannot_describe_is_not_copied_to_by_strides():
    """A permuted layout is written to by its strides only if it has some."""
    instance = object.__new__(Instance)
    instance.arrays = {0: np.zeros(6), 1: np.zeros((3, 4))}
    instance.layouts = {0: np.array([0, 1, 2, 4, 3, 5]), 1: None}
    assert instance.target(0, (2, 3)) is None
    instance.layouts[0] = np.array([0, 2, 4, 1, 3, 5])
    target = instance.target(0, (2, 3))
    target[...] = [[0, 1, 2], [3, 4, 5]]
    assert instance.arrays[0].tolist() == [0, 3, 1, 4, 2, 5]
    samples_first = instance.target(1, (4, 3))
    samples_first[...] = np.arange(12).reshape(4, 3)
    assert instance.arrays[1].tolist() == np.arange(12).reshape(4, 3).T.tolist()


def test_a_captured_function_that_is_rebound_is_seen():
    """A repeated call asks what its function's names stand for."""
    scale = [lambda x: x, lambda x: x * 2][0]

    @lift
    def scaled(w):
        return scale(w) * 1.0

    w = Value(3.0)
    assert [scaled(w).data for _ in range(3)] == [3.0] * 3
    scale = lambda x: x * 2  # noqa: E731
    assert [scaled(w).data for _ in range(3)] == [6.0] * 3


def test_parameters_of_two_functions_gather_the_gradients_of_both():
    """Two lifted functions of one model add to the same gradients."""
    model = nn.MLP(2, [3, 1])
    first = lift(lambda m, x: m(x) * 2)
    second = lift(lambda m, x: m(x).tanh())
    x = [0.5, -1.5]
    for _ in range(3):
        for p in model.parameters():
            p.grad = 0.0
        first(model, np.array(x)).backward()
        second(model, np.array(x)).backward()
        lifted = [p.grad for p in model.parameters()]
        for p in model.parameters():
            p.grad = 0.0
        (model(x) * 2).backward()
        model(x).tanh().backward()
        np.testing.assert_allclose(lifted, [p.grad for p in model.parameters()], rtol=1e-12)


class Settings(nn.Module):
    """Parameters among static numbers, all of which can be set to others."""

    def __init__(self):
        self.w = [Value(2.0), Value(3.0)]
        self.zero, self.count, self.sizes = 0.0, 1, [1, 2]


def by_settings(m, x):
    total = m.w[0] * x[0] + m.w[1] + m.sizes[0] * 100.0 + m.zero
    signed = total * np.copysign(1.0, m.zero) if isinstance(m.zero, float) else total
    return signed * 10.0 if isinstance(m.count, bool) else signed * m.count


CHANGES = {
    "a number becomes another zero": lambda m: setattr(m, "zero", -0.0),
    "an int becomes a bool": lambda m: setattr(m, "count", True),
    "an int becomes a Value": lambda m: setattr(m, "count", Value(1.0)),
    "a parameter becomes its number": lambda m: m.w.__setitem__(1, 3.0),
    "a parameter becomes its number and another one": lambda m: (
        m.w.__setitem__(1, 3.0),
        by_lift(m, np.ones(1)),
        m.w.__setitem__(1, Value(3.0)),
    ),
    "a number in a list becomes a Value": lambda m: m.sizes.__setitem__(0, Value(1.0)),
    "a parameter becomes another of its number": lambda m: m.w.__setitem__(0, Value(2.0)),
}
by_lift = lift(by_settings)


@pytest.mark.parametrize("change", CHANGES)
def test_an_equal_number_or_value_is_a_different_one(change):
    """A repeated call sees that a number or Value was replaced by one that equals it."""
    m = Settings()
    for _ in range(3):
        by_lift(m, np.ones(1))
    CHANGES[change](m)
    for p in m.parameters():
        p.grad = 0.0
    lifted = by_lift(m, np.ones(1))
    lifted.backward()
    gradients = [p.grad for p in m.parameters()]
    for p in m.parameters():
        p.grad = 0.0
    eager = by_settings(m, np.ones(1))
    eager.backward()
    assert lifted.data == eager.data
    assert gradients == [p.grad for p in m.parameters()]
