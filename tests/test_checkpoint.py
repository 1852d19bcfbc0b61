"""Checkpoints: training resumes to the bit, and no other file is accepted."""

import json
import random
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from liftgrad import Checkpoint, EarlyStopping, Trainer, files, lift, nn, optim, vmap
from liftgrad.errors import CheckpointError
from liftgrad.functional import mean


def squared(model, X, y):
    return mean(vmap(lambda x, yi: (model(x) - yi) ** 2)(X, y))


def make_data(n=40):
    rng = np.random.default_rng(5)
    X = rng.normal(size=(n, 2))
    return X, np.sin(X[:, 0]) + 0.1 * rng.normal(size=n)


def in_groups(ps, first=5, rate=0.05, **settings):
    groups = [
        {"params": ps[:first], "lr": optim.linear(0.1, rate, 60)},
        {"params": ps[first:], "momentum": 0.9, **settings},
    ]
    return optim.SGD(groups, lr=0.02)


OPTIMIZERS = {
    "SGD": lambda ps: optim.SGD(ps, lr=0.1),
    "momentum": lambda ps: optim.SGD(ps, lr=0.1, momentum=0.9, dampening=0.5),
    "Adam with a schedule": lambda ps: optim.Adam(ps, lr=optim.cosine(0.1, 0.0, 60)),
    "groups": in_groups,
}


def make(optimizer="momentum", dtype="float64", backend="native", sizes=(4, 1), **settings):
    random.seed(3)
    model = nn.MLP(2, list(sizes), activation="tanh")
    loss = lift(dtype=dtype, backend=backend)(squared)
    settings = {"batch_size": 12, "seed": 2, **settings}
    return model, Trainer(loss, OPTIMIZERS[optimizer](model.parameters()), **settings)


def numbers(model):
    return [p.data for p in model.parameters()]


def same(history, other):
    """Whether two histories agree to the bit, but for the time that epochs took."""
    tables = [h.table() for h in (history, other)]
    for table in tables:
        del table["seconds"]
    assert history.loss.tolist() == other.loss.tolist()
    first, second = tables
    columns = [np.array_equal(first[k], second[k], equal_nan=True) for k in first if k in second]
    return set(first) == set(second) and all(columns)


@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_goes_on_to_the_bit(optimizer, dtype, backend, tmp_path):
    """Twenty epochs equal seven, a checkpoint, another model and trainer, and thirteen more."""
    X, y = make_data()
    model, trainer = make(optimizer, dtype, backend)
    expected = trainer.fit(20, model, X, y, validation=0.2)
    first, before = make(optimizer, dtype, backend)
    before.fit(7, first, X, y, validation=0.2)
    before.save(tmp_path / "run.safetensors")
    second, after = make(optimizer, dtype, backend)
    for p in second.parameters():
        p.data = 9.0
    after.load(tmp_path / "run.safetensors")
    assert numbers(second) == numbers(first)
    got = after.fit(13, second, X, y, validation=0.2)
    assert numbers(second) == numbers(model)
    assert same(got, expected)
    for name in trainer.optimizer.state:
        state = [list(t.optimizer.state[name]) for t in (trainer, after)]
        assert state[0] == state[1]
    assert list(tmp_path.iterdir()) == [tmp_path / "run.safetensors"]


def momentum(params, lr):
    return optim.SGD(params, lr, momentum=0.9, dampening=0.3)


def make_with_later_group(kind, epoch):
    """Return a model, a trainer, and a callback that adds a group to its optimiser at an epoch."""
    random.seed(3)
    model = nn.MLP(2, [4, 1], activation="tanh")
    params = model.parameters()
    optimizer = kind(params[:5], lr=0.05)

    def add(state=None):
        if state is None or state.epoch == epoch:
            lr = optim.linear(0.1, 0.02, 30)
            optimizer.add_param_group({"params": params[5:], "lr": lr})

    return model, Trainer(lift(squared), optimizer, batch_size=12, seed=2), add


