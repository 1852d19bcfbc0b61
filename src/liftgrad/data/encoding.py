"""TableEncoder: tables as matrices of numbers, alike in training and prediction."""

from collections.abc import Iterable
from dataclasses import asdict
from os import PathLike
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from liftgrad.data.column_encoding import (
    ColumnEncoding,
    ColumnStatistics,
    refuse_missing,
    require_kind,
)
from liftgrad.data.reading import read_table
from liftgrad.data.subject import Subject
from liftgrad.data.table import Kind, Table, TableError, Task
from liftgrad.data.target_encoding import check_quantity, class_numbers, classes_of, task_of
from liftgrad.fields import class_label, listed, one_of, text

Array = NDArray[np.float64]


class TableEncoder:
    """Turns tables into matrices by what it learned from the training data.

    Numbers are standardised with the training data's mean and standard deviation. Text and booleans
    are one-hot encoded: each category, in sorted order, becomes a column of zeros and ones; the row
    of a category that the training data did not have is all zeros there. A column with a single
    value is left out. The target is kept, or becomes the index of its class in sorted order.

    Args:
        missing: "refuse" missing values; or "mean": use the training data's mean for a number and
            zeros for a category, and, if the training data has missing values, add a column that is
            1 in the rows without a value.
        task: "classification" or "regression"; None: inferred from the target by `infer_task`.

    >>> from liftgrad.data import Column, Table
    >>> height = Column("height", "number", np.array([1.0, 3.0, 2.0]))
    >>> colour = Column("colour", "category", np.array([1, 0, 1]), ("green", "red"))
    >>> encoder = TableEncoder().fit(Table("plants.csv", (height, colour)))
    >>> encoder.feature_names
    ('height', 'colour=green', 'colour=red')
    >>> encoder.transform(Table("plants.csv", (height, colour))).round(3).tolist()
    [[-1.225, 0.0, 1.0], [1.225, 1.0, 0.0], [0.0, 0.0, 1.0]]

    """

    def __init__(
        self, *, missing: Literal["refuse", "mean"] = "refuse", task: Task | None = None
    ) -> None:
        if missing not in ("refuse", "mean"):
            raise ValueError(f'missing={missing!r}; pass "refuse" or "mean".')
        if task not in ("classification", "regression", None):
            raise ValueError(f'task={task!r}; pass "classification", "regression" or None.')
        self.missing, self.task = missing, task
        self.target: str | None = None
        """The target's name."""
        self.target_kind: Kind | None = None
        self.classes: tuple[str | float, ...] = ()
        """The classes, in the order of their numbers."""
        self._encodings: tuple[ColumnEncoding, ...] = ()

    def fit(self, tables: Table | Iterable[Table]) -> Self:
        """Learn from a table, or from the chunks of one, such as a `TableStream`.

        >>> from liftgrad.data import Column
        >>> plants = Table("plants.csv", (Column("height", "number", np.array([1.0, 3.0])),))
        >>> TableEncoder().fit(plants).feature_names
        ('height',)

        Raises:
            TableError: if columns cannot be encoded (a value is missing and `missing` is "refuse",
                text is different in each row or has more than 1,000 categories, numbers are too
                large), if the target has missing values or only one class, or if no column is left;
                with a sentence for each.

        """
        source, features, target = _statistics([tables] if isinstance(tables, Table) else tables)
        complaints: list[str] = []
        encodings = []
        for statistics in features.values():
            try:
                encodings.append(statistics.encoding(refuse=self.missing == "refuse"))
            except TableError as error:
                complaints += error.complaints
        self._encodings = tuple(encodings)
        if not complaints and not self.feature_names:
            complaints.append(f"{source} has no column to learn from; add one that varies.")
        if target is not None:
            try:
                self._fit_target(target)
            except TableError as error:
                complaints += error.complaints
        if complaints:
            self._encodings = ()
            raise TableError(*complaints)
        return self

    def transform(self, table: Table) -> Array:
        """Return X (rows, len(feature_names)); columns not in the training data are ignored.

        >>> from liftgrad.data import Column
        >>> plants = Table("plants.csv", (Column("height", "number", np.array([1.0, 3.0])),))
        >>> TableEncoder().fit(plants).transform(plants).tolist()
        [[-1.0], [1.0]]

        Raises:
            TableError: if a column is not there, was of another kind in the training data, has
                numbers that are too large, or has missing values and `missing` is "refuse".

        """
        self._require_fit()
        X = np.zeros((len(table), len(self.feature_names)))
        start, complaints = 0, list[str]()
        for encoding in self._encodings:
            end = start + len(encoding.names())
            try:
                self._fill(X[:, start:end], encoding, table)
            except TableError as error:
                complaints += error.complaints
            start = end
        if complaints:
            raise TableError(*complaints)
        return X

    def _fill(self, X: Array, encoding: ColumnEncoding, table: Table) -> None:
        """Fill a column's columns of X, or refuse it."""
        column = table.column(encoding.name)
        subject = Subject(table.source, column.name)
        require_kind(subject, column, encoding.kind)
        if self.missing == "refuse":
            refuse_missing(subject, int(column.missing.sum()), column.missing_as)
        with np.errstate(over="ignore"):
            encoding.apply(column, X)
        finite = np.isfinite(X).all(axis=1)
        if not finite.all():
            row = int(np.argmin(finite)) + 1
            raise TableError(f"{subject} has a number in row {row} that is too large; correct it.")

    def transform_target(self, table: Table) -> NDArray[Any]:
        """Return y (rows,): class numbers as int64, or the numbers themselves as float64.

        >>> from liftgrad.data import Column
        >>> height = Column("height", "number", np.array([1.0, 3.0, 2.0]))
        >>> colour = Column("colour", "category", np.array([1, 0, 1]), ("green", "red"))
        >>> plants = Table("plants.csv", (height,), target=colour)
        >>> encoder = TableEncoder().fit(plants)
        >>> encoder.transform_target(plants).tolist(), encoder.classes
        ([1, 0, 1], ('green', 'red'))

        Raises:
            TableError: if the target is not there, has missing values, was of another kind in the
                training data, or has a class that the training data did not have.

        """
        self._require_fit()
        if self.target is None:
            raise TableError("the training data had no target; fit with one.")
        column = table.target
        if column is None or column.name != self.target:
            column = table.column(self.target)
        subject = Subject(table.source, self.target, is_target=True)
        assert self.target_kind is not None
        require_kind(subject, column, self.target_kind)
        refuse_missing(subject, int(column.missing.sum()), column.missing_as)
        if self.task == "regression":
            return column.values.copy()
        return class_numbers(subject, column, self.classes)

    def unknown(self, table: Table) -> dict[str, tuple[str, ...]]:
        """Return, by column, the categories that were not in the training data, if there are any.

        >>> from liftgrad.data import Column
        >>> seen = Column("colour", "category", np.array([1, 0]), ("green", "red"))
        >>> other = Column("colour", "category", np.array([1, 0]), ("blue", "red"))
        >>> TableEncoder().fit(Table("a.csv", (seen,))).unknown(Table("b.csv", (other,)))
        {'colour': ('blue',)}
        """
        found = {}
        for encoding in self._encodings:
            column = table.column(encoding.name)
            if column.kind == "number":
                continue
            used = [column.categories[i] for i in np.unique(column.values[~column.missing])]
            unknown = tuple(category for category in used if category not in encoding.categories)
            if unknown:
                found[encoding.name] = unknown
        return found

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of X's columns: "age", "city=Paris", "age is missing".

        >>> from liftgrad.data import Column
        >>> colour = Column("colour", "category", np.array([1, 0]), ("green", "red"))
        >>> TableEncoder().fit(Table("plants.csv", (colour,))).feature_names
        ('colour=green', 'colour=red')
        """
        return tuple(name for encoding in self._encodings for name in encoding.names())

    @property
    def scaling(self) -> tuple[Array, Array]:
        """The means and standard deviations of X's columns: X · std + mean has the table's units.

        Each is an array (len(feature_names),), with 0 and 1 for columns of zeros and ones.

        >>> from liftgrad.data import Column
        >>> plants = Table("plants.csv", (Column("height", "number", np.array([1.0, 3.0])),))
        >>> means, stds = TableEncoder().fit(plants).scaling
        >>> means.tolist(), stds.tolist()
        ([2.0], [1.0])
        """
        pairs = [
            (encoding.mean, encoding.std) if name == encoding.name else (0.0, 1.0)
            for encoding in self._encodings
            for name in encoding.names()
        ]
        means, stds = np.array(pairs).reshape(-1, 2).T
        return means, stds

    @property
    def left_out(self) -> tuple[str, ...]:
        """The columns that are not in X, since they had a single value.

        >>> from liftgrad.data import Column
        >>> height = Column("height", "number", np.array([1.0, 3.0]))
        >>> planet = Column("planet", "category", np.array([0, 0]), ("Earth",))
        >>> TableEncoder().fit(Table("plants.csv", (height, planet))).left_out
        ('planet',)
        """
        return tuple(encoding.name for encoding in self._encodings if not encoding.names())

    @property
    def kinds(self) -> dict[str, Kind]:
        """The kinds of the columns, by name, without the target.

        >>> from liftgrad.data import Column
        >>> plants = Table("plants.csv", (Column("height", "number", np.array([1.0, 3.0])),))
        >>> TableEncoder().fit(plants).kinds
        {'height': 'number'}
        """
        return {encoding.name: encoding.kind for encoding in self._encodings}

    def read(
        self,
        path: str | PathLike[str],
        *,
        with_target: bool = False,
        delimiter: str | None = None,
        on_bad_rows: Literal["error", "skip"] = "error",
    ) -> Table:
        r"""Return a file's columns that were in the training data, read as the same kinds.

        >>> from pathlib import Path
        >>> _ = Path("plants.csv").write_text("height,name\n1.5,oak\n2.5,elm\n")
        >>> encoder = TableEncoder().fit(read_table("plants.csv", only=["height"]))
        >>> encoder.read("plants.csv").names
        ('height',)

        Args:
            path: the file.
            with_target: whether the target is read too.
            delimiter: as in `read_table`.
            on_bad_rows: as in `read_table`.

        Raises:
            TableError: if a column is not there or the file cannot be read.

        """
        self._require_fit()
        kinds = self.kinds
        if with_target and self.target is not None and self.target_kind is not None:
            kinds[self.target] = self.target_kind
        return read_table(
            path,
            self.target if with_target else None,
            only=list(kinds),
            kinds=kinds,
            delimiter=delimiter,
            on_bad_rows=on_bad_rows,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything learned, in JSON's types; `from_dict` makes an equal encoder of it.

        >>> from liftgrad.data import Column
        >>> plants = Table("plants.csv", (Column("height", "number", np.array([1.0, 3.0])),))
        >>> sorted(TableEncoder().fit(plants).to_dict())
        ['classes', 'columns', 'missing', 'target', 'target_kind', 'task']
        """
        return {
            "missing": self.missing,
            "task": self.task,
            "target": self.target,
            "target_kind": self.target_kind,
            "classes": list(self.classes),
            "columns": [
                {**asdict(encoding), "categories": list(encoding.categories)}
                for encoding in self._encodings
            ],
        }

    @classmethod
    def from_dict(cls, learned: dict[str, Any]) -> Self:
        """Return the encoder whose `to_dict` this was.

        >>> from liftgrad.data import Column
        >>> plants = Table("plants.csv", (Column("height", "number", np.array([1.0, 3.0])),))
        >>> encoder = TableEncoder.from_dict(TableEncoder().fit(plants).to_dict())
        >>> encoder.transform(plants).tolist()
        [[-1.0], [1.0]]

        Raises:
            TableError: if it is not such a dict.

        """
        try:
            encoder = cls(missing=learned["missing"], task=learned["task"])
            target, kinds = learned["target"], (None, *get_args(Kind))
            encoder.target = target if target is None else text("target", target)
            encoder.target_kind = one_of("target_kind", learned["target_kind"], kinds)
            encoder.classes = tuple(listed("classes", learned["classes"], class_label))
            encoder._encodings = tuple(
                listed("columns", learned["columns"], lambda _, x: ColumnEncoding.from_dict(x))
            )
        except (KeyError, TypeError, ValueError):
            raise TableError(
                "this is not what TableEncoder.to_dict returned; save the encoder again."
            ) from None
        return encoder

    def _fit_target(self, target: ColumnStatistics) -> None:
        target.refuse_missing()
        self.target, self.target_kind = target.subject.name, target.kind
        self.task = self.task or task_of(target)
        if self.task == "regression":
            check_quantity(target)
        else:
            self.classes = classes_of(target)

    def _require_fit(self) -> None:
        if not self._encodings:
            raise TableError("this encoder has not learned from a table yet; call fit() first.")


def _statistics(
    tables: Iterable[Table],
) -> tuple[str, dict[str, ColumnStatistics], ColumnStatistics | None]:
    """Return the file's name, and the statistics of its columns and its target."""
    features: dict[str, ColumnStatistics] = {}
    target: ColumnStatistics | None = None
    source = "the table"
    for table in tables:
        source = f"'{table.source}'"
        for column in table.columns:
            if column.name not in features:
                subject = Subject(table.source, column.name)
                features[column.name] = ColumnStatistics(subject, column)
            features[column.name].add(column)
        if table.target is not None:
            subject = Subject(table.source, table.target.name, is_target=True)
            target = target or ColumnStatistics(subject, table.target)
            target.add(table.target)
    return source, features, target
