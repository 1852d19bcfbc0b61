"""Trainers of one structure share what was traced and compiled, and nothing else."""

import gc
import random
import weakref

import numpy as np
import pytest

from liftgrad import Trainer, lift, nn, optim

BACKENDS = ["native", "numpy"]
X = np.random.default_rng(0).normal(size=(8, 2))
Y = np.sign(X[:, 0] * X[:, 1])


def penalised(model, X, y, power=2):
    """Return a loss with a static argument."""
    scores = [model(x) for x in X]
    return sum((s - t) ** power for s, t in zip(scores, y, strict=True)) / len(scores)


def network(seed):
    random.seed(seed)
    return nn.MLP(2, [3, 1], "tanh")


def parts(model, start):
    """Return groups of parameters that end with the last layer's."""
    parameters = model.parameters()
    return [
        {"params": parameters[:start], "lr": 0.1},
        {"params": parameters[start:], "momentum": 0.5},
    ]


class Halved(optim.SGD):
    """An optimiser of the user's, whose rule may change."""

    def update(self, parameter, gradient, state, scalars):
        """Return half a step."""
        return super().update(parameter, 0.5 * gradient, state, scalars)


CASES = {
    "another model": lambda m: optim.Adam(m.parameters(), lr=0.1),
    "another rate": lambda m: optim.Adam(m.parameters(), lr=optim.linear(0.2, 0.1, 10)),
    "another setting": lambda m: optim.Adam(m.parameters(), lr=0.1, betas=(0.8, 0.9)),
    "another rule": lambda m: optim.SGD(m.parameters(), lr=0.1),
    "some parameters": lambda m: optim.Adam(m.parameters()[2:], lr=0.1),
    "another order": lambda m: optim.Adam(m.parameters()[::-1], lr=0.1),
    "groups": lambda m: optim.SGD(parts(m, 4), lr=0.2),
    "other groups": lambda m: optim.SGD(parts(m, 6), lr=0.2),
    "more than the model's": lambda m: optim.Adam([*m.parameters(), *network(9).parameters()]),
    "the user's rule": lambda m: Halved(m.parameters(), lr=0.1),
}


def trained(function, make, seed, *, batch_size=None, **options):
    """Train a new model; return its parameters."""
    model = network(seed)
    trainer = Trainer(function, make(model), batch_size=batch_size, **options)
    trainer.run(5, model, X, Y)
    return [p.data for p in model.parameters()]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("batch_size", [None, 3])
def test_what_is_shared_changes_no_bit(backend, batch_size):
    """In any order of all cases, each twice."""
    shared = lift(backend=backend)(penalised)
    for seed, (name, make) in enumerate([*CASES.items(), *reversed(CASES.items())]):
        alone = lift(backend=backend)(penalised)
        expected = trained(alone, make, seed, batch_size=batch_size)
        assert trained(shared, make, seed, batch_size=batch_size) == expected, name
    clipped = {"max_norm": 0.01}
    expected = trained(lift(backend=backend)(penalised), CASES["another model"], 0, **clipped)
    assert trained(shared, CASES["another model"], 0, **clipped) == expected


def test_only_what_is_alike_is_shared():
    """A trainer like the last one traces nothing; one with other settings does."""
    function = lift(penalised)
    traces = []
    for name in ["another model", *CASES, "the user's rule"]:
        before = function.stats.traces
        trained(function, CASES[name], 0)
        if function.stats.traces > before:
            traces.append(name)
    assert traces == [
        *("another model", "another setting", "another rule", "some parameters", "another order"),
        *("groups", "other groups", "more than the model's", "the user's rule", "the user's rule"),
    ]


def test_static_arguments_are_not_shared():
    function = lift(penalised)
    results = []
    for power in (2, 4, 2):
        model = network(0)
        trainer = Trainer(function, optim.SGD(model.parameters(), lr=0.1))
        results.append(trainer.run(3, model, X, Y, power).loss.tolist())
    assert results[0] == results[2] != results[1]
    assert function.stats.traces == 2


def test_a_setting_changed_between_runs_is_seen():
    function = lift(penalised)
    model, other = network(0), network(0)
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.5)
    trainer = Trainer(function, optimizer)
    trainer.run(2, model, X, Y)
    optimizer.momentum = 0.9
    trainer.run(2, model, X, Y)
    plain = optim.SGD(other.parameters(), lr=0.1, momentum=0.5)
    for step in range(4):
        plain.momentum = 0.9 if step >= 2 else 0.5
        plain.zero_grad()
        penalised(other, X, Y).backward()
        plain.step()
    np.testing.assert_allclose(
        [p.data for p in model.parameters()], [p.data for p in other.parameters()], rtol=1e-12
    )


def test_the_first_model_is_not_kept_alive():
    function = lift(penalised)
    model = network(0)
    trainer = Trainer(function, optim.Adam(model.parameters()))
    trainer.run(2, model, X, Y)
    gone = weakref.ref(model), weakref.ref(trainer)
    del model, trainer
    gc.collect()
    assert [reference() for reference in gone] == [None, None]
