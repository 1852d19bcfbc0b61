"""How `liftgrad train` fits networks, chooses their penalty and holds out rows."""

from dataclasses import dataclass
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from liftgrad.cli.display import progress_bar
from liftgrad.cli.libraries import estimators
from liftgrad.data.table import Task

Array = NDArray[Any]

PENALTIES = (0.3, 1.0, 3.0, 10.0)
"""From almost no penalty to an almost linear model; on 20 tables the best was among them."""
MOST_HELD_OUT = 0.9
"""The largest fraction of the rows that can be held out."""
_FOLDS = 3
_MOST_WEIGHTS = 20_000
"""With a larger first layer, which is slow to fit, only one fold is held out."""
_MOST_ROWS = 5000
"""The penalty is relative to the sum over all rows, so that a sample of them suffices."""
_LEAST_PROBABILITY = 1e-12


@dataclass(frozen=True)
class Fitting:
    """The settings of a fit, apart from the penalty."""

    task: Task | None
    hidden: tuple[int, ...]
    epochs: int
    rate: float
    seed: int
    class_weight: str | None

    def fit(self, X: Array, y: Array, l2: float, *, verbose: bool = False) -> Any:
        """Return a network fitted to rows X (n, d) with classes or numbers y (n,).

        It minimises the sum of the rows' losses plus l2/2 times the sum of all squared weights.
        """
        # Small tables need small batches, for enough steps in an epoch.
        size = min(32 if len(X) < 10_000 else 256, len(X))
        settings: dict[str, Any] = {
            "alpha": l2 * size / len(X),
            "batch_size": size,
            "learning_rate_init": self.rate,
            "max_iter": self.epochs,
            "n_iter_no_change": 20,
            "random_state": self.seed,
            "verbose": verbose,
        }
        if self.task == "regression":
            return estimators().LiftRegressor(self.hidden, **settings).fit(X, y)
        settings["class_weight"] = self.class_weight
        return estimators().LiftClassifier(self.hidden, **settings).fit(X, y)

    def chosen_penalty(self, X: Array, y: Array) -> float:
        """Return the penalty with the least loss in cross-validation.

        Raises:
            click.Abort: if Ctrl-C is pressed.

        """
        random = np.random.default_rng(self.seed)
        chosen = np.sort(random.permutation(len(X))[:_MOST_ROWS])
        X, y = X[chosen], y[chosen]
        fold_of = np.zeros(len(y), np.int64)
        for rows in self._strata(y):  # each fold has its share of each class
            fold_of[random.permutation(rows)] = np.arange(len(rows)) % _FOLDS
        folds = range(_FOLDS if X.shape[1] * self.hidden[0] <= _MOST_WEIGHTS else 1)
        with progress_bar() as bar:
            task = bar.add_task("Choosing --l2", total=len(PENALTIES) * len(folds))
            losses = []
            for l2 in PENALTIES:
                total = 0.0
                for fold in folds:
                    total += self._loss_of_held_out(X, y, fold_of == fold, l2)
                    bar.advance(task)
                losses.append(total)
        # All losses are 0 if there were too few rows to hold any out.
        return PENALTIES[int(np.argmin(losses))] if any(losses) else 1.0

    def _strata(self, y: Array) -> list[Array]:
        """Return the rows of each class; for a regression, all rows."""
        if self.task == "regression":
            return [np.arange(len(y))]
        return [np.flatnonzero(y == label) for label in np.unique(y)]

    def _loss_of_held_out(self, X: Array, y: Array, held: Array, l2: float) -> float:
        """Return the sum of the losses of held-out rows."""
        if not held.any() or len(self._strata(y[~held])) < 2 <= len(self._strata(y)):
            return 0.0
        estimator = self.fit(X[~held], y[~held], l2)
        if estimator.interrupted_:
            raise click.Abort
        if self.task == "regression":
            return float(np.sum((estimator.predict(X[held]) - y[held]) ** 2))
        # A class without training rows has the probability 0.
        probabilities = np.zeros((int(held.sum()), int(y.max()) + 1))
        probabilities[:, estimator.classes_] = estimator.predict_proba(X[held])
        own = probabilities[np.arange(len(probabilities)), y[held]]
        losses = -np.log(np.maximum(own, _LEAST_PROBABILITY))
        if self.class_weight == "balanced":
            losses /= np.bincount(y)[y[held]]
        return float(np.sum(losses))


def split_rows(y: Array, fraction: float, seed: int, *, classes: bool) -> tuple[Array, Array]:
    """Return the rows to train on and the rows to hold out, the fraction of each class.

    Raises:
        click.ClickException: if there are too few rows.

    """
    random = np.random.default_rng(seed)
    strata = (
        [np.flatnonzero(y == label) for label in np.unique(y)] if classes else [np.arange(len(y))]
    )
    # At least one row of each class is left to train on, and at least two numbers.
    least = 1 if classes else 2
    held_of = []
    for rows in strata:
        order = random.permutation(rows)
        held_of.append(order[: min(round(fraction * len(rows)), len(rows) - least)])
    held = np.sort(np.concatenate(held_of))
    if len(held) < 2:
        possible = sum(min(round(MOST_HELD_OUT * len(rows)), len(rows) - least) for rows in strata)
        raise click.ClickException(
            f"{len(y)} rows{f' of {len(strata)} classes' if classes else ''} are too few to hold "
            f"out {fraction:.0%} of them; add rows"
            f"{', or pass a larger --validation' if possible > 1 else ''}."
        )
    return np.setdiff1d(np.arange(len(y)), held), held