@pytest.mark.parametrize("kind", [optim.Adam, optim.Adagrad, momentum])
@pytest.mark.parametrize("saved_at", [2, 3, 5])
def test_a_group_that_was_added_goes_on_to_the_bit(kind, saved_at, tmp_path):
    """Whether it was added before the checkpoint, right before it, or after."""
    X, y = make_data()
    rule = EarlyStopping(patience=99, min_delta=0.02)
    kept = {"validation": 0.2, "early_stopping": rule}
    model, trainer, add = make_with_later_group(kind, 3)
    expected = trainer.fit(8, model, X, y, callbacks=[add], **kept)
    first, before, add = make_with_later_group(kind, 3)
    path = tmp_path / "run.safetensors"
    before.fit(saved_at, first, X, y, callbacks=[add], checkpoint=Checkpoint(path), **kept)
    second, after, add = make_with_later_group(kind, 3)
    callbacks = [add]
    if saved_at >= 3:
        with pytest.raises(CheckpointError, match="the number of parameters was 17 and is 5"):
            after.load(path)
        add()
        callbacks = []
    after.load(path)
    got = after.fit(8 - saved_at, second, X, y, callbacks=callbacks, **kept)
    assert [rule.began for rule in after.optimizer.rules] == [0, 9]
    assert same(got, expected)
    assert numbers(second) == numbers(model)
    assert json.loads(entry_of(path))["version"] == (1 if saved_at < 3 else 2)


@pytest.mark.parametrize("again", [False, True])
def test_a_group_may_be_added_right_after_loading(again, tmp_path):
    """The names of the other parameters are compared, also after another checkpoint in between."""
    X, y = make_data()
    model, trainer, add = make_with_later_group(optim.Adam, 3)
    trainer.fit(2, model, X, y)
    path = tmp_path / "run.safetensors"
    trainer.save(path)
    add()
    expected = trainer.fit(2, model, X, y)
    second, after, add = make_with_later_group(optim.Adam, 3)
    after.load(path)
    add()
    if again:
        after.save(path)
        second, after, add = make_with_later_group(optim.Adam, 3)
        add()
        after.load(path)
    got = after.fit(2, second, X, y)
    assert same(got, expected)
    assert numbers(second) == numbers(model)
    other, of_others, _ = make_with_later_group(optim.Adam, 3)
    of_others = Trainer(
        of_others.loss, optim.Adam(other.parameters()[1:6], lr=0.05), batch_size=12, seed=2
    )
    if not again:
        of_others.load(path)
        of_others.optimizer.add_param_group({"params": other.parameters()[6:]})
        with pytest.raises(CheckpointError, match="other names"):
            of_others.fit(1, other, X, y)


def test_the_best_model_has_a_group_as_it_was_when_it_was_added(tmp_path):
    """Also for a trainer that has moved it since, and returns to the checkpoint."""
    X, y = make_data()
    model, trainer, add = make_with_later_group(optim.Adam, 3)
    before = numbers(model)
    best = []
    series = iter([3.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0])
    kept = {
        "metrics": {"m": lambda *_: next(series)},
        "early_stopping": EarlyStopping(monitor="m", patience=99),
        "callbacks": [add, lambda _: best.append(numbers(model))],
        "checkpoint": Checkpoint(tmp_path / "run.safetensors"),
    }
    trainer.fit(3, model, X, y, **kept)
    trainer.run(9, model, X, y)
    assert numbers(model)[5:] != before[5:]
    trainer.load(tmp_path / "run.safetensors")
    trainer.fit(2, model, X, y, **kept)
    assert best[4][5:] != before[5:]
    assert numbers(model) == best[1] == [*best[1][:5], *before[5:]]


def test_a_checkpoint_of_before_groups_could_be_added_is_gone_on_from(tmp_path):
    """It has neither their beginnings nor their rates by epoch."""
    X, y = make_data()
    model, trainer = make("groups")
    expected = trainer.fit(4, model, X, y)
    first, before = make("groups")
    before.fit(2, first, X, y)
    path = tmp_path / "run.safetensors"
    before.save(path)
    entry = json.loads(entry_of(path))
    assert entry.pop("began") == [0, 0]
    entry["columns"] = [name for name in entry["columns"] if name not in ("lr_0", "lr_1")]
    tensors = {k: x for k, x in load_file(path).items() if k not in ("epochs.lr_0", "epochs.lr_1")}
    save_file(tensors, path, {"liftgrad": json.dumps(entry)})
    second, after = make("groups")
    after.load(path)
    got = after.fit(2, second, X, y)
    assert numbers(second) == numbers(model)
    assert got.loss.tolist() == expected.loss.tolist()
    columns = [history.table()["lr_1"].tolist() for history in (got, expected)]
    assert columns[0] == pytest.approx([np.nan, np.nan, *columns[1][2:]], nan_ok=True)


