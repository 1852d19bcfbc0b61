"""How `liftgrad train` fits networks, and how it chooses the penalty of their weights."""

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
"""From nearly none to nearly a linear model; on 20 tables the best was among them."""
MOST_APART = 0.9
"""The largest part of the rows that can be kept apart."""
_FOLDS = 3
_MOST_WEIGHTS = 20_000
"""Of larger first layers, which take long, only one fold is held out."""
_MOST_ROWS = 5000
"""The penalty counts against the sum over all rows, so that a sample of them tells as well."""
_LEAST_PROBABILITY = 1e-12


@dataclass(frozen=True)
class Fitting:
    """The settings of a fit, but for the penalty."""

    task: Task | None
    hidden: tuple[int, ...]
    epochs: int
    rate: float
    seed: int
    class_weight: str | None

    def fit(self, X: Array, y: Array, l2: float, *, verbose: bool = False) -> Any:
        """Return a network that has learnt rows X (n, d) with classes or numbers y (n,).

        It minimises the sum of the rows' losses and l2/2 times the sum of all squared weights.
        """
        # Small tables need the many steps of small batches.
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
        """Return the penalty of which rows that a network had not seen have the least loss.

        Raises:
            click.Abort: if Ctrl-C is pressed meanwhile.

        """
        random = np.random.default_rng(self.seed)
        kept = np.sort(random.permutation(len(X))[:_MOST_ROWS])
        X, y = X[kept], y[kept]
        fold_of = np.zeros(len(y), np.int64)
        for rows in self._alike(y):  # each fold has its part of each class
            fold_of[random.permutation(rows)] = np.arange(len(rows)) % _FOLDS
        folds = range(_FOLDS if X.shape[1] * self.hidden[0] <= _MOST_WEIGHTS else 1)
        with progress_bar() as bar:
            task = bar.add_task("Choosing --l2", total=len(PENALTIES) * len(folds))
            losses = []
            for l2 in PENALTIES:
                total = 0.0
                for fold in folds:
                    total += self._loss_of_unseen(X, y, fold_of == fold, l2)
                    bar.advance(task)
                losses.append(total)
        # So few rows that none could be held out tell nothing.
        return PENALTIES[int(np.argmin(losses))] if any(losses) else 1.0

    def _alike(self, y: Array) -> list[Array]:
        """Return the rows of each class; all rows if they have numbers."""
        if self.task == "regression":
            return [np.arange(len(y))]
        return [np.flatnonzero(y == label) for label in np.unique(y)]

    def _loss_of_unseen(self, X: Array, y: Array, held: Array, l2: float) -> float:
        """Return the summed loss of rows that are held out."""
        if not held.any() or len(self._alike(y[~held])) < 2 <= len(self._alike(y)):
            return 0.0
        estimator = self.fit(X[~held], y[~held], l2)
        if estimator.interrupted_:
            raise click.Abort
        if self.task == "regression":
            return float(np.sum((estimator.predict(X[held]) - y[held]) ** 2))
        # A class of which no row was learnt from has the probability 0.
        probabilities = np.zeros((int(held.sum()), int(y.max()) + 1))
        probabilities[:, estimator.classes_] = estimator.predict_proba(X[held])
        own = probabilities[np.arange(len(probabilities)), y[held]]
        losses = -np.log(np.maximum(own, _LEAST_PROBABILITY))
        if self.class_weight == "balanced":
            losses /= np.bincount(y)[y[held]]
        return float(np.sum(losses))


def kept_apart(y: Array, part: float, seed: int, *, classes: bool) -> tuple[Array, Array]:
    """Return the rows to train with and those kept apart, of each class its part.

    Raises:
        click.ClickException: if there are too few rows.

    """
    random = np.random.default_rng(seed)
    kinds = (
        [np.flatnonzero(y == label) for label in np.unique(y)] if classes else [np.arange(len(y))]
    )
    # Of each class one row at least is there to train with, and there are two quantities.
    least = 1 if classes else 2
    held = []
    for rows in kinds:
        order = random.permutation(rows)
        held.append(order[: min(round(part * len(rows)), len(rows) - least)])
    apart = np.sort(np.concatenate(held))
    if len(apart) < 2:
        possible = sum(min(round(MOST_APART * len(rows)), len(rows) - least) for rows in kinds)
        raise click.ClickException(
            f"{len(y)} rows{f' of {len(kinds)} classes' if classes else ''} are too few to keep "
            f"{part:.0%} of them apart; add rows"
            f"{', or pass a larger --validation' if possible > 1 else ''}."
        )
    return np.setdiff1d(np.arange(len(y)), apart), apart
