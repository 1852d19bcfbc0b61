"""Training on memory-mapped data, which is never in memory as a whole."""

import subprocess
import sys
import weakref

import numpy as np
import pytest

from liftgrad import Trainer, functional, lift, nn, optim, vmap
from liftgrad.data import make_moons
from liftgrad.mapped import is_mapped, let_go, take_rows
from liftgrad.trainer.samples import Samples


def train(X, y, backend="native", steps=50):
    """Return losses and weights after some steps of batches of 7."""
    model = nn.MLP(2, [8, 1])
    for i, p in enumerate(model.parameters()):
        p.data = np.sin(i + 1.0)

    @lift(backend=backend)
    def loss(model, X, y):
        return functional.mean(vmap(lambda x, yi: (1 - yi * model(x)).relu())(X, y))

    trainer = Trainer(loss, optim.Adam(model.parameters(), lr=0.05), batch_size=7, seed=3)
    losses = trainer.run(steps, model, X, y).loss
    return losses.tolist(), [p.data for p in model.parameters()]


@pytest.fixture
def files(tmp_path):
    """Moons in memory and in files."""
    X, y = make_moons(100, seed=0)
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", y)
    return X, y, tmp_path


@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_training_from_files_is_training_from_memory(files, monkeypatch, mode, backend):
    """To the last bit, with the data in files, wholly or in part, and a few rows read at a time."""
    X, y, folder = files
    expected = train(X, y, backend)
    monkeypatch.setattr("liftgrad.mapped._COPIES", 20 * 16)
    monkeypatch.setattr("liftgrad.mapped._MEMORY", 20 << 20)
    stored = np.load(folder / "X.npy", mmap_mode=mode)
    labels = np.load(folder / "y.npy", mmap_mode=mode)
    assert train(stored, y, backend) == expected
    assert train(stored, labels, backend) == expected
    assert np.array_equal(np.load(folder / "X.npy"), X)


def test_float32_files_are_widened_batch_by_batch(files):
    """As arrays of float32 in memory are."""
    X, y, folder = files
    np.save(folder / "half.npy", X.astype(np.float32))
    assert train(np.load(folder / "half.npy", mmap_mode="r"), y) == train(X.astype(np.float32), y)


def test_a_trainer_may_go_from_memory_to_a_file_and_back(files):
    """Between two runs of one program."""
    X, y, folder = files
    stored = np.load(folder / "X.npy", mmap_mode="r")

    def losses(*sources):
        model = nn.MLP(2, [1])
        for p in model.parameters():
            p.data = 0.5
        loss = lift(
            lambda model, X, y: functional.mean([model(x) * t for x, t in zip(X, y, strict=True)])
        )
        trainer = Trainer(loss, optim.SGD(model.parameters(), lr=0.1), batch_size=20)
        return [trainer.run(7, model, source, y).loss.tolist() for source in sources]

    assert losses(X, stored, X, stored) == losses(X, X, X, X)


def test_changes_that_only_memory_has_are_kept(files):
    """A map with mode "c" has changes that are in no file."""
    _, _, folder = files
    private = np.load(folder / "X.npy", mmap_mode="c")
    private[3] = 77.0
    assert take_rows(private, np.array([3]))[0].tolist() == [77.0, 77.0]
    let_go(private)
    assert private[3].tolist() == [77.0, 77.0]


def test_parts_and_views_of_a_map_lie_in_its_file(files):
    """Copies do not."""
    X, _, folder = files
    stored = np.load(folder / "X.npy", mmap_mode="r")
    assert all(map(is_mapped, [stored, stored[5:], np.asarray(stored), stored.reshape(-1)]))
    assert not any(map(is_mapped, [X, X[2:], stored[[1, 2]], np.array(stored)]))


def test_indices_in_a_file_are_all_checked_before_the_first_step(tmp_path, monkeypatch):
    """A piece of the file at a time; the row is that of the file."""
    monkeypatch.setattr("liftgrad.lift.train.step_data._CHECKED_AT_ONCE", 10)
    words = np.arange(100).reshape(50, 2) % 4
    words[37, 1] = 4
    np.save(tmp_path / "words.npy", words)
    table = nn.Neuron(4).w

    @lift
    def loss(table, words):
        return functional.mean([functional.take(table, i) for row in words for i in row])

    trainer = Trainer(loss, optim.SGD(table, lr=0.1), batch_size=5)
    stored = np.load(tmp_path / "words.npy", mmap_mode="r")
    for source in (words, stored):
        with pytest.raises(IndexError, match=r"from row 37 of the argument words; .* 0 to 3"):
            trainer.run(1, table, source)
    assert trainer.optimizer.steps == 0