def test_in_the_middle_of_an_epoch_its_rest_is_kept(tmp_path):
    """The order of the samples and the mean of the epoch's losses, too."""
    X, y = make_data()
    model, trainer = make()
    expected = trainer.fit(3, model, X, y)
    # A checkpoint after every step, as it were: all but the last are overwritten.
    first, before = make()
    states = []
    rule = Checkpoint(tmp_path / "run.safetensors", every_seconds=1e-9, keep=4)
    before.fit(2, first, X, y, checkpoint=rule, callbacks=[states.append])
    for place in ("run", "run.1", "run.2", "run.3"):
        second, after = make()
        after.load(tmp_path / f"{place}.safetensors")
        done = len(after.fit(0, second, X, y).table().get("epoch", ()))
        got = after.fit(3 - done, second, X, y)
        assert numbers(second) == numbers(model)
        assert same(got, expected)
    assert not (tmp_path / "run.4.safetensors").exists()


def test_every_step_of_a_small_batch_backend_can_be_gone_on_from(tmp_path):
    """With NumPy each step asks whether a checkpoint is due, so that one falls within an epoch."""
    X, y = make_data()
    model, trainer = make(backend="numpy")
    expected = trainer.fit(2, model, X, y)
    first, before = make(backend="numpy")
    rule = Checkpoint(tmp_path / "run.safetensors", every_seconds=1e-9, keep=9)
    before.fit(2, first, X, y, checkpoint=rule)
    steps = []
    for i in range(1, 9):
        second, after = make(backend="numpy")
        after.load(tmp_path / f"run.{i}.safetensors")
        steps.append(after.optimizer.steps)
        done = len(after.fit(0, second, X, y).table().get("epoch", ()))
        assert same(after.fit(2 - done, second, X, y), expected)
        assert numbers(second) == numbers(model)
    assert any(step % 4 for step in steps)


def test_early_stopping_goes_on_as_well(tmp_path):
    """A fit writes its checkpoint before it restores the best parameters."""
    X, y = make_data()
    rule = EarlyStopping(patience=4, min_delta=0.01)
    kept = {"validation": 0.2, "early_stopping": rule}
    model, trainer = make()
    expected = trainer.fit(60, model, X, y, **kept)
    epochs = len(expected.table()["epoch"])
    assert 8 < epochs < 60
    first, before = make()
    path = tmp_path / "run.safetensors"
    before.fit(epochs - 2, first, X, y, **kept, checkpoint=Checkpoint(path, every_epochs=3))
    second, after = make()
    after.load(path)
    got = after.fit(60, second, X, y, **kept)
    assert same(got, expected)
    assert numbers(second) == numbers(model)


def saved(tmp_path, **settings):
    model, trainer = make(**settings)
    trainer.fit(2, model, *make_data())
    path = tmp_path / "run.safetensors"
    trainer.save(path)
    return path


def refused(path, words, error=CheckpointError, **settings):
    model, trainer = make(**settings)
    before = numbers(model)
    with pytest.raises(error, match=words) as caught:
        trainer.load(path)
    assert "\n" not in str(caught.value)
    assert numbers(model) == before
    assert trainer.optimizer.steps == 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"optimizer": "SGD"}, "the optimiser's momentum was 0.9 and is 0.0"),
        ({"optimizer": "Adam with a schedule"}, "the optimiser was SGD and is Adam"),
        ({"sizes": (5, 1)}, "the number of parameters was 17 and is 21"),
        ({"batch_size": 4}, "batch_size was 12 and is 4"),
        ({"batch_size": None}, "batch_size was 12 and is None"),
        ({"seed": 3}, "seed was 2 and is 3"),
        ({"dtype": "float32"}, "the loss was squared in float64 and is squared in float32"),
        ({"max_norm": 1.0}, "the clipping was"),
    ],
)
def test_another_training_is_refused(settings, words, tmp_path):
    """In one sentence, before anything is changed."""
    refused(saved(tmp_path), words, **settings)


def test_another_schedule_is_refused(tmp_path):
    """By its rates at the first and at the next step."""
    path = saved(tmp_path)
    _, trainer = make()
    trainer.optimizer.lr = optim.linear(0.1, 0.0, 10)
    with pytest.raises(CheckpointError, match="the learning rates were"):
        trainer.load(path)


