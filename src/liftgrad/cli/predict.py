"""`liftgrad predict`: a saved network's predictions for the rows of a table."""

import csv
import io
import json
import sys
from pathlib import Path
from typing import Any, Literal

import click
import numpy as np

from liftgrad import data, files
from liftgrad.cli.display import say, terminal
from liftgrad.cli.options import check_outputs, file_path, writes
from liftgrad.cli.tables import (
    TABLE,
    delimiter_option,
    refusals,
    skip_option,
    some,
    table_file,
)
from liftgrad.cli.trained_model import read_model


@click.command(short_help="Predict with a saved network for the rows of a table.")
@click.argument("model", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("table", type=TABLE)
@click.option(
    "-o",
    "--output",
    callback=lambda c, o, text: None if text in (None, "-") else file_path(c, o, text),
    metavar="FILE",
    help="A CSV file for the predictions, or - for standard output.  [default: -]",
)
@delimiter_option
@skip_option
@click.option("--json", "as_json", is_flag=True, help="JSON instead of CSV: a list, row by row.")
def predict(
    model: Path,
    table: Path,
    output: Path | None,
    delimiter: str | None,
    skip_bad_rows: bool,
    as_json: bool,
) -> None:
    """Predict with a MODEL that `liftgrad train` saved for the rows of a TABLE.

    TABLE needs the columns of the training data, by name, without the one to predict; - is standard
    input. The output has a line for each row: the prediction and, for classes, the probability of
    each.

    Example: liftgrad predict model.safetensors new.csv -o predictions.csv
    """
    check_outputs({"MODEL": model, "TABLE": table}, {"--output": output})
    with table_file(table) as path, refusals(training=False):
        estimator, encoder, (mean, std) = read_model(model)
        bad_rows: Literal["error", "skip"] = "skip" if skip_bad_rows else "error"
        rows = encoder.read(path, delimiter=delimiter, on_bad_rows=bad_rows)
        X = encoder.transform(rows)
        if encoder.task == "classification":
            columns = _of_classes(encoder, estimator.predict_proba(X))
        else:
            with np.errstate(all="ignore"):
                numbers = estimator.predict(X) * std + mean
            if not np.isfinite(numbers).all():
                row = int(np.argmin(np.isfinite(numbers))) + 1
                raise click.ClickException(
                    f"The prediction for row {row} of '{path}' is infinite; correct the row."
                )
            columns = {str(encoder.target): numbers.tolist()}
    text = _json(columns) if as_json else _csv(columns)
    if output is not None:
        with writes(output):
            files.write(output, text.encode())
        say(f"{len(rows):,} predictions saved as '{output}'")
    else:
        _print(text)
    if rows.skipped:
        one = rows.skipped == 1
        say(f"{rows.skipped:,} malformed {'row was' if one else 'rows were'} left out.", err=True)
    for column, categories in encoder.unknown(rows).items():
        named = some([repr(category) for category in categories])
        say(
            f"Column '{column}' has categories that the training data did not have, {named}; "
            "they are ignored.",
            err=True,
        )


def _of_classes(encoder: data.TableEncoder, probabilities: Any) -> dict[str, list[Any]]:
    """Return the predictions' columns: the most probable class, and the probability of each."""
    name = str(encoder.target)
    names = [f"probability of {label}" for label in encoder.classes]
    if name in names:
        names = [f"predicted {name}" for name in names]
    chosen = [encoder.classes[i] for i in probabilities.argmax(axis=1).tolist()]
    return {name: chosen, **dict(zip(names, probabilities.T.tolist(), strict=True))}


def _json(columns: dict[str, list[Any]]) -> str:
    rows = zip(*columns.values(), strict=True)
    return json.dumps([dict(zip(columns, row, strict=True)) for row in rows]) + "\n"


def _print(text: str) -> None:
    """Print a file's content: to a terminal as it can show it, otherwise as UTF-8."""
    if sys.stdout.isatty():
        for line in text.removesuffix("\n").split("\n"):
            click.echo(terminal(line))
    else:
        click.echo(text.encode() if hasattr(sys.stdout, "buffer") else text, nl=False)


def _csv(columns: dict[str, list[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue()
