"""Tables that are encoded into files, for training in any order."""

import numpy as np
import pytest

from liftgrad import Trainer, functional, lift, nn, optim, vmap
from liftgrad.data import Table, TableEncoder, TableError, TableStream, read_table, store
from liftgrad.mapped import is_mapped

pytest.importorskip("pyarrow")


@pytest.fixture
def stream(tmp_path, monkeypatch):
    """Return a CSV file of 500 rows, in small chunks."""
    monkeypatch.setattr("liftgrad.data.formats._CHUNK_BYTES", 1000)
    random = np.random.default_rng(0)
    lines = [
        f"{x:.3f},{random.choice(['red', 'green', 'blue'])},{'yes' if x > 0 else 'no'}"
        for x in random.normal(size=500)
    ]
    path = tmp_path / "t.csv"
    path.write_text("x,colour,y\n" + "\n".join(lines) + "\n")
    return TableStream(path, "y")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_files_hold_what_the_table_would_be_in_memory(stream, tmp_path, dtype):
    """All chunks, in order."""
    assert len(list(stream)) > 5
    encoder = TableEncoder().fit(stream)
    X, y = store(encoder, stream, tmp_path / "new" / "folder", dtype=dtype)
    whole = read_table(stream.source, "y")
    assert is_mapped(X)
    assert is_mapped(y)
    assert (X.dtype, y.dtype) == (dtype, np.int64)
    np.testing.assert_array_equal(X, encoder.transform(whole).astype(dtype))
    np.testing.assert_array_equal(y, encoder.transform_target(whole))
    once, _ = store(encoder, whole, tmp_path / "once", dtype=dtype)
    np.testing.assert_array_equal(once, X)
    names = {path.name for path in (tmp_path / "new" / "folder").iterdir()}
    assert names == {"X.npy", "y.npy"}


def test_targets_are_numbers_of_the_same_type_or_missing(stream, tmp_path):
    """A regression's have the requested type; without a target there is no y."""
    numbers = TableStream(stream.source, "x")
    encoder = TableEncoder(task="regression").fit(numbers)
    _, y = store(encoder, numbers, tmp_path)
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, read_table(stream.source).column("x").values.astype("f4"))
    encoder = TableEncoder().fit(TableStream(stream.source))
    X, y = store(encoder, TableStream(stream.source), tmp_path / "bare")
    assert (X.shape, y) == ((500, 1 + 3 + 2), None)


def test_shuffled_training_on_the_files_is_training_in_memory(stream, tmp_path):
    """To the last bit."""
    encoder = TableEncoder().fit(stream)
    X, y = store(encoder, stream, tmp_path, dtype="float64")

    @lift
    def loss(model, X, y):
        def surprise(x, t):
            score = model(x)
            return functional.softplus(score) - score * t

        return functional.mean(vmap(surprise)(X, y))

    def train(X, y):
        model = nn.MLP(4, [3, 1])
        for i, p in enumerate(model.parameters()):
            p.data = np.sin(i + 1.0)
        trainer = Trainer(loss, optim.Adam(model.parameters(), lr=0.05), batch_size=32, seed=3)
        return trainer.run(40, model, X, y).loss.tolist()

    losses = train(X, y.astype(float))
    assert losses == train(np.array(X), np.array(y, float))
    assert losses[-1] < 0.5 * losses[0]


def test_what_cannot_be_encoded_leaves_the_files_as_they_were(stream, tmp_path):
    """Even if it is found half-way."""
    encoder = TableEncoder().fit(stream)
    store(encoder, stream, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def spoiled():
        table, *_ = stream
        yield table
        yield Table(table.source, table.columns[:1], table.target)

    with pytest.raises(TableError, match="colour"):
        store(encoder, spoiled(), tmp_path)
    with pytest.raises(TableError, match="no rows"):
        store(encoder, [], tmp_path)
    with pytest.raises(ValueError, match='pass "float32" or "float64"'):
        store(encoder, stream, tmp_path, dtype="int8")
    with pytest.raises(OSError, match=r"X\.npy' cannot be made a directory \(File exists"):
        store(encoder, stream, tmp_path / "X.npy")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
