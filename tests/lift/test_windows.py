"""Values that a lifted function has seen: windows on its memory, and Values like any other."""

import copy
import gc
import pickle
import random
import weakref

import numpy as np
import pytest

from liftgrad import Value, lift, nn, optim, vmap
from liftgrad.functional import mean, total
from liftgrad.lift.run.parameters import Window
from liftgrad.lift.trace.tape import Tape


def score(model, x):
    return model(x)


def squared(model, X, y):
    return mean([(model(x) - yi) ** 2 for x, yi in zip(X, y, strict=True)])


@pytest.fixture
def data():
    """Eight points and their targets."""
    rng = np.random.default_rng(3)
    return rng.normal(size=(8, 2)), rng.normal(size=8)


@pytest.fixture
def model():
    """A small network, the same each time."""
    random.seed(3)
    return nn.MLP(2, [4, 1], activation="tanh")


def test_parameters_become_windows_and_stay_themselves(model):
    """The same objects, Values still, with their labels, numbers and gradients."""
    parameters = model.parameters()
    numbers = [p.data for p in parameters]
    parameters[3].label, parameters[3].grad = "three", 5.0
    lift(score)(model, [1.0, 2.0])
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))
    assert all(isinstance(p, Value) and type(p) is Window for p in parameters)
    assert [p.data for p in parameters] == numbers
    assert (parameters[3].label, parameters[3].grad, parameters[2].grad) == ("three", 5.0, 0.0)
    assert repr(parameters[3]) == f"Value(data={numbers[3]}, grad=5.0)"
    assert type(parameters[3].data) is type(parameters[3].grad) is float


def test_attributes_stay(model):
    """What a program has set on parameters, and what it sets later; in copies, too."""
    first, second, *_ = model.parameters()
    first.m = 1.0
    lift(score)(model, [1.0, 2.0])
    second.m = 2.0
    twins = copy.deepcopy(model).parameters()
    assert (first.m, second.m, twins[0].m, twins[1].m) == (1.0, 2.0, 1.0, 2.0)
    assert not hasattr(twins[2], "m")


@pytest.mark.parametrize("number", [2.5, 2, True, np.float32(2.5), np.float64(-1.0), np.int64(7)])
def test_numbers_that_are_assigned_are_seen(number):
    """By the lifted function, whatever kind of number it is."""
    f = lift(lambda xs: xs[0] * xs[1])
    xs = [Value(3.0), Value(4.0)]
    f(xs)
    xs[0].data = number
    result = f(xs)
    result.backward()
    assert (result.data, xs[1].grad) == (number * 4.0, number)
    xs[0].data += 1.0
    xs[1].grad = number
    assert f(xs).data == (number + 1.0) * 4.0
    assert xs[1].grad == number


def test_what_is_no_number_cannot_be_assigned():
    """A window looks on numbers only."""
    x = Value(3.0)
    lift(lambda x: x * x)(x)
    with pytest.raises(TypeError):
        x.data = "text"
    assert x.data == 3.0


def test_eager_use_goes_on_as_before(model, data):
    """The same numbers, the same gradients, bit by bit those of a model that was never lifted."""
    fresh = copy.deepcopy(model)
    lift(squared)(model, *data)
    for _ in range(2):
        results = []
        for m in (model, fresh):
            m.zero_grad()
            result = squared(m, *data)
            result.backward()
            results.append([result.data, *[p.grad for p in m.parameters()]])
        assert results[0] == results[1]


def test_second_derivatives_by_the_engine(model):
    """Gradients that are Values themselves are kept as such, and forgotten with zero_grad()."""
    lift(score)(model, [1.0, 2.0])
    w = model.layers[0].neurons[0].w[0]
    (w**3).backward(create_graph=True)
    assert isinstance(w.grad, Value)
    gradient = w.grad
    model.zero_grad()
    assert w.grad == 0.0
    gradient.backward()
    assert w.grad == 6.0 * w.data
    lift(score)(model, [1.0, 2.0]).backward()
    assert isinstance(w.grad, float)


def test_a_gradient_that_is_a_value_is_added_to(model):
    """The lifted gradient joins it, as the engine's would."""
    f = lift(score)
    f(model, [1.0, 2.0])
    w = model.layers[0].neurons[0].w[0]
    (w**3).backward(create_graph=True)
    expected = w.grad.data
    f(model, [1.0, 2.0]).backward()
    assert isinstance(w.grad, Value)
    fresh = copy.deepcopy(model)
    fresh.zero_grad()
    score(fresh, [1.0, 2.0]).backward()
    part = fresh.layers[0].neurons[0].w[0].grad
    assert w.grad.data == pytest.approx(expected + part, rel=1e-12)


