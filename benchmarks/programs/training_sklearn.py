"""Training to a stated accuracy with scikit-learn's MLPClassifier."""

import sys
from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier
from training import BATCH, SEED, SIZES, data, until_right


def main(task: str) -> None:
    """Train to the task's accuracy."""
    X, y, X_test, y_test = data(task)

    def prepare() -> Any:
        model = MLPClassifier(
            SIZES[task][1:-1], batch_size=BATCH[task], alpha=0.0, random_state=SEED
        )
        classes = np.unique(y)
        return (
            lambda: model.partial_fit(X, y, classes=classes),
            lambda: float(np.mean(model.predict(X_test) == y_test)),
        )

    until_right(task, prepare)


if __name__ == "__main__":
    main(sys.argv[1])
