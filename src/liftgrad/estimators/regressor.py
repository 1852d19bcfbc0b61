"""LiftRegressor: a network that predicts numbers."""

import math
from typing import Any, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils.validation import check_array, validate_data

from liftgrad import functional
from liftgrad.estimators.perceptron import FLOATS, Perceptron, unchanged_if_refused
from liftgrad.estimators.rows import Array, checked_weights


class LiftRegressor(RegressorMixin, Perceptron):
    """A multi-layer perceptron that predicts numbers, with `MLPRegressor`'s arguments.

    It minimises half the mean squared error. Arguments and attributes are those of
    `LiftClassifier`, without the classes, and the validation score is R². With k numbers a row,
    `alpha` is divided by k, which is what `MLPRegressor` does.

    >>> X, y = [[0.0], [1.0], [2.0], [3.0]], [0.0, 2.0, 4.0, 6.0]
    >>> regressor = LiftRegressor((8,), learning_rate_init=0.1, tol=1e-2, random_state=0)
    >>> regressor.fit(X, y).score(X, y) > 0.9
    True
    """

    @unchanged_if_refused
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train from scratch on rows X (n, d) with numbers y (n,) or (n, k), and return self.

        >>> X, y = [[0.0], [1.0], [2.0], [3.0]], [0.0, 2.0, 4.0, 6.0]
        >>> regressor = LiftRegressor((8,), learning_rate_init=0.1, tol=1e-2, random_state=0)
        >>> regressor.fit(X, y) is regressor
        True

        Args:
            X, y: the rows and their numbers.
            sample_weight: of each row, (n,), in the mean loss and in the validation score.

        Raises:
            ValueError: if X, y, the weights or a setting are invalid.
            NonFiniteLossError: if the loss becomes nan or infinite.
            KeyboardInterrupt: if Ctrl-C is pressed before the first step is done.

        """
        self._check_settings()
        continues = self._continues()
        data, one_dimensional = self._data(X, y, sample_weight, reset=not continues)
        return self._fit(*data, one_dimensional=one_dimensional, continues=continues)

    @unchanged_if_refused
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one more epoch on some rows, and return self.

        >>> X, y = [[0.0], [1.0], [2.0], [3.0]], [0.0, 2.0, 4.0, 6.0]
        >>> regressor = LiftRegressor((8,), learning_rate_init=0.1, random_state=0)
        >>> for _ in range(200):
        ...     _ = regressor.partial_fit(X, y)
        >>> regressor.score(X, y) > 0.9
        True

        Raises:
            ValueError: if X, y, the weights or a setting are invalid.
            NonFiniteLossError: if the loss becomes nan or infinite; the network is left as it was
                before that step.
            KeyboardInterrupt: if Ctrl-C is pressed before the first step is done.

        """
        self._check_settings(incremental=True)
        continues = self._continues(incremental=True)
        data, one_dimensional = self._data(X, y, sample_weight, reset=not continues)
        return self._partial_fit(*data, one_dimensional=one_dimensional, continues=continues)

    def _data(
        self, X: Any, y: Any, sample_weight: Any, *, reset: bool
    ) -> tuple[tuple[Array, Array, Array | None, int], bool]:
        """Return rows, targets, weights and the number of outputs; and whether y has one axis."""
        X, y = validate_data(
            *(self, X, y), dtype=FLOATS, order="C", multi_output=True, y_numeric=True, reset=reset
        )
        with np.errstate(over="ignore", invalid="ignore"):  # infinite numbers are refused
            targets = check_array(y, dtype=X.dtype, ensure_2d=False, input_name="y")
        targets = targets.reshape(len(y), -1)
        outputs = targets.shape[1]
        if not reset and outputs != self.n_outputs_:
            raise ValueError(
                f"y has {outputs} numbers a row, and the network was fitted to {self.n_outputs_}; "
                "pass as many."
            )
        return (X, targets, checked_weights(sample_weight, X), outputs), y.ndim == 1

    def predict(self, X: Any) -> Array:
        """Return the predicted numbers, (n,) or (n, k) like the y of `fit`.

        >>> X, y = [[0.0], [1.0], [2.0], [3.0]], [0.0, 2.0, 4.0, 6.0]
        >>> regressor = LiftRegressor((8,), learning_rate_init=0.1, tol=1e-2, random_state=0)
        >>> regressor.fit(X, y).predict([[0.5], [1.5]]).shape
        (2,)
        """
        outputs = self._outputs_for(X)
        return outputs[:, 0] if self._one_dimensional else outputs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _penalty(self) -> float:
        # scikit-learn's gradient is that of the sum over a row's numbers, not of their mean.
        return super()._penalty() / self.n_outputs_

    @staticmethod
    def _cost(outputs: Any, targets: Any) -> Any:
        # A network with one output returns it without a list around it.
        outputs = outputs if isinstance(outputs, list) else [outputs]
        return 0.5 * functional.mean([(o - t) ** 2 for o, t in zip(outputs, targets, strict=True)])

    @staticmethod
    def _stratification(_y: Array) -> None:
        return None

    def _score(self, X: Array, y: Array, weights: Array | None) -> float:
        outputs = self._outputs(X)
        if not np.isfinite(outputs).all():
            return math.nan
        return float(r2_score(y, outputs, sample_weight=weights))

    def _check_held(self, y: Array, weights: Array | None) -> None:
        counted = y if weights is None else y[weights > 0.0]
        if (counted == counted[:1]).all():
            raise ValueError(
                "the held-out rows all have the same y, for which there is no R²; pass another "
                "validation_fraction or random_state, or early_stopping=False."
            )
