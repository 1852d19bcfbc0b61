"""`liftgrad train`: a network for a table, from a file to a file."""

import json
import math
import time
from pathlib import Path
from typing import Any

import click
import numpy as np

from liftgrad import data
from liftgrad.cli.display import duration, say
from liftgrad.cli.fitting import Fitting
from liftgrad.cli.judgement import judged_classes, lines_of_classes, never_better
from liftgrad.cli.options import (
    Finite,
    check_outputs,
    check_parameters,
    file_path,
    layer_sizes,
    picture_path,
    writes,
)
from liftgrad.cli.table_picture import picture_of, picture_of_numbers, save_picture
from liftgrad.cli.table_reading import identifiers, read_and_fit, words_for_missing
from liftgrad.cli.tables import (
    TABLE,
    delimiter_option,
    refusals,
    skip_option,
    some,
    table_file,
)
from liftgrad.data.table import Kind

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
    "--categorical",
    multiple=True,
    metavar="COLUMN",
    help="A column of categories, though it looks like numbers; repeatable.",
)
@click.option(
    "--numeric",
    multiple=True,
    metavar="COLUMN",
    help="A column of numbers, though it looks like codes; repeatable.",
)
@click.option(
    "--text",
    multiple=True,
    metavar="COLUMN",
    help="A column of categories of which None or NA is one; repeatable.",
)
@delimiter_option
@click.option(
    "--missing",
    type=click.Choice(["refuse", "mean"]),
    default="refuse",
    help="Refuse missing values, or put the column's mean there and note where.",
)
@skip_option
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
    metavar="X",
    help="Factor of the L2 penalty, against learning the rows by heart.  [default: the best of "
    "0.3, 1, 3 and 10 for rows that a network has not seen]",
)
@click.option(
    "--class-weight",
    type=click.Choice(["none", "balanced"]),
    default="none",
    help="Whether rare classes count as much as frequent ones, so that they are found.",
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
    categorical: tuple[str, ...],
    numeric: tuple[str, ...],
    text: tuple[str, ...],
    delimiter: str | None,
    missing: Any,
    skip_bad_rows: bool,
    hidden: list[int],
    epochs: int,
    rate: float,
    l2: float | None,
    class_weight: str,
    validation: float,
    seed: int,
    output: Path,
    picture: Path,
    as_json: bool,
) -> None:
    """Train a network to predict one column of a TABLE from the others, and save it.

    TABLE is a CSV or Parquet file whose columns have names, or - for standard input. Numbers are
    standardised, text becomes a column of zeros and ones for each category. Text, true/false and
    few whole numbers are classes to tell apart, other numbers quantities to come close to.

    Example: liftgrad train flowers.csv --target species
    """
    check_outputs({"TABLE": table}, {"--output": output, "--picture": picture})
    kinds = _kinds({"category": categorical, "number": numeric, "text": text})
    with table_file(table) as path, refusals(training=True):
        stream = data.TableStream(
            path,
            target,
            drop=drop,
            kinds=kinds,
            delimiter=delimiter,
            on_bad_rows="skip" if skip_bad_rows else "error",
        )
        encoder = data.TableEncoder(missing=missing, task=task)
        rows = read_and_fit(stream, encoder)
        X, y = encoder.transform(rows), encoder.transform_target(rows)
        check_parameters(X.shape[1], hidden, max(len(encoder.classes), 1))
        training, held = _split(y, validation, seed, classes=encoder.task == "classification")
        weight = None if class_weight == "none" else class_weight
        fitting = Fitting(encoder.task, tuple(hidden), epochs, rate, seed, weight)
        classes = encoder.task == "classification"
        start = time.perf_counter()
        scaling = (0.0, 1.0) if classes else _scaling(y[training])
        scaled = y if classes else (y - scaling[0]) / scaling[1]
        if l2 is None:
            l2 = fitting.chosen_penalty(X[training], scaled[training])
        estimator = fitting.fit(X[training], scaled[training], l2, verbose=not as_json)
        seconds = time.perf_counter() - start
        judge = _judged_classes if classes else _judged_numbers
        result, drawn = judge(estimator, encoder, X, y, training, held, scaling)
        learnt = {"table": encoder.to_dict(), "scale": None if classes else scaling}
        with writes(output):
            estimator.save(output, learnt)
        save_picture(drawn, picture)
    said = {
        "task": encoder.task,
        "target": target,
        "rows": len(rows),
        "skipped_rows": rows.skipped,
        "features": list(encoder.feature_names),
        "left_out": list(encoder.left_out),
        "classes": list(encoder.classes),
        "parameters": len(estimator.parameters_),
        "epochs": estimator.n_iter_,
        "l2": l2,
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
    warning = said.get("warning")
    for sentence in [*identifiers(rows), *words_for_missing(rows), *([warning] if warning else [])]:
        say(sentence, err=True)
    if estimator.interrupted_:
        raise click.exceptions.Exit(130)


def _kinds(said: dict[Kind, tuple[str, ...]]) -> dict[str, Kind]:
    """Return the kinds of columns that the options name.

    Raises:
        click.UsageError: if one has two.

    """
    kinds: dict[str, Kind] = {}
    for kind, columns in said.items():
        for column in columns:
            if kinds.setdefault(column, kind) != kind:
                raise click.UsageError(
                    f"Column '{column}' is said to be of two kinds; choose one of --categorical, "
                    "--numeric and --text."
                )
    return kinds


def _scaling(y: Any) -> tuple[float, float]:
    """Return the mean and the deviation that numbers are learnt with.

    A network starts near 0 and learns in steps of some size: targets are standardised, too.
    """
    with np.errstate(over="ignore"):
        mean, std = float(y.mean()), float(y.std())
    if not math.isfinite(std):
        raise click.ClickException("The target's numbers are too large; scale them down.")
    if not std > 0.0:
        raise click.ClickException("The target has one value only; add rows of others.")
    return mean, std


def _judged_classes(
    estimator: Any, encoder: Any, X: Any, y: Any, training: Any, held: Any, _unscaled: Any
) -> tuple[dict[str, Any], Any]:
    """Return what the rows kept apart say of a classifier, and a picture."""
    judged = judged_classes(y[held], estimator.predict_proba(X[held]))
    usual = int(np.bincount(y[training]).argmax())
    judged["training_accuracy"] = float(estimator.score(X[training], y[training]))
    judged["most_frequent_class_accuracy"] = float(np.mean(y[held] == usual))
    unjudged = [c for i, c in enumerate(encoder.classes) if i not in y[held]]
    judged["unjudged_classes"] = unjudged
    balanced = estimator.class_weight == "balanced"
    judged["warning"] = never_better(judged, str(encoder.classes[usual]), balanced=balanced)
    score = f"accuracy {judged['validation_accuracy']:.1%} on {len(held):,} rows kept apart"
    # All rows where one of the classes is too rare to be kept apart.
    shown = slice(None) if unjudged else held
    return judged, picture_of(estimator, encoder, X[shown], y[shown], score)


def _judged_numbers(
    estimator: Any, encoder: Any, X: Any, y: Any, training: Any, held: Any, scaling: Any
) -> tuple[dict[str, Any], Any]:
    """Return what the rows kept apart say of a regression, and a picture."""
    mean, std = scaling
    predicted = estimator.predict(X[held]) * std + mean
    rmse = float(np.sqrt(np.mean(((predicted - y[held]) / std) ** 2)) * std)
    mean_rmse = float(np.sqrt(np.mean(((y[held] - mean) / std) ** 2)) * std)
    r2 = float(estimator.score(X[held], (y[held] - mean) / std))
    judged = {
        "training_r2": float(estimator.score(X[training], (y[training] - mean) / std)),
        "validation_r2": r2,
        "validation_rmse": rmse,
        "mean_rmse": mean_rmse,
        "warning": None
        if rmse < mean_rmse
        else "On the rows kept apart the network is no better than always saying the mean; give "
        "it columns that tell more, or more rows.",
    }
    score = f"R² {r2:.3f} on {len(held):,} rows kept apart"
    return judged, picture_of_numbers(encoder, y[held], predicted, score)


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


def _say(said: dict[str, Any]) -> None:
    """Print what was done."""
    broken = said["skipped_rows"]
    skipped = f", {broken:,} broken {'one' if broken == 1 else 'ones'} left out" if broken else ""
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
        f"{duration(said['seconds'])}, with --l2 {said['l2']:g}"
    )
    if said["task"] == "classification":
        say(
            f"Accuracy on {said['validation_rows']:,} rows kept apart: "
            f"{said['validation_accuracy']:.1%} (always the most frequent class: "
            f"{said['most_frequent_class_accuracy']:.1%}; on the training rows: "
            f"{said['training_accuracy']:.1%})"
        )
        for line in lines_of_classes(said, [str(label) for label in said["classes"]]):
            say(line)
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
