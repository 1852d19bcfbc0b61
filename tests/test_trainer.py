"""Trainer: the same numbers as a loop written by hand, many steps at a time."""

import copy
import gc
import random
import subprocess
import sys
import textwrap
import weakref

import numpy as np
import pytest

from liftgrad import Trainer, Value, data, lift, nn, optim, vmap
from liftgrad.errors import LiftError
from liftgrad.functional import dot, log_softmax, mean, take, total

BACKENDS = ["native", "numpy"]


def squared(model, X, y):
    return mean([(model(x) - yi) ** 2 for x, yi in zip(X, y, strict=True)])


def mapped(model, X, y):
    return mean(vmap(lambda x, yi: (model(x) - yi) ** 2)(X, y))


def make_model(seed=5, sizes=(4, 1)):
    random.seed(seed)
    return nn.MLP(2, list(sizes), activation="tanh")


def make_data(n=12, seed=5):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2))
    return X, np.sin(X[:, 0]) + 0.1 * rng.normal(size=n)


def numbers(model):
    return [p.data for p in model.parameters()]


def by_hand(function, optimizer, steps, *arguments):
    """Take steps as a plain Python loop; return the losses."""
    losses = []
    for _ in range(steps):
        loss = function(*arguments)
        losses.append(loss.data)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return losses


def batches(rows, size, seed):
    """Yield the indices of the batches' samples, epoch after epoch, as a Trainer draws them."""
    rng = np.random.default_rng(seed)
    while True:
        order = rng.permutation(rows)
        for start in range(0, rows, size):
            yield order[start : start + size]


def by_hand_in_batches(function, optimizer, steps, size, seed, model, X, y):
    losses = []
    for _, batch in zip(range(steps), batches(len(X), size, seed), strict=False):
        losses += by_hand(function, optimizer, 1, model, X[batch], y[batch])
    return losses


def make_optimizers():
    rate = optim.linear(0.1, 0.01, steps=30)
    return {
        "SGD": lambda ps: optim.SGD(ps, lr=0.1),
        "SGD with a schedule": lambda ps: optim.SGD(ps, lr=rate),
        "SGD with weight decay": lambda ps: optim.SGD(ps, lr=0.1, weight_decay=0.01),
        "momentum": lambda ps: optim.SGD(ps, lr=0.05, momentum=0.9),
        "dampening": lambda ps: optim.SGD(ps, lr=0.05, momentum=0.9, dampening=0.5),
        "nesterov": lambda ps: optim.SGD(ps, lr=rate, momentum=0.9, nesterov=True),
        "Adam": lambda ps: optim.Adam(ps, lr=0.01),
        "Adam with everything": lambda ps: optim.Adam(
            ps, lr=rate, betas=(0.8, 0.99), eps=1e-6, weight_decay=0.01
        ),
    }


OPTIMIZERS = make_optimizers()


# The same numbers as a loop.


def test_micrograds_demo():
    """Its published losses, to nine digits, from the native path."""
    random.seed(1337)
    X, y = data.make_moons(100, noise=0.1, seed=1337)
    model = nn.MLP(2, [16, 16, 1])

    @lift
    def loss(model, X, y):
        scores = [model(x) for x in X]
        margins = [(1 + -yi * score).relu() for yi, score in zip(y, scores, strict=True)]
        return sum(margins) * (1.0 / len(margins)) + 1e-4 * sum(p * p for p in model.parameters())

    fresh = copy.deepcopy(model)
    trainer = Trainer(loss, optim.SGD(model.parameters(), lr=lambda k: 1.0 - 0.9 * k / 100))
    history = trainer.run(100, model, X, y)
    assert len(history.loss) == 100
    assert history.loss[0] == pytest.approx(0.8958441028683222, rel=1e-12)
    assert history.loss[99] == pytest.approx(0.010978370135492717, rel=1e-9)
    assert loss(fresh, X, y).data == history.loss[0]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_optimiser_steps_as_it_does_eagerly(name, backend):
    """Losses, parameters and state agree to twelve digits after many steps, in two runs."""
    model, arguments = make_model(), make_data()
    fresh = copy.deepcopy(model)
    optimizer = OPTIMIZERS[name](model.parameters())
    plain = OPTIMIZERS[name](fresh.parameters())
    trainer = Trainer(lift(backend=backend)(squared), optimizer)
    got = [*trainer.run(15, model, *arguments).loss, *trainer.run(25, model, *arguments).loss]
    expected = by_hand(squared, plain, 40, fresh, *arguments)
    assert got == pytest.approx(expected, rel=1e-11)
    assert numbers(model) == pytest.approx(numbers(fresh), rel=1e-11)
    assert optimizer.steps == plain.steps == 40
    for state in optimizer.state_names:
        assert list(optimizer.state[state]) == pytest.approx(plain.state[state], rel=1e-9)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("loss", [squared, mapped], ids=["unrolled", "vmap"])
