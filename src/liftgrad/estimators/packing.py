"""Packing: a fitted estimator as the bytes of a safetensors file.

The tensor holds the parameters; the metadata's entry is JSON with the rest.
"""

import json
import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np

VERSION = 1
ENTRY = "liftgrad.estimator"


def packed(estimator: Any, metadata: Mapping[str, Any]) -> bytes:
    """Return a fitted estimator as a file.

    Raises:
        TypeError: if the metadata holds what JSON does not know.

    """
    from safetensors.numpy import save  # noqa: PLC0415, imported at use

    settings = estimator.get_params()
    if not isinstance(settings["random_state"], numbers.Integral):
        settings["random_state"] = None  # a generator is no part of the result
    settings["hidden_layer_sizes"] = np.atleast_1d(estimator.hidden_layer_sizes).tolist()
    if isinstance(settings.get("class_weight"), dict):  # its keys need not be texts
        settings["class_weight"] = list(settings["class_weight"].items())
    learnt = {
        name: x
        for name, x in vars(estimator).items()
        if name.endswith("_") and not name.startswith("_") and not isinstance(x, np.ndarray)
    }
    named = {
        name: {"dtype": x.dtype.str if x.dtype != object else "O", "values": x.tolist()}
        for name, x in vars(estimator).items()
        if name in ("classes_", "feature_names_in_")
    }
    entry = {
        "version": VERSION,
        "estimator": type(estimator).__name__,
        "settings": settings,
        "learnt": {**learnt, "metadata_": dict(metadata)},
        "named": named,
        "trained": estimator._trained,
        "dtype": estimator._dtype,
        "one_dimensional": estimator._one_dimensional,
    }
    text = json.dumps(entry, default=_plain)
    return save({"parameters_": estimator.parameters_}, {ENTRY: text})


def _plain(x: Any) -> Any:
    """Return a number of NumPy's as JSON has it."""
    if isinstance(x, np.generic):
        return x.item()
    raise TypeError(f"metadata holds a {type(x).__name__}; pass what JSON knows.")
