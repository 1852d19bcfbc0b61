"""LiftClassifier: a network that tells classes apart."""

from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from liftgrad import losses
from liftgrad.estimators.perceptron import FLOATS, Array, Perceptron


class LiftClassifier(ClassifierMixin, Perceptron):
    """A multi-layer perceptron that tells classes apart, with `MLPClassifier`'s arguments.

    It minimises the cross-entropy, with Adam, in batches; it computes in float32 if X is float32,
    else in float64. It starts from the weights that `MLPClassifier` starts from.

    >>> X, y = [[0.0], [1.0], [4.0], [5.0]], ["low", "low", "high", "high"]
    >>> classifier = LiftClassifier((8,), learning_rate_init=0.1, tol=1e-2, random_state=0)
    >>> classifier.fit(X, y).score(X, y)
    1.0

    Args:
        hidden_layer_sizes: how many neurons each hidden layer has.
        activation: of the hidden layers.
        alpha: the weight of the L2 penalty, α/2·Σw² for each batch, biases left out.
        batch_size: samples a step; "auto": 200, or all if there are fewer.
        learning_rate_init: Adam's rate.
        max_iter: how many epochs at most.
        shuffle: whether batches are drawn anew for each epoch.
        random_state: an int for the same result each time, and scikit-learn's initial weights.
        tol: how much better the loss (or the validation score) must become...
        verbose: whether to show loss, rate and time left on a terminal.
        early_stopping: whether rows are held out and their score decides when to stop.
        validation_fraction: how many of the rows are held out then.
        n_iter_no_change: ...within so many epochs, or training ends.

    Attributes:
        classes_: the classes, sorted, (k,).
        n_features_in_, n_outputs_, n_layers_: how many there are.
        parameters_: all weights and biases, neuron by neuron, (count,).
        loss_curve_: the mean loss of each epoch; `loss_` is the last.
        n_iter_: how many epochs there were.
        interrupted_: whether Ctrl-C ended the training early, after a whole step.
        validation_scores_: the held-out rows' accuracy after each epoch, with `early_stopping`.

    """

    def fit(self, X: Any, y: Any) -> Self:
        """Train from scratch on rows X (n, d) with classes y (n,), and return self.

        >>> X, y = [[0.0], [1.0], [4.0], [5.0]], ["low", "low", "high", "high"]
        >>> classifier = LiftClassifier((8,), learning_rate_init=0.1, tol=1e-2, random_state=0)
        >>> classifier.fit(X, y).classes_.tolist()
        ['high', 'low']

        Raises:
            ValueError: if X or y are not such, or a setting makes no sense.
            NonFiniteLossError: if the loss becomes nan or infinite.
            KeyboardInterrupt: if Ctrl-C is pressed before the first step is done.

        """
        self._check_settings()
        X, y = validate_data(self, X, y, dtype=FLOATS, order="C")
        check_classification_targets(y)
        classes, labels = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise ValueError("LiftClassifier needs samples of 2 classes or more; y has 1 class.")
        self.classes_ = classes
        if len(classes) == 2:  # one output: the logarithm of the odds for the second class
            return self._fit(X, labels.astype(X.dtype), 1, one_dimensional=True)
        return self._fit(X, labels.astype(np.int64), len(classes), one_dimensional=True)

    def predict(self, X: Any) -> Array:
        """Return the most probable class of each row, (n,).

        >>> X, y = [[0.0], [1.0], [4.0], [5.0]], ["low", "low", "high", "high"]
        >>> classifier = LiftClassifier((8,), learning_rate_init=0.1, tol=1e-2, random_state=0)
        >>> classifier.fit(X, y).predict([[0.5], [4.5]]).tolist()
        ['low', 'high']
        """
        X = self._seen(X)
        chosen: Array = self.classes_[self._scores(X).argmax(axis=1)]
        return chosen

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of each class for each row, (n, k).

        >>> X, y = [[0.0], [1.0], [4.0], [5.0]], ["low", "low", "high", "high"]
        >>> classifier = LiftClassifier((8,), learning_rate_init=0.1, tol=1e-2, random_state=0)
        >>> (classifier.fit(X, y).predict_proba([[0.5]]) > 0.5).tolist()
        [[False, True]]
        """
        scores = self._scores(self._seen(X))
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)  # type: ignore[no-any-return]

    def predict_log_proba(self, X: Any) -> Array:
        """Return the logarithm of `predict_proba`, (n, k), exact for small ones too.

        >>> X, y = [[0.0], [1.0], [4.0], [5.0]], ["low", "low", "high", "high"]
        >>> classifier = LiftClassifier((8,), learning_rate_init=0.1, tol=1e-2, random_state=0)
        >>> classifier.fit(X, y).predict_log_proba([[0.5]]).shape
        (1, 2)
        """
        scores = self._scores(self._seen(X))
        scores = scores - scores.max(axis=1, keepdims=True)
        return scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))  # type: ignore[no-any-return]

    def _scores(self, X: Array) -> Array:
        """Return a score of each class for each row, (n, k)."""
        outputs = self._outputs(X)
        return outputs if self.n_outputs_ > 1 else np.hstack([np.zeros_like(outputs), outputs])

    @staticmethod
    def _cost(outputs: Any, label: Any) -> Any:
        # A network with one output returns it without a list around it.
        if isinstance(outputs, list):
            return losses.cross_entropy(outputs, label)
        return losses.binary_cross_entropy_with_logits(outputs, label)

    @staticmethod
    def _stratification(y: Array) -> Array:
        return y

    def _score(self, X: Array, y: Array) -> float:
        return float(np.mean(self._scores(X).argmax(axis=1) == y))
