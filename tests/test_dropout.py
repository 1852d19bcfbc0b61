"""Dropout, and random numbers in lifted functions: drawn at each call, as eager ones are."""

import random

import numpy as np
import pytest

from liftgrad import Trainer, Value, functional, grad, lift, nn, optim, vmap

BACKENDS = ["native", "numpy"]
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(6, 3)), RNG.normal(size=(6, 1))


def network():
    """A network with two dropouts, always the same one."""
    random.seed(1)
    return nn.Sequential(
        *(nn.Dropout(0.2), nn.Linear(3, 8), nn.Tanh()),
        *(nn.Dropout(0.5), nn.Linear(8, 1)),
    )


def loss(model, X, Y):
    return functional.mean(vmap(lambda x, y: (model(x)[0] - y[0]) ** 2)(X, Y))


def loops(model, X, Y):
    return functional.mean([(model(x)[0] - y[0]) ** 2 for x, y in zip(X, Y, strict=True)])


def mixed(model, X, Y):
    """Draws before, between, within and after vmaps, some of them unused."""
    first = functional.uniform(model[1].bias[0])
    functional.uniform(first * 2.0)
    cost = loss(model, X, Y) * first
    noise = functional.total(vmap(lambda y: functional.uniform(y[0]) * y[0])(Y))
    noise += functional.total(vmap(lambda y: functional.uniform(y[0]) * y[0])(Y))
    return cost + noise * functional.uniform(noise) * model[1].bias[0]


def measured(function, model, seed):
    """The value, the gradients, and what `random` gives next."""
    random.seed(seed)
    model.zero_grad()
    value = function(model, X, Y)
    value.backward()
    return value.data, [p.grad for p in model.parameters()], random.random()


def test_dropout_zeroes_or_scales():
    """A share p of the numbers is 0 and the rest scaled up, each by its own draw."""
    random.seed(0)
    layer = nn.Dropout(0.25)
    out = layer([[1.0] * 100] * 100)
    assert {x for row in out for x in row} == {0.0, 1.0 / 0.75}
    assert np.mean(out) == pytest.approx(1.0, abs=0.03)
    random.seed(5)
    expected = [0.0 if random.random() < 0.25 else 2.0 / 0.75 for _ in range(9)]
    random.seed(5)
    x = [Value(2.0) for _ in range(9)]
    out = layer(x)
    assert [y.data for y in out] == expected
    functional.total(out).backward()
    assert [v.grad * 2.0 for v in x] == expected


def test_without_training_or_probability_dropout_is_the_identity():
    """It then draws nothing, either."""
    random.seed(5)
    state = random.getstate()
    x = [Value(1.0)]
    assert nn.Dropout(0.0)(x) is x
    assert nn.Dropout(0.5).eval()(x) is x
    assert random.getstate() == state
    assert [y.data for y in nn.Dropout(1.0)(x)] == [0.0]
    with pytest.raises(ValueError, match=r"probability from 0 to 1; got p=1\.5"):
        nn.Dropout(1.5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("function", [loss, loops, mixed])
def test_lifted_functions_draw_as_eager_ones_do(function, backend):
    """Each call of one program draws the eager call's numbers, and leaves `random` where it did."""
    model, lifted = network(), lift(backend=backend)(function)
    values = set()
    for seed in (5, 6):
        value, gradients, after = measured(function, model, seed)
        value2, gradients2, after2 = measured(lifted, model, seed)
        assert value2 == pytest.approx(value, rel=1e-12)
        assert gradients2 == pytest.approx(gradients, rel=1e-12, abs=1e-14)
        assert after2 == after
        values.add(value)
    assert len(values) == 2
    assert lifted.stats.traces == 1


def test_evaluation_is_another_program():
    """After eval() a lifted function draws nothing."""
    model, lifted = network(), lift(loss)
    lifted(model, X, Y)
    model.eval()
    assert lifted(model, X, Y).data == pytest.approx(loss(model, X, Y).data, rel=1e-12)
    assert "random" not in str(lifted.program)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_many_numbers_are_drawn_like_few(dtype):
    """NumPy takes over; and gradients see their values' numbers, also where portions run twice."""
    rows = 10_000
    data = np.arange(3.0 * rows).reshape(rows, 3) / rows

    def f(w, X):
        return functional.mean(vmap(lambda x: nn.Dropout(0.5)([w * x[0] * x[1]])[0])(X))

    random.seed(5)
    draws = np.array([random.random() for _ in range(rows)])
    after = random.random(), random.gauss(0.0, 1.0)
    w = Value(2.0)
    random.seed(5)
    value = lift(dtype=dtype)(f)(w, data)
    assert (random.random(), random.gauss(0.0, 1.0)) == after
    value.backward()
    expected = np.mean(np.where(draws < 0.5, 0.0, 2.0 * data[:, 0] * data[:, 1]))
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    assert w.grad == pytest.approx(expected, rel=tolerance)
    assert value.data == pytest.approx(2.0 * expected, rel=tolerance)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("steps", [7, 60])
def test_a_trainer_draws_anew_at_each_step(backend, steps):
    """As the eager loop does, with batches of two sizes; a few numbers in all, and many."""
    model, native = network(), network()
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    random.seed(9)
    losses = []
    for step in range(steps):
        rows = slice(4) if step % 2 == 0 else slice(4, 6)
        value = loss(model, X[rows], Y[rows])
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        losses.append(value.data)
    after = random.random()
    trainer = Trainer(
        lift(backend=backend)(loss),
        optim.Adam(native.parameters(), lr=0.01),
        batch_size=4,
        shuffle=False,
    )
    random.seed(9)
    parts = [trainer.run(steps // 2, native, X, Y), trainer.run(steps - steps // 2, native, X, Y)]
    # The second run starts with the rest of the epoch that the first one left.
    assert np.concatenate([part.loss for part in parts]) == pytest.approx(losses, rel=1e-9)
    assert random.random() == after
    assert trainer.optimizer.steps == steps
    assert [p.data for p in native.parameters()] == pytest.approx(
        [p.data for p in model.parameters()], rel=1e-9, abs=1e-11
    )


def test_many_steps_draw_like_few():
    """Steps on all data, whose numbers NumPy draws."""
    model, native = network(), network()
    optimizer = optim.SGD(model.parameters(), lr=0.01)
    random.seed(9)
    for _ in range(80):
        value = loss(model, X, Y)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    after = random.random()
    random.seed(9)
    trainer = Trainer(lift(loss), optim.SGD(native.parameters(), lr=0.01))
    assert trainer.run(80, native, X, Y).loss[-1] == pytest.approx(value.data, rel=1e-9)
    assert random.random() == after


def test_derivatives_within_a_lifted_function_draw_too():
    """grad() of a dropout has the mask of its value."""

    def slope(w, X):
        return functional.total(vmap(lambda x: grad(lambda v: nn.Dropout(0.5)(v) * x[0])(w))(X))

    w = Value(3.0)
    random.seed(4)
    expected = sum(0.0 if random.random() < 0.5 else 2.0 * x for x in X[:, 0])
    random.seed(4)
    assert lift(slope)(w, X).data == pytest.approx(expected, rel=1e-12)
    random.seed(4)
    assert slope(w, X) == pytest.approx(expected, rel=1e-12)
