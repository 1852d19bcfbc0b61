"""Tables as matrices of numbers, by the same rules for training and for prediction."""

from collections.abc import Iterable
from dataclasses import asdict
from os import PathLike
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from liftgrad.data.column_encoding import (
    MOST_CATEGORIES,
    ColumnEncoding,
    ColumnStatistics,
    refuse_missing,
    require_kind,
)
from liftgrad.data.place import Place
from liftgrad.data.reading import read_table
from liftgrad.data.table import Kind, Table, TableError, Task, are_classes
from liftgrad.fields import class_label, listed, one_of, text

Array = NDArray[np.float64]


class TableEncoder:
    """Turns tables into matrices, as it learned from the table of the training.

    Numbers are standardised with the mean and the standard deviation of the training. Of text and
    booleans each category, in sorted order, becomes a column of zeros and ones; a row with a
    category that the training had not is all zeros there. A column with one value only says
    nothing and is left out. The target is left as it is, or becomes the number of its class,
    counted from 0 in sorted order.

    Args:
        missing: "refuse" missing values; or "mean": take the mean of the training for a number
            and zeros for a category, and add a column of zeros and ones that says which rows had
            no value, if the training had such rows.
        task: "classification" or "regression"; None: what `infer_task` says of the target.

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
        """What the class numbers stand for."""
        self._encodings: tuple[ColumnEncoding, ...] = ()

    def fit(self, tables: Table | Iterable[Table]) -> Self:
        """Learn from a table, or from the chunks of one, such as a `TableStream`.

        >>> from liftgrad.data import Column
        >>> plants = Table("plants.csv", (Column("height", "number", np.array([1.0, 3.0])),))
        >>> TableEncoder().fit(plants).feature_names
        ('height',)

        Raises:
            TableError: if columns cannot be encoded: a value is missing and `missing` is
                "refuse", text differs in each row or has more than 1,000 categories, numbers are
                too large; if the target has missing values or only one class; if nothing is left.
                There is a sentence for each of them.

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
        """Return X (rows, len(feature_names)); columns that the training had not are ignored.

        >>> from liftgrad.data import Column
        >>> plants = Table("plants.csv", (Column("height", "number", np.array([1.0, 3.0])),))
        >>> TableEncoder().fit(plants).transform(plants).tolist()
        [[-1.0], [1.0]]

        Raises:
            TableError: if a column is not there, was of another kind in the training, has numbers
                that are too large, or has missing values and `missing` is "refuse".

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
        place = Place(table.source, column.name)
        require_kind(place, column, encoding.kind)
        if self.missing == "refuse":
            refuse_missing(place, int(column.missing.sum()), column.missing_as)
        with np.errstate(over="ignore"):
            encoding.apply(column, X)
        finite = np.isfinite(X).all(axis=1)
        if not finite.all():
            row = int(np.argmin(finite)) + 1
            raise TableError(f"{place} has a number in row {row} that is too large; correct it.")

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
                training, or has a class that the training had not.

        """
        self._require_fit()
        if self.target is None:
            raise TableError("the training's table had no target; fit with one.")
        column = table.target
        if column is None or column.name != self.target:
            column = table.column(self.target)
        where = Place(table.source, self.target, is_target=True)
        assert self.target_kind is not None
        require_kind(where, column, self.target_kind)
        refuse_missing(where, int(column.missing.sum()), column.missing_as)
        if self.task == "regression":
            return column.values.copy()
        if column.kind == "number":
            labels, places = np.unique(column.values, return_inverse=True)
        else:
            used, places = np.unique(column.values, return_inverse=True)
            labels = np.array(column.categories, object)[used]
        number_of = {label: i for i, label in enumerate(self.classes)}
        for label in labels.tolist():
            if label not in number_of:
                raise TableError(
                    f"{where} has the class '{label}', which was not in the training; remove its "
                    "rows or train anew."
                )
        numbers = [number_of[label] for label in labels.tolist()]
        return np.array(numbers, np.int64)[places]

    def unknown(self, table: Table) -> dict[str, tuple[str, ...]]:
        """Return the categories that the training had not, by column, where there are some.

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
            met = [column.categories[i] for i in np.unique(column.values[~column.missing])]
            strange = tuple(category for category in met if category not in encoding.categories)
            if strange:
                found[encoding.name] = strange
        return found

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Return the names of X's columns: "age", "city=Paris", "age is missing".

        >>> from liftgrad.data import Column
        >>> colour = Column("colour", "category", np.array([1, 0]), ("green", "red"))
        >>> TableEncoder().fit(Table("plants.csv", (colour,))).feature_names
        ('colour=green', 'colour=red')
        """
        return tuple(name for encoding in self._encodings for name in encoding.names())

    @property
    def scaling(self) -> tuple[Array, Array]:
        """Return what numbers were standardised with: X · std + mean is in the table's units.

        Means and standard deviations are (len(feature_names),); they are 0 and 1 for columns of
        zeros and ones.

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
        """Return the columns that have no column in X, since they had one value only.

        >>> from liftgrad.data import Column
        >>> height = Column("height", "number", np.array([1.0, 3.0]))
        >>> planet = Column("planet", "category", np.array([0, 0]), ("Earth",))
        >>> TableEncoder().fit(Table("plants.csv", (height, planet))).left_out
        ('planet',)
        """
        return tuple(encoding.name for encoding in self._encodings if not encoding.names())

    @property
    def kinds(self) -> dict[str, Kind]:
        """Return what the columns were, by name and without the target.

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
        r"""Return a file's columns as far as they were in the training, read as they were there.

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
        """Return everything learned, for JSON, from which `from_dict` makes an equal encoder.

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
            TableError: if it is no such dict.

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

    def _fit_target(self, target: "ColumnStatistics") -> None:
        where = target.place
        target.refuse_missing()
        self.target, self.target_kind = where.name, target.kind
        count = target.rows
        if self.task is None:
            few = target.different is not None and are_classes(target.different, count)
            self.task = "classification" if target.kind != "number" or few else "regression"
        if self.task == "regression":
            if target.kind != "number":
                raise TableError(
                    f'{where} is not a number; choose another, or pass task="classification".'
                )
            return
        if target.kind != "number":
            self.classes = tuple(sorted(target.categories))
        elif target.different is None:
            raise TableError(
                f'{where} has more than {MOST_CATEGORIES:,} classes; pass task="regression".'
            )
        else:
            self.classes = tuple(int(x) if x == int(x) else x for x in sorted(target.different))
        if len(self.classes) < 2:
            raise TableError(f"{where} has one class only; add rows of another.")
        if len(self.classes) == count:
            raise TableError(f"{where} is different in each row; choose another target.")

    def _require_fit(self) -> None:
        if not self._encodings:
            raise TableError("this encoder has not learned from a table yet; call fit() first.")


def _statistics(
    tables: Iterable[Table],
) -> tuple[str, dict[str, ColumnStatistics], ColumnStatistics | None]:
    """Return the file's name, and what there is to know of its columns and its target."""
    features: dict[str, ColumnStatistics] = {}
    target: ColumnStatistics | None = None
    source = "the table"
    for table in tables:
        source = f"'{table.source}'"
        for column in table.columns:
            if column.name not in features:
                place = Place(table.source, column.name)
                features[column.name] = ColumnStatistics(place, column)
            features[column.name].add(column)
        if table.target is not None:
            place = Place(table.source, table.target.name, is_target=True)
            target = target or ColumnStatistics(place, table.target)
            target.add(table.target)
    return source, features, target
