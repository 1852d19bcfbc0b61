"""Skeletons: programs that differ in constants only share what was compiled."""

import numpy as np
import pytest

from liftgrad import Value, lift, nn, vmap
from liftgrad.functional import exp, tanh, total
from liftgrad.lift import pipeline

X = [[0.5, -1.0], [1.5, 0.25], [-0.75, 2.0]]


class Annealed(nn.Module):
    """A neuron with constants that are no parameters."""

    def __init__(self):
        self.w = [Value(0.3), Value(-0.8)]
        self.temperature, self.offset = 0.7, 0.1

    def forward(self, x):
        """Return a number for two."""
        a, b = x
        score = tanh((self.w[0] * a + self.w[1] * b) / self.temperature)
        return score * exp(-self.offset * score * score) + self.offset


def loss(model, X):
    return sum(model(x) * (1.25 + i) for i, x in enumerate(X))


@pytest.fixture
def schedules(monkeypatch):
    """The number of programs that were scheduled, as a list with an entry for each."""
    found = []
    schedule = pipeline.schedule

    def counted(*args):
        found.append(args)
        return schedule(*args)

    monkeypatch.setattr(pipeline, "schedule", counted)
    return found


def derivatives(function, model, *arguments):
    for w in model.w:
        w.grad = 0.0
    result = function(model, *arguments)
    result.backward()
    return [result.data, *[w.grad for w in model.w]]


@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-5)])
def test_an_annealed_attribute_compiles_two_programs(schedules, backend, dtype, tolerance):
    """The second has an input for it, and all others only other numbers there."""
    model, lifted = Annealed(), lift(loss, backend=backend, dtype=dtype)
    for step in range(8):
        model.temperature = 0.7 - 0.05 * step
        expected = derivatives(loss, model, X)
        assert derivatives(lifted, model, X) == pytest.approx(expected, rel=tolerance)
    assert len(schedules) == 2
    assert lifted.stats.traces == 8


def test_a_second_attribute_that_changes_becomes_an_input_too(schedules):
    """With a third program, which serves both."""
    model, lifted = Annealed(), lift(loss)
    for temperature, offset in [(0.7, 0.1), (0.6, 0.1), (0.5, 0.1), (0.5, 0.2), (0.6, 0.3)]:
        model.temperature, model.offset = temperature, offset
        assert derivatives(lifted, model, X) == pytest.approx(derivatives(loss, model, X))
    assert len(schedules) == 3


def test_constants_that_become_equal_or_zero_are_another_structure(schedules):
    """One node stands for equal numbers, and zeros are no numbers like others."""
    model, lifted = Annealed(), lift(loss)
    for temperature in (0.7, 0.6, 0.1, 0.5, 0.55):  # the offset is 0.1
        model.temperature = temperature
        assert derivatives(lifted, model, X) == pytest.approx(derivatives(loss, model, X))
    model.offset = 0.0
    assert derivatives(lifted, model, X) == pytest.approx(derivatives(loss, model, X))
    assert len(schedules) == 4


def test_a_branch_on_the_constant_is_another_structure():
    """The function goes the other way, and its trace shows it."""

    def f(model, x):
        y = model(x)
        return y * y if model.temperature > 0.5 else y

    model, lifted = Annealed(), lift(f)
    for temperature in (0.7, 0.6, 0.55, 0.5, 0.45, 0.65):
        model.temperature = temperature
        assert derivatives(lifted, model, X[0]) == pytest.approx(derivatives(f, model, X[0]))


def test_results_without_arguments_are_those_of_each_call():
    """A constant that is returned is the one of that call, and so are those in containers."""
    model, lifted = Annealed(), lift(lambda m, x: {"y": m(x), "t": m.temperature, "m": [m.offset]})
    for temperature in (0.7, 0.6, 0.5, 0.4):
        model.temperature = temperature
        found = lifted(model, X[0])
        assert (found["t"], found["m"]) == (temperature, [0.1])
        assert found["y"].data == pytest.approx(model(X[0]).data)


def test_each_call_is_differentiated_with_its_own_constants():
    """Also when the next call came before, or the first constants come again."""
    model, lifted = Annealed(), lift(loss)
    temperatures = (0.7, 0.6, 0.5, 0.7, 0.4, 0.5)
    results = []
    for temperature in temperatures:
        model.temperature = temperature
        results.append(lifted(model, X))
    for temperature, result in zip(temperatures, results, strict=True):
        model.temperature = temperature
        expected = derivatives(loss, model, X)
        for w in model.w:
            w.grad = 0.0
        result.backward()
        assert [result.data, *[w.grad for w in model.w]] == pytest.approx(expected)


def test_the_listing_has_the_numbers_of_the_last_call():
    """Though they are inputs of the program."""
    model, lifted = Annealed(), lift(loss)
    for temperature in (0.75, 0.625, 0.875):
        model.temperature = temperature
        lifted(model, X)
        assert f"{temperature}" in str(lifted.program)


def test_the_listing_has_the_names_of_the_last_call():
    """Though another one's program was taken."""

    def f(w):
        a, b = w.values()
        return a * a + tanh(b)

    lifted = lift(f)
    for name in ("left", "right"):
        lifted({name: Value(1.0), "other": Value(2.0)})
        assert f"w.{name}" in str(lifted.program)


def test_an_exponent_is_no_number_of_the_trace(schedules):
    """It is part of the operation, whose derivative depends on it."""
    lifted = lift(lambda x, n: x**n)
    for n in (2, 3, -1, 0):
        x = Value(1.5)
        result = lifted(x, n)
        result.backward()
        assert [result.data, x.grad] == pytest.approx([1.5**n, n * 1.5 ** (n - 1)])
    assert len(schedules) == 4


def test_samples_of_another_size_have_the_constants_too():
    """The memory for each size of a batch is given its numbers."""

    def f(model, X):
        return total(vmap(model)(X))

    model, lifted = Annealed(), lift(f)
    for temperature, rows in [(0.7, 3), (0.6, 3), (0.5, 5), (0.5, 5000), (0.4, 5000)]:
        model.temperature = temperature
        x = np.linspace(-1.0, 1.0, 2 * rows).reshape(rows, 2)
        expected = sum(model([float(a), float(b)]).data for a, b in x)
        assert lifted(model, x).data == pytest.approx(expected)
