"""Estimators: scikit-learn's conventions, pipelines and searches, and how they train."""

import copy
import random
import subprocess
import sys
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from flowers import iris, quick
from liftgrad import Value, nn
from liftgrad.errors import NonFiniteLossError
from liftgrad.estimators import LiftClassifier, LiftRegressor, load
from liftgrad.functional import softmax

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.thorough
@parametrize_with_checks([LiftClassifier(), LiftRegressor()])
@pytest.mark.filterwarnings("ignore")
def test_scikit_learn_accepts_it(estimator, check):
    """Every check of scikit-learn's own passes."""
    if "array_api" in str(check):
        pytest.skip("scikit-learn asks for an environment variable to run it")
    check(estimator)


def test_cross_validation_in_a_pipeline():
    """A pipeline's score on iris is what a network of this size reaches."""
    X, y = load_iris(return_X_y=True)
    scores = cross_val_score(make_pipeline(StandardScaler(), quick(random_state=1)), X, y)
    assert scores.mean() > 0.93


def test_a_grid_search_finds_the_better_setting():
    """A rate of zero learns nothing, and the search says so."""
    X, y = iris()
    search = GridSearchCV(quick(random_state=0), {"learning_rate_init": [0.0, 0.03]}, cv=3)
    search.fit(X, y)
    assert search.best_params_ == {"learning_rate_init": 0.03}
    assert search.cv_results_["mean_test_score"][0] < 0.7


def test_pandas_frames_are_accepted():
    """Names of columns are remembered, and others refused."""
    pandas = pytest.importorskip("pandas")
    X, y = iris()
    frame = pandas.DataFrame(X, columns=["a", "b", "c", "d"])
    names = pandas.Series(np.array(["x", "y", "z"])[y])
    classifier = quick(random_state=0).fit(frame, names)
    assert classifier.feature_names_in_.tolist() == ["a", "b", "c", "d"]
    assert set(classifier.predict(frame)) == {"x", "y", "z"}
    assert classifier.predict(frame).tolist() == [
        "xyz"[i] for i in quick(random_state=0).fit(X, y).predict(X)
    ]
    with pytest.raises(ValueError, match="feature names"):
        classifier.predict(frame[["d", "c", "b", "a"]])


def test_probabilities_are_the_eager_networks():
    """The parameters are those of an MLP, with the softmax of its outputs on Values."""
    X, y = iris()
    classifier = quick(random_state=3).fit(X, y)
    model = nn.MLP(4, [8, 3])
    for parameter, number in zip(model.parameters(), classifier.parameters_, strict=True):
        parameter.data = float(number)
    for x, row in zip(X[:5], classifier.predict_proba(X[:5]), strict=True):
        expected = [p.data for p in softmax(model([Value(v) for v in x]))]
        assert row == pytest.approx(expected, rel=1e-12)
    logs = classifier.predict_log_proba(X)
    assert np.exp(logs) == pytest.approx(classifier.predict_proba(X), rel=1e-12)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("activation", ["tanh", "logistic"])
def test_it_follows_scikit_learns_network(classes, activation):
    """The same start and, in batches of all rows, step for step the same probabilities."""
    X, y = iris()
    X, y = X[y < classes], y[y < classes]
    arguments = {"activation": activation, "max_iter": 30, "random_state": 4, "alpha": 0.1}
    ours = LiftClassifier((8, 5), **arguments).fit(X, y)
    theirs = MLPClassifier((8, 5), **arguments).fit(X, y)
    assert ours.loss_curve_ == pytest.approx(theirs.loss_curve_, rel=1e-6)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-5)
    assert (ours.n_outputs_, ours.n_layers_) == (theirs.n_outputs_, theirs.n_layers_)


def test_a_regressor_follows_scikit_learns_network():
    """The same start and, in batches of all rows, step for step the same predictions."""
    X, _ = iris()
    arguments = {"hidden_layer_sizes": (8,), "activation": "tanh", "max_iter": 30}
    both = [
        kind(**arguments, random_state=4).fit(X[:, :3], X[:, 3])
        for kind in (LiftRegressor, MLPRegressor)
    ]
    ours, theirs = (estimator.predict(X[:, :3]) for estimator in both)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


