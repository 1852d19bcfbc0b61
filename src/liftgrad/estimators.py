"""Estimators with scikit-learn's conventions; underneath are networks of Values, lifted.

>>> from liftgrad.estimators import LiftClassifier
>>> X, y = [[0.0], [1.0], [4.0], [5.0]], ["low", "low", "high", "high"]
>>> classifier = LiftClassifier((8,), learning_rate_init=0.1, tol=1e-2, random_state=0)
>>> classifier.fit(X, y).predict([[0.5], [4.5]]).tolist()
['low', 'high']
"""

import functools
import itertools
import json
import math
import numbers
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from liftgrad import files, functional, losses, nn, optim
from liftgrad.lift.api import LiftedFunction, lift
from liftgrad.lift.vmap import vmap
from liftgrad.trainer import EarlyStopping, Trainer

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.metrics import r2_score
    from sklearn.model_selection import train_test_split
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError:
    raise ImportError(
        "liftgrad.estimators needs scikit-learn 1.6 or later: pip install 'liftgrad[sklearn]'"
    ) from None

Array = NDArray[Any]
VERSION = 1
_ENTRY = "liftgrad.estimator"
_FLOATS = [np.float64, np.float32]
_ACTIVATIONS = {"identity": "relu", "logistic": "sigmoid", "tanh": "tanh", "relu": "relu"}
"""The network's name of each; a network without activations asks for none."""


