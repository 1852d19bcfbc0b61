"""Training on data in files, which is not read into memory as a whole."""

import subprocess
import sys

import numpy as np
import pytest

from liftgrad import Trainer, functional, lift, nn, optim, vmap
from liftgrad.data import make_moons
from liftgrad.mapped import is_mapped, let_go, take_rows


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
    """A map opened with mode "c" has changes that no file holds."""
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
    monkeypatch.setattr("liftgrad.lift.training._CHECKED_AT_ONCE", 10)
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


PROGRAM = """
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
trainer.run(1, model, X[:2048])
before = resident()
trainer.run(len(X) // 1024, model, X)
print(resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc for the memory of the process")
def test_an_epoch_needs_memory_for_some_rows_only(tmp_path):
    """A shuffled epoch on a file of 256 MB takes less than 100 MB, its pages included.

    The program allows itself 64 MB of the file here.
    """
    file = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", np.float64, (1 << 17, 256))
    for start in range(0, len(file), 1 << 13):
        file[start : start + (1 << 13)] = np.arange(256.0) % 7
    file.flush()
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert float(result.stdout) < 100