@pytest.mark.parametrize("name", ["SGD", "Adam with everything"])
def test_batches_are_drawn_and_gathered_as_by_hand(name, loss, backend):
    """Each epoch is shuffled and ends with a smaller batch, over three runs."""
    model, (X, y) = make_model(), make_data(13)
    fresh = copy.deepcopy(model)
    optimizer, plain = (OPTIMIZERS[name](m.parameters()) for m in (model, fresh))
    trainer = Trainer(lift(backend=backend)(loss), optimizer, batch_size=4, seed=9)
    got = [x for steps in (3, 1, 20) for x in trainer.run(steps, model, X, y).loss]
    expected = by_hand_in_batches(squared, plain, 24, 4, 9, fresh, X, y)
    assert got == pytest.approx(expected, rel=1e-11)
    assert numbers(model) == pytest.approx(numbers(fresh), rel=1e-11)


@pytest.mark.parametrize("size", [1, 12, 100])
def test_batches_of_one_of_all_and_of_more_than_all(size):
    """A batch is never larger than the data."""
    model, (X, y) = make_model(), make_data(12)
    fresh = copy.deepcopy(model)
    trainer = Trainer(lift(squared), optim.SGD(model.parameters(), 0.1), batch_size=size, seed=2)
    got = trainer.run(15, model, X, y).loss
    plain = optim.SGD(fresh.parameters(), 0.1)
    expected = by_hand_in_batches(squared, plain, 15, size, 2, fresh, X, y)
    assert got == pytest.approx(expected, rel=1e-11)


def test_without_shuffling_samples_come_as_they_stand():
    """In every epoch, and each run continues where the last one stopped."""
    model, (X, y) = make_model(), make_data(7)
    fresh = copy.deepcopy(model)
    optimizer, plain = (optim.SGD(m.parameters(), 0.1) for m in (model, fresh))
    trainer = Trainer(lift(squared), optimizer, batch_size=3, shuffle=False)
    got = [x for steps in (2, 5) for x in trainer.run(steps, model, X, y).loss]
    cuts = [slice(0, 3), slice(3, 6), slice(6, 7)] * 2 + [slice(0, 3)]
    expected = [x for cut in cuts for x in by_hand(squared, plain, 1, fresh, X[cut], y[cut])]
    assert got == pytest.approx(expected, rel=1e-11)


def test_the_seed_decides_the_order():
    """The same seed gives the same losses, another one others."""
    losses = []
    for seed in (1, 1, 2):
        model = make_model()
        trainer = Trainer(
            lift(squared), optim.SGD(model.parameters(), lr=0.1), batch_size=5, seed=seed
        )
        losses.append(trainer.run(10, model, *make_data()).loss.tolist())
    assert losses[0] == losses[1] != losses[2]


def test_large_batches_in_portions_train_alike():
    """A step that is cut into portions, and one whose batches are, on NumPy and natively."""
    X, y = make_data(6000)
    for size in (None, 5000):
        outcomes = []
        for backend in BACKENDS:
            model = make_model()
            optimizer = optim.Adam(model.parameters(), lr=0.05)
            trainer = Trainer(lift(backend=backend)(mapped), optimizer, batch_size=size)
            outcomes.append([*trainer.run(5, model, X, y).loss, *numbers(model)])
        assert outcomes[0] == pytest.approx(outcomes[1], rel=1e-10)


def test_float32():
    """Close to float64, with parameters of that precision."""
    model, arguments = make_model(), make_data()
    fresh = copy.deepcopy(model)
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    got = Trainer(lift(dtype="float32")(squared), optimizer, batch_size=5).run(
        30, model, *arguments
    )
    plain = optim.Adam(fresh.parameters(), lr=0.01)
    expected = by_hand_in_batches(squared, plain, 30, 5, 0, fresh, *arguments)
    assert got.loss == pytest.approx(expected, rel=1e-3)
    assert all(x == float(np.float32(x)) for x in numbers(model))


