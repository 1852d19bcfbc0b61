"""LiftClassifier: a network that predicts classes."""

from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from liftgrad import losses
from liftgrad.estimators.perceptron import FLOATS, Perceptron, unchanged_if_refused
from liftgrad.estimators.rows import Array, checked_weights


class LiftClassifier(ClassifierMixin, Perceptron):
    """A multi-layer perceptron that predicts classes, with `MLPClassifier`'s arguments.

    It minimises the cross-entropy by Adam, in batches, in float32 if X is float32, otherwise in
    float64. Initial weights are those of `MLPClassifier`.

    >>> X, y = [[0.0], [1.0], [4.0], [5.0]], ["low", "low", "high", "high"]
    >>> classifier = LiftClassifier((8,), learning_rate_init=0.1, tol=1e-2, random_state=0)
    >>> classifier.fit(X, y).score(X, y)
    1.0

    Args:
        hidden_layer_sizes: the number of neurons in each hidden layer.
        activation: of the hidden layers.
        alpha: the factor of the L2 penalty on weights without biases, α/2·Σw², divided like a
            batch's loss by its number of rows or the sum of their weights.
        batch_size: samples in a step; "auto": 200, or all if there are fewer.
        learning_rate_init: Adam's learning rate.
        max_iter: the maximum number of epochs.
        shuffle: whether each epoch has new random batches.
        random_state: an int for reproducible results with scikit-learn's initial weights.
        tol: the least improvement of the loss, or of the validation score...
        verbose: whether to show loss, rate and time left on a terminal.
        early_stopping: whether to hold out rows and stop by their score.
        validation_fraction: the fraction of the rows to hold out.
        n_iter_no_change: ...within this many epochs; without it, training ends.
        warm_start: whether `fit` continues from the fitted network.
        class_weight: a dictionary of the classes' weights, by default 1; "balanced": all classes
            have the same total weight; None: all rows have the same weight.

    Attributes:
        classes_: the classes, sorted, (k,).
        n_features_in_, n_outputs_, n_layers_: the numbers of features, outputs and layers.
        parameters_: all weights and biases, neuron by neuron, (count,).
        coefs_, intercepts_: the same by layer, (inputs, outputs) and (outputs,); read-only.
        loss_curve_: the mean loss of each epoch of this network; `loss_` is the last one.
        n_iter_: the number of epochs of the last fit.
        interrupted_: whether Ctrl-C ended the last fit early, after a whole step.
        validation_scores_: the held-out rows' accuracy after each epoch, with `early_stopping`.

    """

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: Literal["identity", "logistic", "tanh", "relu"] = "relu",
        *,
        alpha: float = 0.0001,
        batch_size: int | Literal["auto"] = "auto",
        learning_rate_init: float = 0.001,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool = False,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        warm_start: bool = False,
        class_weight: Mapping[Any, float] | Literal["balanced"] | None = None,
    ) -> None:
        super().__init__(
            hidden_layer_sizes,
            activation,
            alpha=alpha,
            batch_size=batch_size,
            learning_rate_init=learning_rate_init,
            max_iter=max_iter,
            shuffle=shuffle,
            random_state=random_state,
            tol=tol,
            verbose=verbose,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            warm_start=warm_start,
        )
        self.class_weight = class_weight

    @unchanged_if_refused
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train from scratch on rows X (n, d) with classes y (n,), and return self.

        >>> X, y = [[0.0], [1.0], [4.0], [5.0]], ["low", "low", "high", "high"]
        >>> classifier = LiftClassifier((8,), learning_rate_init=0.1, tol=1e-2, random_state=0)
        >>> classifier.fit(X, y).classes_.tolist()
        ['high', 'low']

        Args:
            X, y: the rows and their classes.
            sample_weight: of each row, (n,), in the mean loss and in the validation score; it is
                multiplied by the class's weight.

        Raises:
            ValueError: if X, y, the weights or a setting are invalid.
            NonFiniteLossError: if the loss becomes nan or infinite.
            KeyboardInterrupt: if Ctrl-C is pressed before the first step is done.

        """
        self._check_settings()
        continues = self._continues()
        X, y = self._checked(X, y, reset=not continues)
        classes = np.unique(y)
        if continues and set(classes.tolist()) != set(self.classes_.tolist()):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous "
                f"call to fit. Previously got {self.classes_}, `y` has {classes}"
            )
        data = self._data(X, y, sample_weight, classes)
        return self._fit(*data, one_dimensional=True, continues=continues)

    @unchanged_if_refused
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Self:
        """Train for one more epoch on some rows, and return self.

        >>> X, y = [[0.0], [1.0], [4.0], [5.0]], ["low", "low", "high", "high"]
        >>> classifier = LiftClassifier((8,), learning_rate_init=0.1, random_state=0)
        >>> for _ in range(50):
        ...     _ = classifier.partial_fit(X, y, classes=["high", "low"])
        >>> classifier.predict([[0.5], [4.5]]).tolist()
        ['low', 'high']

        Args:
            X, y: the rows and their classes.
            sample_weight: of each row, (n,); it is multiplied by the class's weight.
            classes: all that will ever occur; required at the first call.

        Raises:
            ValueError: if X, y, the weights or a setting are invalid, or there is an unknown class.
            NonFiniteLossError: if the loss becomes nan or infinite; the network is left as it was
                before that step.
            KeyboardInterrupt: if Ctrl-C is pressed before the first step is done.

        """
        self._check_settings(incremental=True)
        balanced = isinstance(self.class_weight, str)
        if balanced:
            raise ValueError(
                "class_weight 'balanced' is not supported for partial_fit. In order to use "
                "'balanced' weights, use compute_class_weight('balanced', classes=classes, y=y). "
                "Pass the resulting weights as the class_weight parameter, as a dictionary."
            )
        continues = self._continues(incremental=True)
        X, y = self._checked(X, y, reset=not continues)
        if classes is None and not continues:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        known = np.unique(np.asarray(classes)) if classes is not None else self.classes_
        if continues and not np.array_equal(known, self.classes_):
            raise ValueError(
                f"`classes={classes!r}` is not the same as on last call to partial_fit, was: "
                f"{self.classes_!r}"
            )
        if len(np.setdiff1d(y, known)):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {known}. 'y' has "
                f"{np.unique(y)}."
            )
        data = self._data(X, y, sample_weight, known)
        return self._partial_fit(*data, one_dimensional=True, continues=continues)

    def _checked(self, X: Any, y: Any, *, reset: bool) -> tuple[Array, Array]:
        """Return X and y as arrays."""
        X, y = validate_data(self, X, y, dtype=FLOATS, order="C", reset=reset)
        check_classification_targets(y)
        return X, y

    def _data(
        self, X: Array, y: Array, sample_weight: Any, classes: Array
    ) -> tuple[Array, Array, Array | None, int]:
        """Return rows, targets of the loss, weights and the number of outputs."""
        if len(classes) < 2:
            raise ValueError("LiftClassifier needs samples of 2 classes or more; y has 1 class.")
        labels = np.searchsorted(classes, y)
        weights = self._class_weighted(checked_weights(sample_weight, X), classes, labels, X.dtype)
        self.classes_ = classes
        if len(classes) == 2:  # one output: the log-odds of the second class
            return X, labels.astype(X.dtype), weights, 1
        return X, labels.astype(np.int64), weights, len(classes)

    def predict(self, X: Any) -> Array:
        """Return the most probable class of each row, (n,).

        >>> X, y = [[0.0], [1.0], [4.0], [5.0]], ["low", "low", "high", "high"]
        >>> classifier = LiftClassifier((8,), learning_rate_init=0.1, tol=1e-2, random_state=0)
        >>> classifier.fit(X, y).predict([[0.5], [4.5]]).tolist()
        ['low', 'high']
        """
        scores = self._scores(self._outputs_for(X))
        return self.classes_[scores.argmax(axis=1)]  # type: ignore[no-any-return]

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of each class for each row, (n, k).

        >>> X, y = [[0.0], [1.0], [4.0], [5.0]], ["low", "low", "high", "high"]
        >>> classifier = LiftClassifier((8,), learning_rate_init=0.1, tol=1e-2, random_state=0)
        >>> (classifier.fit(X, y).predict_proba([[0.5]]) > 0.5).tolist()
        [[False, True]]
        """
        scores = self._scores(self._outputs_for(X))
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)  # type: ignore[no-any-return]

    def predict_log_proba(self, X: Any) -> Array:
        """Return the logarithm of `predict_proba`, (n, k), exact for small probabilities, too.

        >>> X, y = [[0.0], [1.0], [4.0], [5.0]], ["low", "low", "high", "high"]
        >>> classifier = LiftClassifier((8,), learning_rate_init=0.1, tol=1e-2, random_state=0)
        >>> classifier.fit(X, y).predict_log_proba([[0.5]]).shape
        (1, 2)
        """
        scores = self._scores(self._outputs_for(X))
        scores = scores - scores.max(axis=1, keepdims=True)
        return scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))  # type: ignore[no-any-return]

    def _scores(self, outputs: Array) -> Array:
        """Return a score of each class for each row's outputs, (n, k)."""
        return outputs if self.n_outputs_ > 1 else np.hstack([np.zeros_like(outputs), outputs])

    def _class_weighted(
        self, weights: Array | None, classes: Array, labels: Array, dtype: Any
    ) -> Array | None:
        """Return the rows' weights, multiplied by those of their classes."""
        chosen = self.class_weight
        if chosen is None:
            return weights
        if isinstance(chosen, str) and chosen == "balanced":
            # Not scikit-learn's function, which knows the rows' own weights only in later versions.
            counts = np.bincount(labels, weights, len(classes))
            of_classes = counts.sum() / (len(classes) * np.where(counts > 0.0, counts, np.inf))
        else:
            of_classes = compute_class_weight(chosen, classes=classes, y=classes)
        of_rows = of_classes[labels] if weights is None else weights * of_classes[labels]
        if not (np.isfinite(of_rows).all() and of_rows.min() >= 0.0 and of_rows.max() > 0.0):
            raise ValueError(
                f"class_weight={chosen!r} gives rows weights that are negative or infinite, or all "
                "of them 0; pass numbers, 0 or more, and not 0 for all classes."
            )
        return of_rows.astype(dtype)  # type: ignore[no-any-return]

    @staticmethod
    def _cost(outputs: Any, label: Any) -> Any:
        # A network with one output returns it without a list around it.
        if isinstance(outputs, list):
            return losses.cross_entropy(outputs, label)
        return losses.binary_cross_entropy_with_logits(outputs, label)

    @staticmethod
    def _stratification(y: Array) -> Array:
        return y

    def _check_held(self, y: Array, weights: Array | None) -> None:
        """Accept any rows: they all have an accuracy."""

    def _score(self, X: Array, y: Array, weights: Array | None) -> float:
        return float(
            accuracy_score(y, self._scores(self._outputs(X)).argmax(axis=1), sample_weight=weights)
        )
