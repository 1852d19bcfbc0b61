"""`liftgrad train`: a network for a table, from a file to a file."""

import json
import math
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from liftgrad import data
from liftgrad.cli.display import duration
from liftgrad.cli.options import (
    Finite,
    check_outputs,
    check_parameters,
    file_path,
    layer_sizes,
    picture_path,
    writes,
)
from liftgrad.cli.table_picture import picture_of, save_picture
from liftgrad.cli.tables import TABLE, refusals, some

if TYPE_CHECKING:
    from liftgrad.estimators import LiftClassifier, LiftRegressor

_MOST_APART = 0.9


@click.command(short_help="Train a network on a table and save it.")
@click.argument("table", type=TABLE)
@click.option("--target", required=True, metavar="COLUMN", help="The column to predict.")
@click.option(
    "--task",
    type=click.Choice(["classification", "regression"]),
    help="What kind of column it is.  [default: found from its values]",
)
@click.option("--drop", multiple=True, metavar="COLUMN", help="A column to leave out; repeatable.")
@click.option(
    "--missing",
    type=click.Choice(["refuse", "mean"]),
    default="refuse",
    help="Refuse missing values, or put the column's mean there and note where.",
)
@click.option("--skip-bad-rows", is_flag=True, help="Leave out rows with too many or few fields.")
@click.option(
    "--hidden",
    callback=layer_sizes,
    default="64",
    metavar="N,N,...",
    help="Number of neurons in each hidden layer.",
)
@click.option(
    "--epochs",
    type=click.IntRange(1),
    default=300,
    metavar="N",
    help="Passes over the rows, at most.",
)
@click.option("--rate", type=Finite(0), default=0.005, metavar="X", help="Learning rate of Adam.")
@click.option(
    "--l2",
    type=Finite(0),
    default=0.3,
    metavar="X",
    help="Factor of the L2 penalty, against learning the rows by heart.",
)
@click.option(
    "--validation",
    type=Finite(0.01, _MOST_APART),
    default=0.2,
    metavar="X",
    help="Part of the rows kept apart, to judge the network by.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    metavar="N",
    help="Of the rows kept apart, the initial weights and the batches.",
)
@click.option(
    "-o",
    "--output",
    callback=file_path,
    default="model.safetensors",
    metavar="FILE",
    help="The trained model, for `liftgrad predict`.",
)
@click.option(
    "--picture",
    callback=picture_path,
    default="model.png",
    metavar="FILE",
    help="A picture of the result; the ending says its format.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON instead of text.")
def train(
    table: Path,
    target: str,
    task: Any,
    drop: tuple[str, ...],
    missing: Any,
    skip_bad_rows: bool,
    hidden: list[int],
    epochs: int,
    rate: float,
    l2: float,
    validation: float,
    seed: int,
    output: Path,
    picture: Path,
    as_json: bool,
) -> None:
    """Train a network to predict one column of a TABLE from the others, and save it.

    TABLE is a CSV or Parquet file whose columns have names. Numbers are standardised, text
    becomes a column of zeros and ones for each category. Text, true/false and few whole numbers
    are classes to tell apart, other numbers quantities to come close to.

    Example: liftgrad train flowers.csv --target species
    """
    check_outputs({"TABLE": table}, {"--output": output, "--picture": picture})
    with refusals('pass missing="mean"', "pass --missing mean"):
        rows = data.read_table(
            table, target, drop=drop, on_bad_rows="skip" if skip_bad_rows else "error"
        )
        encoder = data.TableEncoder(missing=missing, task=task).fit(rows)
        X, y = encoder.transform(rows), encoder.transform_target(rows)
        check_parameters(X.shape[1], hidden, max(len(encoder.classes), 1))
        training, held = _split(y, validation, seed, classes=encoder.task == "classification")
        fitting = {
            "alpha": l2,
            "learning_rate_init": rate,
            "max_iter": epochs,
            "n_iter_no_change": 20,
            # Small tables need the many steps of small batches.
            "batch_size": 32 if len(training) < 10_000 else 256,
            "verbose": not as_json,
        }
        start = time.perf_counter()
        if encoder.task == "classification":
            estimator, result = _classifier(
                X, y, training, held, tuple(hidden), random_state=seed, **fitting
            )
        else:
            estimator, result = _regressor(
                X, y, training, held, tuple(hidden), random_state=seed, **fitting
            )
        seconds = time.perf_counter() - start
        # All rows where one of the classes is too rare to be kept apart.
        unjudged = [c for i, c in enumerate(encoder.classes) if i not in y[held]]
        shown = slice(None) if unjudged else held
        drawn = picture_of(estimator, encoder, X[shown], y[shown], result.pop("score_text"))
        scale = result.pop("scale", None)
        with writes(output):
            estimator.save(output, {"table": encoder.to_dict(), "scale": scale})
        save_picture(drawn, picture)
    said = {
        "task": encoder.task,
        "target": target,
        "rows": len(rows),
        "skipped_rows": rows.skipped,
        "features": list(encoder.feature_names),
        "left_out": list(encoder.left_out),
        "classes": list(encoder.classes),
        "unjudged_classes": unjudged,
        "parameters": len(estimator.parameters_),
        "epochs": estimator.n_iter_,
        "seconds": seconds,
        "training_rows": len(training),
        "validation_rows": len(held),
        **result,
        "model": str(output),
        "picture": str(picture),
    }
    if as_json:
        click.echo(json.dumps(said))
    else:
        _say(said)
    for name in _counting(rows):
        click.echo(
            f"Column '{name}' counts the rows; if it says no more, leave it out with --drop "
            f"{shlex.quote(name)}.",
            err=True,
        )
    if estimator.interrupted_:
        raise click.exceptions.Exit(130)