BATCHES = [{}, {"batch_size": 40, "shuffle": False, "alpha": 3.0}]
"""All rows at once, and batches of which the last one is smaller."""


@pytest.mark.parametrize("batches", BATCHES)
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("weights", [None, "of rows"])
def test_weighted_rows_count_as_in_scikit_learns_network(weights, classes, batches):
    """Step for step; a batch's penalty is divided by its rows' weights, too."""
    X, y = iris()
    X, y = X[y < classes][::-2], y[y < classes][::-2]
    weights = weights and np.random.default_rng(0).integers(0, 4, len(y))
    arguments = {"activation": "tanh", "max_iter": 30, "random_state": 4, **batches}
    ours = LiftClassifier((8, 5), **arguments).fit(X, y, weights)
    theirs = MLPClassifier((8, 5), **arguments).fit(X, y, weights)
    assert ours.loss_curve_ == pytest.approx(theirs.loss_curve_, rel=1e-6)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-5)


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("batches", BATCHES)
def test_a_regressors_weighted_rows_count_as_in_scikit_learns_network(batches, outputs):
    """Step for step, with its penalty, for one number a row or two."""
    X, _ = iris()
    weights = np.random.default_rng(0).uniform(size=len(X))
    arguments = {"activation": "tanh", "max_iter": 30, "random_state": 4, **batches}
    targets = X[:, 2] if outputs == 1 else X[:, 2:]
    ours, theirs = (
        kind(hidden_layer_sizes=(8,), **arguments).fit(X[:, :2], targets, weights).predict(X[:, :2])
        for kind in (LiftRegressor, MLPRegressor)
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_classes_count_what_they_are_said_to():
    """A class's weight multiplies those of its rows; "balanced" gives all classes the same."""
    X, y = iris()
    X, y, names = X[30:], y[30:], np.array(["a", "b", "c"])
    rows = np.random.default_rng(0).uniform(size=len(y))
    balanced = rows.sum() / (3 * np.bincount(y, rows))[y]
    for chosen, weights in (
        ({"a": 5.0, "c": 0.5}, np.array([5.0, 1.0, 0.5])[y]),
        ("balanced", balanced),
    ):
        ours = quick(random_state=0, class_weight=chosen).fit(X, names[y], rows)
        same = quick(random_state=0).fit(X, names[y], rows * weights)
        np.testing.assert_allclose(ours.predict_proba(X), same.predict_proba(X), rtol=1e-6)


def test_a_batch_whose_rows_all_weigh_nothing_teaches_nothing():
    """Rows of weight 0 might as well have another class, and the numbers stay finite."""
    X, y = (rows[np.random.default_rng(0).permutation(150)] for rows in iris())
    weights = np.repeat([0.0, 1.0], 75)
    arguments = {"batch_size": 75, "shuffle": False, "random_state": 0}
    other = np.where(weights > 0.0, y, 2 - y)
    ours, same = (quick(**arguments).fit(X, labels, weights) for labels in (y, other))
    assert ours.predict_proba(X).tolist() == same.predict_proba(X).tolist()


def test_pipelines_and_searches_hand_weights_on():
    """As scikit-learn's own estimators take them."""
    X, y = iris()
    weights = np.where(y == 2, 0.0, 1.0)
    expected = quick(random_state=0).fit(X, y, weights).predict(X)
    assert set(expected) == {0, 1}
    pipeline = make_pipeline(quick(random_state=0))
    pipeline.fit(X, y, liftclassifier__sample_weight=weights)
    search = GridSearchCV(quick(random_state=0), {"alpha": [1e-4]}, cv=2)
    for fitted in (pipeline, search.fit(X, y, sample_weight=weights)):
        assert (fitted.predict(X) == expected).all()


def test_rows_that_weigh_nothing_do_not_decide_when_to_stop():
    """The validation score is weighted."""
    X, y = iris()
    arguments = {"early_stopping": True, "validation_fraction": 0.3, "random_state": 0}
    weights = np.where(y == 1, 0.0, 1.0)
    classifier = quick(**arguments).fit(X, y, weights)
    assert max(classifier.validation_scores_) == 1.0
    assert classifier.predict(X)[y == 1].tolist() != [1] * 50


def same_network(ours, theirs):
    """Compare every number of two networks, whose eps in Adam are placed differently."""
    for one, other in ((ours.coefs_, theirs.coefs_), (ours.intercepts_, theirs.intercepts_)):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_allclose(a, b, atol=1e-3)


def part_by_part(network, X, y):
    if isinstance(network, LiftClassifier | MLPClassifier):
        network.partial_fit(X[:50], y[:50], classes=[0, 1, 2])
    for i in range(3):
        network.partial_fit(X[i::3], y[i::3])
    return network


def warm(network, X, y):
    network.set_params(warm_start=True)
    return network.fit(X, y).fit(X[::2], y[::2]).fit(X, y)


ROADS = {
    "a fit": lambda m, X, y: m.fit(X, y),
    "part by part": part_by_part,
    "warm fits": warm,
    "a fit and a part": lambda m, X, y: m.fit(X, y).partial_fit(X[::2], y[::2]),
    "a copy goes on": lambda m, X, y: copy.deepcopy(m.fit(X, y)).partial_fit(X[::2], y[::2]),
}


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("kinds", [(LiftClassifier, MLPClassifier), (LiftRegressor, MLPRegressor)])
def test_training_goes_on_as_scikit_learns_does(kinds, road):
    """Its weights, biases, loss curve and numbers of epochs are the same on every road."""
    X, y = (rows[np.random.default_rng(0).permutation(150)] for rows in iris())
    settings = {
        "activation": "tanh",
        "max_iter": 7,
        "batch_size": 40,
        "shuffle": False,
        "learning_rate_init": 0.01,
    }
    networks = [
        kind(hidden_layer_sizes=(8, 5), random_state=1, alpha=1.0, **settings) for kind in kinds
    ]
    ours, theirs = [ROADS[road](network, X, y) for network in networks]
    same_network(ours, theirs)
    assert ours.loss_curve_ == pytest.approx(theirs.loss_curve_, rel=1e-4)
    assert (ours.n_iter_, ours.loss_) == (theirs.n_iter_, ours.loss_curve_[-1])


def test_weights_and_biases_are_for_reading():
    """They are of the data's type, absent before a fit, and refuse to be set without effect."""
    X, y = iris()
    classifier = quick(random_state=0)
    assert not hasattr(classifier, "coefs_")
    classifier.fit(X.astype(np.float32), y)
    assert [x.shape for x in classifier.coefs_] == [(4, 8), (8, 3)]
    assert [x.shape for x in classifier.intercepts_] == [(8,), (3,)]
    assert {x.dtype.name for x in classifier.coefs_ + classifier.intercepts_} == {"float32"}
    hidden = np.maximum(X @ classifier.coefs_[0] + classifier.intercepts_[0], 0.0)
    scores = hidden @ classifier.coefs_[1] + classifier.intercepts_[1]
    assert (scores.argmax(axis=1) == np.searchsorted([0, 1, 2], classifier.predict(X))).all()
    with pytest.raises(ValueError, match="read-only"):
        classifier.coefs_[0][0, 0] = 1.0
    with pytest.raises(AttributeError):
        classifier.coefs_ = []


def test_parts_may_lack_classes_and_differ_in_size_and_type():
    """The classes are those of the first call."""
    X, y = iris()
    names = np.array(["a", "b", "c"])
    classifier = LiftClassifier((8,), random_state=0, learning_rate_init=0.03)
    classifier.partial_fit(X[:50], names[y[:50]], classes=names)
    for _ in range(40):
        for part, dtype in ((slice(0, 60), np.float32), (slice(60, 150), np.float64)):
            classifier.partial_fit(X[part].astype(dtype), names[y[part]])
    assert classifier.score(X, names[y]) > 0.9
    assert len(classifier.loss_curve_) == 81
    assert classifier.n_iter_ == 1


def test_a_part_that_fails_leaves_the_network_as_it_was_before_it():
    """Its optimiser, too: a stream continues as if there had been no such part."""
    X, y = iris()
    classifier, same = (quick(random_state=0).fit(X, y) for _ in range(2))
    expected = classifier.predict_proba(X)
    with pytest.raises(NonFiniteLossError):
        classifier.set_params(learning_rate_init=1e200, batch_size=40).partial_fit(X, y)
    assert (classifier.predict_proba(X) == expected).all()
    same.partial_fit(X, y)
    classifier.set_params(learning_rate_init=0.03, batch_size="auto").partial_fit(X, y)
    assert (classifier.predict_proba(X) == same.predict_proba(X)).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m, X, y: m.partial_fit(X, y), "classes must be passed on the first call"),
        (lambda m, X, y: m.partial_fit(X, y, classes=[0, 1]), "`y` has classes not in"),
        (lambda m, X, y: m.fit(X, y).partial_fit(X, y + 1), "`y` has classes not in"),
        (lambda m, X, y: m.fit(X, y).partial_fit(X, y, classes=[1]), "not the same as on last"),
        (lambda m, X, y: m.fit(X, y).partial_fit(X[:, 1:], y), "expecting 4 features"),
        (
            lambda m, X, y: m.set_params(early_stopping=True).partial_fit(X, y, classes=[0, 1, 2]),
            "partial_fit does not support early_stopping=True",
        ),
        (
            lambda m, X, y: m.set_params(class_weight="balanced").partial_fit(X, y),
            "class_weight 'balanced' is not supported for partial_fit",
        ),
        (
            lambda m, X, y: m.set_params(warm_start=True).fit(X, y).fit(X[:99], y[:99]),
            "warm_start can only be used where `y` has the same classes",
        ),
        (
            lambda m, X, y: m.set_params(warm_start=True).fit(X, y).fit(X[:, 1:], y),
            "expecting 4 features",
        ),
        (
            lambda m, X, y: m.fit(X, y).set_params(activation="tanh").partial_fit(X, y),
            "cannot continue with .* activation='tanh'",
        ),
    ],
)
def test_going_on_with_something_else_is_refused(call, words):
    """In scikit-learn's words, if it has any; the network stays."""
    X, y = iris()
    classifier = quick(max_iter=1, random_state=0)
    with pytest.raises(ValueError, match=words):
        call(classifier, X, y)
    if hasattr(classifier, "n_iter_"):
        assert classifier.predict(X).shape == (150,)


