"""`liftgrad train`: train a network on a table and save it."""

import json
import math
import time
from pathlib import Path
from typing import Any

import click
import numpy as np

from liftgrad import data
from liftgrad.cli.display import say
from liftgrad.cli.fitting import MOST_HELD_OUT, Fitting, split_rows
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
    classes_spelled_alike,
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
from liftgrad.cli.train_report import print_report
from liftgrad.data.table import Kind

Rows = tuple[Any, Any]
"""Those to train on and those that are held out."""
Scaling = tuple[float, float]
"""The mean and the standard deviation of the numbers to predict."""


@click.command(short_help="Train a network on a table and save it.")
@click.argument("table", type=TABLE)
@click.option("--target", required=True, metavar="COLUMN", help="The column to predict.")
@click.option(
    "--task",
    type=click.Choice(["classification", "regression"]),
    help="Whether to predict classes or numbers.  [default: inferred from the target's values]",
)
@click.option("--drop", multiple=True, metavar="COLUMN", help="A column to leave out; repeatable.")
@click.option(
    "--categorical",
    multiple=True,
    metavar="COLUMN",
    help="A column of categories that look like numbers; repeatable.",
)
@click.option(
    "--numeric",
    multiple=True,
    metavar="COLUMN",
    help="A column of numbers that look like codes; repeatable.",
)
@click.option(
    "--text",
    multiple=True,
    metavar="COLUMN",
    help="A column of categories that include None or NA; repeatable.",
)
@delimiter_option
@click.option(
    "--missing",
    type=click.Choice(["refuse", "mean"]),
    default="refuse",
    help="Refuse missing values, or use the column's mean and add a column that marks them.",
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
    help="Maximum number of passes over the rows.",
)
@click.option("--rate", type=Finite(0), default=0.005, metavar="X", help="Learning rate of Adam.")
@click.option(
    "--l2",
    type=Finite(0, 1e12),
    metavar="X",
    help="Factor of the L2 penalty, against overfitting.  [default: the best of 0.3, 1, 3 and 10 "
    "in cross-validation]",
)
@click.option(
    "--class-weight",
    type=click.Choice(["none", "balanced"]),
    default="none",
    help="Give rare classes the same weight as frequent ones, so that they are found.",
)
@click.option(
    "--validation",
    type=Finite(0.01, MOST_HELD_OUT),
    default=0.2,
    metavar="X",
    help="Fraction of the rows to hold out and evaluate the network on.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    metavar="N",
    help="Seed of the held-out rows, the initial weights and the batches.",
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
    help="A picture of the result; the extension decides its format.",
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

    TABLE is a CSV or Parquet file with named columns, or - for standard input. Numbers are
    standardised, and text is one-hot encoded. A target of text, true/false or few different whole
    numbers has classes; any other is a quantity to approximate.

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
                f"--class-weight is for classes, and '{target}' is a quantity; leave it out, or "
                "pass --task classification."
            )
        X, y = encoder.transform(rows), encoder.transform_target(rows)
        check_parameters(X.shape[1], hidden, max(len(encoder.classes), 1))
        classes = encoder.task == "classification"
        training, held = split_rows(y, validation, seed, classes=classes)
        weight = None if class_weight == "none" else class_weight
        fitting = Fitting(encoder.task, tuple(hidden), epochs, rate, seed, weight)
        start = time.perf_counter()
        scaling = (0.0, 1.0) if classes else _scaling(y[training])
        targets = y[training] if classes else (y[training] - scaling[0]) / scaling[1]
        if l2 is None:
            l2 = fitting.chosen_penalty(X[training], targets)
        estimator = fitting.fit(X[training], targets, l2, verbose=not as_json)
        seconds = time.perf_counter() - start
        judged = _judged(estimator, encoder, X, y, (training, held), scaling)
        with writes(output):
            metadata = {"table": encoder.to_dict(), "scale": None if classes else scaling}
            estimator.save(output, metadata)
        save_picture(lambda: _drawn(estimator, encoder, X, y, held, judged, scaling), picture)
    results = {
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
        click.echo(json.dumps(results))
    else:
        print_report(results)
    notes = [*identifiers(rows), *words_for_missing(rows), *classes_spelled_alike(encoder)]
    for sentence in [*notes, judged["warning"]]:
        if sentence:
            say(sentence, err=True)
    if estimator.interrupted_:
        raise click.exceptions.Exit(130)


def _kinds(columns_of: dict[Kind, tuple[str, ...]]) -> dict[str, Kind]:
    """Return the kind of each column that the options name.

    Raises:
        click.UsageError: if a column has two kinds.

    """
    kinds: dict[str, Kind] = {}
    for kind, columns in columns_of.items():
        for column in columns:
            if kinds.setdefault(column, kind) != kind:
                raise click.UsageError(
                    f"Column '{column}' has two kinds; choose one of --categorical, --numeric and "
                    "--text."
                )
    return kinds


def _scaling(y: Any) -> Scaling:
    """Return the mean and the standard deviation of the numbers to predict.

    A network's outputs start near 0 and change in small steps: targets are standardised, too.
    """
    with np.errstate(over="ignore"):
        mean, std = float(y.mean()), float(y.std())
    if not math.isfinite(std):
        raise click.ClickException("The target's numbers are too large; scale them down.")
    if not std > 0.0:
        raise click.ClickException("The target has only one value; add rows with others.")
    return mean, std


def _judged(
    estimator: Any, encoder: data.TableEncoder, X: Any, y: Any, rows: Rows, scaling: Scaling
) -> dict[str, Any]:
    """Return the figures of the evaluation on held-out rows, next to those of a constant."""
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
    """Return a picture of the result for the held-out rows."""
    held_out = f"on {len(held):,} held-out rows"
    if encoder.task == "regression":
        mean, std = scaling
        predicted = estimator.predict(X[held]) * std + mean
        return picture_of_numbers(
            encoder, y[held], predicted, f"R² {judged['validation_r2']:.3f} {held_out}"
        )
    # All rows if one of the classes is too rare to be held out.
    shown = slice(None) if judged["unjudged_classes"] else held
    score = f"accuracy {judged['validation_accuracy']:.1%} {held_out}"
    return picture_of(estimator, encoder, X[shown], y[shown], score)
