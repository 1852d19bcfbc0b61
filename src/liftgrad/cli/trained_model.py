"""The model that `liftgrad train` saves, read and checked for `liftgrad predict`."""

import math
from pathlib import Path
from typing import Any

import click

from liftgrad import data
from liftgrad.cli.libraries import estimators
from liftgrad.fields import listed, real


def read_model(model: Path) -> tuple[Any, data.TableEncoder, tuple[float, float]]:
    """Return the estimator, the encoder of its tables, and its target's mean and deviation.

    Raises:
        click.ClickException: if something else wrote the file, or it is inconsistent.
        ValueError: if it is not an estimator's file.
        ImportError: if scikit-learn is missing.

    """
    estimator = estimators().load(model)
    metadata = estimator.metadata_
    if "table" not in metadata:
        raise click.ClickException(
            f"'{model}' was not made by `liftgrad train`; pass a model that was."
        )
    try:
        encoder = data.TableEncoder.from_dict(metadata["table"])
        mean, std = 0.0, 1.0
        if isinstance(estimator, estimators().LiftClassifier):
            labels = list(range(len(encoder.classes)))
            fits = encoder.task == "classification" and estimator.classes_.tolist() == labels
        else:
            mean, std = listed("scale", metadata.get("scale"), real)
            fits = encoder.task == "regression" and estimator.n_outputs_ == 1
            fits = fits and math.isfinite(mean) and 0.0 < std < math.inf
        if not fits or len(encoder.feature_names) != estimator.n_features_in_:
            raise ValueError  # noqa: TRY301, one sentence for all of it
    except (data.TableError, ValueError):
        raise click.ClickException(
            f"in '{model}', table and network do not fit together; choose another model."
        ) from None
    return estimator, encoder, (mean, std)
