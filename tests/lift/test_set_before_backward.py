"""Numbers set between a result and its backward(): the gradient is the result's, everywhere."""

import math
from contextlib import nullcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liftgrad import Trainer, Value, get_num_threads, lift, nn, recording, set_num_threads
from liftgrad.errors import LiftError
from liftgrad.functional import exp, mean, tanh, total
from liftgrad.lift.stand_ins.vmap import vmap
from liftgrad.optim import SGD, Adam

ENGINES = {
    "eager": lambda f: f,
    "recording": lambda f: f,
    "native": lift,
    "numpy": lift(backend="numpy"),
    "float32": lift(dtype="float32"),
}


def within(engine):
    return recording() if engine == "recording" else nullcontext()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("calls", [1, 2, 3])
def test_a_parameter_set_before_backward(engine, calls):
    """w^3 at 1 has the derivative 3, whatever w is by then; at each call, however it runs."""
    w = Value(1.0)
    f = ENGINES[engine](lambda w: (w * 1.0) * (w * 1.0) * w)
    with within(engine):
        for _ in range(calls):
            w.data, w.grad = 1.0, 0.0
            y = f(w)
        w.data = 10.0
        y.backward()
        assert (w.grad, w.data) == (3.0, 10.0)
        y.backward()
        assert w.grad == 6.0
        w.grad = 0.0
        y = f(w)
        y.backward()
        assert w.grad == 300.0


@pytest.mark.parametrize("engine", ENGINES)
def test_a_result_set_before_backward(engine):
    """Its derivative was decided when it was computed; what is computed of it later sees it."""
    x = Value(0.5)
    f = ENGINES[engine](lambda x: exp(x) * 1.0)
    with within(engine):
        y = f(x)
        y.data = 7.0
        z = y * y
        assert z.data == 49.0
        y.backward()
        assert x.grad == pytest.approx(math.exp(0.5), rel=1e-6)
        x.grad = 0.0
        z.backward()
        assert x.grad == pytest.approx(14.0 * math.exp(0.5), rel=1e-6)


@pytest.mark.parametrize("inner", ["eager", "recording"])
def test_an_inner_result_set_before_backward(inner):
    """What was computed of it before keeps the number that it had."""
    x = Value(0.5)
    with within(inner):
        y = exp(x)
        z = y * y
        y.data = 7.0
        z.backward()
    assert x.grad == pytest.approx(2.0 * math.exp(1.0), rel=1e-14)


@pytest.mark.parametrize("engine", ["eager", "recording"])
def test_a_parameter_set_before_second_derivatives(engine):
    """x^4 at 2 has the derivatives 32 and 48."""
    x = Value(2.0)
    with within(engine):
        y = (x * x) * (x * x)
        x.data = 5.0
        y.backward(create_graph=True)
        first = x.grad
        x.grad = 0.0
        first.backward()
        assert (first.data, x.grad) == (32.0, 48.0)


def penalty(model):
    return total([p * p for p in model.parameters()])


def set_all(model):
    for p in model.parameters():
        p.data += 0.5


def set_one(model):
    model.parameters()[0].data = 0.25


def take_a_step(model):
    for p in model.parameters():
        p.grad = 1.0
    optimizer = Adam(model.parameters(), lr=0.1)
    optimizer.step()
    optimizer.zero_grad()


def load(model):
    model.load_state_dict({name: x + 1.0 for name, x in model.state_dict().items()})


def fit(model, backend="native"):
    optimizer = SGD(model.parameters(), lr=0.1)
    Trainer(lift(backend=backend)(penalty), optimizer).fit(3, model)


def fit_with_numpy(model):
    fit(model, "numpy")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("change", [set_all, set_one, take_a_step, load, fit, fit_with_numpy])
