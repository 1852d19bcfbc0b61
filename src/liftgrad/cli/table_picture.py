"""The picture that `liftgrad train` draws of its result."""

import contextlib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from liftgrad import data, plot
from liftgrad.cli.display import say
from liftgrad.cli.options import writes
from liftgrad.legible import visible
from liftgrad.plot.classes import plain_text

_LONG_NAME, _LONG_TITLE = 28, 48
"""How many letters there is room for."""


def picture_of(estimator: Any, encoder: data.TableEncoder, X: Any, y: Any, score: str) -> Any:
    """Return the figure: regions of the classes, or the loss where these cannot be drawn."""
    title = _title(encoder, score)
    if len(encoder.feature_names) > 1:
        predictor, points = estimator, X
        if len(encoder.feature_names) == 2:
            # Two features are the axes, in their own units; a plane of more has none.
            mean, std = encoder.scaling
            predictor, points = _InUnits(estimator, mean, std), X * std + mean
        with contextlib.suppress(ValueError):  # too many classes for a picture
            return plot.decision_regions(
                *(predictor, points, y),
                class_names=[_shown(str(label)) for label in encoder.classes],
                feature_names=[_shown(name) for name in encoder.feature_names],
                title=title,
            ).figure_
    table = {"epoch": np.arange(1, estimator.n_iter_ + 1), "loss": np.array(estimator.loss_curve_)}
    return plot.training_curves(table, title=title).figure_


def picture_of_numbers(encoder: data.TableEncoder, true: Any, predicted: Any, score: str) -> Any:
    """Return the figure: predicted against true numbers."""
    return plot.predicted_against_true(
        true, predicted, name=_shown(str(encoder.target)), title=_title(encoder, score)
    ).figure_


def save_picture(drawn: Callable[[], Any], picture: Path) -> None:
    """Draw and write a figure, and report in one sentence all letters that its font lacks."""
    with writes(picture), warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("always")
        plot.save(drawn(), picture)
    if any("missing from font" in str(warning.message) for warning in noted):
        say(
            "The picture's font lacks letters of the names and shows boxes instead; the model is "
            "not affected.",
            err=True,
        )


class _InUnits:
    """A classifier of rows in the table's units."""

    def __init__(self, estimator: Any, mean: Any, std: Any) -> None:
        self.estimator, self.mean, self.std = estimator, mean, std
        self.classes_ = estimator.classes_

    def predict_proba(self, rows: Any) -> Any:
        """Return the probability of each class for each row, (n, k)."""
        return self.estimator.predict_proba((rows - self.mean) / self.std)


def _title(encoder: data.TableEncoder, score: str) -> str:
    target = _shown(str(encoder.target))
    title = f"{target}: {score}"
    return title if len(title) <= _LONG_TITLE else f"{target}\n{score}"


def _shown(name: str) -> str:
    """Return a name as short as a picture needs it."""
    name = visible(" ".join(name.split()))
    if len(name) > _LONG_NAME:
        # Long names of classes are often alike in the beginning.
        name = f"{name[: _LONG_NAME // 2]}…{name[-_LONG_NAME // 2 + 1 :]}"
    return plain_text(name)
