"""Rows that a fit trains on and holds out, and their weights."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split
from sklearn.utils.validation import _check_sample_weight, check_non_negative

Array = NDArray[Any]
Rows = tuple[Array, Array, Array | None]
"""X, targets of the loss, and weights."""


def checked_weights(sample_weight: Any, X: Array) -> Array | None:
    """Return the rows' weights, (n,), or None if they are equal.

    Raises:
        ValueError: if they are not numbers (n,), one is negative, or all are 0.

    """
    if sample_weight is None:
        return None
    weights: Array = _check_sample_weight(sample_weight, X, dtype=X.dtype)
    check_non_negative(weights, "`sample_weight`")
    if not weights.any():
        raise ValueError("Sample weights must contain at least one non-zero number.")
    return weights


def split(
    X: Array,
    y: Array,
    weights: Array | None,
    fraction: float,
    classes: Array | None,
    seeds: np.random.RandomState,
) -> tuple[Rows, Rows]:
    """Return rows to train on and rows to hold out, each with targets and weights.

    Args:
        X, y, weights: of all rows.
        fraction: of the rows to hold out.
        classes: of the rows, (n,), each of which gets rows on both sides; None: there are none.
        seeds: of the choice.

    Raises:
        ValueError: if there are too few rows for both sides.

    """
    arrays = [X, y] if weights is None else [X, y, weights]
    try:
        halves = train_test_split(
            *arrays, test_size=float(fraction), stratify=classes, random_state=seeds
        )
    except ValueError:
        # Its message speaks of arguments that the user does not know.
        kinds = "" if classes is None else f" of {len(np.unique(classes))} classes"
        raise ValueError(
            f"validation_fraction={fraction:g} of {len(X)} rows{kinds} cannot be held out with "
            "rows of each kind on both sides; pass more rows, another validation_fraction, or "
            "early_stopping=False."
        ) from None
    trained, held = halves[::2], halves[1::2]
    if len(held[0]) < 2:
        raise ValueError(
            "The validation set is too small. Increase 'validation_fraction' or the size of "
            "your dataset."
        )
    if weights is None:
        return (*trained, None), (*held, None)
    if not (trained[2].any() and held[2].any()):
        raise ValueError(
            f"validation_fraction={fraction:g} leaves rows of weight 0 only on one side; pass "
            "other weights, another validation_fraction or random_state."
        )
    return tuple(trained), tuple(held)
