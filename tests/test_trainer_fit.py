"""Trainer.fit: epochs of native steps, evaluated as by hand."""

import csv
import math
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest

from liftgrad import EarlyStopping, Trainer, lift, nn, optim, set_num_threads, vmap
from liftgrad.errors import CheckpointError, LiftError
from liftgrad.functional import mean
from liftgrad.lift.threads import get_num_threads
from liftgrad.sealed import seal, unseal
from liftgrad.trainer import checkpoint_file

BACKENDS = ["native", "numpy"]


def squared(model, X, y):
    return mean(vmap(lambda x, yi: (model(x) - yi) ** 2)(X, y))


def make_data(n=40, seed=5):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2))
    return X, np.sin(X[:, 0]) + 0.1 * rng.normal(size=n)


def make_model(seed=3):
    random.seed(seed)
    return nn.MLP(2, [4, 1], activation="tanh")


def make(backend="native", lr=0.05, **kwargs):
    model = make_model()
    loss = lift(backend=backend)(squared)
    return model, Trainer(loss, optim.Adam(model.parameters(), lr=lr), batch_size=8, **kwargs)


def numbers(model):
    return [p.data for p in model.parameters()]


# Epochs.


@pytest.mark.parametrize("backend", BACKENDS)
def test_epochs_are_the_same_steps_as_a_run_of_them(backend):
    """Three epochs of 40 samples in batches of 12 are twelve steps, to the bit."""
    X, y = make_data()
    histories, models = [], []
    for fit in (True, False):
        model, trainer = make(backend)
        trainer = Trainer(trainer.loss, trainer.optimizer, batch_size=12, seed=4)
        histories.append(trainer.fit(3, model, X, y) if fit else trainer.run(12, model, X, y))
        models.append(numbers(model))
    assert histories[0].loss.tolist() == histories[1].loss.tolist()
    assert models[0] == models[1]
    table = histories[0].table()
    assert table["epoch"].tolist() == [1, 2, 3]
    assert table["step"].tolist() == [4, 8, 12]
    steps = histories[0].loss.reshape(3, 4)
    # The last batch has 4 samples.
    assert table["loss"] == pytest.approx(steps @ [0.3, 0.3, 0.3, 0.1], rel=1e-14)


@pytest.mark.parametrize("size", [1, 12, 39, 40, 100])
def test_an_epochs_loss_is_the_mean_over_its_samples(size):
    """Whatever the batches, all samples weigh the same; nothing moves here."""
    X, y = make_data()
    model, trainer = make()
    rested = optim.SGD(model.parameters(), lr=0.0)
    history = Trainer(trainer.loss, rested, batch_size=size).fit(
        2, model, X, y, validation=(model, X, y)
    )
    table = history.table()
    assert table["loss"] == pytest.approx(table["validation_loss"], rel=1e-14)


def test_without_batches_an_epoch_is_a_step():
    """All data at once."""
    model = make_model()
    trainer = Trainer(lift(squared), optim.SGD(model.parameters(), lr=0.1))
    history = trainer.fit(5, model, *make_data())
    assert len(history.loss) == 5
    assert history.table()["loss"].tolist() == history.loss.tolist()


def test_an_epoch_that_run_began_is_finished_first():
    """Two of five steps have been taken, and three are left."""
    model, trainer = make()
    trainer.run(2, model, *make_data())
    history = trainer.fit(1, model, *make_data())
    assert len(history.loss) == 3
    assert history.table()["step"].tolist() == [5]


def test_the_history_goes_on_over_fits():
    """Two fits share one table."""
    model, trainer = make()
    trainer.fit(2, model, *make_data())
    history = trainer.fit(1, model, *make_data(), validation=make_data_args(model))
    assert history.table()["epoch"].tolist() == [1, 2, 3]
    assert np.isnan(history.table()["validation_loss"]).tolist() == [True, True, False]


def make_data_args(model, seed=6):
    return (model, *make_data(16, seed))


