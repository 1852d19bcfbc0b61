"""Trainer: the habits of other libraries' users get a sentence that cures them."""

import numpy as np
import pytest

from liftgrad import Checkpoint, EarlyStopping, Trainer, Value, lift, losses, nn, optim, vmap
from liftgrad.errors import LiftError
from liftgrad.functional import mean

X = np.random.default_rng(0).normal(size=(40, 2))
Y = X[:, 0]


@lift
def loss(model, X, y):
    return mean(vmap(lambda x, target: (model(x) - target) ** 2)(X, y))


def half(*_):
    return 0.5


HABITS = {
    "fit(X, y)": (lambda t, m: t.fit(X, Y), "write trainer.fit(10, model, X, y)."),
    "fit(model, X, y)": (
        lambda t, m: t.fit(m, X, Y),
        "fit() takes the number of epochs first, and this is of type MLP; write trainer.fit(10, ",
    ),
    "run(X, y)": (lambda t, m: t.run(X, Y), "write trainer.run(10, model, X, y)."),
    "epochs=10": (
        lambda t, m: t.fit(X, Y, epochs=10),
        "the number of epochs comes first: trainer.fit(10, model, X, y).",
    ),
    "without the model": (lambda t, m: t.fit(3, X, Y), "write trainer.fit(10, model, X, y)."),
    "batch_size in fit": (
        lambda t, m: t.fit(3, m, X, Y, batch_size=8),
        "fit() has no argument 'batch_size'; it is the Trainer's: Trainer(loss, optimizer, batch",
    ),
    "validation_data": (
        lambda t, m: t.fit(3, m, X, Y, validation_data=(X, Y)),
        "write validation=(model, X, y), the loss's arguments with other data.",
    ),
    "validation_split": (
        lambda t, m: t.fit(3, m, X, Y, validation_split=0.1),
        "write validation=0.2.",
    ),
    "verbose": (lambda t, m: t.fit(3, m, X, Y, verbose=1), "write progress=True."),
    "arguments by name": (
        lambda t, m: t.fit(3, model=m, X=X, y=Y),
        "the loss's arguments are passed to fit(), without names: trainer.fit(10, model, X, y).",
    ),
    "a typing error": (
        lambda t, m: t.fit(3, m, X, Y, metric=half),
        "'metric'; it has validation, metrics, early_stopping, callbacks, checkpoint, progress.",
    ),
    "epochs of a Trainer": (
        lambda t, m: Trainer(loss, t.optimizer, epochs=10),
        "Trainer() has no argument 'epochs'; it is for fit(): trainer.fit(10, model, X, y).",
    ),
    "metrics of a Trainer": (
        lambda t, m: Trainer(loss, t.optimizer, metrics={"a": half}),
        "it is for fit(): trainer.fit(10, model, X, y, metrics=...).",
    ),
    "a Trainer's rate": (
        lambda t, m: Trainer(loss, t.optimizer, lr=0.1),
        "it is the optimiser's: optim.Adam(model.parameters(), lr=0.001).",
    ),
    "a typing error in a Trainer": (
        lambda t, m: Trainer(loss, t.optimizer, batch=8),
        "it has batch_size, shuffle, seed, max_norm, clip_value.",
    ),
    "a seed that is none": (
        lambda t, m: Trainer(loss, t.optimizer, batch_size=8, seed=-1),
        "seed=-1; pass a whole number, 0 or more.",
    ),
    "a monitor that is no name": (
        lambda t, m: EarlyStopping(monitor=half),
        "pass the name of a metric, and the metric to fit().",
    ),
    "validation=(X, y)": (
        lambda t, m: t.fit(3, m, X, Y, validation=(X, Y)),
        "write validation=(model, X, y) with other data.",
    ),
    "validation=(X, y, weights)": (
        lambda t, m: t.fit(3, m, X, Y, validation=(X, Y, Y)),
        "write validation=(model, X, y) with other data.",
    ),
    "validation=[X, y]": (
        lambda t, m: t.fit(3, m, X, Y, validation=[X, Y]),
        "validation is a list; pass a fraction such as 0.2, or a tuple of the loss's arguments",
    ),
    "metrics=[name]": (
        lambda t, m: t.fit(3, m, X, Y, metrics=["accuracy"]),
        'such as metrics={"accuracy": accuracy}.',
    ),
    "metrics=name": (
        lambda t, m: t.fit(3, m, X, Y, metrics="accuracy"),
        'such as metrics={"accuracy": accuracy}.',
    ),
    "metrics=function": (
        lambda t, m: t.fit(3, m, X, Y, metrics=half),
        'such as metrics={"accuracy": accuracy}.',
    ),
    "metrics={name: name}": (
        lambda t, m: t.fit(3, m, X, Y, metrics={"accuracy": "accuracy"}),
        "the metric 'accuracy' is a str; pass a function",
    ),
    "early_stopping=True": (
        lambda t, m: t.fit(3, m, X, Y, early_stopping=True),
        "early_stopping=True; pass early_stopping=EarlyStopping(patience=10), or None for none.",
    ),
    "the class EarlyStopping": (
        lambda t, m: t.fit(3, m, X, Y, early_stopping=EarlyStopping),
        "pass early_stopping=EarlyStopping(patience=10), or None for none.",
    ),
    "a checkpoint's name": (
        lambda t, m: t.fit(3, m, X, Y, checkpoint="run.safetensors"),
        'pass checkpoint=Checkpoint("run.safetensors"), or None for none.',
    ),
    "one callback": (
        lambda t, m: t.fit(3, m, X, Y, callbacks=half),
        "callbacks is of type function; pass a list of functions of an EpochState.",
    ),
    "early stopping as a callback": (
        lambda t, m: t.fit(3, m, X, Y, callbacks=[EarlyStopping(5)]),
        "a callback is of type EarlyStopping; pass it as early_stopping=.",
    ),
    "a checkpoint as a callback": (
        lambda t, m: t.fit(3, m, X, Y, callbacks=[Checkpoint("x")]),
        "a callback is of type Checkpoint; pass it as checkpoint=.",
    ),
    "a class as a callback": (
        lambda t, m: t.fit(3, m, X, Y, callbacks=[dict]),
        "a callback is of type type; pass a function of an EpochState.",
    ),
    "another's monitor": (
        lambda t, m: t.fit(
            3, m, X, Y, validation=0.2, early_stopping=EarlyStopping(monitor="val_loss")
        ),
        "early stopping monitors 'val_loss', and there is only loss, validation_loss;",
    ),
    "an optimiser's name": (
        lambda t, m: Trainer(loss, "adamw"),
        "this is of type str; pass optim.AdamW(model.parameters()).",
    ),
    "an optimiser's class": (
        lambda t, m: Trainer(loss, optim.SGD),
        "this is the class SGD; pass optim.SGD(model.parameters()).",
    ),
    "parameters": (
        lambda t, m: Trainer(loss, m.parameters()),
        "this is of type list; pass optim.Adam(model.parameters()).",
    ),
    "a model": (
        lambda t, m: Trainer(m, t.optimizer),
        "a Trainer needs a lifted loss first, and this is of type MLP; write a function of model",
    ),
    "the other way round": (
        lambda t, m: Trainer(t.optimizer, loss),
        "a Trainer needs a lifted loss first, and this is of type Adam; write a function of model",
    ),
    "a loss's name": (
        lambda t, m: Trainer("mse", t.optimizer),
        "a Trainer needs a lifted loss first, and this is of type str; write a function of model",
    ),
    "a loss of outputs": (
        lambda t, m: Trainer(losses.mse_loss, t.optimizer),
        "mse_loss compares outputs with targets; write a function of model and data that returns",
    ),
    "predict": (lambda t, m: t.predict(X), "ask liftgrad.predict(model, X)."),
    "train": (lambda t, m: t.train(3), "a Trainer has no 'train'; it trains by fit()"),
    "evaluate": (lambda t, m: t.evaluate(X, Y), "pass validation= and metrics= to fit()."),
    "what is nowhere": (lambda t, m: t.banana, "a Trainer has no 'banana'."),
    "a scheduler of PyTorch's": (
        lambda t, m: optim.CosineAnnealingWarmRestarts(t.optimizer, 10),
        "pass lr=optim.warm_restarts(0.1, 0.0, steps=100) to the optimiser.",
    ),
    "a loss of PyTorch's": (
        lambda t, m: losses.CrossEntropyLoss(),
        "losses are functions; call losses.cross_entropy.",
    ),
    "a schedule of an optimiser": (
        lambda t, m: optim.ReduceLROnPlateau(t.optimizer),
        "make the schedule first and pass it to the optimiser as lr=schedule.",
    ),
}


