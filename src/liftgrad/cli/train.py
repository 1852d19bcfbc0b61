"""`liftgrad train`: a network for a table, from a file to a file."""

import json
import math
import time
from pathlib import Path
from typing import Any

import click
import numpy as np

from liftgrad import data
from liftgrad.cli.display import say
from liftgrad.cli.fitting import MOST_APART, Fitting, kept_apart
from liftgrad.cli.judgement import judged_classes, judged_numbers, warning_of
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
from liftgrad.cli.table_reading import (
    classes_spelt_alike,
    identifiers,
    read_and_fit,
    words_for_missing,
)
from liftgrad.cli.tables import (
    TABLE,
    delimiter_option,
    refusals,
    skip_option,
    table_file,
)
from liftgrad.cli.train_report import tell
from liftgrad.data.table import Kind

Rows = tuple[Any, Any]
"""Those to train with and those kept apart."""
Scaling = tuple[float, float]
"""The mean and the deviation that numbers are learnt with."""


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
    type=Finite(0, 1e12),
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
    type=Finite(0.01, MOST_APART),
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
        if class_weight == "balanced" and encoder.task == "regression":
            raise click.UsageError(
                f"--class-weight is for classes, and '{target}' is a number to come close to; "
                "leave it out, or pass --task classification."
            )
        X, y = encoder.transform(rows), encoder.transform_target(rows)
        check_parameters(X.shape[1], hidden, max(len(encoder.classes), 1))
        classes = encoder.task == "classification"
        training, held = kept_apart(y, validation, seed, classes=classes)
        weight = None if class_weight == "none" else class_weight
        fitting = Fitting(encoder.task, tuple(hidden), epochs, rate, seed, weight)
        start = time.perf_counter()
        scaling = (0.0, 1.0) if classes else _scaling(y[training])
        learnt = y[training] if classes else (y[training] - scaling[0]) / scaling[1]
        if l2 is None:
            l2 = fitting.chosen_penalty(X[training], learnt)
        estimator = fitting.fit(X[training], learnt, l2, verbose=not as_json)
        seconds = time.perf_counter() - start
        judged = _judged(estimator, encoder, X, y, (training, held), scaling)
        with writes(output):
            metadata = {"table": encoder.to_dict(), "scale": None if classes else scaling}
            estimator.save(output, metadata)
        save_picture(lambda: _drawn(estimator, encoder, X, y, held, judged, scaling), picture)
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
        **judged,
        "model": str(output),
        "picture": str(picture),
    }
    if as_json:
        click.echo(json.dumps(said))
    else:
        tell(said)
    notes = [*identifiers(rows), *words_for_missing(rows), *classes_spelt_alike(encoder)]
    for sentence in [*notes, judged["warning"]]:
        if sentence:
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


def _scaling(y: Any) -> Scaling:
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


def _judged(
    estimator: Any, encoder: data.TableEncoder, X: Any, y: Any, rows: Rows, scaling: Scaling
) -> dict[str, Any]:
    """Return what the rows kept apart say of a network, and what they say of none."""
    training, held = rows
    if encoder.task == "regression":
        mean, std = scaling
        judged = judged_numbers((y[held] - mean) / std, estimator.predict(X[held]), std)
        judged["training_r2"] = float(estimator.score(X[training], (y[training] - mean) / std))
        return judged
    usual = int(np.bincount(y[training]).argmax())
    judged = judged_classes(y[held], estimator.predict_proba(X[held]))
    judged["training_accuracy"] = float(estimator.score(X[training], y[training]))
    judged["most_frequent_class_accuracy"] = float(np.mean(y[held] == usual))
    judged["unjudged_classes"] = [c for i, c in enumerate(encoder.classes) if i not in y[held]]
    balanced = estimator.class_weight == "balanced"
    names = [str(label) for label in encoder.classes]
    judged["warning"] = warning_of(judged, names, names[usual], balanced=balanced)
    return judged


def _drawn(
    estimator: Any,
    encoder: data.TableEncoder,
    X: Any,
    y: Any,
    held: Any,
    judged: dict[str, Any],
    scaling: Scaling,
) -> Any:
    """Return a picture of the result for the rows kept apart."""
    apart = f"on {len(held):,} rows kept apart"
    if encoder.task == "regression":
        mean, std = scaling
        predicted = estimator.predict(X[held]) * std + mean
        return picture_of_numbers(
            encoder, y[held], predicted, f"R² {judged['validation_r2']:.3f} {apart}"
        )
    # All rows where one of the classes is too rare to be kept apart.
    shown = slice(None) if judged["unjudged_classes"] else held
    score = f"accuracy {judged['validation_accuracy']:.1%} {apart}"
    return picture_of(estimator, encoder, X[shown], y[shown], score)
