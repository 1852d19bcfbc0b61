"""LiftRegressor: a network that predicts numbers."""

from typing import Any, Self

from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils.validation import validate_data

from liftgrad import functional
from liftgrad.estimators.perceptron import FLOATS, Array, Perceptron


class LiftRegressor(RegressorMixin, Perceptron):
    """A multi-layer perceptron that predicts numbers, with `MLPRegressor`'s arguments.

    It minimises half the mean squared error; arguments and attributes are `LiftClassifier`'s,
    without the classes, and the validation score is R².
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train from scratch on rows X (n, d) with numbers y (n,) or (n, k), and return self.

        Args:
            X, y: the rows and their numbers.
            sample_weight: how much each row counts, (n,): the loss is the weighted mean of the
                rows', and the validation score is weighted, too.

        Raises:
            ValueError: if X, y or the weights are not such, or a setting makes no sense.
            NonFiniteLossError: if the loss becomes nan or infinite.
            KeyboardInterrupt: if Ctrl-C is pressed before the first step is done.

        """
        self._check_settings()
        X, y = validate_data(self, X, y, dtype=FLOATS, order="C", multi_output=True, y_numeric=True)
        targets = y.astype(X.dtype).reshape(len(y), -1)
        weights = self._weights(sample_weight, X)
        return self._fit(X, targets, weights, targets.shape[1], one_dimensional=y.ndim == 1)

    def predict(self, X: Any) -> Array:
        """Return the numbers for each row, (n,) or (n, k) as `fit` had them."""
        outputs = self._outputs(self._seen(X))
        return outputs[:, 0] if self._one_dimensional else outputs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    @staticmethod
    def _cost(outputs: Any, targets: Any) -> Any:
        # A network with one output returns it without a list around it.
        outputs = outputs if isinstance(outputs, list) else [outputs]
        return 0.5 * functional.mean([(o - t) ** 2 for o, t in zip(outputs, targets, strict=True)])

    @staticmethod
    def _stratification(_y: Array) -> None:
        return None

    def _score(self, X: Array, y: Array, weights: Array | None) -> float:
        return float(r2_score(y, self._outputs(X), sample_weight=weights))
