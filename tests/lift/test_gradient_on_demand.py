"""The gradient of several results: it is compiled once the first of them is differentiated."""

import gc
import random
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from both_ways import BACKENDS, gradients, values

from liftgrad import Value, grad, lift, nn, scan, vmap
from liftgrad.errors import LiftError
from liftgrad.functional import mean, take, tanh, uniform
from liftgrad.lift import pipeline
from liftgrad.lift.ir.loop_error import LoopError
from liftgrad.lift.run import taped
from liftgrad.optim import SGD

X = np.random.default_rng(0).normal(size=(5, 2))


def scores(model, X):
    return [model(x) for x in X]


def make_model(seed=3):
    random.seed(seed)
    return nn.MLP(2, [4, 1])


def gradient_of(results, place, parameters):
    """Return the gradient of one result alone."""
    for p in parameters:
        p.grad = 0.0
    results[place].backward()
    return gradients(parameters)


def eager_gradient(place, seed=3, rows=X):
    model = make_model(seed)
    return gradient_of(scores(model, rows), place, model.parameters())


# When it is compiled.


def test_results_come_without_the_gradient_until_it_is_asked_for():
    """Then the program has more nests and kernels, once and for all models."""
    f, model = lift(scores), make_model()
    result, stats = f(model, X), f.stats
    assert "(without the gradient)" in str(stats)
    assert "adjoint" not in stats.seconds
    before = stats.tensor_operations, stats.kernels
    result[2].backward()
    assert "(with the gradient)" in str(stats)
    assert stats.tensor_operations > before[0]
    assert stats.kernels > before[1]
    seconds = dict(stats.seconds)
    for _ in range(3):
        f(model, X)[1].backward()
    f(make_model(), X)[0].backward()
    assert (stats.seconds, stats.traces) == (seconds, 1)


@pytest.mark.parametrize(
    "function",
    [
        lambda w: w[0] * w[1],
        lambda w: (w[0] * w[1], w[0] > w[1]),
        lambda w: {"loss": w[0] * w[1], "scores": vmap(lambda x: x * 2.0)(np.ones(3))},
    ],
)
def test_a_single_value_has_its_gradient_at_once(function):
    """It is a loss, even beside numbers and arrays."""
    f = lift(function)
    f(values(2.0, 3.0))
    assert f.stats.differentiated
    assert "adjoint" in f.stats.seconds


def test_a_printed_program_has_its_gradient():
    """Whether or not it was asked for before, and the call's results still have theirs."""
    f, model = lift(scores), make_model()
    result = f(model, X)
    text = str(f.program)
    assert "gradient:" in text
    assert gradient_of(result, 0, model.parameters()) == pytest.approx(eager_gradient(0))
    assert str(f.program) == text


def test_a_function_that_would_be_traced_again_has_its_gradient_at_once():
    """Like one with a scan, for what it reads may change before backward()."""
    f = lift(lambda w: scan(lambda h, _: (tanh(h * w), h + w), w, None, 6)[1])
    f(Value(0.5))
    assert f.stats.differentiated


# Which numbers it is of.


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("place", range(5))
def test_any_result_may_be_the_first_to_be_differentiated(backend, dtype, place):
    """All others can be afterwards, and the first one again."""
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    f, model = lift(scores, backend=backend, dtype=dtype), make_model()
    result = f(model, X)
    for i in [place, *range(5), place]:
        got = gradient_of(result, i, model.parameters())
        assert got == pytest.approx(eager_gradient(i), rel=tolerance, abs=tolerance)


@pytest.mark.parametrize("backend", BACKENDS)
def test_arguments_may_change_before_the_first_gradient(backend):
    """It is the gradient at the numbers of the call, of arrays, floats, and computed Values."""

    @lift(backend=backend)
    def f(w, inner, X, rows, k):
        return [w[0] * X[i][0] * k + inner * take(w, rows[i]) for i in range(3)]

    def outcome(function):
        w, X, rows = values(2.0, 3.0, 5.0), np.arange(6.0).reshape(3, 2) + 1.0, np.array([2, 0, 1])
        inner = w[0] * w[1]
        results = function(w, inner, X, rows, 0.5)
        X[...], rows[...] = 9.0, 1
        results[1].backward()
        first = gradients(w)
        (results[0] * results[2]).backward()
        return first, gradients(w)

    got, expected = outcome(f), outcome(f.function)
    assert got[0] == pytest.approx(expected[0], rel=1e-12)
    assert got[1] == pytest.approx(expected[1], rel=1e-12)