@pytest.mark.parametrize("epochs", [-1, 1.5])
def test_an_impossible_number_of_epochs_is_refused(epochs):
    """A sentence says what to pass."""
    model, trainer = make()
    with pytest.raises(ValueError, match="pass a whole number, 0 or more"):
        trainer.fit(epochs, model, *make_data())


def test_no_epochs_change_nothing():
    """The history is empty, and prints."""
    model, trainer = make()
    before = numbers(model)
    history = trainer.fit(0, model, *make_data())
    assert numbers(model) == before
    assert str(history) == "0 steps, 0 epochs"


def test_the_rate_in_the_table_is_the_last_steps():
    """Of a schedule."""
    model, trainer = make(lr=optim.linear(0.1, 0.0, steps=10))
    table = trainer.fit(2, model, *make_data()).table()
    assert table["lr"] == pytest.approx([0.06, 0.01])


def test_the_rates_of_several_groups_have_columns_of_their_own():
    """Next to that of the first, which has the name as without groups."""
    model = make_model()
    params = model.parameters()
    rates = optim.linear(0.1, 0.0, steps=10), 0.25
    groups = [{"params": params[:4], "lr": rates[0]}, {"params": params[4:], "lr": rates[1]}]
    trainer = Trainer(lift(squared), optim.SGD(groups), batch_size=8)
    states = []
    history = trainer.fit(2, model, *make_data(), callbacks=[states.append])
    table = history.table()
    assert list(table) == ["epoch", "step", "loss", "lr", "lr_0", "lr_1", "seconds"]
    assert table["lr"].tolist() == table["lr_0"].tolist() == pytest.approx([0.06, 0.01])
    assert table["lr_1"].tolist() == [0.25, 0.25]
    assert [state.lr for state in states] == table["lr"].tolist()
    assert [state.rates for state in states] == [[lr, 0.25] for lr in table["lr"]]
    assert str(history) == f"10 steps, 2 epochs, loss {table['loss'][-1]:.6g}"


# Validation and metrics.


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_validation_loss_is_the_loss_on_other_data(backend):
    """As by hand, after each epoch; training does not see the data."""
    X, y = make_data()
    model, trainer = make(backend)
    other = make_data_args(model)
    expected = []
    history = trainer.fit(
        3,
        model,
        X,
        y,
        validation=other,
        callbacks=[lambda state: expected.append(squared(*other).data)],
    )
    assert history.table()["validation_loss"] == pytest.approx(expected, rel=1e-12)
    again, plain = make(backend)
    plain.fit(3, again, X, y)
    assert numbers(again) == numbers(model)


def test_a_fraction_holds_out_rows_that_the_seed_chooses():
    """The last of a permutation; the others are trained on in their original order."""
    X, y = make_data()
    order = np.random.default_rng(7).permutation(40)
    train, held = np.sort(order[:-10]), np.sort(order[-10:])
    model, trainer = make(seed=7)
    history = trainer.fit(3, model, X, y, validation=0.25)
    again, other = make(seed=7)
    expected = other.fit(3, again, X[train], y[train], validation=(again, X[held], y[held]))
    assert history.loss.tolist() == expected.loss.tolist()
    columns = [h.table()["validation_loss"].tolist() for h in (history, expected)]
    assert columns[0] == columns[1]


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, math.nan, 0.001])
def test_a_fraction_that_leaves_no_rows_is_refused(fraction):
    """On either side."""
    model, trainer = make()
    with pytest.raises(ValueError, match="leaves none on one side; pass a fraction"):
        trainer.fit(1, model, *make_data(), validation=fraction)


def test_data_that_no_rows_can_be_held_out_of_is_refused():
    """Labels that the loss captures would be paired with other samples."""
    X, y = make_data()
    model = make_model()
    loss = lift(lambda model, X: mean([(model(x) - t) ** 2 for x, t in zip(X, y)]))  # noqa: B905
    trainer = Trainer(loss, optim.SGD(model.parameters()), batch_size=8)
    with pytest.raises(LiftError, match=r"^y has as many rows as the data .*; pass it there\.$"):
        trainer.fit(1, model, X, validation=0.2)
    assert trainer.optimizer.steps == 0


