"""A model's outputs at many points: one number or label each, or a row of scores."""

import contextlib
import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad.errors import LiftError
from liftgrad.nn import Module
from liftgrad.numbers import plain
from liftgrad.trainer import predict

Array = NDArray[np.float64]


def outputs(predictor: Any, points: Array, columns: Any = None) -> NDArray[Any]:
    """Return a predictor's outputs at points (n, d): an array (n,) or (n, c).

    A list of one score, which a model of layers with one output returns, counts as one score.

    Args:
        predictor: a function of one point that returns a number, a label or a list of scores, such
            as a model; or an object with scikit-learn's `predict_proba` or `predict`, which take
            all points at once.
        points: (n, d).
        columns: the names of the features, for a predictor that was fitted to a data frame; None:
            those that it was fitted with.

    Raises:
        TypeError: if `predictor` is neither.
        ValueError: if it does not return the same number of scores for each point.

    """
    for method in ("predict_proba", "predict"):
        if hasattr(predictor, method):
            rows = _as_fitted(predictor, points, columns)
            found = np.asarray(getattr(predictor, method)(rows))
            return _flat(found) if method == "predict" else found
    if not callable(predictor):
        raise TypeError(
            f"a {type(predictor).__name__} does not classify points; pass a function of one point, "
            "or an object with predict or predict_proba."
        )
    if isinstance(predictor, Module):
        with contextlib.suppress(LiftError):  # otherwise it is called point by point
            return _flat(predict(predictor, points))
    rows = [_plain(predictor(point)) for point in points.tolist()]
    lengths = {len(row) if isinstance(row, list) else 0 for row in rows}
    if len(lengths) > 1:
        raise ValueError(
            "the function returns more scores for some points than for others; "
            "let it return one for each class."
        )
    return _flat(np.array(rows))


def _as_fitted(predictor: Any, points: Array, columns: Any) -> Any:
    """Return points as a data frame, if the predictor was fitted to one."""
    names = getattr(predictor, "feature_names_in_", None)
    columns = names if columns is None else columns
    if names is None or len(columns) != points.shape[1]:
        return points
    with contextlib.suppress(ImportError):  # the data frame may be another library's
        pandas = importlib.import_module("pandas")
        return pandas.DataFrame(points, columns=columns)
    return points


def _flat(found: NDArray[Any]) -> NDArray[Any]:
    return found[:, 0] if found.ndim == 2 and found.shape[1] == 1 else found


def _plain(output: Any) -> Any:
    """Return Values, also within lists, as floats, and labels unchanged."""
    if isinstance(output, np.ndarray) and output.ndim == 0:
        output = output[()]
    if isinstance(output, Sequence | np.ndarray) and not isinstance(output, str | bytes):
        return [_plain(score) for score in output]
    if isinstance(output, np.generic) and not isinstance(output, np.number | np.bool_):
        return output  # a label: NumPy's strings have a __float__, which fails
    if output is None:
        raise ValueError("the function returns None for a point; let it return a label or scores.")
    return plain(output) if hasattr(output, "__float__") else output