def test_a_parameter_set_before_the_first_gradient_refuses_it():
    """As it does later; nothing is compiled for that, and NumPy has the old numbers."""
    f = lift(lambda w: (w * w, w * w * w))
    w = Value(2.0)
    _, b = f(w)
    w.data = 5.0
    with pytest.raises(LiftError, match="after its parameters were set; call backward"):
        b.backward()
    assert not f.stats.differentiated
    a, b = f(w)
    a.backward()
    w.data = 7.0
    a.backward()
    assert w.grad == 20.0
    with pytest.raises(LiftError, match="after its parameters were set; call backward"):
        b.backward()
    w.data, w.grad = 2.0, 0.0
    a, b = lift(f.function, backend="numpy")(w)
    w.data = 5.0
    b.backward()
    assert w.grad == 12.0


def test_another_call_before_the_first_gradient_overwrites_the_numbers():
    """Of the same parameters only; that is said, and the last call has its gradient."""
    f = lift(scores)
    models = [make_model(seed) for seed in range(2)]
    first, other = f(models[0], X), f(models[1], X)
    last = f(models[0], 2.0 * X)
    with pytest.raises(LiftError, match="call backward\\(\\) before calling the function again"):
        first[1].backward()
    for result, rows, seed in ((other, X, 1), (last, 2.0 * X, 0)):
        got = gradient_of(result, 3, models[seed].parameters())
        assert got == pytest.approx(eager_gradient(3, seed, rows), rel=1e-12)
    again = f(models[0], 3.0 * X)
    with pytest.raises(LiftError, match="call backward\\(\\) before calling the function again"):
        last[1].backward()
    got = gradient_of(again, 4, models[0].parameters())
    assert got == pytest.approx(eager_gradient(4, 0, 3.0 * X), rel=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_calls_after_the_first_gradient_see_new_numbers(backend):
    """Of inputs and of parameters that an optimiser moved, in a loop of training."""

    def losses(function):
        model, rng = make_model(), np.random.default_rng(1)
        optimizer, found = SGD(model.parameters(), lr=0.1), []
        for step in range(6):
            rows = rng.normal(size=(5, 2))
            results = function(model, rows)
            found += [y.data for y in results]
            optimizer.zero_grad()
            if step:
                results[step - 1].backward()
                optimizer.step()
        return found

    assert losses(lift(scores, backend=backend)) == pytest.approx(losses(scores), rel=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("count", [3, 5000])
def test_random_numbers_are_not_drawn_again(backend, count):
    """The gradient has those of the call, and Python's generator goes on from there."""

    @lift(backend=backend)
    def f(w, X):
        drawn = vmap(lambda x: x[0] * uniform(x[0]) * w)(X)
        return [w * uniform(w), mean(drawn), uniform(w)]

    random.seed(4)
    w = Value(2.0)
    results = f(w, np.ones((count, 1)))
    state = random.getstate()
    for result in results[:2]:
        w.grad = 0.0
        result.backward()
        assert w.grad == pytest.approx(result.data / 2.0, rel=1e-12)
    assert random.getstate() == state


@pytest.mark.parametrize("backend", BACKENDS)
def test_large_batches_that_run_in_portions(backend):
    """Their inputs are copied whole, and a sum for each portion counts once."""
    rows = np.random.default_rng(2).normal(size=(6000, 2))

    def f(model, X):
        y = vmap(lambda x: [model(x), model(x) * x[0]])(X)
        return [mean(y[0]), mean(y[1]), y[0]]

    eager = make_model()
    expected = mean([eager(x) * x[0] for x in rows])
    expected.backward()
    lifted, model = lift(f, backend=backend), make_model()
    got = gradient_of(lifted(model, rows), 1, model.parameters())
    assert got == pytest.approx(gradients(eager.parameters()), rel=1e-10, abs=1e-13)


def oscillator(p, kicks):
    """Return where an oscillator is after some steps, and the derivative of its energy."""

    def last(p):
        x, v = p[0], p[1]
        for kick in kicks:
            v = v - 0.1 * x * p[2] + kick * tanh(v)
            x = x + 0.1 * v
        return x, v

    def energy(p):
        x, v = last(p)
        return x * x + v * v

    return [*last(p), *grad(energy)(p)]


@pytest.mark.parametrize(
    ("backend", "by"),
    [("native", "loops"), ("native", "kernels"), ("native", "machine"), ("numpy", "loops")],
)
def test_loops_over_time_may_be_unrolled_for_the_gradient_only(backend, by, monkeypatch):
    """The program then has other groups, or runs on the machine, and the numbers move there."""
    if by != "loops":
        adjoint = pipeline.adjoint

        def refusing(program, *arguments):
            if program.loops:
                raise LoopError("not with loops.")
            return adjoint(program, *arguments)

        monkeypatch.setattr(pipeline, "adjoint", refusing)
    monkeypatch.setattr(taped, "_LEAST_GROUPS", 100 if by == "machine" else 10**9)
    kicks = np.random.default_rng(3).normal(size=40)
    f, p = lift(oscillator, backend=backend), values(1.0, 0.5, 0.9)
    given = kicks.copy()
    results, twins = f(p, given), values(1.0, 0.5, 0.9)
    assert f._last.built.rolled.loops
    given[...] = 0.0
    for place in (3, 0, 4):
        expected = gradient_of(oscillator(twins, kicks), place, twins)
        assert gradient_of(results, place, p) == pytest.approx(expected, rel=1e-10)
    for scale in (2.0, 3.0):
        results, eager = f(p, scale * kicks), oscillator(twins, scale * kicks)
        assert [y.data for y in results] == pytest.approx([y.data for y in eager], rel=1e-10)
        expected = gradient_of(eager, 2, twins)
        assert gradient_of(results, 2, p) == pytest.approx(expected, rel=1e-10)
    f(values(1.0, 0.5, 0.9), kicks)
    assert isinstance(f._last, taped.Taped) is (by == "machine")
    assert bool(f._last.built.rolled.loops) is (by == "loops")


class Annealed(nn.Module):
    """Numbers of which one is a constant that changes."""

    def __init__(self):
        self.w, self.temperature = values(0.5, -1.0, 2.0), 1.0

    def forward(self, x):
        """Return three numbers."""
        return [tanh(w * x / self.temperature) * self.temperature for w in self.w]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("late", [0, 1, 2])
def test_programs_that_share_kernels_have_each_its_own_constants(backend, late, monkeypatch):
    """Before and after one of them was compiled with the gradient, which happens once for all."""
    schedules, schedule = [], pipeline.schedule
    monkeypatch.setattr(pipeline, "schedule", lambda *a: schedules.append(a) or schedule(*a))
    f, model = lift(lambda model, x: model(x), backend=backend), Annealed()

    def called(temperature):
        model.temperature = temperature
        return f(model, 0.75)

    def expected(temperature, place):
        eager = Annealed()
        eager.temperature = temperature
        return gradient_of(eager(0.75), place, eager.w)

    called(0.1)
    results = [called(0.2 + 0.1 * i) for i in range(3)]
    for i in [late, 0, 1, 2]:
        got = gradient_of(results[i], i, model.w)
        assert got == pytest.approx(expected(0.2 + 0.1 * i, i), rel=1e-12)
    got = gradient_of(called(0.9), 1, model.w)
    assert got == pytest.approx(expected(0.9, 1), rel=1e-12)
    assert len(schedules) == 3


# Threads and memory.


@pytest.mark.parametrize("backend", BACKENDS)
def test_first_gradients_in_several_threads(backend):
    """The program is compiled once, and each thread gets the gradient of its own call."""
    f, barrier = lift(scores, backend=backend), threading.Barrier(4)
    models = [make_model(seed) for seed in range(4)]
    rows = [X * (i + 1.0) for i in range(4)]
    results = [f(model, x) for model, x in zip(models, rows, strict=True)]

    def work(i):
        barrier.wait()
        first = gradient_of(results[i], i, models[i].parameters())
        return first, gradient_of(f(models[i], rows[0]), i, models[i].parameters())

    with ThreadPoolExecutor(4) as pool:
        for i, (first, second) in enumerate(pool.map(work, range(4))):
            assert first == pytest.approx(eager_gradient(i, i, rows[i]), rel=1e-12)
            assert second == pytest.approx(eager_gradient(i, i, rows[0]), rel=1e-12)
    assert f.stats.traces == 1


def test_the_memory_of_the_program_without_the_gradient_is_released():
    """At once; what is left goes with the model."""
    gc.disable()
    try:
        f, model = lift(scores), make_model()
        result = f(model, X)
        old = weakref.ref(f._last.start(1, result[0]._call.prepared.parameters))
        result[0].backward()
        assert old() is None
        (program,) = f._programs.values.values()
        assert len(program.instances) == 1
        f(model, X)[1].backward()
        assert len(program.instances) == 1
    finally:
        gc.enable()


def test_a_result_may_outlive_a_program_that_has_no_gradient_yet():
    """It is compiled all the same."""
    f = lift(scores)
    f._programs.limit, f._programs.few = 0, 1
    model, rows = make_model(), np.ones((3, 2))
    result = f(model, X)
    f(make_model(), rows)
    got = gradient_of(result, 2, model.parameters())
    assert got == pytest.approx(eager_gradient(2), rel=1e-12)