@pytest.mark.parametrize("habit", HABITS)
def test_a_habit_gets_a_sentence(habit):
    """It says what to write, and nothing has changed."""
    model = nn.MLP(2, [3, 1])
    before = [p.data for p in model.parameters()]
    trainer = Trainer(loss, optim.Adam(model.parameters()))
    use, cure = HABITS[habit]
    with pytest.raises((TypeError, ValueError, AttributeError, LiftError)) as caught:
        use(trainer, model)
    assert cure in str(caught.value)
    assert str(caught.value).endswith(".")
    assert [p.data for p in model.parameters()] == before


@pytest.mark.parametrize("schedule", optim._SCHEDULES.values())
def test_the_schedule_that_is_advised_is_one(schedule):
    """The text runs as it stands."""
    assert eval(f"optim.{schedule}")(0) >= 0.0


@pytest.mark.parametrize("advised", losses._ELSEWHERE.values())
def test_the_loss_that_is_advised_is_there(advised):
    """By the name that the sentence says."""
    assert callable(getattr(losses, advised.split(",")[0]))


@pytest.mark.parametrize("module", [optim, losses])
def test_other_names_are_missed_as_anywhere(module):
    """And `hasattr` works."""
    assert not hasattr(module, "banana")
    with pytest.raises(AttributeError, match="has no attribute 'banana'"):
        module.banana  # noqa: B018


def test_values_to_train_are_missed_in_the_validation_data():
    """Also where the model is a list of them."""
    w = [Value(0.0)]
    lifted = lift(lambda w, x: mean(vmap(lambda a: (w[0] - a) ** 2)(x)))
    with pytest.raises(TypeError, match=r"write validation=\(w, x\) with other data"):
        Trainer(lifted, optim.SGD(w)).fit(1, w, Y, validation=(Y, Y))


def test_data_frames_are_shown_the_way():
    """Batches are cut from arrays."""
    pandas = pytest.importorskip("pandas")
    model = nn.MLP(2, [3, 1])
    trainer = Trainer(loss, optim.Adam(model.parameters()), batch_size=8)
    with pytest.raises(LiftError, match=r"X is of type DataFrame; pass X.to_numpy\(\)"):
        trainer.fit(1, model, pandas.DataFrame(X), pandas.Series(Y))