def test_a_regressor_goes_on_with_as_many_numbers_a_row():
    """One where there were two is refused, and the network stays."""
    X, _ = iris()
    regressor = LiftRegressor((3,), max_iter=1).fit(X, X[:, :2])
    with pytest.raises(ValueError, match="1 numbers a row, and the network was fitted to 2"):
        regressor.partial_fit(X, X[:, 0])
    assert regressor.predict(X).shape == (150, 2)


def test_one_seed_one_result():
    """The same `random_state` gives the same numbers, and Python's `random` is left alone."""
    X, y = iris()
    random.seed(9)
    state = random.getstate()
    first, second = (quick(random_state=5).fit(X, y).parameters_ for _ in range(2))
    assert first.tolist() == second.tolist()
    assert random.getstate() == state
    assert quick(random_state=6).fit(X, y).parameters_.tolist() != first.tolist()


def test_float32_data_are_computed_in_float32():
    """The parameters are then numbers of float32."""
    X, y = iris()
    classifier = quick(random_state=0).fit(X.astype(np.float32), y)
    numbers = classifier.parameters_
    assert (numbers.astype(np.float32) == numbers).all()
    assert classifier.score(X, y) > 0.93


def test_early_stopping_keeps_the_best():
    """Training ends once the score of held-out rows no longer rises."""
    X, y = iris()
    classifier = quick(random_state=0, early_stopping=True, max_iter=500, validation_fraction=0.2)
    classifier.fit(X, y)
    assert classifier.n_iter_ < 500
    assert len(classifier.validation_scores_) == classifier.n_iter_
    best = max(classifier.validation_scores_)
    # Only a gain of more than tol counts, so that ties go to the first of them.
    assert classifier.validation_scores_.index(best) == classifier.n_iter_ - 1 - 10