@pytest.mark.parametrize("calls", [1, 3])
def test_parameters_changed_before_backward(engine, change, calls):
    """By hand, by an optimiser, a file, or a trainer: the gradient is that of the loss before."""

    def loss(model, x):
        return sum((model([a, 1.0]) - 1.0) ** 2 for a in x)

    def gradient(name, change):
        model = nn.MLP(2, [3, 1])
        for i, p in enumerate(model.parameters()):
            p.data = math.sin(i + 1.0)
        f = ENGINES[name](loss)
        with within(name):
            for _ in range(calls):
                y = f(model, [0.3, -0.4])
            before = [p.data for p in model.parameters()]
            change(model)
            assert name == "eager" or [p.data for p in model.parameters()] != before
            model.zero_grad()
            y.backward()
            return [p.grad for p in model.parameters()]

    tolerance = 1e-4 if engine == "float32" else 1e-12
    expected = gradient("eager", lambda model: None)
    assert gradient(engine, change) == pytest.approx(expected, rel=tolerance, abs=tolerance)


def test_a_step_before_backward_of_a_large_batch():
    """Which runs a portion at a time, twice: forward, and all again for the gradient."""
    before, X = get_num_threads(), np.linspace(-1.0, 1.0, 20_000).reshape(-1, 2)
    set_num_threads(2)
    try:
        w = [Value(0.5), Value(-0.25)]
        f = lift(lambda w, X: mean(vmap(lambda x: tanh(w[0] * x[0] + w[1] * x[1]))(X)))
        expected = None
        for k in range(4):
            for p, number in zip(w, (0.5, -0.25), strict=True):
                p.data, p.grad = number, 0.0
            y = f(w, X)
            if k:
                w[0].data = 9.0
            if k != 2:  # so that the next result is computed without its gradient
                y.backward()
                expected = expected or [p.grad for p in w]
                assert [p.grad for p in w] == expected
    finally:
        set_num_threads(before)


def test_one_of_several_results_after_a_parameter_was_set():
    """It is refused, if its gradient is not there yet, and NumPy has it."""
    w = Value(2.0)
    f = lift(lambda w: (w * w, w * w * w))
    a, b = f(w)
    a.backward()
    w.data = 5.0
    a.backward()
    assert w.grad == 8.0
    with pytest.raises(LiftError, match="after its parameters were set; call backward"):
        b.backward()
    a, b = f(w)
    b.backward()
    assert w.grad == 8.0 + 75.0
    w.data, w.grad = 2.0, 0.0
    a, b = lift(backend="numpy")(f.function)(w)
    w.data = 5.0
    b.backward()
    assert w.grad == 12.0


def test_graphs_that_are_partly_lifted():
    """Eager operations before and after a lifted function, and two functions of one parameter."""
    w = Value(2.0)
    square, cube = lift(lambda w: w * w), lift(lambda w: w * w * w)
    for _ in range(3):
        w.data, w.grad = 2.0, 0.0
        y = square(w) * cube(w) + cube(w * w) * w
        w.data = 7.0
        y.backward()
        assert w.grad == 5 * 2.0**4 + 7 * 2.0**6
        square(w).backward()


@given(
    st.lists(
        st.tuples(st.sampled_from(["call", "set", "backward", "step"]), st.integers(0, 2)),
        min_size=3,
        max_size=14,
    )
)
@settings(max_examples=60)
def test_any_story_has_one_outcome(story):
    """Calls, sets, steps and gradients of three results in any order, on all engines."""

    def f(w, x):
        return tanh(w[0] * x) * w[1] + w[0] * w[0] * w[1]

    def outcome(engine):
        w = [Value(0.5), Value(-1.5)]
        optimizer, function = SGD(w, lr=0.1), ENGINES[engine](f)
        results, seen = [None] * 3, []
        with within(engine):
            for i, (what, k) in enumerate(story):
                if what == "call":
                    results[k] = function(w, 0.25 * i)
                elif what == "set":
                    w[k % 2].data = 0.5 + 0.1 * i
                elif what == "step":
                    optimizer.step()
                elif results[k] is not None:
                    results[k].backward()
                seen += [w[0].data, w[1].data, w[0].grad, w[1].grad]
        return seen

    expected = outcome("eager")
    for engine in ("recording", "native", "numpy"):
        assert outcome(engine) == pytest.approx(expected, rel=1e-12, abs=1e-12), engine