def test_metrics_see_the_validation_data():
    """Lifted or plain; without validation, the training data."""
    X, y = make_data()
    model, trainer = make()
    seen = []

    def rows(_model, X, _y):
        seen.append(len(X))
        return len(X)

    metrics = {"rows": rows, "same": lift(squared)}
    table = trainer.fit(2, model, X, y, metrics=metrics, validation=make_data_args(model)).table()
    assert table["same"].tolist() == table["validation_loss"].tolist()
    trainer.fit(1, model, X, y, metrics=metrics)
    assert seen == [16, 16, 40]


@pytest.mark.parametrize(
    ("metrics", "error", "words"),
    [
        ({"loss": squared}, ValueError, "give the metric another name"),
        ({"lr_1": squared}, ValueError, "give the metric another name"),
        ({"m": 3}, TypeError, "pass a function"),
        ({"m": lambda *args: args}, TypeError, "a metric returns one number"),
        ({"m": lambda *args: np.zeros(3)}, TypeError, "a metric returns one number"),
    ],
)
def test_what_is_no_metric_is_refused(metrics, error, words):
    """In one sentence."""
    model, trainer = make()
    with pytest.raises(error, match=words):
        trainer.fit(1, model, *make_data(), metrics=metrics)


def test_modules_are_in_evaluation_while_they_are_evaluated():
    """And in training mode afterwards, without building a new program."""

    class Noisy(nn.MLP):
        def __call__(self, x):
            return super().__call__(x) + (1.0 if self.training else 0.0)

    random.seed(1)
    model = Noisy(2, [3, 1])
    loss = lift(squared)
    trainer = Trainer(loss, optim.SGD(model.parameters(), lr=0.0), batch_size=8)
    X, y = make_data()
    history = trainer.fit(
        3, model, X, y, validation=(model, X, y), metrics={"m": lambda m, *_: m.training}
    )
    expected = mean([(nn.MLP.__call__(model, x) - yi) ** 2 for x, yi in zip(X, y, strict=True)])
    assert history.table()["validation_loss"] == pytest.approx([expected.data] * 3)
    assert history.table()["m"].tolist() == [0.0] * 3
    assert "training" not in vars(model)
    assert model.training
    assert loss.stats.traces == 2


# Early stopping and callbacks.


def fit_monitored(numbers_, rule, mode="min"):
    model, trainer = make()
    series = iter(numbers_)
    seen = []
    history = trainer.fit(
        len(numbers_),
        model,
        *make_data(),
        metrics={"m": lambda *args: next(series)},
        early_stopping=EarlyStopping(monitor="m", mode=mode, **rule),
        callbacks=[lambda state: seen.append(numbers(model))],
    )
    return history, model, seen


def test_it_stops_once_nothing_was_better_for_a_while():
    """The parameters are then the best epoch's."""
    history, model, seen = fit_monitored([3.0, 2.0, 2.5, math.nan, 2.0, 1.0], {"patience": 3})
    assert history.table()["m"].tolist()[:3] == [3.0, 2.0, 2.5]
    assert len(seen) == 5
    assert numbers(model) == seen[1]
    assert seen[1] != seen[4]


def test_a_small_gain_does_not_count():
    """A gain of less than min_delta is none."""
    _, _, seen = fit_monitored([3.0, 2.95, 2.92, 1.0], {"patience": 2, "min_delta": 0.1})
    assert len(seen) == 3


def test_larger_may_be_better():
    """As with an accuracy."""
    _, model, seen = fit_monitored([0.5, 0.7, 0.6, 0.65, 0.1], {"patience": 2}, mode="max")
    assert len(seen) == 4
    assert numbers(model) == seen[1]


