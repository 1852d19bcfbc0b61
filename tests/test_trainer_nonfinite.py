"""A loss that is nan or infinite: the step, the operation and its line are named."""

import inspect
import math
import random

import numpy as np
import pytest

from liftgrad import Trainer, Value, lift, nn, optim, scan, vmap
from liftgrad.errors import NonFiniteLossError
from liftgrad.functional import exp, log, mean, sqrt, take, where


def make_data(n=24):
    rng = np.random.default_rng(5)
    X = rng.normal(size=(n, 2))
    return X, X[:, 0].copy()


def squared(model, X, y):
    return mean(vmap(lambda x, yi: (model(x) - yi) ** 2)(X, y))


def logarithm(model, X, y):
    return mean(
        vmap(
            lambda x, yi: log(model(x) - 50.0 - yi * yi)  # the culprit
        )(X, y)
    )


def unrolled(model, X, _y):
    scores = [model(x) - 30.0 for x in X]
    return sum(
        exp(score * score)  # the culprit
        for score in scores
    )


def root(model, X, y):
    fits = squared(model, X, y)
    zero = model.parameters()[0] * 0.0
    return fits + sqrt(zero * zero)  # the culprit


def table(model, X, y):
    entries = [model(X[0]), log(model(X[1]) * 0.0 - 1.0), -5.0]
    return mean(vmap(lambda i: log(take(entries, i)))(y))  # the culprit


def line_of(function):
    lines, first = inspect.getsourcelines(function)
    return first + next(i for i, line in enumerate(lines) if "# the culprit" in line)


def failing(
    function, *, lr=0.1, batch_size=8, backend="native", data=None, validation=None, **kwargs
):
    random.seed(3)
    model = nn.MLP(2, [3, 1], activation="tanh")
    optimizer = optim.SGD(model.parameters(), lr=lr, momentum=0.5)
    trainer = Trainer(lift(backend=backend, **kwargs)(function), optimizer, batch_size=batch_size)
    data = make_data() if data is None else data
    with pytest.raises(NonFiniteLossError) as caught:
        trainer.fit(400, model, *data, validation=validation)
    assert "\n" not in str(caught.value)
    return model, trainer, str(caught.value)


@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize(
    ("function", "batch_size", "words"),
    [
        (logarithm, 8, ["the loss became nan", "log(-", "is nan"]),
        (unrolled, None, ["the loss became inf", "exp(", "is inf"]),
        (root, 8, ["parameters nan or infinite", "the derivative of sqrt(0) is inf"]),
    ],
)
def test_the_operation_its_line_and_the_step_are_named(function, batch_size, words, backend):
    """Forward and in the gradient."""
    _, trainer, text = failing(function, batch_size=batch_size, backend=backend)
    assert text.startswith("after 0 steps ")
    assert trainer.optimizer.steps == 0
    for word in [*words, f"{__file__}:{line_of(function)}"]:
        assert word in text


@pytest.mark.parametrize("scanned", [False, True])
def test_of_a_loop_the_iteration_is_named(scanned):
    """A recurrence that explodes says when; its other lines, which run as often, do not count."""

    def step(x, rate):
        return rate * x * x + 0.1  # the culprit

    def loss(w, x):
        if scanned:
            x, _ = scan(lambda x, _: (step(x, w[0]) + w[1], 0.0), x, length=20)
        else:
            for _ in range(20):
                x = step(x, w[0]) + w[1]
        return step(x, w[1])

    w = [Value(1.0), Value(0.0)]
    x, squarings = 3.0, 0
    while math.isfinite(x):
        x, squarings = x * x + 0.1, squarings + 1
    trainer = Trainer(lift(loss), optim.SGD(w, lr=0.1))
    with pytest.raises(NonFiniteLossError) as caught:
        trainer.fit(1, w, 3.0)
    place = f"{__file__}:{line_of(test_of_a_loop_the_iteration_is_named)}"
    assert f"is inf ({place}, iteration {squarings} of 20)" in str(caught.value)


def test_an_entry_of_a_table_that_is_not_taken_is_not_blamed():
    """Only numbers that the loss depends on are examined."""
    X, _ = make_data(8)
    _, _, text = failing(table, batch_size=None, data=(X, np.array([2, 2, 2, 2])))
    assert "log(-5) is nan" in text
    assert f":{line_of(table)})" in text