# What is trained.


def test_a_frozen_part_stays():
    """Parameters that the optimiser does not have do not move."""
    model, arguments = make_model(sizes=(4, 3, 1)), make_data()
    fresh = copy.deepcopy(model)
    before = numbers(model)
    held, plainly = ([*m.layers[0].parameters(), m.layers[2].neurons[0].b] for m in (model, fresh))
    Trainer(lift(squared), optim.Adam(held, lr=0.05)).run(10, model, *arguments)
    plain = optim.Adam(plainly, lr=0.05)
    for _ in range(10):
        fresh.zero_grad()
        squared(fresh, *arguments).backward()
        plain.step()
    assert numbers(model) == pytest.approx(numbers(fresh), rel=1e-11)
    frozen = slice(len(model.layers[0].parameters()), -1)
    assert numbers(model.layers[1]) == before[frozen][: len(model.layers[1].parameters())]


@pytest.mark.parametrize("name", ["SGD with weight decay", "momentum", "Adam with everything"])
def test_parameters_that_take_no_part_move_as_they_do_eagerly(name):
    """Their gradient is zero, but weight decay and momentum still move them."""
    model, other, arguments = make_model(), make_model(7), make_data()
    fresh, fresh_other = copy.deepcopy(model), copy.deepcopy(other)
    optimizer = OPTIMIZERS[name]([*model.parameters(), *other.parameters()])
    plain = OPTIMIZERS[name]([*fresh.parameters(), *fresh_other.parameters()])
    trainer = Trainer(lift(squared), optimizer)
    trainer.run(5, other, *arguments)
    trainer.run(5, model, *arguments)
    by_hand(squared, plain, 5, fresh_other, *arguments)
    by_hand(squared, plain, 5, fresh, *arguments)
    assert numbers(other) == pytest.approx(numbers(fresh_other), rel=1e-11)
    assert numbers(model) == pytest.approx(numbers(fresh), rel=1e-11)


def test_two_optimisers_on_two_parts():
    """In turns, like a generator and a discriminator, or at two rates."""
    model, arguments = make_model(), make_data()
    fresh = copy.deepcopy(model)
    f = lift(squared)
    trainers, plain = [], []
    for m, made in ((model, trainers), (fresh, plain)):
        for layer, optimizer in zip(m.layers, (optim.SGD, optim.Adam), strict=True):
            made.append(optimizer(layer.parameters(), lr=0.05))
    trainers = [Trainer(f, optimizer) for optimizer in trainers]
    for _ in range(4):
        for trainer, optimizer in zip(trainers, plain, strict=True):
            trainer.run(2, model, *arguments)
            by_hand(squared, optimizer, 2, fresh, *arguments)
    assert numbers(model) == pytest.approx(numbers(fresh), rel=1e-11)


@pytest.mark.parametrize("backend", BACKENDS)
def test_values_in_any_container_are_trained(backend):
    """A dict of lists, partly shared, Values beside it, in the optimiser's own order."""
    rng = random.Random(3)

    def make():
        rng.seed(3)
        w = [Value(rng.uniform(-1, 1)) for _ in range(3)]
        return {"w": w, "again": w[:2]}, Value(0.5)

    def loss(state, b, X):
        scores = [dot(state["w"], x, start=b) - state["again"][0] for x in X]
        return mean([score**2 for score in scores])

    X = np.random.default_rng(1).normal(size=(5, 3))
    (state, b), (fresh, c) = make(), make()
    optimizer = optim.Adam([b, *state["w"][::-1]], lr=0.05)
    plain = optim.Adam([c, *fresh["w"][::-1]], lr=0.05)
    got = Trainer(lift(backend=backend)(loss), optimizer).run(20, state, b, X).loss
    assert got == pytest.approx(by_hand(loss, plain, 20, fresh, c, X), rel=1e-11)
    assert list(optimizer.state["mean"]) == pytest.approx(plain.state["mean"], rel=1e-9)


