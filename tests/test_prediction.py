"""predict: a model's outputs for many rows, equal to the eager engine's row by row."""

import random

import numpy as np
import pytest

from liftgrad import Trainer, lift, nn, optim, predict, vmap
from liftgrad.errors import LiftError
from liftgrad.functional import mean
from liftgrad.trainer import prediction


def rows(n=7, width=3):
    return np.random.default_rng(n).normal(size=(n, width))


def by_hand(model, X):
    """The outputs as the eager engine has them."""

    def plain(y):
        return [plain(part) for part in y] if isinstance(y, list) else y.data

    return np.array([plain(model(x.tolist())) for x in X])


@pytest.mark.parametrize(
    "model",
    [
        nn.MLP(3, [4, 1], activation="tanh"),
        nn.MLP(3, [4, 2], activation="tanh"),
        nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)),
    ],
)
def test_outputs_are_the_eager_ones(model):
    """One number for a row is an array (n,), k of them (n, k), also of one row and of lists."""
    for n in (1, 7):
        X = rows(n)
        expected = by_hand(model, X)
        found = predict(model, X)
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)  # sums may cancel
        np.testing.assert_array_equal(predict(model, X.tolist()), found)


class Nested(nn.Module):
    """Gives a matrix for each row."""

    def __init__(self):
        self.inner = nn.MLP(2, [3], activation="tanh")

    def __call__(self, x):
        """Return a row of three for each number."""
        return [self.inner([a, 2.0 * a]) for a in x]


def test_matrices_keep_their_shape():
    """An output that is a list of lists adds two dimensions after that of the rows."""
    model, X = Nested(), rows(5, 4)
    assert predict(model, X).shape == (5, 4, 3)
    np.testing.assert_allclose(predict(model, X), by_hand(model, X), rtol=1e-12)


def test_indices_may_be_rows():
    """As an embedding takes them."""
    model = nn.Embedding(5, 2)
    chosen = np.array([3, 0, 3])
    expected = [[p.data for p in model(int(i))] for i in chosen]
    np.testing.assert_array_equal(predict(model, chosen), expected)


def test_dropout_is_switched_off_and_on_again():
    """A model in training mode is evaluated without drawing, and returns to that mode."""
    model = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 1))
    X, state = rows(), random.getstate()
    attributes = [dict(vars(module)) for module in model.modules()]
    found = predict(model, X)
    assert random.getstate() == state
    assert [dict(vars(module)) for module in model.modules()] == attributes
    assert model.training
    np.testing.assert_allclose(found, by_hand(model.eval(), X), rtol=1e-12)


def test_the_numbers_are_those_of_the_moment():
    """Changes by training take effect, and the model is traced once."""

    @lift
    def loss(model, X, y):
        return mean(vmap(lambda x, t: (model(x) - t) ** 2)(X, y))

    model, X = nn.MLP(3, [4, 1], activation="tanh"), rows(20)
    before = predict(model, X)
    lifted = prediction._LIFTED[model]
    Trainer(loss, optim.SGD(model.parameters(), lr=0.1)).run(5, model, X, X[:, 0].copy())
    after = predict(model, X)
    assert np.abs(after - before).max() > 1e-3
    np.testing.assert_allclose(after, by_hand(model, X), rtol=1e-12)
    assert prediction._LIFTED[model] is lifted
    assert lifted.stats.traces == 1


def test_mapped_files_are_read_in_portions(tmp_path, monkeypatch):
    """With the same outputs, also for a last portion that is smaller."""
    X = rows(11)
    np.save(tmp_path / "X.npy", X)
    model = nn.MLP(3, [4, 2], activation="tanh")
    sizes = []
    monkeypatch.setattr(prediction, "rows_at_once", lambda _: 4)
    take = prediction.take_rows
    monkeypatch.setattr(
        prediction, "take_rows", lambda x, part: sizes.append(len(part)) or take(x, part)
    )
    found = predict(model, np.load(tmp_path / "X.npy", mmap_mode="r"))
    assert sizes == [4, 4, 3]
    np.testing.assert_array_equal(found, predict(model, X))


def test_other_things_are_refused():
    """A function, a model that gives no numbers, one that branches, and rows of another width."""
    with pytest.raises(TypeError, match=r"predict\(\) takes a Module.*lift\(lambda X"):
        predict(lambda x: x[0], rows())

    class Ragged(nn.Module):
        def __call__(self, x):
            return [[x[0]], [x[1], x[2]]]

    class Named(nn.Module):
        def __call__(self, x):
            return {"a": x[0]}

    for model in (Ragged(), Named()):
        with pytest.raises(TypeError, match="not a number or lists of one length"):
            predict(model, rows())

    class Branching(nn.Module):
        def __call__(self, x):
            return x[0] if x[1] > 0.0 else x[2]

    with pytest.raises(LiftError, match="Python branch"):
        predict(Branching(), rows())
    with pytest.raises(ValueError, match=r"MLP\(3, \[1\]\) takes 3 numbers and got 2"):
        predict(nn.MLP(3, [1]), rows(4, 2))
