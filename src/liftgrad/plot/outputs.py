"""What a model says at many points: one number or label each, or a row of scores."""

from collections.abc import Hashable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from liftgrad.errors import LiftError
from liftgrad.lift.api import LiftedFunction, lift
from liftgrad.lift.vmap import vmap
from liftgrad.nn import Module

Array = NDArray[np.float64]
_LIFTED: WeakKeyDictionary[Module, LiftedFunction] = WeakKeyDictionary()
"""Models that were drawn, and may be again: tracing one takes longer than a picture's points."""


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
        try:
            mapped = _of_all(predictor, points)
        except LiftError:  # a model that cannot be lifted is asked point by point
            pass
        else:
            return np.column_stack(mapped) if isinstance(mapped, list) else mapped
    rows = [_plain(predictor(point)) for point in points.tolist()]
    lengths = {len(row) if isinstance(row, list) else 0 for row in rows}
    if len(lengths) > 1:
        raise ValueError(
            "the function returns more scores for some points than for others; "
            "let it return one for each class."
        )
    return np.array(rows)


def _of_all(model: Module, points: Array) -> Any:
    """Return a model's outputs at all points; its program is kept while it stays as it is."""
    hashable = isinstance(model, Hashable)
    lifted = _LIFTED.pop(model, None) if hashable else None
    lifted = lifted or lift(lambda model, points: vmap(model)(points))
    mapped = lifted(model, points)
    # Of a model that is another one at each frame, old programs would only pile up.
    if hashable and lifted.stats.traces == 1:
        _LIFTED[model] = lifted
    return mapped


def _plain(output: Any) -> Any:
    """Return Values as floats, also within lists; labels as they are."""
    if isinstance(output, Sequence | np.ndarray) and not isinstance(output, str):
        return [float(score) for score in output]
    return float(output) if hasattr(output, "__float__") else output
