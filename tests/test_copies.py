"""Copies and pickles of what trains continue as the original does, or are refused."""

import copy
import pickle
import random

import numpy as np
import pytest

from liftgrad import EarlyStopping, Trainer, Value, lift, nn, optim, vmap
from liftgrad.errors import LiftError
from liftgrad.functional import mean

X = np.random.default_rng(5).normal(size=(40, 2))
y = np.sin(X[:, 0])

SCHEDULES = {
    "constant": optim.constant(0.1),
    "linear": optim.linear(0.1, 0.01, 30),
    "step": optim.step(0.1, every=5),
    "exponential": optim.exponential(0.1, 0.9),
    "cosine": optim.cosine(0.1, 0.0, 30),
    "one_cycle": optim.one_cycle(0.1, 30),
    "plateau": optim.ReduceLROnPlateau(0.1, monitor="loss", patience=0),
    "warm_up": optim.warm_up(0.0, 5, optim.cosine(0.1, 0.0, 30)),
}
OPTIMIZERS = {
    "Adam": lambda ps: optim.Adam(ps, lr=optim.cosine(0.1, 0.0, 60)),
    "groups": lambda ps: optim.SGD(
        [{"params": ps[:5]}, {"params": ps[5:], "momentum": 0.9}], lr=0.05
    ),
}
WAYS = {"deepcopy": copy.deepcopy, "pickle": lambda x: pickle.loads(pickle.dumps(x))}


@lift
def squared(model, X, y):
    return mean(vmap(lambda x, yi: (model(x) - yi) ** 2)(X, y))


def make(optimizer="Adam"):
    random.seed(3)
    model = nn.MLP(2, [4, 1], activation="tanh")
    return model, Trainer(squared, OPTIMIZERS[optimizer](model.parameters()), batch_size=12, seed=2)


def numbers(model):
    return [p.data for p in model.parameters()]


@pytest.mark.parametrize("copied", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("before", ["a step", "a fit", "a run", "a copy"])
def test_a_copy_of_model_and_trainer_goes_on_to_the_bit(before, optimizer, copied):
    """Before its first step, after an epoch, within one and again; neither moves the other."""
    model, trainer = make(optimizer)
    rule = EarlyStopping(2, monitor="loss")
    if before != "a step":
        trainer.fit(2, model, X, y, early_stopping=rule)
    if before in ("a run", "a copy"):
        trainer.run(1, model, X, y)
    second, other = copied((model, trainer))
    if before == "a copy":
        second, other = copied((second, other))
    assert numbers(second) == numbers(model)
    expected = trainer.fit(3, model, X, y, early_stopping=rule)
    assert numbers(second) != numbers(model)
    got = other.fit(3, second, X, y, early_stopping=rule)
    assert got.loss.tolist() == expected.loss.tolist()
    assert numbers(second) == numbers(model)


@pytest.mark.parametrize("copied", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("steps", [0, 1])
def test_a_copy_without_its_model_says_so(copied, steps):
    """Its parameters belong to no model."""
    model, trainer = make()
    trainer.run(steps, model, X, y)
    for _ in range(2):
        with pytest.raises(LiftError, match="none of the optimiser's parameters takes part in"):
            copied(trainer).fit(1, model, X, y)


def test_copies_write_the_same_checkpoint(tmp_path):
    """With the names of the parameters, before their first step."""
    model, trainer = make()
    trainer.fit(1, model, X, y)
    for name, one in (("a", trainer), ("b", copy.deepcopy(trainer))):
        one.save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_shallow_copies_are_refused():
    """They would share some of the state and not the rest."""
    _, trainer = make()
    for x in (trainer, trainer.optimizer):
        with pytest.raises(TypeError, match=r"use copy\.deepcopy\(\(model, "):
            copy.copy(x)


@pytest.mark.parametrize("copied", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_optimisers_with_schedules_are_copied(schedule, copied):
    """The copy steps as the original does."""
    p = Value(1.0)
    optimizer = optim.Adam([p], lr=SCHEDULES[schedule])
    p.grad = 1.0
    optimizer.step()
    q, other = copied((p, optimizer))
    for _ in range(9):
        optimizer.step()
        other.step()
        assert q.data == p.data
    assert other.state_dict() == optimizer.state_dict()
    other.step()
    assert other.steps == optimizer.steps + 1


@pytest.mark.parametrize("copied", [copy.copy, *WAYS.values()])
def test_histories_and_groups_are_copied(copied):
    """With all that they hold."""
    model, trainer = make("groups")
    history = trainer.fit(2, model, X, y)
    again = copied(history)
    assert again.loss.tolist() == history.loss.tolist()
    assert again.table().keys() == history.table().keys()
    assert again.interrupted is False
    assert {**copied(trainer.optimizer.param_groups[1]), "params": 0} == {
        **trainer.optimizer.param_groups[1],
        "params": 0,
    }
    assert copied(squared) is squared