@pytest.mark.parametrize(
    "again",
    [
        copy.deepcopy,
        lambda x: pickle.loads(pickle.dumps(x)),
        lambda x: pickle.loads(pickle.dumps(x, protocol=0)),
        lambda x: pickle._loads(pickle._dumps(x)),
    ],
    ids=["deepcopy", "pickle", "pickle 0", "pickle in Python"],
)
def test_copies_are_plain_and_independent(model, again):
    """With numbers and gradients as they are, on no memory of anybody's."""
    f = lift(score)
    f(model, [1.0, 2.0]).backward()
    copied = again(model)
    originals, copies = model.parameters(), copied.parameters()
    assert all(type(p) is Value for p in copies)
    assert [(p.data, p.grad) for p in copies] == [(p.data, p.grad) for p in originals]
    copies[0].data = 100.0
    assert originals[0].data != 100.0
    assert f(copied, [1.0, 2.0]).data == pytest.approx(score(copied, [1.0, 2.0]).data, rel=1e-12)
    assert f.stats.traces == 1


def test_single_values_and_results_are_copied_as_numbers(model):
    """A result is copied without its call; what was made of it eagerly keeps its graph."""
    result = lift(score)(model, [1.0, 2.0])
    parameter = model.parameters()[0]
    for x in (parameter, result):
        for copied in (copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
            assert (type(copied), copied.data, copied.grad) == (Value, x.data, x.grad)
            assert copied._prev == ()
    further = pickle.loads(pickle.dumps(result * 2.0))
    further.backward()
    assert further._prev[0].grad == 2.0


def test_state_dicts(model, data):
    """Saved, and loaded into the model or another, before or after it was lifted."""
    f = lift(squared)
    before = f(model, *data).data
    state = model.state_dict()
    for p in model.parameters():
        p.data *= 1.5
    assert f(model, *data).data != before
    model.load_state_dict(state)
    assert f(model, *data).data == before
    other = nn.MLP(2, [4, 1], activation="tanh")
    other.load_state_dict(state)
    assert f(other, *data).data == before


def test_two_functions_share_a_model(model, data):
    """Each sees what the other's training did; gradients of both add up."""
    f, g = lift(squared), lift(lambda m: sum(p * p for p in m.parameters()))
    (f(model, *data) + g(model)).backward()
    fresh = copy.deepcopy(model)
    fresh.zero_grad()
    (squared(fresh, *data) + sum(p * p for p in fresh.parameters())).backward()
    wanted = [p.grad for p in fresh.parameters()]
    assert [p.grad for p in model.parameters()] == pytest.approx(wanted, rel=1e-12)


def test_functions_that_see_parts_of_a_model(model):
    """A layer here, single weights there, in another order, all of it: each is right."""
    first, *rest = model.parameters()
    calls = [
        (lambda layer, x: sum(layer(x)), (model.layers[0], [1.0, 2.0])),
        (lambda ws: ws[0] * ws[1] ** 2, ([rest[0], first],)),
        (lambda m, w: m([1.0, 2.0]) * w, (model, Value(3.0))),
        (lambda ps: sum(p * p for p in ps), (model.parameters()[::-1],)),
    ]
    for _ in range(2):
        for function, arguments in calls:
            lifted = lift(function)
            for p in model.parameters():
                p.data += 0.125
            model.zero_grad()
            expected = function(*arguments)
            expected.backward()
            wanted = [p.grad for p in model.parameters()]
            model.zero_grad()
            result = lifted(*arguments)
            result.backward()
            assert result.data == pytest.approx(expected.data, rel=1e-12)
            assert [p.grad for p in model.parameters()] == pytest.approx(wanted, rel=1e-12)


# Optimisers.


def forget_state(optimizer):
    for name in optimizer.state_names:
        optimizer.state[name] = [0.0] * len(optimizer.params)


def change_state(optimizer):
    for name in optimizer.state_names:
        optimizer.state[name][1] = 0.5


def change_gradient(optimizer):
    optimizer.params[2].grad = 0.25


BETWEEN = {
    5: lambda optimizer: setattr(optimizer, "weight_decay", 0.1),
    8: lambda optimizer: setattr(optimizer, "lr", 0.05),
    11: lambda optimizer: optimizer.load_state_dict(optimizer.state_dict()),
    13: forget_state,
    15: change_state,
    17: change_gradient,
}


@pytest.mark.parametrize(
    "make",
    [
        lambda ps: optim.SGD(ps, lr=0.1),
        lambda ps: optim.SGD(ps, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
        lambda ps: optim.Adam(ps, lr=optim.linear(0.1, 0.01, steps=10)),
    ],
    ids=["SGD", "nesterov", "Adam"],
)
def test_optimisers_step_as_they_do_on_plain_values(model, data, make):
    """Natively, all at once, with changes of settings, state and gradients in between."""
    fresh = copy.deepcopy(model)
    native, plain = make(model.parameters()), make(fresh.parameters())
    f = lift(squared)
    for step in range(20):
        for function, m, optimizer in ((f, model, native), (squared, fresh, plain)):
            optimizer.zero_grad()
            function(m, *data).backward()
            BETWEEN.get(step, id)(optimizer)
            optimizer.step()
        wanted = [p.data for p in fresh.parameters()]
        assert [p.data for p in model.parameters()] == pytest.approx(wanted, rel=1e-10), step
    for name in native.state_names:
        assert list(native.state[name]) == pytest.approx(plain.state[name], rel=1e-10)


# Types and backends.


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_float32(model, data, backend):
    """Close to float64, and parameters are rounded to what is computed with."""
    fresh = copy.deepcopy(model)
    expected = squared(fresh, *data)
    expected.backward()
    f = lift(dtype="float32", backend=backend)(squared)
    result = f(model, *data)
    result.backward()
    wanted = [p.grad for p in fresh.parameters()]
    assert result.data == pytest.approx(expected.data, rel=1e-5)
    assert [p.grad for p in model.parameters()] == pytest.approx(wanted, rel=1e-4, abs=1e-6)
    for p, before in zip(model.parameters(), fresh.parameters(), strict=True):
        assert p.data == float(np.float32(before.data))
    model.parameters()[0].data = 0.1
    assert model.parameters()[0].data == float(np.float32(0.1))


def test_float32_batches_are_float32():
    """Results for each sample have the type that was computed in."""
    f = lift(dtype="float32")(lambda w, X: vmap(lambda x: w * x[0])(X))
    result = f(Value(0.1), np.ones((3, 1)))
    assert result.dtype == np.float32
    assert result.tolist() == [float(np.float32(0.1))] * 3


def test_one_model_in_both_types(model, data):
    """Parameters stay as exact as their first function made them."""
    double, single = lift(squared), lift(dtype="float32")(squared)
    first = double(model, *data).data
    numbers = [p.data for p in model.parameters()]
    result = single(model, *data)
    assert result.data == pytest.approx(first, rel=1e-5)
    assert [p.data for p in model.parameters()] == numbers
    result.backward()
    assert double(model, *data).data == first


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_numpy_backend_gives_the_same(model, data, dtype):
    """Values, gradients, batches."""
    tolerance = 1e-12 if dtype == "float64" else 1e-4

    def f(model, X, y):
        results = vmap(lambda x, t: (model(x) - t) ** 2)(X, y)
        return total(results), results

    outcomes = []
    for backend in ("native", "numpy"):
        m = copy.deepcopy(model)
        loss, each = lift(dtype=dtype, backend=backend)(f)(m, *data)
        loss.backward()
        outcomes.append([loss.data, *each.tolist(), *[p.grad for p in m.parameters()]])
    assert outcomes[0] == pytest.approx(outcomes[1], rel=tolerance, abs=tolerance)


# Memory.


def freed(make):
    """Make something; return whether it is gone once nobody refers to it."""
    references = [weakref.ref(x) for x in make()]
    gc.collect()
    return [reference() is None for reference in references]


def test_a_model_is_freed_when_the_user_drops_it(data):
    """Though the function that was called with it last lives on."""
    f = lift(squared)

    def use():
        model = nn.MLP(2, [4, 1])
        f(model, *data).backward()
        f(model, *data).backward()
        return [model, model.parameters()[0]]

    assert freed(use) == [True, True]
    assert f.stats.cache_hits == 1


def test_a_function_is_freed_with_all_that_it_keeps(model, data):
    """Programs, results and optimisers."""

    def use():
        f = lift(squared)
        result = f(model, *data)
        (result * 2.0).backward()
        optimizer = optim.Adam(model.parameters())
        optimizer.step()
        return [f, f._last, result, result._call, optimizer]

    assert freed(use) == [True] * 5


def test_results_do_not_keep_the_tape():
    """Of the trace nothing is left but the program."""
    functions = [
        lift(lambda xs: [{"a": x * x} for x in xs]),
        lift(lambda xs: sum(xs)),  # noqa: PLW0108
    ]
    earlier = [x for x in gc.get_objects() if isinstance(x, Tape)]  # of other tests' failures
    results = [f([Value(1.0), 2.0]) for f in functions]
    gc.collect()
    tapes = [x for x in gc.get_objects() if isinstance(x, Tape)]
    assert not [tape for tape in tapes if not any(tape is known for known in earlier)]
    assert results[0][1]["a"].data == 4.0
