"""Damaged files are refused in a sentence, or what is loaded is what was written.

A few hundred are tried here, and 10,000 of each kind with `LIFTGRAD_SOAK=1`.
"""

import contextlib
import json
import os
import random

import numpy as np
import pytest

from damage import Trial, crafted, cut, flipped
from liftgrad import EarlyStopping, Trainer, lift, nn, optim, vmap
from liftgrad.errors import CheckpointError, NonFiniteLossError
from liftgrad.functional import mean
from liftgrad.sealed import seal, unseal
from liftgrad.trainer import state

COUNT = 10_000 if os.environ.get("LIFTGRAD_SOAK") else 60
X = np.random.default_rng(5).normal(size=(40, 2))


@lift
def squared(model, X, y):
    return mean(vmap(lambda x, yi: (model(x)[0] - yi) ** 2)(X, y))


@lift(dtype="float32")
def squared32(model, X, y):
    return mean(vmap(lambda x, yi: (model(x)[0] - yi) ** 2)(X, y))


def in_groups(ps):
    optimizer = optim.SGD([{"params": ps[:5]}, {"params": ps[5:8], "momentum": 0.5}], lr=0.02)
    optimizer.steps = 3
    optimizer.add_param_group({"params": ps[8:], "lr": optim.linear(0.1, 0.01, 30)})
    return optimizer


def fitted(name):
    """Return a model and a trainer in the middle of an epoch, with all that a file may hold."""
    random.seed(3)
    layers = [nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1)]
    if name == "dropout":
        layers.insert(2, nn.Dropout(0.5))
    model = nn.Sequential(*layers)
    loss = squared32 if name == "dropout" else squared
    make = in_groups if name == "groups" else lambda ps: optim.Adam(ps, lr=0.01)
    batch_size = None if name == "groups" else 12
    trainer = Trainer(loss, make(model.parameters()), batch_size=batch_size, seed=2)
    rule = EarlyStopping(5, monitor="loss")
    trainer.fit(2, model, X, X[:, 0], early_stopping=rule)
    trainer.run(1, model, X, X[:, 0])
    return model, trainer


def contents(trainer, path):
    """Return all that a trainer's file says, as text that can be compared."""
    trainer.save(path)
    arrays, entry = unseal(state.KIND, path)
    entry["random now"] = random.getstate()
    return repr({k: (x.dtype, x.tobytes()) for k, x in sorted(arrays.items())}) + json.dumps(entry)


@pytest.mark.parametrize("name", ["plain", "dropout", "groups"])
def test_a_damaged_checkpoint_is_refused_or_holds_what_was_written(name, tmp_path):
    """Nothing else comes out of it, and a trainer that refused one is as it was."""
    model, trainer = fitted(name)
    good, path, other = (tmp_path / f"{x}.safetensors" for x in ("good", "bad", "other"))
    trainer.save(good)
    whole = good.read_bytes()
    trainer.fit(1, model, X, X[:, 0])
    before = contents(trainer, other)
    trainer.load(good)
    expected = contents(trainer, other)
    assert expected != before
    rng = random.Random(7)
    trial = Trial(trainer.load, CheckpointError)

    def compared(_):
        return "as it was" if contents(trainer, other) == expected else "other numbers in silence"

    def trained(_):
        with contextlib.suppress(NonFiniteLossError):  # made up numbers may be nan
            trainer.fit(1, model, X, X[:, 0])
        return "made up"

    for i in range(COUNT):
        how = [flipped, cut, crafted][i % 3]
        made = crafted(state.KIND, good, rng) if how is crafted else how(whole, rng)
        trainer.load(good)
        trainer.fit(1, model, X, X[:, 0])
        path.write_bytes(made)
        before = contents(trainer, other)
        outcome = trial.see(f"{how.__name__} {i}", path, trained if how is crafted else compared)
        if outcome == "refused":
            assert contents(trainer, other) == before
    print(name, dict(trial.outcomes))  # noqa: T201, the soak's figures
    assert trial.faults == []
    assert trial.outcomes["refused"] > COUNT // 2


def resaved(trainer, path, **fields):
    """Write a trainer's file with other fields, or without those that are None, and its digest."""
    trainer.save(path)
    arrays, entry = unseal(state.KIND, path)
    for name, x in fields.items():
        if name in arrays:
            arrays[name] = np.asarray(x)
        else:
            entry[name] = x
    path.write_bytes(seal(state.KIND, arrays, entry))


@pytest.mark.parametrize(
    ("field", "x", "words"),
    [
        ("order", [0, 40], "its order names rows that 40 rows do not have"),
        ("order", [-1], "its order names rows that 40 rows do not have"),
        ("order", [1, 1], "its order names a row twice"),
        ("order", [0.0, 1.0], "its order is not a row of whole numbers"),
        ("parameters", np.zeros(4), "its field 'parameters' is not of 17 numbers"),
        ("parameters", np.zeros((1, 17)), "its field 'parameters' is not a row of floats"),
        ("state.mean", np.zeros(17, np.int64), "its field 'state.mean' is not a row of floats"),
        ("steps", -1, "its field 'steps' is not a whole number from 0 to"),
        ("steps", 2.0, "its field 'steps' is not a whole number"),
        ("began", [9], "its field 'began.0.' is not a whole number from 0 to 9"),
        ("rows", None, "its field 'rows' is not a whole number"),
        ("random", {"bit_generator": "MT19937"}, "damaged checkpoint"),
        ("columns", ["loss", "loss"], "it has arrays that no trainer writes"),
        ("draws", [3, [1, 2], None], "damaged checkpoint"),
        ("best", {"monitored": 1}, "its field 'best.monitored' is not a text"),
        ("is", {"the loss": "\n" * 99}, r"the loss was \\n\\n.*\.\.\. and is squared"),
    ],
)
def test_a_checkpoint_s_fields_are_looked_at_although_its_digest_is_right(
    field, x, words, tmp_path
):
    """Before anything is changed: memory that is not the data's would be read otherwise."""
    _, trainer = fitted("plain")
    if isinstance(x, list) and field == "began":
        x = [trainer.optimizer.steps + 1]
        words = words.replace("9", str(trainer.optimizer.steps))
    path = tmp_path / "run.safetensors"
    before = contents(trainer, path)
    resaved(trainer, path, **{field: x})
    with pytest.raises(CheckpointError, match=words) as caught:
        trainer.load(path)
    assert str(caught.value).isprintable()
    assert contents(trainer, path) == before
