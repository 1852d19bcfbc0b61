"""What the programs that train to a stated accuracy share: data, settings, and the clock."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from common import Array, clock, report

SEED = int(os.environ.get("LIFT_SEED", "0"))
SIZES = {"digits": [64, 128, 10], "table": [20, 64, 64, 3]}
BATCH = {"digits": 64, "table": 256}
ACCURACY = {"digits": 0.97, "table": 0.95}
_MOST_EPOCHS = 200

Split = tuple[Array, Array, Array, Array]


def data(task: str) -> Split:
    """Return rows (n, d) in float32 and labels (n,) to train with, then some to test with."""
    X, y = _digits() if task == "digits" else _table()
    test = np.arange(len(X)) % (5 if task == "digits" else 6) == 0
    return X[~test], y[~test], X[test], y[test]


def _digits() -> tuple[Array, Array]:
    from sklearn.datasets import load_digits  # noqa: PLC0415, the table does without

    X, y = load_digits(return_X_y=True)
    return (X / 16.0).astype(np.float32), y.astype(np.int64)


def _table() -> tuple[Array, Array]:
    """Return 120,000 rows whose class is the largest of three formulas of eight of 20 columns."""
    X = np.random.default_rng(0).normal(size=(120_000, 20)).astype(np.float32)
    formulas = [
        X[:, 0] * X[:, 1] + X[:, 2],
        np.sin(2.0 * X[:, 3]) + X[:, 4] ** 2 - 1.0,
        X[:, 5] - X[:, 6] * X[:, 7],
    ]
    return X, np.argmax(formulas, axis=0).astype(np.int64)


def until_right(task: str, prepare: Callable[[], tuple[Callable[[], Any], Any]]) -> None:
    """Report the seconds until the accuracy is reached, and the accuracy.

    `prepare` returns a function that trains for an epoch, and one that returns the accuracy.
    """
    start = clock()
    epoch, accuracy = prepare()
    for _ in range(_MOST_EPOCHS):
        epoch()
        if (right := accuracy()) >= ACCURACY[task]:
            report(right, clock() - start)
            return
    raise SystemExit(f"{ACCURACY[task]:.0%} not reached in {_MOST_EPOCHS} epochs: {right:.2%}")
