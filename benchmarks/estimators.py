"""Estimators against scikit-learn's: score in five-fold cross-validation, and time to fit.

    python benchmarks/estimators.py [--quick]

Both get the same rows, standardised, and the same arguments. Times are of all five fits, after one
that is not counted and fills the kernel cache; the two take turns. `--quick` fits one set of each
kind with one seed: it shows that it works, and its figures say nothing.
"""

import argparse
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

SEEDS, QUICK_SETS = 8, ("iris", "diabetes")
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
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--quick", action="store_true", help="only show that two sets are fitted")
    quick = parser.parse_args().quick
    seeds, names = (1, QUICK_SETS) if quick else (SEEDS, SETS)
    warnings.simplefilter("ignore", ConvergenceWarning)
    print(f"| set | estimator | score, mean of 5 folds and {seeds} seeds | 5 fits |")
    print("|---|---|---|---|")
    for name in names:
        load, classes, arguments = SETS[name]
        pair = (LiftClassifier, MLPClassifier) if classes else (LiftRegressor, MLPRegressor)
        cross_validated(pair[0], arguments, load, 0)
        scores: dict[Any, list[float]] = {kind: [] for kind in pair}
        times: dict[Any, list[float]] = {kind: [] for kind in pair}
        for seed in range(seeds):
            for kind in pair:
                found, seconds = cross_validated(kind, arguments, load, seed)
                scores[kind] += found
                times[kind].append(seconds)
        differences = np.subtract(scores[pair[0]], scores[pair[1]])
        for kind in pair:
            taken = sorted(times[kind])
            error = f" ± {differences.std() / len(differences) ** 0.5:.4f}"
            print(
                f"| {name if kind is pair[0] else ''} | {kind.__name__} "
                f"| {np.mean(scores[kind]):.4f}{error if kind is pair[0] else ''} "
                f"| {statistics.median(taken):.2f} s ({taken[0]:.2f}-{taken[-1]:.2f}) |"
            )
    print()
    print(
        "Accuracy, for diabetes R²; ± is the standard error of the two's difference. Times are "
        f"medians (lowest-highest). scikit-learn {sklearn.__version__}, Python "
        f"{platform.python_version()}."
    )


if __name__ == "__main__":
    main()
