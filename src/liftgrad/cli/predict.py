"""`liftgrad predict`: what a saved network says of the rows of a table."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import click
import numpy as np

from liftgrad import files
from liftgrad.cli.options import check_outputs, file_path, writes
from liftgrad.cli.tables import TABLE, refusals, some
from liftgrad.cli.trained_model import read_model


@click.command(short_help="Predict with a saved network for the rows of a table.")
@click.argument("model", type=TABLE)
@click.argument("table", type=TABLE)
@click.option(
    "-o",
    "--output",
    callback=lambda c, o, text: None if text is None else file_path(c, o, text),
    metavar="FILE",
    help="A CSV file for the predictions.  [default: the terminal]",
)
@click.option("--skip-bad-rows", is_flag=True, help="Leave out rows with too many or few fields.")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of CSV: a list, row by row.")
def predict(
    model: Path, table: Path, output: Path | None, skip_bad_rows: bool, as_json: bool
) -> None:
    """Predict with a MODEL that `liftgrad train` saved for the rows of a TABLE.

    TABLE needs the columns of the training, by name, and not the one to predict. There is one line
    for each row: the prediction and, of classes, the probability of each.

    Example: liftgrad predict model.safetensors new.csv -o predictions.csv
    """
    check_outputs({"MODEL": model, "TABLE": table}, {"--output": output})
    with refusals('pass missing="mean"', "train with --missing mean"):
        estimator, encoder, (mean, std) = read_model(model)
        rows = encoder.read(table, on_bad_rows="skip" if skip_bad_rows else "error")
        X = encoder.transform(rows)
        name = str(encoder.target)
        if encoder.task == "classification":
            probabilities = estimator.predict_proba(X)
            chosen = [encoder.classes[i] for i in probabilities.argmax(axis=1).tolist()]
            columns = {name: chosen}
            for label, column in zip(encoder.classes, probabilities.T.tolist(), strict=True):
                columns[f"probability of {label}"] = column
        else:
            with np.errstate(all="ignore"):
                numbers = estimator.predict(X) * std + mean
            if not np.isfinite(numbers).all():
                row = int(np.argmin(np.isfinite(numbers))) + 1
                raise click.ClickException(
                    f"The prediction for row {row} of '{table}' is beyond all numbers; correct the "
                    "row."
                )
            columns = {name: numbers.tolist()}
        lines = [
            dict(zip(columns, line, strict=True)) for line in zip(*columns.values(), strict=True)
        ]
        text = json.dumps(lines) + "\n" if as_json else _csv(columns)
        if output is not None:
            with writes(output):
                files.write(output, text.encode())
    if output is None:
        click.echo(text, nl=False)
    else:
        click.echo(f"{len(lines):,} predictions saved as '{output}'")
    if rows.skipped:
        one = rows.skipped == 1
        click.echo(
            f"{rows.skipped:,} broken {'row was' if one else 'rows were'} left out.", err=True
        )
    for column, categories in encoder.unknown(rows).items():
        named = some([repr(category) for category in categories])
        click.echo(
            f"Column '{column}' has what the training had not, {named}: it tells nothing there.",
            err=True,
        )


def _csv(columns: dict[str, list[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue()
