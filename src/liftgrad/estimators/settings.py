"""Settings of an estimator, checked when it is fitted."""

import math
from typing import Any

import numpy as np

from liftgrad.numbers import is_number, is_whole

ACTIVATIONS = {"identity": "relu", "logistic": "sigmoid", "tanh": "tanh", "relu": "relu"}
"""The network's name for each; a network without activations never uses it."""


def check_settings(estimator: Any, *, incremental: bool) -> None:
    """Refuse invalid settings.

    Args:
        estimator: has the settings.
        incremental: whether they are for `partial_fit`.

    Raises:
        ValueError: naming the first of them.

    """
    if incremental and estimator.early_stopping:
        raise ValueError("partial_fit does not support early_stopping=True")
    activation = estimator.activation
    if not isinstance(activation, str) or activation not in ACTIVATIONS:
        raise ValueError(f"activation={activation!r}; choose one of {', '.join(ACTIVATIONS)}.")
    for name, number in _counts(estimator).items():
        if _is_switch(number) or not is_whole(number) or number < 1:
            raise ValueError(f"{name}={number!r}; pass a whole number, 1 or more.")
    for name in ("alpha", "tol", "learning_rate_init"):
        number = getattr(estimator, name)
        if _is_switch(number) or not is_number(number) or not 0.0 <= number < math.inf:
            raise ValueError(f"{name}={number!r}; pass a finite number, 0 or more.")
    for name in ("shuffle", "early_stopping", "warm_start"):
        switch = getattr(estimator, name)
        if not (_is_switch(switch) or (is_whole(switch) and switch in (0, 1))):
            raise ValueError(f"{name}={switch!r}; pass True or False.")
    fraction = estimator.validation_fraction
    if (
        not is_number(fraction)
        or not 0.0 <= fraction < 1.0
        or (estimator.early_stopping and not fraction)
    ):
        raise ValueError(f"validation_fraction={fraction!r}; pass a number above 0 and below 1.")


def _is_switch(x: Any) -> bool:
    """Return whether it is True or False, which Python and NumPy accept as a number."""
    return isinstance(x, bool | np.bool_)


def _counts(estimator: Any) -> dict[str, Any]:
    """Return the settings that are counts."""
    counts = {name: getattr(estimator, name) for name in ("max_iter", "n_iter_no_change")}
    if not isinstance(estimator.batch_size, str) or estimator.batch_size != "auto":
        counts["batch_size"] = estimator.batch_size
    for i, size in enumerate(hidden_sizes(estimator.hidden_layer_sizes)):
        counts[f"hidden_layer_sizes[{i}]"] = size
    return counts


def hidden_sizes(sizes: Any) -> tuple[Any, ...]:
    """Return the sizes of the hidden layers; a single number is one layer."""
    return tuple(sizes) if isinstance(sizes, list | tuple | np.ndarray) else (sizes,)
