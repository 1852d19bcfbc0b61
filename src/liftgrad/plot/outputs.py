"""What a model says at many points: one number or label each, or a row of scores."""

import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad.errors import LiftError
from liftgrad.nn import Module
from liftgrad.numbers import plain
from liftgrad.trainer import predict

Array = NDArray[np.float64]


def outputs(predictor: Any, points: Array) -> NDArray[Any]:
    """Return what a predictor says at points (n, d): an array (n,) or (n, c).

    Args:
        predictor: a function of one point that returns a number, a label or a list of scores, such
            as a model; or an object with scikit-learn's `predict_proba` or `predict`, which take
            all points at once.
        points: (n, d).

    Raises:
        TypeError: if `predictor` is neither.
        ValueError: if it does not return as many numbers for each point.

    """
    for method in ("predict_proba", "predict"):
        if hasattr(predictor, method):
            return np.asarray(getattr(predictor, method)(points))
    if not callable(predictor):
        raise TypeError(
            f"a {type(predictor).__name__} does not classify points; pass a function of one point, "
            "or an object with predict or predict_proba."
        )
    if isinstance(predictor, Module):
        with contextlib.suppress(LiftError):  # else it is asked point by point
            return predict(predictor, points)
    rows = [_plain(predictor(point)) for point in points.tolist()]
    lengths = {len(row) if isinstance(row, list) else 0 for row in rows}
    if len(lengths) > 1:
        raise ValueError(
            "the function returns more scores for some points than for others; "
            "let it return one for each class."
        )
    return np.array(rows)


def _plain(output: Any) -> Any:
    """Return Values as floats, also within lists; labels as they are."""
    if isinstance(output, Sequence | np.ndarray) and not isinstance(output, str):
        return [plain(score) for score in output]
    return plain(output) if hasattr(output, "__float__") else output