@pytest.mark.parametrize(
    ("optimizer", "words"),
    [
        (
            lambda ps: in_groups(ps, weight_decay=0.1),
            "the optimiser's weight_decay in group 1 was 0.0 and is 0.1",
        ),
        (lambda ps: in_groups(ps, first=4), "the number of parameters in group 0 was 5 and is 4"),
        (lambda ps: in_groups(ps, lr=0.03), "the learning rates were"),
        (lambda ps: in_groups(ps, rate=0.01), "the learning rates were"),
        (lambda ps: optim.SGD(ps, lr=0.02), "the number of groups was 2 and is 1"),
    ],
)
def test_other_groups_are_refused(optimizer, words, tmp_path):
    """By their settings, rates and parameters."""
    path = saved(tmp_path, optimizer="groups")
    model, trainer = make("groups")
    trainer = Trainer(trainer.loss, optimizer(model.parameters()), batch_size=12, seed=2)
    before = numbers(model)
    with pytest.raises(CheckpointError, match=words):
        trainer.load(path)
    assert numbers(model) == before


def test_what_is_wrong_with_the_optimiser_is_not_the_file_s_fault(tmp_path):
    """The error is the same as everywhere else."""
    path = saved(tmp_path, optimizer="groups")
    _, trainer = make("groups")
    trainer.optimizer.lr = 0.1
    with pytest.raises(ValueError, match="each group has its own lr"):
        trainer.load(path)
    _, trainer = make("groups")
    trainer.optimizer.param_groups[0]["lr"] = [].__getitem__
    with pytest.raises(IndexError):
        trainer.load(path)


def test_steps_without_a_rate_are_damage(tmp_path):
    """A schedule may end after some steps."""
    path = saved(tmp_path, optimizer="SGD")
    _, trainer = make("SGD")
    trainer.optimizer.lr = [0.1, 0.1].__getitem__
    with pytest.raises(CheckpointError, match="its steps are 8, for which there is no learning"):
        trainer.load(path)


def test_other_names_of_as_many_parameters_are_refused(tmp_path):
    """Once they are known: by the first fit, or at once after one."""
    path = saved(tmp_path, sizes=(4, 1))
    for fitted in (False, True):
        random.seed(3)
        model = nn.MLP(2, [1, 1, 1, 1, 1, 1, 1, 1], activation="tanh")
        assert len(model.parameters()) == 17
        optimizer = OPTIMIZERS["momentum"](model.parameters())
        trainer = Trainer(lift(squared), optimizer, batch_size=12, seed=2)
        if fitted:
            trainer.fit(1, model, *make_data())
            with pytest.raises(CheckpointError, match="other names"):
                trainer.load(path)
        else:
            trainer.load(path)
            for _ in range(2):  # a refusal is not forgotten
                with pytest.raises(CheckpointError, match="other names"):
                    trainer.fit(1, model, *make_data())


