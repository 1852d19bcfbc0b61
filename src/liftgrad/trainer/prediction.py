"""Prediction: a model's outputs for many rows."""

from collections.abc import Hashable
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from liftgrad.lift.function import LiftedFunction, lift
from liftgrad.lift.stand_ins.vmap import vmap
from liftgrad.mapped import is_mapped, rows_at_once, take_rows
from liftgrad.nn import Module
from liftgrad.trainer.evaluation import evaluating

_LIFTED: WeakKeyDictionary[Module, LiftedFunction] = WeakKeyDictionary()
"""Models that may be used again: tracing one takes longer than most predictions."""


def predict(model: Module, X: Any) -> NDArray[np.float64]:
    """Return a model's outputs for many rows, computed natively, in evaluation mode.

    >>> from liftgrad import nn
    >>> model = nn.Linear(3, 2)
    >>> predict(model, [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]).shape
    (2, 2)

    Args:
        model: takes one row and returns a number, or nested lists of numbers.
        X: rows of numbers or of indices, (n, ...); those of a memory-mapped file are read a
            portion at a time.

    Returns:
        An array of shape (n,) if the model returns a number, (n, k) if it returns k of them, and
        so on.

    Raises:
        LiftError: if the model cannot be lifted.
        TypeError: if it is not a Module or returns something else.

    """
    if not isinstance(model, Module):
        raise TypeError(
            f"predict() takes a Module, and this is a {type(model).__name__}; of a function, call "
            "lift(lambda X: vmap(function)(X))."
        )
    rows = X if isinstance(X, np.ndarray) else np.asarray(X)
    hashable = isinstance(model, Hashable)
    known = _LIFTED.pop(model, None) if hashable else None
    lifted = known or lift(outputs)
    with evaluating(model):
        if is_mapped(rows):
            some = rows_at_once(rows)
            numbers = [np.arange(i, min(i + some, len(rows))) for i in range(0, len(rows), some)]
            answers = [_answers(lifted(model, take_rows(rows, part))) for part in numbers]
            answer = np.concatenate(answers)
        else:
            answer = _answers(lifted(model, rows))
    # The programs of a model whose structure changes with each call would only pile up.
    if hashable and lifted.stats.traces == 1:
        _LIFTED[model] = lifted
    return answer


def outputs(model: Any, X: Any) -> Any:
    """Return a model's outputs for each row."""
    return vmap(model)(X)


def _answers(mapped: Any) -> NDArray[np.float64]:
    """Return the results of vmap as one array, whose first axis are the rows."""
    try:
        together = np.array(mapped)
    except ValueError:  # lists of different lengths
        together = np.array(None)
    if together.dtype.kind not in "fiub":
        raise TypeError(
            f"the model returns a {type(mapped).__name__}, and not a number or lists of one "
            "length of them; let it return such."
        )
    return np.moveaxis(together.astype(np.float64, copy=False), -1, 0)
