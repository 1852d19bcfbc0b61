"""Perceptron: the base of the estimators, with settings, training by Adam and the network."""

import functools
import itertools
import math
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, ParamSpec, Self, TypeVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from liftgrad import files, nn, optim
from liftgrad.errors import NonFiniteLossError
from liftgrad.estimators.packing import packed
from liftgrad.estimators.programs import programs
from liftgrad.estimators.rows import Array, Rows, split
from liftgrad.estimators.settings import ACTIVATIONS, check_settings, hidden_sizes
from liftgrad.lift.function import LiftedFunction
from liftgrad.trainer import EarlyStopping, History, Trainer

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
FLOATS = [np.float64, np.float32]


def unchanged_if_refused(method: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Decorate an estimator's method to leave the estimator unchanged if it refuses arguments."""

    @functools.wraps(method)
    def wrapped(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        attributes: dict[str, Any] = vars(args[0])
        before = attributes.copy()
        try:
            return method(*args, **kwargs)
        except (TypeError, ValueError):
            attributes.clear()
            attributes.update(before)
            raise

    return wrapped


class Perceptron(BaseEstimator):
    """A multi-layer perceptron, trained by Adam; see `LiftClassifier`."""

    _dtype = "float64"
    """The type that the network computes in."""
    _optimizer: optim.Optimizer | None = None
    """The optimiser that `partial_fit` continues with; None, as in a copy: made from..."""
    _moments: Mapping[str, Any] | None = None
    """...this state, if it is known."""

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
        self.warm_start = warm_start

    def save(self, path: str | os.PathLike[str], metadata: Mapping[str, Any] | None = None) -> None:
        """Write the fitted estimator to a safetensors file, which `load` reads.

        It holds what predictions need. After loading, `partial_fit` starts with new means of Adam;
        a pickle holds these, too.

        >>> from liftgrad.estimators import LiftRegressor, load
        >>> X, y = [[0.0], [1.0], [2.0], [3.0]], [0.0, 2.0, 4.0, 6.0]
        >>> regressor = LiftRegressor((8,), learning_rate_init=0.1, tol=1e-2, random_state=0)
        >>> regressor.fit(X, y).save("model.safetensors")
        >>> bool((load("model.safetensors").predict(X) == regressor.predict(X)).all())
        True

        Args:
            path: of the file, which is written completely or not at all.
            metadata: more contents, in JSON's types.

        Raises:
            NotFittedError: before `fit`.
            OSError: if the file cannot be written.

        """
        check_is_fitted(self)
        files.write(path, packed(self, metadata or {}))

    @property
    def coefs_(self) -> list[Array]:
        """The weights of each layer, (inputs, outputs), as in scikit-learn; read-only.

        >>> from liftgrad.estimators import LiftRegressor
        >>> regressor = LiftRegressor((8,), learning_rate_init=0.1, tol=1e-2, random_state=0)
        >>> [w.shape for w in regressor.fit([[0.0], [1.0], [2.0]], [0.0, 2.0, 4.0]).coefs_]
        [(1, 8), (8, 1)]
        """
        return [block[:, :-1].T for block in self._layers("coefs_")]

    @property
    def intercepts_(self) -> list[Array]:
        """The biases of each layer, (outputs,), as in scikit-learn; read-only.

        >>> from liftgrad.estimators import LiftRegressor
        >>> regressor = LiftRegressor((8,), learning_rate_init=0.1, tol=1e-2, random_state=0)
        >>> [b.shape for b in regressor.fit([[0.0], [1.0], [2.0]], [0.0, 2.0, 4.0]).intercepts_]
        [(8,), (1,)]
        """
        return [block[:, -1] for block in self._layers("intercepts_")]

    def _layers(self, name: str) -> list[Array]:
        """Return the parameters of each layer, (outputs, inputs + 1), with biases last."""
        if not self.__sklearn_is_fitted__():
            raise AttributeError(
                f"{type(self).__name__} has no {name} before fit(); call it first."
            )
        numbers = self.parameters_.astype(self._dtype)
        numbers.flags.writeable = False  # a copy, where assignments would have no effect
        blocks = []
        for fan_in, fan_out in self._fans():
            count = fan_out * (fan_in + 1)
            blocks.append(numbers[:count].reshape(fan_out, fan_in + 1))
            numbers = numbers[count:]
        return blocks

    def _continues(self, *, incremental: bool = False) -> bool:
        """Return whether a fit continues from the fitted network.

        Raises:
            ValueError: if that has other settings.

        """
        if not self.__sklearn_is_fitted__() or not (incremental or self.warm_start):
            return False
        now = hidden_sizes(self.hidden_layer_sizes), self.activation
        if now != self._trained:
            hidden, activation = self._trained
            raise ValueError(
                f"the network was fitted with hidden_layer_sizes={hidden} and "
                f"activation={activation!r}, and cannot continue with hidden_layer_sizes={now[0]} "
                f"and activation={now[1]!r}; set the same, or fit anew with warm_start=False."
            )
        return True

    def _fit(
        self,
        X: Array,
        y: Array,
        weights: Array | None,
        outputs: int,
        *,
        one_dimensional: bool,
        continues: bool,
    ) -> Self:
        """Train on rows X (n, d) with targets y (n, ...) and weights (n,)."""
        seeds = check_random_state(self.random_state)
        if not continues:
            self._begin(outputs, seeds, one_dimensional=one_dimensional)
        held: Rows | None = None
        if self.early_stopping:
            (X, y, weights), held = split(
                *(X, y, weights), self.validation_fraction, self._stratification(y), seeds
            )
            self._check_held(*held[1:])
        optimizer = optim.Adam(self._model.parameters(), lr=self.learning_rate_init)
        patience, data = self.n_iter_no_change, (optimizer, X, y, weights)
        if held is None:
            rule = EarlyStopping(patience, self.tol, "loss", restore_best=False)
            history = self._train(*data, self.max_iter, seeds, early_stopping=rule)
        else:
            rule = EarlyStopping(patience, self.tol, "score", mode="max")
            score = {"score": lambda *_: self._score(*held)}
            history = self._train(
                *(*data, self.max_iter, seeds), metrics=score, early_stopping=rule
            )
            self.validation_scores_ += history.epochs["score"].tolist() if history.epochs else []
        if self.n_iter_ == self.max_iter and not (history.stopped or history.interrupted):
            warnings.warn(
                f"{type(self).__name__} has not converged within max_iter={self.max_iter} epochs; "
                "raise it, or the learning rate.",
                ConvergenceWarning,
                stacklevel=3,
            )
        return self

    def _partial_fit(
        self,
        X: Array,
        y: Array,
        weights: Array | None,
        outputs: int,
        *,
        one_dimensional: bool,
        continues: bool,
    ) -> Self:
        """Train for one more epoch."""
        seeds = check_random_state(self.random_state)
        if not continues:
            self._begin(outputs, seeds, one_dimensional=one_dimensional)
        optimizer = self._optimizer
        if optimizer is None:
            optimizer = optim.Adam(self._model.parameters())
            if self._moments is not None:
                optimizer.load_state_dict(self._moments)
        optimizer.lr = self.learning_rate_init
        self._train(optimizer, X, y, weights, 1, seeds)
        return self

    def _begin(self, outputs: int, seeds: np.random.RandomState, *, one_dimensional: bool) -> None:
        """Make a new network from the settings."""
        self.__dict__.pop("parameters_", None)  # if this fails, there is no fitted network
        self._optimizer = self._moments = None
        # The settings may change before the next fit; these are the network's.
        self._trained = hidden_sizes(self.hidden_layer_sizes), self.activation
        self.n_outputs_, self._one_dimensional = outputs, one_dimensional
        self.n_layers_ = len(self._trained[0]) + 2
        self._model = self._network(self._first_parameters(seeds))
        self.loss_curve_: list[float] = []
        self.validation_scores_: list[float] = []

    def _train(
        self,
        optimizer: optim.Optimizer,
        X: Array,
        y: Array,
        weights: Array | None,
        epochs: int,
        seeds: np.random.RandomState,
        **rules: Any,
    ) -> History:
        """Train the network for epochs, and set the fitted attributes."""
        dtype, moments = self._dtype, self._moments_now()
        self._dtype = X.dtype.name
        trainer = Trainer(
            self._programs()[0],
            optimizer,
            batch_size=200 if self.batch_size == "auto" else self.batch_size,
            shuffle=self.shuffle,
            seed=int(seeds.randint(2**31 - 1)),
        )
        data = (self._model, X, y, weights, self._penalty())
        try:
            history = trainer.fit(epochs, *data, progress=self.verbose, **rules)
            if history.interrupted and len(history.loss) and "metrics" in rules:
                # This fit will not be continued: restore the best epoch.
                trainer.fit(0, *data, **rules)
        except NonFiniteLossError:
            if self.__sklearn_is_fitted__():
                self._dtype, self._moments, self._optimizer = dtype, moments, None
                self._restore()
            raise
        if not len(history.loss):
            raise KeyboardInterrupt  # nothing has been learned
        self._optimizer = optimizer
        self.parameters_ = np.array([p.data for p in optimizer.params])
        self.interrupted_ = history.interrupted
        # Interrupted in its first epoch, a fit has losses of steps only.
        curve = history.epochs.get("loss", history.loss.mean(keepdims=True)).tolist()
        self.loss_curve_ += curve
        self.loss_, self.n_iter_ = curve[-1], len(curve)
        return history

    def _penalty(self) -> float:
        """Return the factor of the sum of squared weights."""
        return 0.5 * float(self.alpha)

    def _moments_now(self) -> Mapping[str, Any] | None:
        """Return the state of the optimiser, if there is one to continue with."""
        if self._optimizer is None:
            return self._moments
        state = {name: np.array(column) for name, column in self._optimizer.state.items()}
        return {"steps": self._optimizer.steps, **state}

    def _first_parameters(self, seeds: np.random.RandomState) -> Array:
        """Draw the initial parameters, those of scikit-learn's network with this `random_state`.

        Weights and biases are uniform (Glorot & Bengio, 2010).
        """
        _, activation = self._trained
        factor = 2.0 if activation == "logistic" else 6.0
        drawn = []
        for fan_in, fan_out in self._fans():
            bound = math.sqrt(factor / (fan_in + fan_out))
            weights = seeds.uniform(-bound, bound, (fan_in, fan_out))
            biases = seeds.uniform(-bound, bound, fan_out)
            drawn.append(np.vstack([weights, biases]).T.reshape(-1))  # neuron by neuron
        return np.concatenate(drawn)

    def _fans(self) -> Iterable[tuple[int, int]]:
        """Return the numbers of inputs and outputs of each layer."""
        return itertools.pairwise([self.n_features_in_, *self._trained[0], self.n_outputs_])

    def _network(self, parameters: Array) -> nn.MLP:
        """Return a network with these parameters."""
        hidden, activation = self._trained
        sizes = [*hidden, self.n_outputs_]
        name = ACTIVATIONS[activation]
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
        return programs(self._cost, sizes, activation, self._dtype)

    def _outputs(self, X: Array) -> Array:
        """Return the network's outputs, (n, outputs)."""
        _, outputs = self._programs()
        return np.atleast_2d(outputs(self._model, X)).T

    def _outputs_for(self, X: Any) -> Array:
        """Return the network's outputs for unchecked rows, (n, outputs).

        Raises:
            NotFittedError: before `fit`.
            ValueError: if X is not an array of such rows, or outputs are nan or infinite.

        """
        check_is_fitted(self)
        with np.errstate(over="ignore", invalid="ignore"):  # infinite numbers are refused
            rows = validate_data(self, X, reset=False, dtype=self._dtype)
        outputs = self._outputs(rows)
        finite = np.isfinite(outputs).all(axis=1)
        if not finite.all():
            raise ValueError(
                f"the outputs for row {int(np.argmin(finite))} of X are beyond the range of "
                f"{self._dtype}; scale X like the rows that the network was fitted to."
            )
        return outputs

    def _check_settings(self, *, incremental: bool = False) -> None:
        """Refuse invalid settings.

        Raises:
            ValueError: naming the first of them.

        """
        check_settings(self, incremental=incremental)

    def __sklearn_is_fitted__(self) -> bool:
        return "parameters_" in vars(self)

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        # The network and its optimiser are made again from their numbers.
        if state.pop("_model", None) is not None:
            state.update(_optimizer=None, _moments=self._moments_now())
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "parameters_" in state:
            self._restore()

    def _restore(self) -> None:
        self._model = self._network(self.parameters_)
