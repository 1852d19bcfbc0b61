"""Perceptron: what the estimators share: settings, training by Adam, the network."""

import functools
import itertools
import math
import numbers
import os
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import (
    _check_sample_weight,
    check_is_fitted,
    check_non_negative,
    validate_data,
)

from liftgrad import files, functional, nn, optim
from liftgrad.estimators.packing import packed
from liftgrad.lift.api import LiftedFunction, lift
from liftgrad.lift.vmap import vmap
from liftgrad.trainer import EarlyStopping, Trainer

Array = NDArray[Any]
Rows = tuple[Array, Array, Array | None]
"""X, what the loss compares it with, and weights."""
FLOATS = [np.float64, np.float32]
_ACTIVATIONS = {"identity": "relu", "logistic": "sigmoid", "tanh": "tanh", "relu": "relu"}
"""The network's name of each; a network without activations asks for none."""


class Perceptron(BaseEstimator):
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
        check_is_fitted(self)
        files.write(path, packed(self, metadata or {}))

    def _fit(
        self, X: Array, y: Array, weights: Array | None, outputs: int, *, one_dimensional: bool
    ) -> Self:
        """Train on rows X (n, d) of these weights, and what they are compared with, y (n, ...)."""
        self.__dict__.pop("parameters_", None)  # If this fails, there is no fitted network.
        seeds = check_random_state(self.random_state)
        # Settings may be set for the next fit; these are the fitted network's.
        self._trained = hidden_sizes(self.hidden_layer_sizes), self.activation
        self.n_outputs_, self._dtype, self._one_dimensional = outputs, X.dtype.name, one_dimensional
        self.n_layers_ = len(self._trained[0]) + 2
        self._model = self._network(self._first_parameters(seeds))
        held: Rows | None = None
        if self.early_stopping:
            (X, y, weights), held = self._split(X, y, weights, seeds)
        model = self._model
        parameters = model.parameters()
        trainer = Trainer(
            self._programs()[0],
            optim.Adam(parameters, lr=self.learning_rate_init),
            batch_size=200 if self.batch_size == "auto" else self.batch_size,
            shuffle=self.shuffle,
            seed=int(seeds.randint(2**31 - 1)),
        )
        patience, data = self.n_iter_no_change, (model, X, y, weights, 0.5 * self.alpha)
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

    def _split(
        self, X: Array, y: Array, weights: Array | None, seeds: np.random.RandomState
    ) -> tuple[Rows, Rows]:
        """Return rows to train on and rows to hold out, each with targets and weights."""
        arrays = [X, y] if weights is None else [X, y, weights]
        parts = train_test_split(
            *arrays,
            test_size=self.validation_fraction,
            stratify=self._stratification(y),
            random_state=seeds,
        )
        trained, held = parts[::2], parts[1::2]
        if weights is None:
            return (*trained, None), (*held, None)
        return tuple(trained), tuple(held)

    def _weights(self, sample_weight: Any, X: Array) -> Array | None:
        """Return how much each row counts, (n,), or None if all count alike.

        Raises:
            ValueError: if they are not such, negative, or all 0.

        """
        if sample_weight is None:
            return None
        weights: Array = _check_sample_weight(sample_weight, X, dtype=X.dtype)
        check_non_negative(weights, "`sample_weight`")
        if not weights.any():
            raise ValueError("Sample weights must contain at least one non-zero number.")
        return weights

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
        rows: Array = validate_data(self, X, reset=False, dtype=FLOATS)
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
        for i, size in enumerate(hidden_sizes(self.hidden_layer_sizes)):
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


@functools.lru_cache(maxsize=64)
def _programs(
    cost: Callable[[Any, Any], Any], _sizes: tuple[int, ...], _activation: str, dtype: Any
) -> tuple[LiftedFunction, LiftedFunction]:
    """Return the lifted loss and outputs; each structure has its own, and old ones are let go."""

    @lift(dtype=dtype)
    def loss(model: nn.MLP, X: Any, y: Any, weights: Any, decay: Any) -> Any:
        if weights is None:
            costs = vmap(lambda x, target: cost(model(x), target))(X, y)
            share = 1.0 / functional.total(vmap(lambda _: 1.0)(X))
        else:
            costs = vmap(lambda x, target, weight: weight * cost(model(x), target))(X, y, weights)
            weight = functional.total(vmap(lambda weight: weight)(weights))
            # A batch may have rows of weight 0 only, which teach nothing.
            share = functional.where(weight > 0.0, 1.0 / weight, 0.0)
        slopes = [w for layer in model.layers for neuron in layer.neurons for w in neuron.w]
        return share * (functional.total(costs) + decay * functional.dot(slopes, slopes))

    @lift(dtype=dtype)
    def outputs(model: nn.MLP, X: Any) -> Any:
        return vmap(model)(X)

    return loss, outputs


def hidden_sizes(sizes: Any) -> tuple[Any, ...]:
    """Return the hidden layers' sizes; one number is one layer."""
    return tuple(sizes) if isinstance(sizes, list | tuple | np.ndarray) else (sizes,)