def test_a_file_that_was_cut_off_is_refused_wherever_it_was(tmp_path):
    """Also an empty one."""
    content = saved(tmp_path).read_bytes()
    path = tmp_path / "cut.safetensors"
    for length in [0, 4, 8, 100, len(content) // 2, len(content) - 1]:
        path.write_bytes(content[:length])
        refused(path, "is not a safetensors file, or is truncated")


def test_foreign_files_are_refused(tmp_path):
    """Text, another program's safetensors, a newer version's, a damaged one's; no file at all."""
    path = tmp_path / "other.safetensors"
    path.write_text("not a checkpoint, but long enough for a header")
    refused(path, "is not a safetensors file")
    save_file({"weight": np.zeros(3)}, path)
    refused(path, "that no liftgrad trainer wrote")
    good = saved(tmp_path)
    with safe_open(good, "numpy") as file:
        entry = json.loads(file.metadata()["liftgrad"])
    tensors = load_file(good)
    save_file(tensors, path, {"liftgrad": json.dumps({**entry, "version": 3})})
    refused(path, "written by a newer liftgrad .*; update liftgrad")
    for name in tensors:
        fewer = {k: x for k, x in tensors.items() if k != name}
        save_file(fewer, path, {"liftgrad": json.dumps(entry)})
        refused(path, "is a damaged checkpoint")
    refused(tmp_path / "none", "there is no checkpoint", FileNotFoundError)


def test_a_checkpoint_that_cannot_be_written_is_said_before_the_training(tmp_path):
    """Not hours later."""
    model, trainer = make()
    rule = Checkpoint(tmp_path / "nowhere" / "run.safetensors")
    with pytest.raises(FileNotFoundError, match="make it first"):
        trainer.fit(1, model, *make_data(), checkpoint=rule)
    (tmp_path / "run.2.safetensors").mkdir()
    rule = Checkpoint(tmp_path / "run.safetensors", keep=3)
    with pytest.raises(IsADirectoryError, match=r"run\.2\.safetensors' is a directory"):
        trainer.fit(1, model, *make_data(), checkpoint=rule)
    assert trainer.optimizer.steps == 0


def test_earlier_checkpoints_are_of_earlier_moments(tmp_path):
    """The end of a fit does not repeat the last epoch's checkpoint, and so displaces none."""
    model, trainer = make()
    rule = Checkpoint(tmp_path / "run.safetensors", every_epochs=1, keep=3)
    for epochs in (5, 1, 0):
        trainer.fit(epochs, model, *make_data(), checkpoint=rule)
    assert steps_of(tmp_path) == {"run": 24, "run.1": 20, "run.2": 16}


def steps_of(folder):
    return {path.stem: json.loads(entry_of(path))["steps"] for path in folder.iterdir()}


@pytest.mark.parametrize("writes", [1, 2, 3])
def test_ctrl_c_while_a_checkpoint_is_written_pushes_none_out(writes, tmp_path, monkeypatch):
    """Whichever of the files it comes at: the end of the fit writes what was not written."""
    model, trainer = make()
    rule = Checkpoint(tmp_path / "run.safetensors", every_epochs=1, keep=3)
    trainer.fit(3, model, *make_data(), checkpoint=rule)
    whole, written = files.write, []

    def interrupted(path, content):
        written.append(path)
        if len(written) == writes:
            raise KeyboardInterrupt
        whole(path, content)

    monkeypatch.setattr(files, "write", interrupted)
    assert trainer.fit(1, model, *make_data(), checkpoint=rule).interrupted
    assert steps_of(tmp_path) == {"run": 16, "run.1": 12, "run.2": 8}


@pytest.mark.parametrize("bad", [{"every_seconds": 0}, {"every_epochs": 0}, {"keep": 0}])
def test_an_impossible_rule_is_refused(bad):
    """When it is made."""
    with pytest.raises(ValueError, match="got 0"):
        Checkpoint("run.safetensors", **bad)


@pytest.mark.parametrize("bad", [{"every_seconds": "9"}, {"every_epochs": 1.5}, {"keep": "3"}])
def test_a_rule_that_is_no_number_is_refused(bad):
    """In the name of its argument."""
    (name,) = bad
    with pytest.raises(ValueError, match=f"{name} is .*; got "):
        Checkpoint("run.safetensors", **bad)


PROGRAM = """
import random, sys, numpy as np
from pathlib import Path
from liftgrad import Checkpoint, Trainer, lift, nn, optim, vmap
from liftgrad.functional import mean
def squared(model, X, y):
    return mean(vmap(lambda x, yi: (model(x) - yi) ** 2)(X, y))
random.seed(1)
X = np.random.default_rng(1).normal(size=(64, 2))
model = nn.MLP(2, [3, 1])
trainer = Trainer(lift(squared), optim.Adam(model.parameters()), batch_size=8)
path = Path(sys.argv[1])
if path.exists():
    trainer.load(path)
steps = int(sys.argv[2])
epochs = 10**9 if steps < 0 else (steps - trainer.optimizer.steps) // 8
count = 0
def third(state):  # by then two checkpoints were written
    global count
    count += 1
    if count == 3:
        print("ready", flush=True)
rule = Checkpoint(path, every_epochs=1)
trainer.fit(epochs, model, X, X[:, 0], checkpoint=rule, callbacks=[third])
print(trainer.optimizer.steps, [p.data.hex() for p in model.parameters()])
"""


def run(path, steps):
    program = textwrap.dedent(PROGRAM)
    command = [sys.executable, "-c", program, str(path), str(steps)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.process
def test_a_process_may_be_killed_at_any_moment(tmp_path):
    """The file can always be resumed from, with the result of an undisturbed process."""
    path = tmp_path / "run.safetensors"
    rng = random.Random(2)
    before = 0
    for _ in range(4):
        process = run(path, -1)
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.1 * rng.random())
        process.send_signal(signal.SIGKILL)
        process.communicate()
        steps = int(json.loads(entry_of(path))["steps"])
        assert steps > before
        before = steps
    total = str(before + 80)
    outputs = []
    for place in (path, tmp_path / "undisturbed.safetensors"):
        out, err = run(place, total).communicate(timeout=60)
        assert err == ""
        outputs.append(out)
    assert outputs[0] == outputs[1]
    assert outputs[0].split()[1] == total
    # What a kill left, if anything, the next to write that file removes.
    assert {p.name for p in tmp_path.iterdir()} == {path.name, "undisturbed.safetensors"}


def entry_of(path):
    with safe_open(path, "numpy") as file:
        return file.metadata()["liftgrad"]


def make_dropout(batch_size=12):
    random.seed(3)
    model = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Dropout(0.5), nn.Linear(4, 1))

    @lift
    def loss(model, X, y):
        return mean(vmap(lambda x, yi: (model(x)[0] - yi) ** 2)(X, y))

    return model, Trainer(loss, optim.SGD(model.parameters(), lr=0.1), batch_size=batch_size)


