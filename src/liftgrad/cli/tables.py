"""`liftgrad train` and `liftgrad predict`: a network for a table, from a file to a file."""

import contextlib
import csv
import io
import json
import math
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from liftgrad import data, files, plot
from liftgrad.cli.display import duration, failure
from liftgrad.cli.options import (
    Finite,
    check_outputs,
    check_parameters,
    file_path,
    layer_sizes,
    picture_path,
    writes,
)
from liftgrad.errors import LiftgradError, NonFiniteLossError
from liftgrad.plot.classes import plain_text

if TYPE_CHECKING:
    from liftgrad.estimators import LiftClassifier, LiftRegressor

_OPTIONS = {
    'on_bad_rows="skip"': "--skip-bad-rows",
    "drop=['']": "--drop ''",
    ', drop it, or name the column a "category" in kinds.': ", or leave it out with --drop.",
    ', or name the column a "category" in kinds.': ", or leave it out with --drop.",
    ', or say in kinds that it is a "category", or a "number" if their last digits do not '
    "matter.": ".",
    ", or say in kinds what the column holds.": ".",
    ", or say in kinds what it holds.": ".",
    "drop it.": "leave it out with --drop.",
    "drop the column.": "leave it out with --drop.",
}
"""How to say on the command line what errors advise to pass; it has no kinds to say."""
_MOST_APART = 0.9
_LONG_NAME, _LONG_TITLE = 28, 48
"""Letters that there is room for in a picture."""
_TABLE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(short_help="Train a network on a table and save it.")
@click.argument("table", type=_TABLE)
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
    with _refusals('pass missing="mean"', "pass --missing mean"):
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
        _save_picture(drawn, picture)
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
    if estimator.interrupted_:
        raise click.exceptions.Exit(130)


@click.command(short_help="Predict with a saved network for the rows of a table.")
@click.argument("model", type=_TABLE)
@click.argument("table", type=_TABLE)
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
    with _refusals('pass missing="mean"', "train with --missing mean"):
        from liftgrad.estimators import load  # noqa: PLC0415, scikit-learn may be missing

        estimator = load(model)
        learnt = estimator.metadata_
        if "table" not in learnt:
            raise click.ClickException(
                f"'{model}' was not made by `liftgrad train`; pass a model that was."
            )
        encoder = data.TableEncoder.from_dict(learnt["table"])
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
            mean, std = learnt["scale"]
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
        named = _some([repr(category) for category in categories])
        click.echo(
            f"Column '{column}' has what the training had not, {named}: it tells nothing there.",
            err=True,
        )


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


def picture_of(estimator: Any, encoder: data.TableEncoder, X: Any, y: Any, score: str) -> Any:
    """Return the figure: regions of the classes, or else the loss."""
    title = f"{_shown(str(encoder.target))}: {score}"
    if len(title) > _LONG_TITLE:
        title = title.replace(": ", "\n")
    if encoder.task == "classification" and len(encoder.feature_names) > 1:
        two = len(encoder.feature_names) == 2
        # Two columns are the axes, in their own units; a plane of more has none.
        predictor = _InUnits(estimator, *encoder.scaling) if two else estimator
        points = X * predictor.std + predictor.mean if isinstance(predictor, _InUnits) else X
        with contextlib.suppress(ValueError):  # too many classes to tell apart in a picture
            return plot.decision_regions(
                *(predictor, points, y),
                class_names=[_shown(str(label)) for label in encoder.classes],
                feature_names=[_shown(name) for name in encoder.feature_names],
                title=title,
            ).figure_
    table = {"epoch": np.arange(1, estimator.n_iter_ + 1), "loss": np.array(estimator.loss_curve_)}
    return plot.training_curves(table, title=title).figure_


def _save_picture(figure: Any, picture: Path) -> None:
    """Write the picture, and tell in one sentence what matplotlib tells of each letter."""
    with writes(picture), warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("always")
        plot.save(figure, picture)
    if any("missing from font" in str(warning.message) for warning in noted):
        click.echo(
            "The picture's font lacks letters of the names, which are boxes there; the model does "
            "not mind.",
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


def _shown(name: str) -> str:
    """Return a name for a picture, which has little room."""
    name = " ".join(name.split())
    if len(name) > _LONG_NAME:
        # Long names of classes are often alike in the beginning.
        name = f"{name[: _LONG_NAME // 2]}…{name[-_LONG_NAME // 2 + 1 :]}"
    return plain_text(name)


def _say(said: dict[str, Any]) -> None:
    """Print what was done."""
    skipped = f", {said['skipped_rows']:,} broken ones left out" if said["skipped_rows"] else ""
    say = click.echo
    count = len(said["features"])
    inputs = f"{count} input{'' if count == 1 else 's'}: {_some(said['features'])}"
    say(f"Rows: {said['rows']:,}{skipped}; {inputs}")
    if said["left_out"]:
        say(f"Left out, having one value only: {_some(said['left_out'])}")
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
            named = _some([str(label) for label in said["unjudged_classes"]])
            say(f"Not judged, having too few rows to keep one apart: {named}")
    else:
        say(
            f"On {said['validation_rows']:,} rows kept apart: typical error "
            f"{said['validation_rmse']:.4g} (always the mean: {said['mean_rmse']:.4g}), "
            f"R² {said['validation_r2']:.3f} (on the training rows: {said['training_r2']:.3f})"
        )
    say(f"Model saved as '{said['model']}', picture as '{said['picture']}'")


def _some(names: list[str]) -> str:
    names = [" ".join(name.split()) for name in names]  # one may hold line breaks
    return ", ".join(names) if len(names) <= 8 else f"{', '.join(names[:7])}, ..."


def _csv(columns: dict[str, list[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue()


@contextlib.contextmanager
def _refusals(advice: str, option: str) -> Iterator[None]:
    """Turn what the user can mend into one sentence, in which an option takes advice's place."""
    try:
        with warnings.catch_warnings():
            # That the last epoch still brought something is nothing to mend here.
            warnings.filterwarnings("ignore", message=".*has not converged")
            # Classes are what --task asked for.
            warnings.filterwarnings("ignore", message="The number of unique classes")
            yield
    except NonFiniteLossError as error:
        raise click.ClickException(failure(error)) from None
    except (LiftgradError, ImportError, ValueError, OSError) as error:
        text = str(error)
        for python, shell in {advice: option, **_OPTIONS}.items():
            text = text.replace(python, shell)
        raise click.ClickException(text) from None
