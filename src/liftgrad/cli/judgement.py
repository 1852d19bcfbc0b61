"""How `liftgrad train` evaluates a network on held-out rows."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len, set_cell_size

from liftgrad.legible import visible

Array = NDArray[Any]

_NO_BETTER = "On the held-out rows the network is no better than"
_SAME_WEIGHT = "pass --class-weight balanced to give each class the same weight"
_SOME_ROWS = 3
"""In a class of fewer rows, all may be missed by chance."""
_CURE = "give it more informative columns, or more rows"
_WIDEST = 100
_LONGEST = 16


def judged_classes(y: Array, probabilities: Array) -> dict[str, Any]:
    """Return the accuracy, AUC, F1 and confusion matrix for rows of classes y (n,).

    Args:
        y: indices of classes.
        probabilities: of each class for each row, (n, k).

    Returns:
        for JSON. "auc" is the mean over the classes that some rows have and others have not, "f1"
        over those that occur in `y` or were predicted; they are None if there is no such class.
        "f1_of_classes" and the rows (true) and columns (predicted) of "confusion_matrix" are in the
        order of the classes.

    """
    count = probabilities.shape[1]
    predicted = probabilities.argmax(axis=1)
    matrix = np.zeros((count, count), np.int64)
    np.add.at(matrix, (y, predicted), 1)
    right, count_of = np.diag(matrix), matrix.sum(axis=0) + matrix.sum(axis=1)
    f1 = [
        2.0 * r / n if n else None for r, n in zip(right.tolist(), count_of.tolist(), strict=True)
    ]
    aucs = [_auc(y == label, probabilities[:, label]) for label in range(count)]
    return {
        "validation_accuracy": float(np.mean(predicted == y)),
        "auc": _mean(aucs),
        "f1": _mean(f1),
        "f1_of_classes": f1,
        "confusion_matrix": matrix.tolist(),
    }


def judged_numbers(y: Array, predicted: Array, std: float) -> dict[str, Any]:
    """Return the typical error and R² of a regression for rows with numbers y (n,).

    Args:
        y: the true numbers, standardised.
        predicted: the predicted ones, likewise.
        std: the standard deviation that they were divided by.

    """
    rmse, mean_rmse = (float(np.sqrt(np.mean(error**2))) for error in (predicted - y, y))
    spread = float(np.std(y))
    return {
        "validation_r2": 1.0 - (rmse / spread) ** 2 if spread else 0.0,
        "validation_rmse": rmse * std,
        "mean_rmse": mean_rmse * std,
        "warning": None
        if rmse < mean_rmse
        else f"{_NO_BETTER} always predicting the mean; {_CURE}.",
    }


def lines_of_classes(figures: dict[str, Any], names: list[str]) -> list[str]:
    """Return AUC, F1 and the confusion matrix as text; of a large one, the most frequent errors."""
    each = " (means of the classes)" if len(names) > 2 else ""
    means = [
        f"{name} {figures[key]:.3f}"
        for name, key in (("AUC", "auc"), ("F1", "f1"))
        if figures[key] is not None
    ]
    lines = [f"{', '.join(means)}{each}"] if means else []
    matrix = np.array(figures["confusion_matrix"])
    table = _table(matrix, figures["f1_of_classes"], names)
    return lines + (table if cell_len(table[0]) <= _WIDEST else _confused(matrix, names))


def warning_of(
    figures: dict[str, Any], names: list[str], usual: str, *, balanced: bool
) -> str | None:
    """Return a warning if a network is no better than a constant, or never predicts a class.

    Args:
        figures: the result of `judged_classes`, and the "most_frequent_class_accuracy".
        names: of the classes.
        usual: the name of the most frequent one.
        balanced: whether the classes had the same weight, so that accuracy does not matter.

    """
    matrix = np.array(figures["confusion_matrix"])
    found = matrix.sum(axis=1) > 0
    right, rows = np.diag(matrix)[found], matrix.sum(axis=1)[found]
    if balanced:
        chance = float(np.mean(right / rows)) <= 1.0 / len(rows)
        return f"{_NO_BETTER} chance; {_CURE}." if chance else None
    share = figures["most_frequent_class_accuracy"]
    uneven = 2 * rows.min() < rows.max()
    if figures["validation_accuracy"] <= share:
        than = f"always predicting '{usual}', which is right for {share:.1%}"
        return f"{_NO_BETTER} {than}; {f'{_SAME_WEIGHT}, or ' if uneven else ''}{_CURE}."
    never = np.flatnonzero((matrix.sum(axis=1) >= _SOME_ROWS) & (matrix.sum(axis=0) == 0))
    if not len(never):
        return None
    missed = [f"'{names[i]}' (which {matrix[i].sum():,} are)" for i in never[:3].tolist()]
    more = f" and {len(never) - 3:,} more" if len(never) > 3 else ""
    never_predicted = f"The network calls none of the held-out rows {', '.join(missed)}{more}"
    return f"{never_predicted}; {_SAME_WEIGHT if uneven else _CURE}."


def _auc(positive: Array, score: Array) -> float | None:
    """Return the probability that a positive row has the higher score; ties count half."""
    count, others = int(positive.sum()), int((~positive).sum())
    if not count or not others:
        return None
    _, index, times = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(times) - 0.5 * (times - 1))[index]  # Mann & Whitney's, shared by ties
    return float((rank[positive].sum() - 0.5 * count * (count + 1)) / (count * others))


def _mean(figures: list[float | None]) -> float | None:
    known = [figure for figure in figures if figure is not None]
    return float(np.mean(known)) if known else None


def _table(matrix: Array, f1: list[float | None], names: list[str]) -> list[str]:
    """Return the confusion matrix as lines, with the F1 of each class."""
    names = [_cut(name) for name in names]
    first = max(cell_len("true"), *map(cell_len, names))
    widths = [
        max(cell_len(name), *(len(f"{count:,}") for count in column))
        for name, column in zip(names, matrix.T.tolist(), strict=True)
    ]

    def line(head: str, cells: list[str], last: str) -> str:
        padded = [
            " " * (width - cell_len(cell)) + cell for cell, width in zip(cells, widths, strict=True)
        ]
        return "  ".join([f"  {set_cell_size(head, first)}", *padded, last]).rstrip()

    rows = [
        line(name, [f"{count:,}" for count in counts], "     " if x is None else f"{x:.3f}")
        for name, counts, x in zip(names, matrix.tolist(), f1, strict=True)
    ]
    return [line("true", names, "F1 (columns: predicted)"), *rows]


def _confused(matrix: Array, names: list[str]) -> list[str]:
    """Return the most frequent errors as lines."""
    wrong = matrix - np.diag(np.diag(matrix))
    worst = np.argsort(-wrong, axis=None, kind="stable")[:3]
    pairs = [
        f"{_cut(names[i])} for {_cut(names[j])} ({wrong[i, j]:,} of {matrix[i].sum():,})"
        for i, j in zip(*np.unravel_index(worst, matrix.shape), strict=True)
        if wrong[i, j]
    ]
    return [f"Most frequent errors: {', '.join(pairs)}"] if pairs else []


def _cut(name: str) -> str:
    """Return a name as short as a table needs it."""
    name = visible(" ".join(name.split()))
    if cell_len(name) <= _LONGEST:
        return name
    # Long names of classes are often alike in the beginning.
    begins = end = _LONGEST // 2
    while cell_len(name[-end:]) >= _LONGEST - begins:
        end -= 1
    return f"{set_cell_size(name, begins)}…{name[-end:]}"