def test_dropout_goes_on_to_the_bit(tmp_path):
    """After a checkpoint, the loss draws the random numbers that it would have drawn."""
    X, y = make_data()
    model, trainer = make_dropout()
    random.seed(4)
    expected = trainer.fit(6, model, X, y)
    first, before = make_dropout()
    random.seed(4)
    before.fit(2, first, X, y)
    before.save(tmp_path / "run.safetensors")
    second, after = make_dropout()
    after.load(tmp_path / "run.safetensors")
    assert same(after.fit(4, second, X, y), expected)
    assert numbers(second) == numbers(model)


def test_dropout_goes_on_from_the_middle_of_an_epoch(tmp_path):
    """A checkpoint between two native calls has `random` as after the steps before it."""
    X, y = make_data(300)
    model, trainer = make_dropout(1)
    random.seed(4)
    expected = trainer.fit(2, model, X, y)
    after_all = random.getstate()
    first, before = make_dropout(1)
    random.seed(4)
    rule = Checkpoint(tmp_path / "run.safetensors", every_seconds=1e-9, keep=9)
    before.fit(1, first, X, y, checkpoint=rule)
    second, after = make_dropout(1)
    earliest = max(tmp_path.glob("run.*.safetensors"))
    after.load(earliest)
    assert 0 < after.optimizer.steps < 300
    assert same(after.fit(2, second, X, y), expected)
    assert numbers(second) == numbers(model)
    assert random.getstate() == after_all


@pytest.mark.parametrize("steps", [0, 5])
@pytest.mark.parametrize("between", ["nothing", "no steps", "evaluation"])
def test_dropout_goes_on_from_a_checkpoint_of_a_checkpoint(steps, between, tmp_path):
    """It is written before it is known whether the loss draws random numbers."""
    X, y = make_data()

    def begun():
        model, trainer = make_dropout()
        random.seed(4)
        trainer.run(steps, model, X, y)
        return model, trainer

    def pause(model, trainer):
        if between != "nothing":
            model.train(between == "no steps")
            trainer.run(int(between == "evaluation"), model, X, y)
            model.train()

    model, trainer = begun()
    pause(model, trainer)
    expected = trainer.run(6, model, X, y).loss.tolist()
    model, trainer = begun()
    trainer.save(tmp_path / "first.safetensors")
    model, trainer = make_dropout()
    trainer.load(tmp_path / "first.safetensors")
    pause(model, trainer)
    trainer.save(tmp_path / "second.safetensors")
    random.seed(99)
    model, trainer = make_dropout()
    trainer.load(tmp_path / "second.safetensors")
    assert trainer.run(6, model, X, y).loss.tolist() == expected


def test_python_s_random_is_left_alone_where_no_step_draws(tmp_path):
    """Loading changes no more than the training needs."""
    X, y = make_data()
    model, trainer = make()
    trainer.run(1, model, X, y)
    trainer.save(tmp_path / "run.safetensors")
    _, after = make()
    random.seed(4)
    state = random.getstate()
    after.load(tmp_path / "run.safetensors")
    after.save(tmp_path / "run.safetensors")
    after.load(tmp_path / "run.safetensors")
    assert random.getstate() == state
