"""Estimators against scikit-learn's: score in five-fold cross-validation, and time to fit.

    python benchmarks/estimators.py

Both get the same rows, standardised, and the same arguments. Times are of all five fits, after one
that is not counted and fills the kernel cache; the two take turns.
"""

import platform
import statistics
import time
import warnings
from typing import Any

import numpy as np
import sklearn
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_wine,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from liftgrad.estimators import LiftClassifier, LiftRegressor

ROUNDS = 3
SETS: dict[str, tuple[Any, bool, dict[str, Any]]] = {
    "iris": (load_iris, True, {}),
    "wine": (load_wine, True, {}),
    "breast cancer": (load_breast_cancer, True, {}),
    "digits": (load_digits, True, {}),
    # At the default rate neither has converged after 200 epochs of two batches.
    "diabetes": (load_diabetes, False, {"learning_rate_init": 0.01, "alpha": 1.0}),
}


def cross_validated(kind: Any, arguments: dict[str, Any], load: Any, seed: int) -> tuple[Any, Any]:
    """Return the score on each fold, and the seconds that all fits took."""
    X, y = load(return_X_y=True)
    folds = StratifiedKFold if kind in (MLPClassifier, LiftClassifier) else KFold
    scores, seconds = [], 0.0
    for train, test in folds(5, shuffle=True, random_state=seed).split(X, y):
        model = make_pipeline(StandardScaler(), kind(random_state=seed, **arguments))
        start = time.perf_counter()
        model.fit(X[train], y[train])
        seconds += time.perf_counter() - start
        scores.append(model.score(X[test], y[test]))
    return scores, seconds


def main() -> None:
    """Print a table."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    print(f"scikit-learn {sklearn.__version__}, Python {platform.python_version()}")
    print(
        "accuracy or R², mean of 5 folds and 3 seeds; seconds for 5 fits, median (lowest-highest)"
    )
    for name, (load, classes, arguments) in SETS.items():
        pair = (LiftClassifier, MLPClassifier) if classes else (LiftRegressor, MLPRegressor)
        cross_validated(pair[0], arguments, load, 0)
        scores: dict[Any, list[float]] = {kind: [] for kind in pair}
        times: dict[Any, list[float]] = {kind: [] for kind in pair}
        for seed in range(ROUNDS):
            for kind in pair:
                found, seconds = cross_validated(kind, arguments, load, seed)
                scores[kind] += found
                times[kind].append(seconds)
        for kind in pair:
            taken = sorted(times[kind])
            print(
                f"{name:14} {kind.__name__:15} {np.mean(scores[kind]):.4f}  "
                f"{statistics.median(taken):6.2f} s ({taken[0]:.2f}-{taken[-1]:.2f})"
            )


if __name__ == "__main__":
    main()