def test_a_captured_model_is_trained():
    """And changes of captured data between runs take effect."""
    model, (X, y) = make_model(), make_data()
    fresh, (U, v) = copy.deepcopy(model), make_data(seed=8)
    trainer = Trainer(lift(lambda: squared(model, X, y)), optim.SGD(model.parameters(), lr=0.1))
    plain = optim.SGD(fresh.parameters(), lr=0.1)
    got = trainer.run(5).loss.tolist()
    expected = by_hand(squared, plain, 5, fresh, X, y)
    X, y = U, v
    got += trainer.run(5).loss.tolist()
    expected += by_hand(squared, plain, 5, fresh, X, y)
    assert got == pytest.approx(expected, rel=1e-11)


# Integers.


def language(table, contexts, targets):
    """Return the cross entropy of the next token, from one row of scores for each token."""
    losses = [
        -take(log_softmax(take(table, context)), target)
        for context, target in zip(contexts, targets, strict=True)
    ]
    return mean(losses)


def language_mapped(table, contexts, targets):
    losses = vmap(lambda c, t: -take(log_softmax(take(table, c)), t))(contexts, targets)
    return total(losses) / len(contexts)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("loss", [language, language_mapped], ids=["unrolled", "vmap"])
def test_integer_data_in_batches(loss, backend):
    """Tokens and targets are gathered like everything else."""
    rng = np.random.default_rng(2)
    contexts, targets = rng.integers(0, 5, 17), rng.integers(0, 5, 17).astype(np.int32)
    table = [[Value(rng.normal()) for _ in range(5)] for _ in range(5)]
    fresh = copy.deepcopy(table)
    parameters, plainly = ([v for row in t for v in row] for t in (table, fresh))
    optimizer, plain = optim.Adam(parameters, lr=0.1), optim.Adam(plainly, lr=0.1)
    trainer = Trainer(lift(backend=backend)(loss), optimizer, batch_size=6, seed=4)
    got = trainer.run(20, table, contexts, targets).loss
    expected = by_hand_in_batches(language, plain, 20, 6, 4, fresh, contexts, targets)
    assert got == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("size", [None, 3])
@pytest.mark.parametrize("wrong", [-1, 5, 2**40])
def test_an_index_out_of_range_is_refused_before_the_first_step(wrong, size, backend):
    """Wherever it is in the data, even if it was set after an earlier run."""
    rng = np.random.default_rng(2)
    contexts, targets = rng.integers(0, 5, 9), rng.integers(0, 5, 9)
    table = [[Value(rng.normal()) for _ in range(5)] for _ in range(5)]
    optimizer = optim.SGD([v for row in table for v in row], lr=0.1)
    trainer = Trainer(lift(backend=backend)(language), optimizer, batch_size=size)
    trainer.run(1, table, contexts, targets)
    before = [v.data for row in table for v in row]
    targets[8] = wrong
    for again in (targets, targets.copy()):
        with pytest.raises(IndexError, match="indices go from 0 to 4"):
            trainer.run(1, table, contexts, again)
    assert [v.data for row in table for v in row] == before
    assert optimizer.steps == 1


# From run to run.


def test_training_goes_on_by_hand_and_back():
    """After a run the optimiser has its state, and changes to it take effect."""
    model, arguments = make_model(), make_data()
    fresh = copy.deepcopy(model)
    f = lift(squared)
    optimizer, plain = (optim.Adam(m.parameters(), lr=0.02) for m in (model, fresh))
    trainer = Trainer(f, optimizer)
    got, expected = [], by_hand(squared, plain, 12, fresh, *arguments)
    for _ in range(2):
        got += trainer.run(3, model, *arguments).loss.tolist()
        got += by_hand(f, optimizer, 1, model, *arguments)
        got += by_hand(squared, optimizer, 2, model, *arguments)
    assert got == pytest.approx(expected, rel=1e-11)
    state = optimizer.state_dict()
    assert state["steps"] == 12
    assert state["mean"] == pytest.approx(plain.state_dict()["mean"], rel=1e-9)