def _classifier(
    X: Any, y: Any, training: Any, held: Any, hidden: tuple[int, ...], **settings: Any
) -> "tuple[LiftClassifier, dict[str, Any]]":
    from liftgrad.estimators import LiftClassifier  # noqa: PLC0415, scikit-learn may be missing

    estimator = LiftClassifier(hidden, **settings).fit(X[training], y[training])
    accuracy = float(estimator.score(X[held], y[held]))
    usual = np.bincount(y[training]).argmax()
    return estimator, {
        "training_accuracy": float(estimator.score(X[training], y[training])),
        "validation_accuracy": accuracy,
        "most_frequent_class_accuracy": float(np.mean(y[held] == usual)),
        "score_text": f"accuracy {accuracy:.1%} on {len(held):,} rows kept apart",
    }


def _regressor(
    X: Any, y: Any, training: Any, held: Any, hidden: tuple[int, ...], **settings: Any
) -> "tuple[LiftRegressor, dict[str, Any]]":
    from liftgrad.estimators import LiftRegressor  # noqa: PLC0415, scikit-learn may be missing

    # A network starts near 0 and learns in steps of some size: targets are standardised, too.
    with np.errstate(over="ignore"):
        mean, std = float(y[training].mean()), float(y[training].std())
    if not math.isfinite(std):
        raise click.ClickException("The target's numbers are too large; scale them down.")
    if not std > 0.0:
        raise click.ClickException("The target has one value only; add rows of others.")
    scaled = (y - mean) / std
    estimator = LiftRegressor(hidden, **settings).fit(X[training], scaled[training])
    error = (estimator.predict(X[held]) - scaled[held]) * std
    r2 = float(estimator.score(X[held], scaled[held]))
    return estimator, {
        "training_r2": float(estimator.score(X[training], scaled[training])),
        "validation_r2": r2,
        "validation_rmse": float(np.sqrt(np.mean(error**2))),
        "mean_rmse": float(np.sqrt(np.mean((y[held] - mean) ** 2))),
        "score_text": f"R² {r2:.3f} on {len(held):,} rows kept apart",
        "scale": (mean, std),
    }


def _split(y: Any, part: float, seed: int, *, classes: bool) -> tuple[Any, Any]:
    """Return the rows to train with and those kept apart, of each class its part."""
    random = np.random.default_rng(seed)
    kinds = (
        [np.flatnonzero(y == label) for label in np.unique(y)] if classes else [np.arange(len(y))]
    )
    # Of each class one row at least is there to train with, and there are two quantities.
    least = 1 if classes else 2
    held = []
    for rows in kinds:
        order = random.permutation(rows)
        held.append(order[: min(round(part * len(rows)), len(rows) - least)])
    apart = np.sort(np.concatenate(held))
    if len(apart) < 2:
        possible = sum(min(round(_MOST_APART * len(rows)), len(rows) - least) for rows in kinds)
        raise click.ClickException(
            f"{len(y)} rows{f' of {len(kinds)} classes' if classes else ''} are too few to keep "
            f"{part:.0%} of them apart; add rows"
            f"{', or pass a larger --validation' if possible > 1 else ''}."
        )
    return np.setdiff1d(np.arange(len(y)), apart), apart


def _counting(rows: data.Table) -> list[str]:
    """Return the columns that number the rows: in a table sorted by class, they tell the class."""
    return [
        column.name
        for column in rows.columns
        if column.kind == "number" and len(rows) > 2 and (np.diff(column.values) == 1.0).all()
    ]


def _say(said: dict[str, Any]) -> None:
    """Print what was done."""
    broken = said["skipped_rows"]
    skipped = f", {broken:,} broken {'one' if broken == 1 else 'ones'} left out" if broken else ""
    say = click.echo
    count = len(said["features"])
    inputs = f"{count} input{'' if count == 1 else 's'}: {some(said['features'])}"
    say(f"Rows: {said['rows']:,}{skipped}; {inputs}")
    if said["left_out"]:
        say(f"Left out, having one value only: {some(said['left_out'])}")
    if said["task"] == "classification":
        say(f"Task: tell {len(said['classes'])} classes of {said['target']!r} apart")
    else:
        say(f"Task: predict the number {said['target']!r}")
    say(
        f"Trained {said['parameters']:,} parameters on {said['training_rows']:,} rows for "
        f"{said['epochs']:,} epoch{'' if said['epochs'] == 1 else 's'} in "
        f"{duration(said['seconds'])}"
    )
    if said["task"] == "classification":
        say(
            f"Accuracy on {said['validation_rows']:,} rows kept apart: "
            f"{said['validation_accuracy']:.1%} (always the most frequent class: "
            f"{said['most_frequent_class_accuracy']:.1%}; on the training rows: "
            f"{said['training_accuracy']:.1%})"
        )
        if said["unjudged_classes"]:
            named = some([str(label) for label in said["unjudged_classes"]])
            say(f"Not judged, having too few rows to keep one apart: {named}")
    else:
        say(
            f"On {said['validation_rows']:,} rows kept apart: typical error "
            f"{said['validation_rmse']:.4g} (always the mean: {said['mean_rmse']:.4g}), "
            f"R² {said['validation_r2']:.3f} (on the training rows: {said['training_r2']:.3f})"
        )
    say(f"Model saved as '{said['model']}', picture as '{said['picture']}'")