@pytest.mark.parametrize("rows", [100, 2_000_000])
def test_ctrl_c_leaves_a_usable_estimator(rows, press_ctrl_c, capsys, tmp_path):
    """Also in the first epoch; it says that it was interrupted, and so does its file."""
    random = np.random.default_rng(0)
    X = random.normal(size=(rows, 8)).astype(np.float32)
    y = X.sum(axis=1) > 0.0
    press_ctrl_c("deferred", 0.2)  # when steps are taken
    endless = {"max_iter": 10**6, "n_iter_no_change": 10**6}
    classifier = quick(batch_size=50, **endless).fit(X, y)
    assert "Interrupted after step" in capsys.readouterr().err
    assert classifier.interrupted_
    assert classifier.n_iter_ == len(classifier.loss_curve_)
    assert np.isfinite(classifier.loss_)
    classifier.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.interrupted_
    assert again.predict(X[:50]).tolist() == classifier.predict(X[:50]).tolist()


def test_ctrl_c_before_the_first_step_leaves_nothing(press_ctrl_c):
    """While it compiles, there is nothing to use, and KeyboardInterrupt is raised."""
    press_ctrl_c("prepare")
    with pytest.raises(KeyboardInterrupt):
        quick().fit([[0.0], [1.0]], [0, 1])