def fit(X, y, loss, backend="native", batch_size=7, **settings):
    """Return losses, weights and the table after some epochs, an eighth being held out."""
    model = nn.MLP(2, [8, 1])
    for i, p in enumerate(model.parameters()):
        p.data = np.sin(i + 1.0)
    optimizer = optim.Adam(model.parameters(), lr=0.05)
    trainer = Trainer(lift(backend=backend)(loss), optimizer, batch_size=batch_size, seed=3)
    history = trainer.fit(3, model, X, y, **{"validation": 0.3, **settings})
    weights = [p.data for p in model.parameters()]
    return history.loss.tolist(), weights, history.table()


def hinge(model, X, y):
    return vmap(lambda x, yi: (1 - yi * model(x)).relu())(X, y)


def accuracy(model, X, y):
    hits = vmap(lambda x, yi: functional.where(model(x) * yi > 0.0, 1.0, 0.0))(X, y)
    return functional.mean(hits)


def size(model):
    return 0.01 * functional.total([p * p for p in model.parameters()])


def of_the_first_class(model, X, y):
    first = vmap(lambda yi: functional.where(yi > 0.0, 1.0, 0.0))(y)
    right = vmap(lambda x, yi: functional.where(yi > 0.0, model(x), 0.0))(X, y)
    return functional.total(right) / (functional.total(first) + 1.0)


LOSSES = {
    "mean": lambda model, X, y: functional.mean(hinge(model, X, y)),
    "mean and penalty": lambda model, X, y: functional.mean(hinge(model, X, y)) + size(model),
    "total": lambda model, X, y: functional.total(hinge(model, X, y)),
    "total and penalty": lambda model, X, y: functional.total(hinge(model, X, y)) + size(model),
    "root": lambda model, X, y: functional.sqrt(functional.mean(hinge(model, X, y)) + 0.1),
    "of some": of_the_first_class,
    "without vmap": lambda model, X, y: functional.mean(
        [(1 - yi * model(x)).relu() for x, yi in zip(X, y, strict=True)]
    ),
}


@pytest.fixture
def ordered(tmp_path):
    """Moons sorted by class, so that portions differ."""
    X, y = make_moons(100, seed=0)
    order = np.argsort(y, kind="stable")
    np.save(tmp_path / "X.npy", X[order])
    np.save(tmp_path / "y.npy", y[order])
    return X[order], y[order], tmp_path


@pytest.fixture
def few_rows_at_once(monkeypatch):
    """Portions of 11 rows of two numbers, at most."""
    monkeypatch.setattr("liftgrad.mapped._COPIES", 11 * 16)
    monkeypatch.setattr("liftgrad.mapped._MEMORY", 20 << 20)


@pytest.mark.usefixtures("few_rows_at_once")
@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize("loss", LOSSES)
def test_validation_from_files_is_validation_from_memory(ordered, loss, backend):
    """Whatever the loss is: it is combined from portions, or computed on all rows at once."""
    X, y, folder = ordered
    metrics = {"lifted": lift(accuracy), "plain": accuracy}
    losses, weights, table = fit(X, y, LOSSES[loss], backend, metrics=metrics)
    stored = np.load(folder / "X.npy", mmap_mode="r")
    for labels in (y, np.load(folder / "y.npy", mmap_mode="r")):
        from_file = fit(stored, labels, LOSSES[loss], backend, metrics=metrics)
        assert from_file[:2] == (losses, weights)
        for name in ("validation_loss", "lifted", "plain"):
            assert from_file[2][name] == pytest.approx(table[name], rel=1e-12)