def test_the_last_parameters_may_be_kept():
    """With restore_best=False."""
    rule = {"patience": 1, "restore_best": False}
    _, model, seen = fit_monitored([1.0, 2.0, 3.0], rule)
    assert numbers(model) == seen[1]


def fit_in_turn(*fits):
    """Fit a trainer for each of some (monitored numbers, rule)."""
    model, trainer = make()
    seen = []
    for series, rule in fits:
        numbers_ = iter(series)
        trainer.fit(
            len(series),
            model,
            *make_data(),
            metrics={rule.monitor: lambda *args, of=numbers_: next(of)},
            early_stopping=rule,
            callbacks=[lambda state: seen.append(numbers(model))],
        )
    return model, seen


@pytest.mark.parametrize(
    ("series", "rule"),
    [
        ([5.0, 4.0, 6.0], EarlyStopping(2, monitor="k")),
        ([0.5, 0.7, 0.6], EarlyStopping(2, monitor="m", mode="max")),
    ],
)
def test_another_monitor_has_a_best_epoch_of_its_own(series, rule):
    """The best of one metric says nothing about another metric or mode."""
    model, seen = fit_in_turn(([1.0, 2.0], EarlyStopping(9, monitor="m")), (series, rule))
    assert len(seen) == 5
    assert numbers(model) == seen[3]


def test_a_fit_that_monitors_the_same_goes_on():
    """Both share the best epoch and the patience."""
    rule = EarlyStopping(3, monitor="m")
    model, seen = fit_in_turn(([1.0, 2.0], rule), ([3.0, 4.0, 0.5], rule))
    assert len(seen) == 4
    assert numbers(model) == seen[0]


def test_a_fit_that_restores_nothing_does_not_restore_what_an_earlier_one_kept():
    """Even if nothing was better in it."""
    rules = [EarlyStopping(9, monitor="m", restore_best=kept) for kept in (True, False)]
    model, seen = fit_in_turn(([1.0, 2.0], rules[0]), ([3.0, 4.0], rules[1]))
    assert numbers(model) == seen[3]


def test_a_number_that_is_never_one_ends_a_fit_with_a_warning():
    """Nothing is known about the progress."""
    model, trainer = make()
    rule = EarlyStopping(3, monitor="m", mode="max")
    with pytest.warns(RuntimeWarning, match="since m was nan in each of 3 epochs") as caught:
        history = trainer.fit(
            9, model, *make_data(), metrics={"m": lambda *_: math.nan}, early_stopping=rule
        )
    assert caught[0].filename == __file__
    assert len(history.epochs["epoch"]) == 3


def test_what_is_not_there_cannot_be_monitored():
    """The message lists what is."""
    model, trainer = make()
    with pytest.raises(ValueError, match="there is only loss; pass validation="):
        trainer.fit(1, model, *make_data(), early_stopping=EarlyStopping())


def test_data_without_rows_are_refused():
    """For training and validation, with and without batches, even after other data."""
    model, trainer = make()
    whole = Trainer(trainer.loss, trainer.optimizer)
    X, y = make_data()
    for some in (trainer, whole):
        some.fit(1, model, X, y)
        before = numbers(model)
        for empty in ({"validation": (model, X[:0], y[:0])}, {}):
            data = (X, y) if empty else (X[:0], y[:0])
            with pytest.raises(LiftError, match=r"X has no rows|needs data to cut"):
                some.fit(1, model, *data, **empty)
        assert numbers(model) == before


@pytest.mark.parametrize(
    "bad", [{"patience": 0}, {"patience": 2.5}, {"min_delta": -1.0}, {"mode": "best"}]
)
def test_an_impossible_rule_is_refused(bad):
    """When it is made."""
    with pytest.raises(ValueError, match="got"):
        EarlyStopping(**bad)


def test_a_callback_sees_each_epoch_and_may_end_the_fit():
    """By returning True; other callbacks are still called."""
    model, trainer = make()
    states = []
    history = trainer.fit(9, model, *make_data(), callbacks=[lambda s: s.epoch == 3, states.append])
    assert [s.epoch for s in states] == [1, 2, 3]
    assert [s.step for s in states] == [5, 10, 15]
    assert [s.loss for s in states] == history.table()["loss"].tolist()
    assert states[0].trainer.optimizer.params[0] is model.parameters()[0]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("monitor", ["validation_loss", "loss", "m"])
