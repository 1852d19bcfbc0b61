"""Tables: named columns of numbers and of categories, as a file has them."""

import difflib
import functools
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from liftgrad.errors import LiftgradError
from liftgrad.legible import visible

Kind = Literal["number", "boolean", "category", "text"]
"""What a column holds; "text" are categories that may include None or NA."""
Task = Literal["classification", "regression"]

_MOST_CLASSES = 20
"""Whole numbers with more different values than this are quantities, not classes."""


class TableError(LiftgradError, ValueError):
    r"""A table cannot be used as it is; each line of the message says where, and what to do.

    >>> error = TableError("the column 'a' ...; drop it.", "the column 'b' ...; drop it.")
    >>> len(error.complaints), str(error).count("\n")
    (2, 1)
    """

    usable: "Table | None" = None
    """The columns without complaints, if all columns were checked."""

    def __str__(self) -> str:
        return "\n".join(self.complaints)

    @property
    def complaints(self) -> tuple[str, ...]:
        """The sentences, one for each complaint, with control characters escaped.

        >>> TableError("the column 'a' ...; drop it.", "the column 'b' ...; drop it.").complaints[1]
        "the column 'b' ...; drop it."
        """
        return tuple(visible(text) for text in self.args)


@dataclass(frozen=True, eq=False)
class Column:
    """A column: numbers, or indices of categories in a list.

    >>> colour = Column("colour", "category", np.array([1, 0, 1]), ("green", "red"))
    >>> [colour.categories[i] for i in colour.values]
    ['red', 'green', 'red']
    """

    name: str
    kind: Kind
    values: NDArray[Any]
    """(rows,): numbers as float64, nan where missing; or indices of `categories`, -1 there."""
    categories: tuple[str, ...] = ()
    """The different values, sorted; of booleans "false" and "true"."""
    missing_as: tuple[str, ...] = ()
    """The spellings of missing values, such as "NA", that could be categories, too."""

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Whether each row has no value, (rows,).

        >>> Column("height", "number", np.array([1.0, np.nan])).missing.tolist()
        [False, True]
        """
        return np.isnan(self.values) if self.kind == "number" else self.values < 0


@dataclass(frozen=True, eq=False)
class Table:
    """The columns of a file, and its target.

    >>> height = Column("height", "number", np.array([1.0, 3.0]))
    >>> plants = Table("plants.csv", (height,))
    >>> len(plants), plants.names
    (2, ('height',))
    """

    source: str
    """The file, for messages."""
    columns: tuple[Column, ...]
    target: Column | None = None
    skipped: int = 0
    """How many malformed rows were left out."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns, without the target.

        >>> Table("plants.csv", (Column("height", "number", np.array([1.0, 3.0])),)).names
        ('height',)
        """
        return tuple(column.name for column in self.columns)

    def __len__(self) -> int:
        """Return the number of rows."""
        every = self.columns if self.target is None else (*self.columns, self.target)
        return len(every[0].values) if every else 0

    def column(self, name: str) -> Column:
        """Return a column that is not the target.

        >>> plants = Table("plants.csv", (Column("height", "number", np.array([1.0, 3.0])),))
        >>> plants.column("height").values.tolist()
        [1.0, 3.0]

        Raises:
            TableError: if there is no such column.

        """
        if name in self._index_of:
            return self.columns[self._index_of[name]]
        raise TableError(no_such_column(self.source, name, self.names))

    @functools.cached_property
    def _index_of(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.names)}


def infer_task(column: Column) -> Task:
    """Return the task that a target suggests: "classification" or "regression".

    Text and booleans are classes. So are whole numbers with at most 20 different values that occur
    at least twice on average; all other numbers are quantities.

    >>> infer_task(Column("grade", "number", np.array([1.0, 2.0, 1.0, 2.0])))
    'classification'
    >>> infer_task(Column("price", "number", np.array([1.5, 2.0, 1.0, 2.0])))
    'regression'
    """
    if column.kind != "number":
        return "classification"
    numbers = column.values[~column.missing]
    classes = are_classes(np.unique(numbers).tolist(), len(numbers))
    return "classification" if classes else "regression"


def are_classes(different: Collection[float], count: int) -> bool:
    """Return whether numbers look like classes.

    Args:
        different: the different numbers.
        count: how many numbers there are.

    """
    few = len(different) <= min(_MOST_CLASSES, count // 2)
    return few and all(number.is_integer() for number in different)


def no_such_column(source: str, name: str, names: Iterable[str]) -> str:
    """Return the sentence about a column that is not there, with similar names."""
    names = list(names)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    folded = [other for other in names if other.strip().lower() == name.strip().lower()]
    listed = folded or near or names
    shown = ", ".join(f"'{other}'" for other in listed[:10])
    advice = "did you mean" if folded or near else "choose one of"
    more = ", ..." if len(listed) > 10 else ""
    end = "?" if folded or near else "."
    return f"{source} has no column '{name}'; {advice} {shown}{more}{end}"
