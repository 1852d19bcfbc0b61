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

    >>> X, y = [[0.0], [1.0], [2.0], [3.0]], [0.0, 2.0, 4.0, 6.0]
    >>> regressor = LiftRegressor((8,), learning_rate_init=0.1, tol=1e-2, random_state=0)
    >>> regressor.fit(X, y).score(X, y) > 0.9
    True
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Train from scratch on rows X (n, d) with numbers y (n,) or (n, k), and return self.

        >>> X, y = [[0.0], [1.0], [2.0], [3.0]], [0.0, 2.0, 4.0, 6.0]
        >>> regressor = LiftRegressor((8,), learning_rate_init=0.1, tol=1e-2, random_state=0)
        >>> regressor.fit(X, y) is regressor
        True

        Raises:
            ValueError: if X or y are not such, or a setting makes no sense.
            NonFiniteLossError: if the loss becomes nan or infinite.
            KeyboardInterrupt: if Ctrl-C is pressed before the first step is done.

        """
        self._check_settings()
        X, y = validate_data(self, X, y, dtype=FLOATS, order="C", multi_output=True, y_numeric=True)
        targets = y.astype(X.dtype).reshape(len(y), -1)
        return self._fit(X, targets, targets.shape[1], one_dimensional=y.ndim == 1)

    def predict(self, X: Any) -> Array:
        """Return the numbers for each row, (n,) or (n, k) as `fit` had them.

        >>> X, y = [[0.0], [1.0], [2.0], [3.0]], [0.0, 2.0, 4.0, 6.0]
        >>> regressor = LiftRegressor((8,), learning_rate_init=0.1, tol=1e-2, random_state=0)
        >>> regressor.fit(X, y).predict([[0.5], [1.5]]).shape
        (2,)
        """
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

    def _score(self, X: Array, y: Array) -> float:
        return float(r2_score(y, self._outputs(X)))
