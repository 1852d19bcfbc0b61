"""The target of a table: whether it has classes, which, and their numbers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad.data.column_encoding import MOST_CATEGORIES, ColumnStatistics
from liftgrad.data.subject import Subject
from liftgrad.data.table import Column, TableError, Task, are_classes


def task_of(target: ColumnStatistics) -> Task:
    """Return the task that a target's values suggest, as `infer_task` does."""
    if target.kind != "number":
        return "classification"
    few = target.different is not None and are_classes(target.different, target.rows)
    return "classification" if few else "regression"


def check_quantity(target: ColumnStatistics) -> None:
    """Refuse a target that is not numbers.

    Raises:
        TableError: for classes.

    """
    if target.kind != "number":
        raise TableError(
            f'{target.subject} is not a number; choose another, or pass task="classification".'
        )


def classes_of(target: ColumnStatistics) -> tuple[str | float, ...]:
    """Return a target's classes, sorted.

    Raises:
        TableError: if there is only one, or as many as rows, or too many.

    """
    classes: tuple[str | float, ...]
    if target.kind != "number":
        classes = tuple(sorted(target.categories))
    elif target.different is None:
        raise TableError(
            f'{target.subject} has more than {MOST_CATEGORIES:,} classes; pass task="regression".'
        )
    else:
        classes = tuple(int(x) if x == int(x) else x for x in sorted(target.different))
    if len(classes) < 2:
        raise TableError(f"{target.subject} has one class only; add rows of another.")
    if len(classes) == target.rows:
        raise TableError(f"{target.subject} is different in each row; choose another target.")
    return classes


def class_numbers(
    subject: Subject, column: Column, classes: Sequence[str | float]
) -> NDArray[np.int64]:
    """Return the position in `classes` of each row's class.

    Raises:
        TableError: naming a class that is not among them.

    """
    labels: NDArray[Any]
    if column.kind == "number":
        labels, positions = np.unique(column.values, return_inverse=True)
    else:
        used, positions = np.unique(column.values, return_inverse=True)
        labels = np.array(column.categories, object)[used]
    number_of = {label: i for i, label in enumerate(classes)}
    for label in labels.tolist():
        if label not in number_of:
            raise TableError(
                f"{subject} has the class '{label}', which was not in the training data; remove "
                "its rows or train anew."
            )
    numbers = [number_of[label] for label in labels.tolist()]
    return np.array(numbers, np.int64)[positions]