@pytest.mark.usefixtures("few_rows_at_once")
@pytest.mark.parametrize("loss", LOSSES)
def test_other_data_to_validate_on_may_lie_in_files(ordered, loss):
    """Wherever the training data is; and a step may see all of it."""
    X, y, folder = ordered
    stored = np.load(folder / "X.npy", mmap_mode="r")
    tables = []
    for source in (X, stored):
        model = nn.MLP(2, [8, 1])
        for i, p in enumerate(model.parameters()):
            p.data = np.sin(i + 1.0)
        trainer = Trainer(lift(LOSSES[loss]), optim.SGD(model.parameters(), lr=0.05))
        history = trainer.fit(3, model, X, y, validation=(model, source[:73], y[:73]))
        tables.append(history.table())
    assert tables[1]["loss"].tolist() == tables[0]["loss"].tolist()
    expected = tables[0]["validation_loss"]
    assert tables[1]["validation_loss"] == pytest.approx(expected, rel=1e-12)


@pytest.mark.usefixtures("few_rows_at_once")
def test_without_batches_rows_of_files_are_held_out_too(ordered):
    """The others are the data of one step."""
    X, y, folder = ordered
    stored = np.load(folder / "X.npy", mmap_mode="r")
    ways = [fit(source, y, LOSSES["mean"], batch_size=None) for source in (X, stored)]
    assert ways[1][:2] == ways[0][:2]
    expected = ways[0][2]["validation_loss"]
    assert ways[1][2]["validation_loss"] == pytest.approx(expected, rel=1e-12)


@pytest.mark.usefixtures("few_rows_at_once")
def test_metrics_without_validation_are_of_all_rows(ordered):
    """In portions, too."""
    X, y, folder = ordered
    stored = np.load(folder / "X.npy", mmap_mode="r")
    tables = [
        fit(source, y, LOSSES["mean"], validation=None, metrics={"m": lift(accuracy)})[2]
        for source in (X, stored)
    ]
    assert tables[1]["m"] == pytest.approx(tables[0]["m"], rel=1e-12)


def test_few_rows_of_a_file_are_one_portion(ordered):
    """To the last bit what they are in memory."""
    X, y, folder = ordered
    stored = np.load(folder / "X.npy", mmap_mode="r")
    columns = [
        fit(source, y, LOSSES["mean"])[2]["validation_loss"].tolist() for source in (X, stored)
    ]
    assert columns[0] == columns[1]


@pytest.mark.usefixtures("few_rows_at_once")
def test_a_loss_that_changes_is_looked_at_again(ordered):
    """After the second epoch it is a root, and not a mean any more."""
    X, y, folder = ordered
    stored = np.load(folder / "X.npy", mmap_mode="r")

    class Model(nn.MLP):
        root = False

    def loss(model, X, y):
        result = functional.mean(hinge(model, X, y)) + 0.1
        return functional.sqrt(result) if model.root else result

    columns = []
    for source in (X, stored):
        model = Model(2, [4, 1])
        for i, p in enumerate(model.parameters()):
            p.data = np.sin(i + 1.0)

        def change(state, model=model):
            model.root = state.epoch >= 2

        trainer = Trainer(lift(loss), optim.SGD(model.parameters(), lr=0.05), batch_size=7)
        history = trainer.fit(4, model, source, y, validation=0.4, callbacks=[change])
        columns.append(history.table()["validation_loss"])
    assert columns[1] == pytest.approx(columns[0], rel=1e-12)


PROGRAM = """
import sys
import numpy as np
from liftgrad import Trainer, functional, lift, mapped, nn, optim, vmap

mapped._MEMORY, mapped._COPIES = 64 << 20, 4 << 20

def resident():
    with open("/proc/self/status") as status:
        lines = dict(line.split(":") for line in status)
    return int(lines["VmHWM"].split()[0]) / 1024

X = np.load("X.npy", mmap_mode="r")
model = nn.MLP(X.shape[1], [1])

@lift
def loss(model, X):
    return functional.mean(vmap(lambda x: (model(x) - x[0]) ** 2)(X))

trainer = Trainer(loss, optim.SGD(model.parameters(), lr=1e-6), batch_size=1024)
if sys.argv[1] == "run":
    trainer.run(1, model, X[:2048])
    before = resident()
    trainer.run(len(X) // 1024, model, X)
else:
    validation = (model, X[:8192]) if sys.argv[1] == "other" else 0.4
    trainer.fit(1, model, X[:4096], validation=validation)
    before = resident()
    validation = (model, X) if sys.argv[1] == "other" else 0.4
    print(trainer.fit(1, model, X, validation=validation))
print(resident() - before)
"""