class _Perceptron(BaseEstimator):
    """A multi-layer perceptron, trained by Adam; see `LiftClassifier`."""

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
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change

    def save(self, path: str | os.PathLike[str], metadata: Mapping[str, Any] | None = None) -> None:
        """Write the fitted estimator to a safetensors file, which `load` reads.

        Args:
            path: of the file, which is written whole or not at all.
            metadata: whatever else shall be in it, made of what JSON knows.

        Raises:
            NotFittedError: before `fit`.
            OSError: if the file cannot be written.

        """
        from safetensors.numpy import save  # noqa: PLC0415, imported at use

        check_is_fitted(self)
        settings = self.get_params()
        if not isinstance(settings["random_state"], int):
            settings["random_state"] = None  # a generator is no part of the result
        settings["hidden_layer_sizes"] = _hidden(self.hidden_layer_sizes)
        learnt = {
            name: x
            for name, x in vars(self).items()
            if name.endswith("_") and not name.startswith("_") and not isinstance(x, np.ndarray)
        }
        named = {
            name: {"dtype": x.dtype.str if x.dtype != object else "O", "values": x.tolist()}
            for name, x in vars(self).items()
            if name in ("classes_", "feature_names_in_")
        }
        entry = {
            "version": VERSION,
            "estimator": type(self).__name__,
            "settings": settings,
            "learnt": {**learnt, "metadata_": dict(metadata or {})},
            "named": named,
            "trained": self._trained,
            "dtype": self._dtype,
            "one_dimensional": self._one_dimensional,
        }
        text = json.dumps(entry, default=_plain)
        files.write(path, save({"parameters_": self.parameters_}, {_ENTRY: text}))

    def _fit(self, X: Array, y: Array, outputs: int, *, one_dimensional: bool) -> Self:
        """Train on rows X (n, d) and what the loss compares them with, y (n, ...)."""
        self.__dict__.pop("parameters_", None)  # If this fails, there is no fitted network.
        seeds = check_random_state(self.random_state)
        # Settings may be set for the next fit; these are the fitted network's.
        self._trained = _hidden(self.hidden_layer_sizes), self.activation
        self.n_outputs_, self._dtype, self._one_dimensional = outputs, X.dtype.name, one_dimensional
        self.n_layers_ = len(self._trained[0]) + 2
        self._model = self._network(self._first_parameters(seeds))
        held: tuple[Array, Array] | None = None
        if self.early_stopping:
            X, held_X, y, held_y = train_test_split(
                *(X, y),
                test_size=self.validation_fraction,
                stratify=self._stratification(y),
                random_state=seeds,
            )
            held = held_X, held_y
        size = min(200 if self.batch_size == "auto" else self.batch_size, len(X))
        model = self._model
        parameters = model.parameters()
        trainer = Trainer(
            self._programs()[0],
            optim.Adam(parameters, lr=self.learning_rate_init),
            batch_size=size,
            shuffle=self.shuffle,
            seed=int(seeds.randint(2**31 - 1)),
        )
        patience, data = self.n_iter_no_change, (model, X, y, 0.5 * self.alpha / size)
        if held is None:
            rule = EarlyStopping(patience, self.tol, "loss", restore_best=False)
            history = trainer.fit(self.max_iter, *data, early_stopping=rule, progress=self.verbose)
        else:
            rule = EarlyStopping(patience, self.tol, "score", mode="max")
            score = {"score": lambda *_: self._score(*held)}
            history = trainer.fit(
                self.max_iter,
                *data,
                metrics=score,
                early_stopping=rule,
                progress=self.verbose,
            )
            if history.interrupted and len(history.loss):
                # There is no going on from here, so that the best epoch is what is wanted.
                trainer.fit(0, *data, metrics=score, early_stopping=rule)
            self.validation_scores_ = history.epochs["score"].tolist() if history.epochs else []
        self.interrupted_ = history.interrupted
        if not len(history.loss):
            raise KeyboardInterrupt  # there is nothing to use yet
        self.parameters_ = np.array([p.data for p in parameters])
        # Interrupted in its first epoch, a fit has a loss for each step only.
        self.loss_curve_ = history.epochs.get("loss", history.loss.mean(keepdims=True)).tolist()
        self.loss_, self.n_iter_ = self.loss_curve_[-1], len(self.loss_curve_)
        if self.n_iter_ == self.max_iter and not self.interrupted_:
            warnings.warn(
                f"{type(self).__name__} has not converged within max_iter={self.max_iter} epochs; "
                "raise it, or the learning rate.",
                ConvergenceWarning,
                stacklevel=3,
            )
        return self

    def _first_parameters(self, seeds: np.random.RandomState) -> Array:
        """Draw the numbers that scikit-learn's network of this `random_state` starts from.

        Weights and biases are uniform (Glorot & Bengio, 2010).
        """
        hidden, activation = self._trained
        factor = 2.0 if activation == "logistic" else 6.0
        drawn = []
        for fan_in, fan_out in itertools.pairwise([self.n_features_in_, *hidden, self.n_outputs_]):
            bound = math.sqrt(factor / (fan_in + fan_out))
            weights = seeds.uniform(-bound, bound, (fan_in, fan_out))
            biases = seeds.uniform(-bound, bound, fan_out)
            drawn.append(np.vstack([weights, biases]).T.reshape(-1))  # neuron by neuron
        return np.concatenate(drawn)

    def _network(self, parameters: Array) -> nn.MLP:
        """Return a network with these parameters."""
        hidden, activation = self._trained
        sizes = [*hidden, self.n_outputs_]
        name = _ACTIVATIONS[activation]
        model = nn.MLP(self.n_features_in_, sizes, name, init=lambda _in, _out: 0.0)
        if activation == "identity":
            for layer in model.layers:
                for neuron in layer.neurons:
                    neuron.nonlin = False
        for parameter, number in zip(model.parameters(), parameters.tolist(), strict=True):
            parameter.data = number
        return model

    def _programs(self) -> tuple[LiftedFunction, LiftedFunction]:
        """Return the lifted loss and the lifted outputs for networks of this structure."""
        hidden, activation = self._trained
        sizes = (self.n_features_in_, *hidden, self.n_outputs_)
        return _programs(self._cost, sizes, activation, self._dtype)

    def _outputs(self, X: Array) -> Array:
        """Return the network's outputs, (n, outputs)."""
        _, outputs = self._programs()
        return np.atleast_2d(outputs(self._model, X)).T

    def _seen(self, X: Any) -> Array:
        """Return rows to predict for as an array of the type that was trained with."""
        check_is_fitted(self)
        rows: Array = validate_data(self, X, reset=False, dtype=_FLOATS)
        return rows.astype(self._dtype, copy=False)

    def _check_settings(self) -> None:
        """Refuse settings that make no sense.

        Raises:
            ValueError: for these.

        """
        if self.activation not in _ACTIVATIONS:
            raise ValueError(
                f"activation={self.activation!r}; choose one of {', '.join(_ACTIVATIONS)}."
            )
        whole = {"max_iter": self.max_iter, "n_iter_no_change": self.n_iter_no_change}
        if self.batch_size != "auto":
            whole["batch_size"] = self.batch_size
        for i, size in enumerate(_hidden(self.hidden_layer_sizes)):
            whole[f"hidden_layer_sizes[{i}]"] = size
        for name, number in whole.items():
            if not isinstance(number, numbers.Integral) or number < 1:
                raise ValueError(f"{name}={number!r}; pass a whole number, 1 or more.")
        for name in ("alpha", "tol", "learning_rate_init"):
            number = getattr(self, name)
            if not isinstance(number, numbers.Real) or not 0.0 <= float(number) < math.inf:
                raise ValueError(f"{name}={number!r}; pass a finite number, 0 or more.")

    def __sklearn_is_fitted__(self) -> bool:
        return "parameters_" in vars(self)

    def __getstate__(self) -> dict[str, Any]:
        # The network is made anew of its numbers.
        return {k: x for k, x in super().__getstate__().items() if k != "_model"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "parameters_" in state:
            self._restore()

    def _restore(self) -> None:
        self._model = self._network(self.parameters_)


class LiftClassifier(ClassifierMixin, _Perceptron):
    """A multi-layer perceptron that tells classes apart, with `MLPClassifier`'s arguments.

    It minimises the cross-entropy, with Adam, in batches; it computes in float32 if X is float32,
    else in float64. It starts from the weights that `MLPClassifier` starts from.

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

        Raises:
            ValueError: if X or y are not such, or a setting makes no sense.
            NonFiniteLossError: if the loss becomes nan or infinite.
            KeyboardInterrupt: if Ctrl-C is pressed before the first step is done.

        """
        self._check_settings()
        X, y = validate_data(self, X, y, dtype=_FLOATS, order="C")
        check_classification_targets(y)
        classes, labels = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise ValueError("LiftClassifier needs samples of 2 classes or more; y has 1 class.")
        self.classes_ = classes
        if len(classes) == 2:  # one output: the logarithm of the odds for the second class
            return self._fit(X, labels.astype(X.dtype), 1, one_dimensional=True)
        return self._fit(X, labels.astype(np.int64), len(classes), one_dimensional=True)

    def predict(self, X: Any) -> Array:
        """Return the most probable class of each row, (n,)."""
        X = self._seen(X)
        chosen: Array = self.classes_[self._scores(X).argmax(axis=1)]
        return chosen

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of each class for each row, (n, k)."""
        scores = self._scores(self._seen(X))
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)  # type: ignore[no-any-return]

    def predict_log_proba(self, X: Any) -> Array:
        """Return the logarithm of `predict_proba`, (n, k), exact for small ones too."""
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


class LiftRegressor(RegressorMixin, _Perceptron):
    """A multi-layer perceptron that predicts numbers, with `MLPRegressor`'s arguments.

    It minimises half the mean squared error; arguments and attributes are `LiftClassifier`'s,
    without the classes, and the validation score is R².
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Train from scratch on rows X (n, d) with numbers y (n,) or (n, k), and return self.

        Raises:
            ValueError: if X or y are not such, or a setting makes no sense.
            NonFiniteLossError: if the loss becomes nan or infinite.
            KeyboardInterrupt: if Ctrl-C is pressed before the first step is done.

        """
        self._check_settings()
        X, y = validate_data(
            self, X, y, dtype=_FLOATS, order="C", multi_output=True, y_numeric=True
        )
        targets = y.astype(X.dtype).reshape(len(y), -1)
        return self._fit(X, targets, targets.shape[1], one_dimensional=y.ndim == 1)

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

    def _score(self, X: Array, y: Array) -> float:
        return float(r2_score(y, self._outputs(X)))


def load(path: str | os.PathLike[str]) -> Any:
    """Return an estimator that `save` wrote, its metadata being `metadata_`.

    Raises:
        ValueError: if the file is cut off, damaged, of another kind or of a newer version.
        OSError: if it cannot be read.

    """
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415, imported at use

    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no model '{path}'; check the name.")
    try:
        with safe_open(path, "numpy") as file:
            text = (file.metadata() or {}).get(_ENTRY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError, TypeError, AttributeError):
        raise ValueError(
            f"'{path}' is no safetensors file, or one that was cut off; choose another model."
        ) from None
    if text is None:
        raise ValueError(f"'{path}' holds no liftgrad estimator; choose another model.")
    try:
        entry = json.loads(text)
        if entry["version"] > VERSION:
            raise ValueError(f"version {entry['version']}, update liftgrad")  # noqa: TRY301
        kind = {"LiftClassifier": LiftClassifier, "LiftRegressor": LiftRegressor}[
            entry["estimator"]
        ]
        settings = entry["settings"]
        settings["hidden_layer_sizes"] = tuple(settings["hidden_layer_sizes"])
        estimator = kind(**settings)
        for name, learnt in entry["learnt"].items():
            setattr(estimator, name, learnt)
        for name, array in entry["named"].items():
            setattr(estimator, name, np.array(array["values"], array["dtype"]))
        hidden, activation = entry["trained"]
        estimator._trained = tuple(hidden), activation
        estimator._dtype = np.dtype(entry["dtype"]).name
        estimator._one_dimensional = entry["one_dimensional"]
        estimator.parameters_ = tensors["parameters_"]
        estimator._check_settings()
        estimator._restore()
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"'{path}' is a damaged model, or one of a newer liftgrad ({error}); choose another."
        ) from None
    return estimator


@functools.lru_cache(maxsize=64)
def _programs(
    cost: Callable[[Any, Any], Any], _sizes: tuple[int, ...], _activation: str, dtype: Any
) -> tuple[LiftedFunction, LiftedFunction]:
    """Return the lifted loss and outputs; each structure has its own, and old ones are let go."""

    @lift(dtype=dtype)
    def loss(model: nn.MLP, X: Any, y: Any, decay: Any) -> Any:
        fit = functional.mean(vmap(lambda x, target: cost(model(x), target))(X, y))
        weights = [w for layer in model.layers for neuron in layer.neurons for w in neuron.w]
        return fit + decay * functional.dot(weights, weights)

    @lift(dtype=dtype)
    def outputs(model: nn.MLP, X: Any) -> Any:
        return vmap(model)(X)

    return loss, outputs


def _hidden(sizes: Any) -> tuple[Any, ...]:
    """Return the hidden layers' sizes; one number is one layer."""
    return tuple(sizes) if isinstance(sizes, list | tuple | np.ndarray) else (sizes,)


def _plain(x: Any) -> Any:
    """Return a number of NumPy's as JSON has it."""
    if isinstance(x, np.generic):
        return x.item()
    raise TypeError(f"metadata holds a {type(x).__name__}; pass what JSON knows.")