def test_a_branch_that_is_not_taken_is_not_blamed():
    """The logarithm of a negative number is computed, but not selected."""

    def loss(w, x):
        safe = where(x > 0.0, w[0], log(x))
        return safe * w[0] * exp(w[1])

    w = [Value(1.0), Value(800.0)]
    trainer = Trainer(lift(loss), optim.SGD(w, lr=0.1))
    with pytest.raises(NonFiniteLossError, match=r"after 0 steps the loss became inf: exp\(800\)"):
        trainer.fit(1, w, 3.0)
    w[1].data = 1.0
    with pytest.raises(NonFiniteLossError, match=r"log\(-3\) is nan"):
        trainer.fit(1, w, -3.0)


@pytest.mark.parametrize("kind", ["where", "take"])
def test_a_constant_that_is_chosen_is_blamed(kind):
    """It is no result of an operation, and the row is that in which it was chosen."""

    def chosen(x, i):
        return where(x > 50.0, math.nan, x) if kind == "where" else take([x, math.nan], i)

    def loss(w, X, which):
        return mean(vmap(lambda x, i: (w[0] * chosen(x, i)) ** 2)(X, which))

    X, which = np.arange(20.0), np.zeros(20, np.int64)
    X[7], which[7] = 99.0, 1
    w = [Value(1.0)]
    trainer = Trainer(lift(loss), optim.SGD(w, lr=0.0), batch_size=20)
    with pytest.raises(NonFiniteLossError, match=rf"{kind}\(\) takes the constant nan in row 7 \("):
        trainer.fit(1, w, X, which)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_rate_that_is_too_high_leaves_the_last_finite_model(dtype):
    """As another trainer has after the same number of steps, with the same history so far."""

    def powers(model, X, y):
        return mean(vmap(lambda x, yi: (model.layers[0](x)[0] * model(x) - yi) ** 2)(X, y)) + sum(
            p**4 for p in model.parameters()
        )

    model, trainer, text = failing(powers, lr=3.0, dtype=dtype)
    steps = trainer.optimizer.steps
    assert steps > 1
    assert text.startswith(f"after {steps} steps ")
    random.seed(3)
    again = nn.MLP(2, [3, 1], activation="tanh")
    optimizer = optim.SGD(again.parameters(), lr=3.0, momentum=0.5)
    other = Trainer(lift(dtype=dtype)(powers), optimizer, batch_size=8)
    expected = other.run(steps, again, *make_data())
    assert [p.data for p in model.parameters()] == [p.data for p in again.parameters()]
    assert np.isfinite([p.data for p in model.parameters()]).all()
    assert trainer.fit(0, model, *make_data()).loss.tolist() == expected.loss.tolist()
    state = [list(o.state["momentum"]) for o in (trainer.optimizer, optimizer)]
    assert state[0] == state[1]


@pytest.mark.parametrize("validation", [None, 0.15])
def test_data_that_is_nan_is_named_with_its_row(validation):
    """Its index in all of the data, not in the batch or in the training rows."""
    X, y = make_data()
    y[17] = np.nan
    _, _, text = failing(squared, data=(X, y), validation=validation)
    assert "y is nan in row 17 to begin with" in text


def test_what_is_drawn_at_random_is_drawn_again():
    """The step that failed is examined with the random numbers that made it fail."""
    X, y = make_data()
    random.seed(1)
    model = nn.Sequential(nn.Linear(2, 8), nn.Dropout(0.5), nn.Linear(8, 1))

    @lift
    def loss(model, X, y):
        def score(x, yi):
            return log(6.0 - (model(x)[0] - yi) ** 2)  # the culprit

        return mean(vmap(score)(X, y))

    trainer = Trainer(loss, optim.SGD(model.parameters(), lr=0.05), batch_size=5)
    with pytest.raises(NonFiniteLossError) as error:
        trainer.fit(200, model, X, y)
    assert "nan: log(" in str(error.value)
    assert trainer.optimizer.steps > 0
    assert np.isfinite([p.data for p in model.parameters()]).all()
