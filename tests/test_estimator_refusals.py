"""What estimators refuse, and what that leaves of them."""

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.exceptions import NotFittedError

from flowers import iris, quick
from liftgrad.errors import NonFiniteLossError
from liftgrad.estimators import LiftClassifier, LiftRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (np.ones((150, 1)), "Sample weights must be 1D array or scalar"),
        (np.ones(149), r"sample_weight.shape == \(149,\), expected \(150,\)!"),
        (np.zeros(150), "at least one non-zero number"),
        (np.full(150, -1.0), "Negative values in data passed to `sample_weight`"),
        (np.full(150, np.nan), "Input sample_weight contains NaN"),
    ],
)
def test_weights_that_are_none_are_refused(weights, words):
    """In scikit-learn's words."""
    for estimator in (LiftClassifier(), LiftRegressor()):
        with pytest.raises(ValueError, match=words):
            estimator.fit(*iris(), weights)


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({7: 1.0}, r"classes.* not in class_weight"),
        ("even", "class_weight"),
        ({0: -1.0}, "class_weight=.* negative"),
        ({0: 0.0, 1: 0.0, 2: 0.0}, "class_weight=.* all of them 0"),
    ],
)
def test_class_weights_that_are_none_are_refused(chosen, words):
    """In scikit-learn's words, where it has them."""
    with pytest.raises(ValueError, match=words):
        LiftClassifier(class_weight=chosen).fit(*iris())


def test_a_fit_that_fails_leaves_no_fitted_network():
    """Half of the old one and half of the new one would be worse than none."""
    X, y = iris()
    classifier = quick(random_state=0).fit(X, y).set_params(learning_rate_init=1e200)
    with pytest.raises(NonFiniteLossError):
        classifier.fit(X[:100], y[:100])
    with pytest.raises(NotFittedError):
        classifier.predict(X)


@pytest.mark.parametrize("settings", [{"max_iter": 0}, {"activation": "step"}])
def test_settings_that_are_refused_leave_the_fitted_network(settings):
    """Its classes, too."""
    X, y = iris()
    classifier = quick(random_state=0).fit(X, y)
    expected = classifier.predict(X)
    with pytest.raises(ValueError, match=next(iter(settings))):
        classifier.set_params(**settings).fit(X[:100], y[:100])
    assert (classifier.predict(X) == expected).all()


@pytest.mark.parametrize(
    "refused",
    [
        lambda m, X, y: m.fit(X[:, 1:], y, -np.ones(len(y))),
        lambda m, X, y: m.fit(X[:, 1:], np.zeros(len(y))),
        lambda m, X, y: m.set_params(early_stopping=True).fit(X[:3, 1:], y[:3] + np.arange(3)),
        lambda m, X, y: m.set_params(early_stopping=True).fit(X[::30, 1:], y[::30]),
    ],
)
def test_data_that_are_refused_leave_the_fitted_network(refused):
    """Its columns and classes, too."""
    X, y = iris()
    classifier = quick(random_state=0).fit(X, y)
    expected = classifier.predict(X)
    with pytest.raises(ValueError, match=r"egative|1 class|validation_fraction"):
        refused(classifier, X, y)
    assert (classifier.predict(X) == expected).all()


@pytest.mark.parametrize("kind", [LiftClassifier, LiftRegressor])
def test_rows_beyond_the_networks_range_are_refused(kind):
    """In float32 and float64, in the input or where the network's own numbers overflow."""
    X, y = iris()
    single, double = (
        kind((8,), max_iter=5, random_state=0).fit(X.astype(dtype), y)
        for dtype in (np.float32, np.float64)
    )
    with pytest.raises(ValueError, match=r"Input X contains infinity or a value too large"):
        single.predict(np.full((1, 4), 1e39))
    far = np.concatenate([X[:2], np.full((1, 4), 3e38), np.full((1, 4), -3e38)])
    with pytest.raises(ValueError, match="outputs for row 2 of X are beyond the range of float32"):
        single.predict(far)
    assert np.isfinite(double.predict(far)).all()
    with pytest.raises(ValueError, match=r"outputs for row . of X are beyond the range of float64"):
        double.predict(far * 5e269)


def test_targets_beyond_the_networks_range_are_refused():
    """Numbers to predict are converted to the type of the rows."""
    X, y = iris()
    with pytest.raises(ValueError, match="Input y contains infinity or a value too large"):
        LiftRegressor().fit(X.astype(np.float32), y * 1e39)


@pytest.mark.parametrize("fraction", [-0.1, 0.0, 1.0, 1.5, float("nan"), "0.1"])
def test_a_fraction_that_cannot_be_held_out_is_refused(fraction):
    """By its own name."""
    with pytest.raises(ValueError, match=r"validation_fraction=.*above 0 and below 1"):
        quick(early_stopping=True, validation_fraction=fraction).fit(*iris())


@pytest.mark.parametrize("kind", [LiftClassifier, LiftRegressor])
def test_one_row_held_out_is_too_few(kind):
    """One row has hardly a score, and no R²."""
    X, _ = iris()
    with pytest.raises(
        ValueError, match=r"The validation set is too small|of 10 rows of 2 classes"
    ):
        kind(early_stopping=True, validation_fraction=0.1).fit(X[45:55], [0] * 5 + [1] * 5)


@pytest.mark.parametrize("weights", [None, np.r_[np.ones(149), 0.0]])
def test_one_number_in_all_rows_held_out_is_refused(weights):
    """They have no R², and training would end after ten epochs without it."""
    X, _ = iris()
    y = np.r_[np.ones(149), 1.0 if weights is None else 2.0]
    with pytest.raises(ValueError, match="the held-out rows all have the same y"):
        LiftRegressor(early_stopping=True).fit(X, y, weights)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"activation": "step"}, "activation"),
        ({"activation": ["relu"]}, "activation"),
        ({"early_stopping": 10}, "early_stopping=10; pass True or False"),
        ({"shuffle": None}, "shuffle=None; pass True or False"),
        ({"warm_start": "yes"}, "warm_start='yes'; pass True or False"),
        ({"alpha": -1.0}, "alpha"),
        ({"max_iter": 0}, "max_iter"),
        ({"batch_size": 1.5}, "batch_size"),
        ({"max_iter": True}, "max_iter=True; pass a whole number"),
        ({"hidden_layer_sizes": True}, r"hidden_layer_sizes\[0\]=True"),
        ({"alpha": np.True_}, "alpha=.*True.*; pass a finite number"),
        ({"hidden_layer_sizes": (3, 0)}, r"hidden_layer_sizes\[1\]"),
        ({"learning_rate_init": float("nan")}, "learning_rate_init"),
    ],
)
def test_settings_without_sense_are_refused(settings, named):
    """At fit, as scikit-learn wants it."""
    X, y = iris()
    with pytest.raises(ValueError, match=named):
        LiftClassifier(**settings).fit(X, y)
