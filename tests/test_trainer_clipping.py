"""A Trainer that clips takes the steps of a loop with `clip_grad_norm_` or `clip_grad_value_`."""

import copy
import math
import random
import re

import numpy as np
import pytest

from liftgrad import Trainer, Value, lift, nn, optim, vmap
from liftgrad.functional import dot, mean, total

BACKENDS = ["native", "numpy"]


def squared(model, X, y):
    return mean([(model(x) - yi) ** 2 for x, yi in zip(X, y, strict=True)])


def mapped(model, X, y):
    return mean(vmap(lambda x, yi: (model(x) - yi) ** 2)(X, y))


def two_models(first, second, X, y):
    return mean([(first(x) + 10.0 * second(x) - yi) ** 2 for x, yi in zip(X, y, strict=True)])


def make_model(seed=5):
    random.seed(seed)
    return nn.MLP(2, [4, 1], activation="tanh")


def make_data(n=12):
    rng = np.random.default_rng(5)
    X = rng.normal(size=(n, 2))
    return X, 5.0 * np.sin(X[:, 0])


def clip(params, max_norm=None, clip_value=None):
    if max_norm is not None:
        optim.clip_grad_norm_(params, max_norm)
    if clip_value is not None:
        optim.clip_grad_value_(params, clip_value)


def by_hand(function, optimizer, steps, clipping, *arguments):
    losses = []
    for _ in range(steps):
        loss = function(*arguments)
        losses.append(loss.data)
        optimizer.zero_grad()
        loss.backward()
        clip(optimizer.params, **clipping)
        optimizer.step()
    return losses


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("loss", [squared, mapped], ids=["unrolled", "vmap"])
@pytest.mark.parametrize(
    "clipping",
    [{"max_norm": 0.5}, {"max_norm": 2}, {"max_norm": 0.0}, {"clip_value": 0.1}],
    ids=str,
)
def test_steps_are_those_of_the_loop(clipping, loss, backend):
    """Also where gradients exceed the bound only at first."""
    model, (X, y) = make_model(), make_data()
    fresh = copy.deepcopy(model)
    trainer = Trainer(
        lift(backend=backend)(loss), optim.SGD(model.parameters(), 0.1, momentum=0.5), **clipping
    )
    got = [*trainer.run(10, model, X, y).loss, *trainer.run(30, model, X, y).loss]
    plain = optim.SGD(fresh.parameters(), 0.1, momentum=0.5)
    assert got == pytest.approx(by_hand(loss, plain, 40, clipping, fresh, X, y), rel=1e-12)
    assert got[-1] < got[0] or not clipping.get("max_norm", 1.0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_norm_is_that_of_what_the_optimiser_holds(backend):
    """Of two models in the loss, it has one and half of the other: the rest does not count."""
    models, (X, y) = [make_model(1), make_model(2)], make_data()
    fresh = copy.deepcopy(models)
    some = [m[0].parameters() + m[1].parameters()[::2] for m in (models, fresh)]
    trainer = Trainer(
        lift(backend=backend)(two_models), optim.Adam(some[0], lr=0.01, eps=1.0), max_norm=0.3
    )
    got = trainer.run(20, *models, X, y).loss
    plain = optim.Adam(some[1], lr=0.01, eps=1.0)
    expected = by_hand(two_models, plain, 20, {"max_norm": 0.3}, *fresh, X, y)
    assert got == pytest.approx(expected, rel=1e-12)


def test_batches_are_clipped_each():
    """By the norm of the batch's gradient."""
    model, (X, y) = make_model(), make_data(13)
    fresh = copy.deepcopy(model)
    trainer = Trainer(
        lift(mapped), optim.SGD(model.parameters(), 0.1), batch_size=5, seed=3, max_norm=0.5
    )
    got = trainer.run(9, model, X, y).loss
    plain, random_order, expected = optim.SGD(fresh.parameters(), 0.1), np.random.default_rng(3), []
    for _ in range(3):
        order = random_order.permutation(13)
        for batch in (order[:5], order[5:10], order[10:]):
            expected += by_hand(squared, plain, 1, {"max_norm": 0.5}, fresh, X[batch], y[batch])
    assert got == pytest.approx(expected, rel=1e-12)


@lift
def linear(params, slopes):
    return dot(params, slopes)


@lift(backend="numpy")
def linear_with_numpy(params, slopes):
    return dot(params, slopes)


@pytest.mark.parametrize("function", [linear, linear_with_numpy], ids=BACKENDS)
@pytest.mark.parametrize(
    "slopes",
    [
        [3e200, -4e200, 0.0],
        [3e-200, 4e-200, 0.0],
        [0.0, 0.0, 0.0],
        [math.inf, 1.0, 0.0],
        [math.nan, 1.0, 0.0],
    ],
    ids=str,
)
@pytest.mark.parametrize("clipping", [{"max_norm": 1.0}, {"clip_value": 1.0}], ids=str)
def test_gradients_out_of_bounds(slopes, clipping, function):
    """Squares neither overflow nor underflow; nan and infinity end as they do eagerly."""
    params, fresh = [Value(0.0) for _ in slopes], [Value(0.0) for _ in slopes]
    Trainer(function, optim.SGD(params, lr=1.0), **clipping).run(1, params, np.array(slopes))
    for p, slope in zip(fresh, slopes, strict=True):
        p.grad = slope
    clip(fresh, **clipping)
    optim.SGD(fresh, lr=1.0).step()
    assert [p.data for p in params] == pytest.approx(
        [p.data for p in fresh], rel=1e-14, nan_ok=True
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_norm": -1.0}, "max_norm is a finite number, 0 or more; got max_norm=-1.0."),
        ({"clip_value": "a"}, "clip_value is a finite number, 0 or more; got clip_value='a'."),
        ({"max_norm": 1.0, "clip_value": 1.0}, "gradients are clipped by max_norm or by clip_val"),
    ],
)
def test_impossible_arguments(arguments, message):
    """One sentence says what would be possible."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        Trainer(lift(total), optim.SGD([Value(0.0)], lr=1.0), **arguments)