@pytest.mark.usefixtures("few_rows_at_once")
def test_labels_that_the_loss_finds_elsewhere_are_not_cut(ordered):
    """So it is computed on all samples at once."""
    X, y, folder = ordered
    stored = np.load(folder / "X.npy", mmap_mode="r")
    loss = lift(lambda model, X: functional.mean(hinge(model, X, y)))
    model = nn.MLP(2, [4, 1])
    trainer = Trainer(loss, optim.SGD(model.parameters(), lr=0.1), batch_size=7)
    table = trainer.fit(1, model, X, validation=(model, stored)).table()
    assert table["validation_loss"].tolist() == [loss(model, X).data]


@pytest.mark.usefixtures("few_rows_at_once")
def test_all_rows_are_in_memory_during_an_evaluation_only(ordered):
    """For a metric that is not lifted, and gets them all."""
    _, y, folder = ordered
    seen = []

    def metric(_model, X, _y):
        seen.append((len(X), weakref.ref(X)))
        return 0.0

    stored = np.load(folder / "X.npy", mmap_mode="r")
    alive = []
    callbacks = [lambda _: alive.append(seen[-1][1]() is not None)]
    metrics = {"a": metric, "b": lambda *args: float(seen[-1][1]() is args[1])}
    table = fit(stored, y, LOSSES["mean"], metrics=metrics, callbacks=callbacks)[2]
    assert [rows for rows, _ in seen] == [30] * 3
    assert table["b"].tolist() == [1.0] * 3
    assert alive == [False] * 3


@pytest.mark.usefixtures("few_rows_at_once")
def test_many_rows_at_once_are_said(ordered, monkeypatch):
    """Once, for a loss that cannot be computed from portions."""
    _, y, folder = ordered
    monkeypatch.setattr("liftgrad.mapped._MEMORY", 29 * 16)
    stored = np.load(folder / "X.npy", mmap_mode="r")
    metrics = {"m": lift(LOSSES["of some"])}
    with pytest.warns(RuntimeWarning) as said:
        fit(stored, y, LOSSES["root"], metrics=metrics)
    for name, warning in zip(("loss", "m"), said, strict=True):
        assert str(warning.message).startswith(f"all 30 rows that {name} is evaluated on are in")
        assert warning.filename == __file__
    fit(stored, y, LOSSES["root"], metrics=metrics, validation=0.29)


@pytest.mark.usefixtures("few_rows_at_once")
def test_portions_are_of_as_many_numbers_whatever_their_size_in_the_file(ordered):
    """A program widens them."""
    X, _, folder = ordered
    for dtype in (np.float64, np.float32, np.uint8):
        np.save(folder / "x.npy", X.astype(dtype))
        assert Samples((np.load(folder / "x.npy", mmap_mode="r"),)).portions == 10
    assert Samples((X,)).portions == 1


def growth(folder, way, rows):
    """Return how many MB a process grows by that trains on rows of 2 KB, and what it prints."""
    file = np.lib.format.open_memmap(folder / "X.npy", "w+", np.float64, (rows, 256))
    for start in range(0, len(file), 1 << 13):
        file[start : start + (1 << 13)] = np.arange(256.0) % 7
    file.flush()
    command = [sys.executable, "-c", PROGRAM, way]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    *printed, megabytes = result.stdout.splitlines()
    return float(megabytes), printed


linux = pytest.mark.skipif(sys.platform != "linux", reason="asks /proc for a process's memory")


@linux
@pytest.mark.process
def test_an_epoch_needs_memory_for_some_rows_only(tmp_path):
    """A shuffled epoch on a file of 256 MB takes less than 100 MB, its pages included.

    The program allows itself 64 MB of the file here.
    """
    megabytes, _ = growth(tmp_path, "run", 1 << 17)
    assert megabytes < 100


@linux
@pytest.mark.parametrize("way", ["fraction", "other"])
@pytest.mark.process
def test_validation_needs_memory_for_some_rows_only(tmp_path, way):
    """The same holds if 40 % of a file of 128 MB are held out, or all of it is for validation."""
    megabytes, printed = growth(tmp_path, way, 1 << 16)
    assert "validation_loss" in printed[0]
    assert megabytes < 100