def test_settings_and_state_that_change_between_runs():
    """The next run uses the new rate, decay, state and parameters."""
    model, arguments = make_model(), make_data()
    fresh = copy.deepcopy(model)
    optimizer, plain = (
        optim.SGD(m.parameters(), lr=0.05, momentum=0.9, nesterov=True) for m in (model, fresh)
    )
    trainer = Trainer(lift(squared), optimizer)
    changes = [
        lambda o: setattr(o, "lr", 0.01),
        lambda o: setattr(o, "momentum", 0.5),
        lambda o: setattr(o, "weight_decay", 0.1),
        lambda o: o.state["momentum"].__setitem__(1, 0.25),
        lambda o: o.load_state_dict({"steps": 0, "momentum": [0.1] * len(o.params)}),
        lambda o: setattr(o.params[2], "data", 0.75),
    ]
    for change in changes:
        for o in (optimizer, plain):
            change(o)
        got = trainer.run(3, model, *arguments).loss
        assert got == pytest.approx(by_hand(squared, plain, 3, fresh, *arguments), rel=1e-10)


def test_structures_that_change_between_runs():
    """Parameters, attributes or layers are replaced; arguments are changed in place or replaced."""
    model, (X, y) = make_model(), make_data()
    weights = [0.5, 2.0]

    def loss(model, X, y, weights):
        return squared(model, X, y) * weights[0] + weights[1] * model.layers[0].neurons[0].b ** 2

    optimizer = optim.SGD(model.parameters(), lr=0.05)
    trainer = Trainer(lift(loss), optimizer, batch_size=6, seed=1)
    drawn = batches(12, 6, 1)

    def check():
        fresh = copy.deepcopy(model)
        places = {id(p): i for i, p in enumerate(model.parameters())}
        held = [fresh.parameters()[places[id(p)]] for p in optimizer.params if id(p) in places]
        plain = optim.SGD(held, lr=0.05)
        got = trainer.run(2, model, X, y, weights).loss
        expected = []
        for batch in (next(drawn), next(drawn)):
            expected += by_hand(loss, plain, 1, fresh, X[batch], y[batch], weights)
        assert got == pytest.approx(expected, rel=1e-11)
        assert numbers(model) == pytest.approx(numbers(fresh), rel=1e-11)

    check()
    check()
    weights[0] = 3.0
    check()
    X[:] = X[::-1].copy()
    check()
    X, y = X[::-1], y * 2.0
    check()
    X = np.asfortranarray(X).astype(np.float32).astype(np.float64)
    check()
    model.layers[0].neurons[1].w[0] = Value(model.layers[0].neurons[1].w[0].data)
    check()
    model.layers[0].neurons[2].activation = "sigmoid"
    check()
    model.layers.insert(1, nn.Layer(4, 4))
    check()


def test_data_in_another_type_is_converted_at_each_run():
    """Integers, float32 and slices of larger arrays."""
    model, (X, y) = make_model(), make_data()
    fresh = copy.deepcopy(model)
    X = np.hstack([X, X]).astype(np.float32)[:, 1:3]
    y = np.arange(12)
    trainer = Trainer(lift(squared), optim.SGD(model.parameters(), lr=0.001), batch_size=12)
    plain = optim.SGD(fresh.parameters(), lr=0.001)
    for _ in range(3):
        got = trainer.run(2, model, X, y).loss
        expected = by_hand(squared, plain, 2, fresh, X.astype(float), y.astype(float))
        assert got == pytest.approx(expected, rel=1e-10)
        X *= 2.0
        y += 1


def test_runs_alike_share_a_program():
    """For other data of the same shape, other rates and epochs, and smaller batches under vmap."""
    f = lift(mapped)
    model = make_model()
    trainer = Trainer(f, optim.SGD(model.parameters(), lr=0.1), batch_size=5)
    for seed in range(4):
        trainer.optimizer.lr = 0.1 / (seed + 1)
        trainer.run(4, model, *make_data(15, seed=seed))
    assert f.stats.traces == 1
    trainer.run(4, model, *make_data(16))
    assert f.stats.traces == 1  # though the fourth batch has one row
    unrolled = Trainer(lift(squared), trainer.optimizer, batch_size=5)
    unrolled.run(4, model, *make_data(16))
    assert unrolled.loss.stats.traces == 2
    lists = Trainer(lift(squared), optim.SGD(model.parameters(), lr=0.1))
    for seed in range(3):
        lists.run(2, model, *[x.tolist() for x in make_data(seed=seed)])
    assert lists.loss.stats.traces == 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_batches_are_cut_from_arrays_within_lists_too(backend):
    """Every array with as many rows as the first one is data, wherever it is."""

    def loss(w, parts, y):
        return mean(vmap(lambda a, b, t: (dot(w, [*a, *b]) - t) ** 2)(*parts, y))

    X, y = make_data(13)
    losses = []
    for parts in ([X[:, :1], X[:, 1:]], (X, X[:, :0])):
        w = [Value(0.5), Value(-0.25)]
        trainer = Trainer(lift(backend=backend)(loss), optim.SGD(w, lr=0.1), batch_size=5)
        losses.append(trainer.run(7, w, parts, y).loss)
    w = [Value(0.5), Value(-0.25)]

    def plain(w, X, y):
        return mean([(dot(w, x) - t) ** 2 for x, t in zip(X, y, strict=True)])

    expected = by_hand_in_batches(plain, optim.SGD(w, lr=0.1), 7, 5, 0, w, X, y)
    np.testing.assert_allclose(losses[0], expected, rtol=1e-12)
    np.testing.assert_allclose(losses[1], expected, rtol=1e-12)


