"""Storage: reads estimators from their files."""

import itertools
import math
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad.estimators.classifier import LiftClassifier
from liftgrad.estimators.packing import ARRAYS, KIND
from liftgrad.estimators.perceptron import Perceptron
from liftgrad.estimators.regressor import LiftRegressor
from liftgrad.fields import class_label, fields, flag, floats, listed, one_of, real, text, whole
from liftgrad.sealed import damaged, unseal

_KINDS: dict[str, type[Perceptron]] = {
    "LiftClassifier": LiftClassifier,
    "LiftRegressor": LiftRegressor,
}
_ACTIVATIONS = ("identity", "logistic", "tanh", "relu")
_MOST_BYTES = 2**26
"""The largest array of classes or names: a file could declare any width of its texts."""


def load(path: str | os.PathLike[str]) -> Any:
    """Return an estimator that `save` wrote; its metadata is in `metadata_`.

    >>> from liftgrad.estimators import LiftRegressor
    >>> X, y = [[0.0], [1.0], [2.0], [3.0]], [0.0, 2.0, 4.0, 6.0]
    >>> regressor = LiftRegressor((8,), learning_rate_init=0.1, tol=1e-2, random_state=0)
    >>> regressor.fit(X, y).save("model.safetensors")
    >>> load("model.safetensors").predict(X).shape
    (4,)

    Raises:
        ValueError: if the file is truncated, damaged, of another kind or of a newer version.
        OSError: if it cannot be read.

    """
    arrays, entry = unseal(KIND, path)
    try:
        return _estimator(arrays, entry)
    except KeyError as error:
        raise damaged(KIND, path, f"its {error} is not there") from None
    except (ValueError, TypeError) as error:
        raise damaged(KIND, path, error) from None


def _estimator(arrays: dict[str, NDArray[Any]], entry: dict[str, Any]) -> Perceptron:
    """Return the estimator; its network is built only once all sizes are checked."""
    kind = _KINDS[one_of("estimator", entry["estimator"], _KINDS)]
    estimator = kind(**_settings(kind, fields("settings", entry["settings"])))
    hidden, activation = listed("trained", entry["trained"], lambda _, x: x)
    estimator._trained = _sizes("trained[0]", hidden), activation
    estimator._dtype = one_of("dtype", entry["dtype"], ["float32", "float64"])
    estimator._one_dimensional = flag("one_dimensional", entry["one_dimensional"])
    learned = fields("learnt", entry["learnt"])
    for name, check in _LEARNT.items():
        if name != "validation_scores_" or name in learned:
            setattr(estimator, name, check(name, learned[name]))
    named = fields("named", entry["named"])
    for name in named:
        array = _array(name, fields(name, named[name]))
        setattr(estimator, one_of("named", name, ["classes_", "feature_names_in_"]), array)
    _check_shapes(estimator)
    estimator._check_settings()
    sizes = [estimator.n_features_in_, *estimator._trained[0], estimator.n_outputs_]
    count = sum((n + 1) * m for n, m in itertools.pairwise(sizes))
    estimator.parameters_ = floats("parameters_", arrays["parameters_"], count)
    estimator._restore()
    return estimator


def _settings(kind: Any, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the constructor's arguments; a fit checks their values."""
    checked = {}
    for name, x in settings.items():
        one_of("settings", name, kind._get_param_names())
        check = _SETTINGS.get(name)
        checked[name] = real(name, x) if check is None else check(name, x)
    return checked


def _check_shapes(estimator: Any) -> None:
    """Refuse an estimator whose parts do not fit together."""
    _, activation = estimator._trained
    one_of("trained[1]", activation, _ACTIVATIONS)
    classes = getattr(estimator, "classes_", None)
    if isinstance(estimator, LiftClassifier):
        if classes is None:
            raise KeyError("classes_")
        outputs = 1 if len(classes) == 2 else len(classes)
        if len(classes) < 2 or len(set(classes.tolist())) < len(classes):
            raise ValueError("its classes are fewer than two or not different")
    else:
        outputs = 1 if estimator._one_dimensional else estimator.n_outputs_
        if classes is not None:
            raise ValueError("it has classes, and is of a regressor")
    names = getattr(estimator, "feature_names_in_", None)
    if (
        estimator.n_outputs_ != outputs
        or estimator.n_layers_ != len(estimator._trained[0]) + 2
        or (names is not None and len(names) != estimator.n_features_in_)
    ):
        raise ValueError("its numbers of features, layers and outputs do not fit together")


def _array(name: str, array: dict[str, Any]) -> NDArray[Any]:
    """Return classes or names."""
    declared = text(f"{name}.dtype", array["dtype"])
    if not ARRAYS.fullmatch(declared):
        raise ValueError(f"its {name} are of no type that a model has")
    dtype = np.dtype(declared)
    check: Callable[[str, Any], Any]
    match dtype.kind:
        case "b":
            check = flag
        case "f":
            check = real
        case "U":
            check = text
        case "O":
            check = class_label
        case _:
            bounds = np.iinfo(np.int64 if dtype.kind == "M" else dtype)
            check = lambda name, x: whole(name, x, bounds.min, bounds.max)  # noqa: E731
    values = listed(f"{name}.values", array["values"], check)
    if dtype.itemsize * len(values) > _MOST_BYTES:
        raise ValueError(f"its {name} are too long")
    if dtype.kind == "M":
        return np.array(values, np.int64).astype(dtype)
    with np.errstate(over="ignore"):
        return np.array(values, dtype)


def _sizes(name: str, x: Any) -> tuple[int, ...]:
    return tuple(listed(name, x, lambda name, x: whole(name, x, 1)))


def _count(name: str, x: Any) -> int:
    # Some users pass sys.maxsize for no limit.
    return whole(name, x, 1, math.inf)


def _switch(name: str, x: Any) -> Any:
    # scikit-learn's users may pass 0, 1 or a level.
    return x if type(x) is int else flag(name, x)


def _class_weight(name: str, x: Any) -> Any:
    if type(x) is not list:
        return one_of(name, x, [None, "balanced"])
    pairs = [listed(name, pair, class_label) for pair in x]
    return {kind: real(name, weight) for kind, weight in pairs}


_SETTINGS: dict[str, Callable[[str, Any], Any]] = {
    "hidden_layer_sizes": _sizes,
    "activation": lambda name, x: one_of(name, x, _ACTIVATIONS),
    "batch_size": lambda name, x: x if x == "auto" else _count(name, x),
    "max_iter": _count,
    "n_iter_no_change": _count,
    "random_state": lambda name, x: x if x is None else whole(name, x),
    "shuffle": _switch,
    "verbose": _switch,
    "early_stopping": _switch,
    "warm_start": _switch,
    "class_weight": _class_weight,
}
"""The checks of settings other than real numbers."""
_LEARNT: dict[str, Callable[[str, Any], Any]] = {
    "n_features_in_": lambda name, x: whole(name, x, 1),
    "n_outputs_": lambda name, x: whole(name, x, 1),
    "n_layers_": whole,
    "n_iter_": whole,
    "interrupted_": flag,
    "loss_": real,
    "loss_curve_": lambda name, x: listed(name, x, real),
    "validation_scores_": lambda name, x: listed(name, x, real),
    "metadata_": fields,
}
"""The attributes that a fit sets; the scores only with early stopping."""