def test_the_rate_falls_on_a_plateau(monitor, warm, backend):
    """Of anything monitored, also after a warm-up; all groups share the schedule."""
    X, y = make_data()
    model = make_model()
    schedule = optim.ReduceLROnPlateau(0.5, factor=0.5, patience=1, monitor=monitor)
    groups = [{"params": model.layers[0].parameters()}, {"params": model.layers[1].parameters()}]
    optimizer = optim.SGD(groups, lr=optim.warm_up(0.25, 5, schedule) if warm else schedule)
    trainer = Trainer(lift(backend=backend)(squared), optimizer, batch_size=8)
    numbers = iter([3.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0])
    metrics = {"m": lambda *_: next(numbers)}
    table = trainer.fit(7, model, X, y, validation=0.5, metrics=metrics).table()
    expected = optim.ReduceLROnPlateau(0.5, factor=0.5, patience=1)
    rates = []
    for i, number in enumerate(table[monitor]):
        rates.append(expected(0) if i or not warm else 0.25 + 0.25 * 2 / 5)
        expected.step(number)
    assert table["lr_0"].tolist() == table["lr_1"].tolist() == pytest.approx(rates)
    if monitor == "m":
        assert table["lr"].tolist()[2:] == [0.5, 0.5, 0.25, 0.25, 0.125]


@pytest.mark.parametrize("told", [1, 5])
def test_a_plateau_goes_on_from_a_checkpoint(told, tmp_path):
    """In a trainer made like the first one, with a new schedule."""
    X, y = make_data()

    def trained():
        model = make_model()
        schedule = optim.ReduceLROnPlateau(0.5, factor=0.5, patience=0, monitor="m")
        optimizer = optim.Adam(model.parameters(), lr=optim.warm_up(0.1, 3, schedule))
        return model, Trainer(lift(squared), optimizer, batch_size=8)

    def fit(model, trainer, numbers):
        told = iter(numbers)
        return trainer.fit(len(numbers), model, X, y, metrics={"m": lambda *_: next(told)})

    series = [3.0, 3.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0]
    whole, whole_trainer = trained()
    expected = fit(whole, whole_trainer, series)
    first, first_trainer = trained()
    fit(first, first_trainer, series[:told])
    first_trainer.save(tmp_path / "c")
    second, second_trainer = trained()
    second_trainer.load(tmp_path / "c")
    got = fit(second, second_trainer, series[told:])
    assert got.table()["lr"].tolist() == expected.table()["lr"].tolist()
    assert numbers(second) == numbers(whole)


@pytest.mark.parametrize(
    "said",
    [None, 5, [], [None], [{}], [{"rate": -1.0, "best": 1.0, "waited": 0, "cooling": 0}], [{}, {}]],
)
def test_what_a_plateau_was_told_is_looked_at(said, tmp_path):
    """A checkpoint with other contents is refused, and nothing is changed."""
    model = make_model()
    schedule = optim.ReduceLROnPlateau(0.5, monitor="loss")
    trainer = Trainer(lift(squared), optim.SGD(model.parameters(), lr=schedule))
    trainer.fit(2, model, *make_data())
    trainer.save(tmp_path / "c")
    arrays, entry = unseal(checkpoint_file.KIND, tmp_path / "c")
    (tmp_path / "c").write_bytes(seal(checkpoint_file.KIND, arrays, {**entry, "plateaus": said}))
    before = schedule.state_dict()
    with pytest.raises(CheckpointError, match=r"damaged|plateaus"):
        trainer.load(tmp_path / "c")
    assert schedule.state_dict() == before