def test_the_statistics_count_loop_nests_on_either_backend():
    counts = []
    for backend in BACKENDS:
        model, lifted = make_model(), lift(backend=backend)(squared)
        Trainer(lifted, optim.SGD(model.parameters(), lr=0.1)).run(1, model, *make_data())
        counts.append(lifted.stats.tensor_operations)
    assert counts[0] == counts[1] > 0


def test_smaller_data_draws_no_sample_of_the_larger():
    """The rest of an epoch is dropped when the data has another number of rows."""
    model = make_model()
    trainer = Trainer(lift(squared), optim.SGD(model.parameters(), lr=0.0), batch_size=3)
    trainer.run(1, model, *make_data(1000))
    X, y = make_data(4)
    alone = [squared(model, X[[i]], y[[i]]).data for i in range(4)]
    losses = trainer.run(2, model, X, y).loss
    assert 3 * losses[0] + losses[1] == pytest.approx(sum(alone), rel=1e-12)


def test_no_steps_are_a_run():
    """Nothing moves, and the history is empty."""
    model, arguments = make_model(), make_data()
    before = numbers(model)
    for size in (None, 4):
        trainer = Trainer(lift(squared), optim.Adam(model.parameters()), batch_size=size)
        history = trainer.run(0, model, *arguments)
        assert history.loss.shape == (0,)
        assert history.loss.dtype == np.float64
    assert numbers(model) == before


def test_a_trainer_is_freed_with_its_model():
    """Once the user drops both."""

    def use():
        model = make_model()
        trainer = Trainer(lift(squared), optim.Adam(model.parameters()), batch_size=4)
        trainer.run(5, model, *make_data())
        trainer.run(5, model, *make_data())
        return [weakref.ref(x) for x in (model, trainer, trainer.loss, trainer.optimizer)]

    references = use()
    gc.collect()
    assert [reference() for reference in references] == [None] * 4


def test_losses_may_become_nan():
    """A loss that stays nan is a result, not an error."""
    model, arguments = make_model(), make_data()
    trainer = Trainer(lift(squared), optim.SGD(model.parameters(), lr=1e200))
    assert np.isnan(trainer.run(10, model, *arguments).loss[-1])


# Refusals.


