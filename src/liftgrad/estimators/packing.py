"""Packing: a fitted estimator as a sealed file.

The array holds the parameters; the entry is JSON with the rest.
"""

import numbers
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad.sealed import Kind, seal

KIND = Kind("liftgrad.estimator", "model", "estimator", 1)
LEARNT = (
    *("n_features_in_", "n_outputs_", "n_layers_", "n_iter_", "interrupted_"),
    *("loss_", "loss_curve_", "validation_scores_"),
)
"""The attributes that a fit sets, apart from arrays."""
ARRAYS = re.compile(r"O|[<>|](b1|[iu][1248]|f[248]|U\d{1,6}|M8\[\d*\w+\])")
"""The types of arrays of classes and names that a file can hold."""
_DEPTH = 100
"""How deeply metadata may be nested; Python can read some hundreds of levels more."""


def packed(estimator: Any, metadata: Mapping[str, Any]) -> bytes:
    """Return a fitted estimator as a file.

    Raises:
        TypeError: if JSON cannot hold the metadata, a file cannot hold the type of the classes, or
            `load` does not know the class of the estimator.
        ValueError: if the metadata is nested too deeply.

    """
    kind = type(estimator)
    if kind.__module__.partition(".")[0] != __name__.partition(".")[0]:
        raise TypeError(
            "a file holds a LiftClassifier or a LiftRegressor, and an object of the class "
            f"{kind.__name__} would not be one again; pickle it."
        )
    _check_metadata(metadata)
    settings = estimator.get_params()
    if not isinstance(settings["random_state"], numbers.Integral):
        settings["random_state"] = None  # a generator does not belong to the result
    settings["hidden_layer_sizes"] = np.atleast_1d(estimator.hidden_layer_sizes).tolist()
    if isinstance(settings.get("class_weight"), dict):  # its keys need not be strings
        settings["class_weight"] = list(settings["class_weight"].items())
    learned = {name: x for name, x in vars(estimator).items() if name in LEARNT}
    named = {
        name: _array(name, x)
        for name, x in vars(estimator).items()
        if name in ("classes_", "feature_names_in_")
    }
    entry = {
        "version": KIND.version,
        "estimator": kind.__name__,
        "settings": settings,
        "learnt": {**learned, "metadata_": dict(metadata)},
        "named": named,
        "trained": estimator._trained,
        "dtype": estimator._dtype,
        "one_dimensional": estimator._one_dimensional,
    }
    return seal(KIND, {"parameters_": estimator.parameters_}, entry)


def _array(name: str, x: NDArray[Any]) -> dict[str, Any]:
    """Return an array in JSON's types; dates and times as integers."""
    dtype = "O" if x.dtype == object else x.dtype.str
    values = [_python(v) for v in (x.astype(np.int64) if x.dtype.kind == "M" else x).tolist()]
    if not ARRAYS.fullmatch(dtype) or {type(v) for v in values} - {str, int, float, bool}:
        raise TypeError(
            f"{name} are of a type, {x.dtype}, that a file cannot hold; pass classes that are "
            "text, numbers or days."
        )
    return {"dtype": dtype, "values": values}


def _check_metadata(metadata: Mapping[str, Any]) -> None:
    """Refuse metadata that would change on its way through a file."""
    rest: list[tuple[Any, int]] = [(dict(metadata), 0)]
    while rest:
        x, depth = rest.pop()
        if depth > _DEPTH:
            raise ValueError(f"metadata is nested more than {_DEPTH} deep; pass it flatter.")
        if isinstance(x, dict):
            for key in x:
                if not isinstance(key, str):
                    raise TypeError(f"metadata has the name {key!r}; pass names that are text.")
            rest += [(inner, depth + 1) for inner in x.values()]
        elif isinstance(x, list | tuple):
            rest += [(inner, depth + 1) for inner in x]
        elif not isinstance(_python(x), str | int | float | None):
            raise TypeError(f"metadata holds a {type(x).__name__}; pass what JSON knows.")


def _python(x: Any) -> Any:
    """Return a NumPy number as a Python number."""
    return x.item() if isinstance(x, np.generic) else x