def test_a_plateau_of_what_is_not_there_is_refused():
    """Before the first step."""
    model = make_model()
    optimizer = optim.SGD(model.parameters(), lr=optim.ReduceLROnPlateau(0.1))
    with pytest.raises(ValueError, match="ReduceLROnPlateau monitors 'validation_loss'"):
        Trainer(lift(squared), optimizer).fit(1, model, *make_data())
    assert optimizer.steps == 0


@pytest.mark.parametrize("answer", [True, np.True_, np.isfinite(1.0)])
def test_true_is_true_of_whomever(answer):
    """NumPy's ends a fit as Python's does, and other answers do not."""
    model, trainer = make()
    history = trainer.fit(3, model, *make_data(), callbacks=[lambda _: answer])
    assert len(history.epochs["epoch"]) == 1
    assert history.stopped
    history = trainer.fit(2, model, *make_data(), callbacks=[lambda _: 1, lambda _: np.False_])
    assert len(history.epochs["epoch"]) == 3
    assert not history.stopped


def test_numpys_whole_numbers_count(tmp_path):
    """As epochs, steps, sizes, seeds and patience, also in a checkpoint."""
    X, y = make_data()
    model, _ = make()
    kinds = {"python": int, "numpy": np.int64}
    for name, kind in kinds.items():
        loss, optimizer = lift(squared), optim.SGD(model.parameters(), lr=np.float32(0.25))
        trainer = Trainer(loss, optimizer, batch_size=kind(8), seed=kind(3), shuffle=np.True_)
        if name == "numpy":
            trainer.load(tmp_path / "python")
        history = trainer.fit(
            kind(2), model, X, y, early_stopping=EarlyStopping(kind(5), monitor="loss")
        )
        trainer.run(kind(3), model, X, y)
        trainer.save(tmp_path / name)
    assert len(history.epochs["epoch"]) == 4


# History.


