"""The digits with scikit-learn's MLPClassifier in float32."""

import sys
import warnings

from common import DIGITS, digits, fastest, report
from sklearn.neural_network import MLPClassifier

warnings.simplefilter("ignore")  # that 20 epochs may be too few


def main(_: str) -> None:
    """Measure an epoch of Adam."""
    X, y = digits()
    model = MLPClassifier(DIGITS[1:-1], batch_size=64, alpha=0.0, max_iter=20)
    model.n_iter_no_change = 1000
    model.fit(X, y)
    report(model.score(X, y), fastest(lambda: model.fit(X, y)) / 20)


if __name__ == "__main__":
    main(sys.argv[1])
