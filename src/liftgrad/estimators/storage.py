"""Storage: estimators read from their files."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from liftgrad.estimators.classifier import LiftClassifier
from liftgrad.estimators.packing import ENTRY, VERSION
from liftgrad.estimators.regressor import LiftRegressor


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
            text = (file.metadata() or {}).get(ENTRY)
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
        if isinstance(settings.get("class_weight"), list):
            settings["class_weight"] = dict(settings["class_weight"])
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