@pytest.mark.parametrize("shape", [(60,), (60, 2)])
def test_a_regressor_follows_a_plane(shape):
    """One number a row or several, as they were given."""
    X = np.random.default_rng(0).normal(size=(60, 2))
    y = np.stack([X[:, 0] - 2 * X[:, 1], X[:, 0]], axis=1)[:, : len(shape)].reshape(shape)
    regressor = LiftRegressor(
        (16,), max_iter=400, learning_rate_init=0.02, n_iter_no_change=400, random_state=0
    )
    regressor.fit(X, y)
    assert regressor.predict(X).shape == shape
    assert regressor.score(X, y) > 0.99


def test_identity_is_linear_regression():
    """A network without activations finds what least squares finds."""
    X = np.random.default_rng(0).normal(size=(80, 3))
    y = X @ [1.0, -2.0, 0.5] + 0.3
    regressor = LiftRegressor(
        *((4,), "identity"),
        alpha=0.0,
        max_iter=2000,
        tol=0.0,
        n_iter_no_change=2000,
        learning_rate_init=0.01,
        random_state=0,
    )
    assert regressor.fit(X, y).predict(np.eye(3)) == pytest.approx([1.3, -1.7, 0.8], abs=1e-3)


def test_ctrl_c_keeps_the_best():
    """The fit returns, with the parameters of the best epoch so far."""
    seen = []

    class Interrupted(LiftClassifier):
        def _score(self, *_):
            seen.append([p.data for p in self._model.parameters()])
            if len(seen) == 3:
                raise KeyboardInterrupt
            return -float(len(seen))

    classifier = Interrupted((8,), random_state=0, early_stopping=True).fit(*iris())
    assert classifier.n_iter_ == 2
    assert classifier.parameters_.tolist() == seen[0] != seen[2]


def test_the_end_without_convergence_is_said():
    """As scikit-learn does."""
    X, y = iris()
    with pytest.warns(ConvergenceWarning, match="max_iter=2"):
        quick(max_iter=2).fit(X, y)


@pytest.mark.parametrize(
    "settings", [{"max_iter": 1000}, {"max_iter": 1000, "early_stopping": True}]
)
def test_convergence_in_the_last_epoch_is_convergence(settings):
    """There is a warning only where training could have gone on."""
    X, y = iris()
    settings = {"tol": 1e-2, "random_state": 0, **settings}
    needed = quick(**settings).fit(X, y).n_iter_
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quick(**{**settings, "max_iter": needed}).fit(X, y)
    with pytest.warns(ConvergenceWarning):
        quick(**{**settings, "max_iter": needed - 1}).fit(X, y)


@pytest.mark.process
def test_without_scikit_learn_it_says_what_to_install():
    """And `import liftgrad` does not need it."""
    code = "import sys; sys.modules['sklearn'] = None; import liftgrad; import liftgrad.estimators"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == (
        "ImportError: liftgrad.estimators needs scikit-learn 1.6 or later: "
        "pip install 'liftgrad[sklearn]'"
    )