def test_a_csv_reads_back_as_the_table(tmp_path):
    """Every number to the bit, and a data frame takes the table as it is."""
    model, trainer = make()
    history = trainer.fit(3, model, *make_data(), validation=0.2)
    history.to_csv(tmp_path / "history.csv")
    with (tmp_path / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for name, column in history.table().items():
        assert [float(row[name]) for row in rows] == column.tolist()
    assert rows[0]["epoch"] == "1"
    assert str(history).startswith("12 steps, 3 epochs, loss ")
    assert list(tmp_path.iterdir()) == [tmp_path / "history.csv"]


def test_a_data_frame_takes_the_table():
    """With its columns."""
    pandas = pytest.importorskip("pandas")
    model, trainer = make()
    frame = pandas.DataFrame(trainer.fit(2, model, *make_data()).table())
    assert list(frame.columns) == ["epoch", "step", "loss", "lr", "seconds"]
    assert len(frame) == 2


# Interruption and threads.


@pytest.mark.parametrize("backend", BACKENDS)
def test_ctrl_c_ends_a_fit_after_a_whole_step(backend, capsys):
    """And the next fit continues as if nothing had happened, to the bit."""
    X, y = make_data(4000)
    model, trainer = make(backend)
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    history = trainer.fit(10**6, model, X, y)
    timer.join()
    assert history.interrupted
    steps = trainer.optimizer.steps
    assert len(history.loss) == steps
    assert "Interrupted after step" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    again, plain = make(backend)
    expected = plain.run(steps, again, X, y)
    assert expected.loss.tolist() == history.loss.tolist()
    assert numbers(again) == numbers(model)
    assert trainer.run(7, model, X, y).loss.tolist() == plain.run(7, again, X, y).loss.tolist()


@pytest.mark.parametrize(
    ("backend", "method"), [("native", "fit"), ("native", "run"), ("numpy", "fit")]
)
def test_ctrl_c_leaves_random_as_the_steps_taken_do(backend, method):
    """No number of a step that was not taken is drawn, and none is drawn twice."""

    def dropped(model, X, y):
        return squared(lambda x: model(nn.Dropout(0.5)(x)), X, y)

    def make_dropped():
        model = make_model()
        optimizer = optim.SGD(model.parameters(), lr=0.01)
        return model, Trainer(lift(backend=backend)(dropped), optimizer, batch_size=4)

    X, y = make_data(4000)
    model, trainer = make_dropped()
    random.seed(6)
    trainer.run(3, model, X, y)
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        getattr(trainer, method)(10**6, model, X, y)
    except KeyboardInterrupt:
        assert method == "run"
    timer.join()
    state, steps = random.getstate(), trainer.optimizer.steps
    assert 3 < steps < 10**6
    again, plain = make_dropped()
    random.seed(6)
    plain.run(steps, again, X, y)
    assert random.getstate() == state
    assert numbers(again) == numbers(model)


def interrupted_at_third_epoch():
    """Return trainer, model, its numbers after each epoch, and a fit whose first epoch is best."""
    model, trainer = make()
    seen = []

    def callback(state):
        seen.append(numbers(model))
        if state.epoch == 3:
            raise KeyboardInterrupt

    def fit(epochs):
        return trainer.fit(
            *(epochs, model, *make_data()),
            metrics={"m": lambda *args: 1.0},
            early_stopping=EarlyStopping(9, monitor="m"),
            callbacks=[callback],
        )

    assert fit(5).interrupted
    return model, seen, fit


def test_an_interrupted_fit_with_early_stopping_goes_on_where_it_was():
    """The best epoch's parameters are restored only at its end."""
    model, seen, fit = interrupted_at_third_epoch()
    assert numbers(model) == seen[2] != seen[0]
    history = fit(2)
    assert numbers(model) == seen[0]
    again, plain = make()
    assert history.loss.tolist() == plain.run(25, again, *make_data()).loss.tolist()
    assert numbers(again) == seen[4]


def test_a_fit_of_no_epochs_puts_the_best_parameters_back():
    """For users who interrupt training and stop there."""
    model, seen, fit = interrupted_at_third_epoch()
    fit(0)
    assert numbers(model) == seen[0]


def test_the_result_does_not_depend_on_the_number_of_threads():
    """Losses, validation and parameters, to the bit, on batches for several threads."""
    X, y = make_data(9000)
    threads = get_num_threads()
    results = []
    try:
        for count in (1, 2, 3):
            set_num_threads(count)
            model, trainer = make()
            trainer = Trainer(trainer.loss, trainer.optimizer, batch_size=4096)
            history = trainer.fit(2, model, X, y, validation=0.3)
            table = history.table()
            results.append(
                (history.loss.tolist(), table["validation_loss"].tolist(), numbers(model))
            )
    finally:
        set_num_threads(threads)
    assert results[0] == results[1] == results[2]


# Progress.


@pytest.mark.process
def test_progress_shows_on_a_terminal_only():
    """Nothing is written elsewhere."""
    pty = pytest.importorskip("pty")
    program = textwrap.dedent("""
        import random, numpy as np
        from liftgrad import Trainer, lift, nn, optim, vmap
        from liftgrad.functional import mean
        def loss(model, X, y):
            return mean(vmap(lambda x, yi: (model(x) - yi) ** 2)(X, y))
        random.seed(1)
        X = np.random.default_rng(1).normal(size=(64, 2))
        model = nn.MLP(2, [1])
        trainer = Trainer(lift(loss), optim.SGD(model.parameters()), batch_size=8)
        trainer.fit(400, model, X, X[:, 0], validation=0.25, progress=True)
        """)
    quiet = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert quiet.stdout == quiet.stderr == b""
    parent, child = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "110"}
    process = subprocess.Popen([sys.executable, "-c", program], stdout=child, env=environment)
    os.close(child)
    text = b""
    while True:
        try:
            part = os.read(parent, 4096)
        except OSError:  # the terminal is closed
            break
        if not part:
            break
        text += part
    os.close(parent)
    assert process.wait() == 0
    for words in (b"/400", b"loss", b"validation", b"samples/s", b"lr 0.001"):
        assert words in text