REFUSED = {
    "a plain function": (
        lambda m, o: Trainer(squared, o),
        "a Trainer needs a lifted loss; decorate the function with @lift.",
    ),
    "empty batches": (
        lambda m, o: Trainer(lift(squared), o, batch_size=0),
        "batch_size=0; pass a whole number, 1 or more, or None for all samples.",
    ),
    "negative steps": (
        lambda m, o: Trainer(lift(squared), o).run(-1, m, *make_data()),
        "-1 steps; pass a whole number, 0 or more.",
    ),
    "two results": (
        lambda m, o: Trainer(lift(lambda m, x: [m(x), m(x)]), o).run(1, m, [1.0, 2.0]),
        "<lambda> returns more than a Value; a loss to train with returns just one.",
    ),
    "a number": (
        lambda m, o: Trainer(lift(lambda m, x: 1.0), o).run(1, m, [1.0, 2.0]),
        "<lambda> returns no Value; a loss to train with returns just one.",
    ),
    "a batch of results": (
        lambda m, o: Trainer(lift(lambda m, X: vmap(m)(X)), o).run(1, m, np.ones((3, 2))),
        (
            "<lambda> returns a number for each sample; a loss to train with returns one: "
            "their total() or mean()."
        ),
    ),
    "no arrays": (
        lambda m, o: Trainer(lift(squared), o, batch_size=3).run(1, m, [[1.0, 2.0]], [1.0]),
        "batch_size needs data to cut batches from; pass it as NumPy arrays.",
    ),
    "no samples": (
        lambda m, o: Trainer(lift(squared), o, batch_size=3).run(1, m, *make_data(0)),
        "X has no rows, and a loss needs one or more; pass some.",
    ),
    "no samples without batches": (
        lambda m, o: Trainer(lift(squared), o).run(1, m, *make_data(0)),
        "X has no rows, and a loss needs one or more; pass some.",
    ),
    "a list beside an array": (
        lambda m, o: Trainer(lift(squared), o, batch_size=3).run(
            1, m, make_data()[0], make_data()[1].tolist()
        ),
        (
            "y has as many numbers as the data has rows, and cannot be cut into batches; pass it "
            "as an array of floats or integers."
        ),
    ),
    "an array of booleans": (
        lambda m, o: Trainer(lift(squared), o, batch_size=3).run(
            1, m, make_data()[0], make_data()[1] > 0.0
        ),
        (
            "y has as many numbers as the data has rows, and cannot be cut into batches; pass it "
            "as an array of floats or integers."
        ),
    ),
    "another model": (
        lambda m, o: Trainer(lift(squared), o).run(1, make_model(), *make_data()),
        (
            "none of the optimiser's parameters takes part in the loss; pass the model that the "
            "optimiser holds."
        ),
    ),
    "a missing argument": (
        lambda m, o: Trainer(lift(squared), o).run(1, m, make_data()[0]),
        "squared(): missing a required argument: 'y'",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refusals(what):
    """Each is one sentence, before anything has moved."""
    model = make_model()
    before = numbers(model)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    use, sentence = REFUSED[what]
    with pytest.raises((LiftError, ValueError, TypeError)) as caught:
        use(model, optimizer)
    assert str(caught.value) == sentence
    assert numbers(model) == before
    assert optimizer.steps == 0


# Long runs.


@pytest.mark.process
def test_an_interrupted_run_leaves_whole_steps():
    """Ctrl-C takes effect at once; parameters, state and steps are consistent."""
    program = """
    import random, signal, threading, time
    import numpy as np
    from liftgrad import Trainer, lift, nn, optim
    from liftgrad.functional import mean

    @lift
    def loss(model, X, y):
        return mean([(model(x) - yi) ** 2 for x, yi in zip(X, y)])

    def make():
        random.seed(5)
        return nn.MLP(2, [4, 1], activation="tanh")

    X = np.random.default_rng(1).normal(size=(40, 2))
    y = X[:, 0] * X[:, 1]
    for size in (None, 7):
        model = make()
        optimizer = optim.Adam(model.parameters(), lr=1e-4)
        trainer = Trainer(loss, optimizer, batch_size=size)
        trainer.run(10, model, X, y)
        threading.Timer(0.5, lambda: signal.raise_signal(signal.SIGINT)).start()
        start = time.perf_counter()
        try:
            trainer.run(100_000_000, model, X, y)
        except KeyboardInterrupt:
            assert time.perf_counter() - start < 5.0
        else:
            raise AssertionError("was not interrupted")
        steps = optimizer.steps
        assert steps > 10
        other = make()
        again = Trainer(loss, optim.Adam(other.parameters(), lr=1e-4), batch_size=size)
        again.run(steps, other, X, y)
        numbers = [[p.data for p in m.parameters()] for m in (model, other)]
        assert numbers[0] == numbers[1]
        assert list(optimizer.state["mean"]) == list(again.optimizer.state["mean"])
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=120)


def test_a_long_run_is_many_short_ones():
    """The losses are the same to the last bit."""
    losses = []
    for steps in ([3000], [1000] * 3):
        model, arguments = make_model(), make_data()
        optimizer = optim.Adam(model.parameters(), lr=0.01)
        trainer = Trainer(lift(squared), optimizer, batch_size=5)
        losses.append([x for n in steps for x in trainer.run(n, model, *arguments).loss])
    assert losses[0] == losses[1]
