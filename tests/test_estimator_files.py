"""Estimators in files, pickles and copies."""

import copy
import pickle
import sys
from fractions import Fraction

import numpy as np
import pytest
from safetensors.numpy import save_file

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV

from flowers import iris, quick
from liftgrad.estimators import LiftClassifier, LiftRegressor, load

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_predict_the_same(copied):
    """Deep copies and pickles have everything learned, clones nothing."""
    X, y = iris()
    classifier = quick(random_state=0).fit(X, y)
    assert (copied(classifier).predict_proba(X) == classifier.predict_proba(X)).all()
    with pytest.raises(NotFittedError):
        clone(classifier).predict(X)


@pytest.mark.parametrize("names", [[0, 1, 2], ["a", "b", "ç"], [-1.0, 0.0, 2.0]])
def test_a_file_holds_the_classifier(names, tmp_path):
    """What is loaded predicts the same, to the bit, in classes of the same type."""
    X, y = iris()
    y = np.array(names)[y]
    weights = {names[0]: 2.0, names[2]: 0.5}
    classifier = quick(random_state=np.int64(0), class_weight=weights).fit(X, y)
    classifier.save(tmp_path / "m.safetensors", {"columns": ["p", "q"]})
    loaded = load(tmp_path / "m.safetensors")
    assert (loaded.predict_proba(X) == classifier.predict_proba(X)).all()
    assert loaded.classes_.dtype == classifier.classes_.dtype
    assert loaded.metadata_ == {"columns": ["p", "q"]}
    assert loaded.get_params() == classifier.get_params()
    assert loaded.loss_curve_ == classifier.loss_curve_


def test_a_file_holds_the_regressor(tmp_path):
    """Also one of float32 with two numbers a row."""
    X = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
    regressor = LiftRegressor([3, 4], max_iter=5, random_state=np.random.RandomState(1))
    regressor.fit(X, X[:, ::-1])
    regressor.save(tmp_path / "m.safetensors")
    assert (load(tmp_path / "m.safetensors").predict(X) == regressor.predict(X)).all()


def by_file(estimator, path):
    estimator.save(path / "m.safetensors")
    return load(path / "m.safetensors")


@pytest.mark.parametrize(
    "settings", [{"activation": "tanh"}, {"activation": "identity"}, {"hidden_layer_sizes": (5,)}]
)
@pytest.mark.parametrize(
    "copied", [lambda x, _: x, lambda x, _: pickle.loads(pickle.dumps(x)), by_file]
)
def test_settings_for_the_next_fit_leave_the_fitted_network(settings, copied, tmp_path):
    """It predicts as before, and so do its copies."""
    X, y = iris()
    classifier = quick(random_state=0).fit(X, y)
    expected = classifier.predict_proba(X)
    copy = copied(classifier.set_params(**settings), tmp_path)
    assert (copy.predict_proba(X) == expected).all()
    assert copy.get_params() == classifier.get_params()


def test_numpys_numbers_are_settings(tmp_path):
    """As in grids; a file has them as Python's."""
    X, y = iris()
    grid = {
        "max_iter": np.arange(2, 4),
        "batch_size": np.array([50]),
        "hidden_layer_sizes": np.array([3, 4]),
        "n_iter_no_change": np.array([5]),
        "alpha": np.logspace(-3, -2, 2, dtype=np.float32),
        "learning_rate_init": np.array([0.03], np.float32),
        "shuffle": np.array([True]),
        "early_stopping": np.array([True]),
        "validation_fraction": np.array([0.2], np.float32),
        "activation": np.array(["tanh"]),
        "random_state": np.array([7]),
    }
    search = GridSearchCV(LiftClassifier(), grid, cv=2, error_score="raise").fit(X, y)
    search.best_estimator_.save(tmp_path / "m")
    loaded = load(tmp_path / "m")
    assert loaded.random_state == 7
    assert loaded.predict(X).tolist() == search.predict(X).tolist()


def nested(depth):
    inner = []
    for _ in range(depth):
        inner = [inner]
    return inner


@pytest.mark.parametrize("unit", ["D", "s", "25m"])
def test_days_and_times_are_classes_in_files_too(unit, tmp_path):
    """Of the same type, to the unit."""
    X, y = iris()
    days = np.array(["2020-01-01", "2021-01-01", "2022-01-01"], f"M8[{unit}]")[y]
    classifier = quick(random_state=0).fit(X, days)
    loaded = by_file(classifier, tmp_path)
    assert loaded.classes_.dtype == classifier.classes_.dtype
    assert (loaded.predict(X) == classifier.predict(X)).all()


class Other(LiftClassifier):
    """A user's own."""


def halved(sizes, **settings):
    return LiftClassifier(sizes, alpha=Fraction(1, 2), **settings)


@pytest.mark.parametrize(
    ("kind", "classes", "metadata", "error", "words"),
    [
        (LiftClassifier, [0, 1, 2], {"a": {1: 2}}, TypeError, "has the name 1; pass names"),
        (LiftClassifier, [0, 1, 2], {"a": [{3}]}, TypeError, "holds a set; pass what JSON knows"),
        (LiftClassifier, [0, 1, 2], {"a": nested(300)}, ValueError, "more than 100 deep"),
        (
            LiftClassifier,
            np.arange(3, dtype=np.longdouble),
            {},
            TypeError,
            "classes_ are of a type",
        ),
        (halved, [0, 1, 2], {}, TypeError, r"cannot hold Fraction\(1, 2\), a Fraction; pass a"),
        (Other, [0, 1, 2], {}, TypeError, "class Other would not be one again"),
    ],
)
def test_what_would_not_come_out_of_a_file_does_not_go_into_it(
    kind, classes, metadata, error, words, tmp_path
):
    """A model is refused when it is saved, not when it is loaded."""
    X, y = iris()
    classifier = kind((2,), max_iter=150).fit(X[::5], np.array(classes)[y[::5]])
    with pytest.raises(error, match=words):
        classifier.save(tmp_path / "m.safetensors", metadata)
    assert list(tmp_path.iterdir()) == []


def test_other_files_are_refused(tmp_path):
    """In one sentence: missing, truncated, foreign, newer."""
    X, y = iris()
    path = tmp_path / "m.safetensors"
    with pytest.raises(FileNotFoundError, match="there is no model"):
        load(path)
    with pytest.raises(NotFittedError):
        quick().save(path)
    quick(random_state=0).fit(X, y).save(path)
    whole = path.read_bytes()
    for count in (0, 7, 100, len(whole) - 1):
        path.write_bytes(whole[:count])
        with pytest.raises(ValueError, match="is truncated"):
            load(path)
    path.write_bytes(whole.replace(b'\\"version\\": 1', b'\\"version\\": 9'))
    with pytest.raises(ValueError, match="newer"):
        load(path)
    save_file({"x": np.zeros(1)}, path)
    with pytest.raises(ValueError, match="no liftgrad estimator"):
        load(path)


def test_as_many_epochs_as_it_takes_can_be_saved(tmp_path):
    """A file has the largest possible number."""
    settings = {"max_iter": sys.maxsize, "batch_size": sys.maxsize, "tol": 10.0}
    quick(**settings).fit(*iris()).save(tmp_path / "m")
    assert load(tmp_path / "m").max_iter == sys.maxsize
