"""One column of a table as columns of a matrix, and the statistics that this takes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self, get_args

import numpy as np
from numpy.typing import NDArray

from liftgrad.data.subject import Subject
from liftgrad.data.table import Column, Kind, TableError
from liftgrad.fields import fields, flag, listed, one_of, real, text

Array = NDArray[np.float64]

MOST_CATEGORIES = 1000
_SURELY_IDENTIFIERS = 10
"""From this many rows on, text that is different in each of them is an identifier."""


@dataclass(frozen=True)
class ColumnEncoding:
    """The encoding of one column as columns of X."""

    name: str
    kind: Kind
    mean: float = 0.0
    std: float = 1.0
    categories: tuple[str, ...] = ()
    has_missing: bool = False
    constant: bool = False

    def names(self) -> list[str]:
        """Return the names of the columns of X."""
        if self.constant and not self.has_missing:
            return []
        own = (
            [self.name] if self.kind == "number" else [f"{self.name}={c}" for c in self.categories]
        )
        own = [] if self.constant else own
        return [*own, f"{self.name} is missing"] if self.has_missing else own

    def apply(self, column: Column, X: Array) -> None:
        """Fill columns X (rows, len(names()))."""
        missing = column.missing
        if self.has_missing:
            X[:, -1] = missing
        if self.constant:
            return
        if self.kind == "number":
            X[:, 0] = np.where(missing, 0.0, (column.values - self.mean) / self.std)
            return
        index_of = {category: i for i, category in enumerate(self.categories)}
        unknown = len(self.categories)
        indices = np.array([*(index_of.get(c, unknown) for c in column.categories), unknown])
        one_hot = np.vstack([np.eye(unknown), np.zeros(unknown)])
        X[:, :unknown] = one_hot[indices[column.values]]

    @classmethod
    def from_dict(cls, learned: Any) -> Self:
        """Return the encoding that a dictionary describes.

        Raises:
            ValueError: if something in it is invalid.
            KeyError: if something is missing.

        """
        learned = fields("column", learned)
        mean, std = (real(name, learned[name]) for name in ("mean", "std"))
        if set(learned) != set(cls.__dataclass_fields__) or not (
            math.isfinite(mean) and 0.0 < std < math.inf
        ):
            raise ValueError("its mean or std is out of range, or it has unknown fields")
        return cls(
            name=text("name", learned["name"]),
            kind=one_of("kind", learned["kind"], get_args(Kind)),
            mean=mean,
            std=std,
            categories=tuple(listed("categories", learned["categories"], text)),
            has_missing=flag("has_missing", learned["has_missing"]),
            constant=flag("constant", learned["constant"]),
        )


class ColumnStatistics:
    """The statistics of a column, read in chunks, that its encoding needs."""

    def __init__(self, subject: Subject, column: Column) -> None:
        self.subject, self.kind = subject, column.kind
        self.missing_as: set[str] = set()
        self.rows = self.missing = 0
        self.mean = self.squares = 0.0
        self.least, self.most = math.inf, -math.inf
        self.categories: set[str] = set()
        self.different: set[float] | None = set() if subject.is_target else None
        """A target's different numbers; None if they are too many to be classes."""

    def add(self, column: Column) -> None:
        """Add a chunk; means and variances are merged as in Chan, Golub & LeVeque (1983)."""
        require_kind(self.subject, column, self.kind)
        self.missing_as.update(column.missing_as)
        missing = column.missing
        before = self.rows - self.missing
        self.rows += len(missing)
        self.missing += int(missing.sum())
        if column.kind != "number":
            self.categories.update(column.categories[i] for i in np.unique(column.values[~missing]))
            return
        numbers = column.values[~missing]
        if not len(numbers):
            return
        with np.errstate(all="ignore"):  # encoding() refuses what overflowed
            mean = float(numbers.mean())
            squares = float(np.square(numbers - mean).sum())
            share = len(numbers) / (before + len(numbers))
            difference = mean - self.mean
            self.mean += difference * share
            self.squares += squares + difference * difference * before * share
        self.least, self.most = min(self.least, numbers.min()), max(self.most, numbers.max())
        if self.different is not None:
            self.different.update(np.unique(numbers).tolist())
            if len(self.different) > MOST_CATEGORIES:
                self.different = None

    def refuse_missing(self) -> None:
        """Refuse a column that has missing values.

        Raises:
            TableError: if it has any.

        """
        refuse_missing(self.subject, self.missing, sorted(self.missing_as))

    def encoding(self, *, refuse: bool) -> ColumnEncoding:
        """Return the encoding.

        Args:
            refuse: whether to refuse missing values, too.

        Raises:
            TableError: if the column cannot be encoded.

        """
        name, found = self.subject.name, self.rows - self.missing
        if not found:
            raise TableError(f"{self.subject} has no values at all; {self.subject.only_drop}")
        if refuse:
            self.refuse_missing()
        has_missing = self.missing > 0
        if self.kind == "number":
            std = math.sqrt(self.squares / found)
            if not (math.isfinite(std) and math.isfinite(self.mean)):
                raise TableError(
                    f"{self.subject} has numbers too large to standardise; scale them down"
                    f"{self.subject.or_drop}"
                )
            constant = bool(self.least == self.most) or std == 0.0
            mean = float(self.mean)
            return ColumnEncoding(
                name, self.kind, mean, 1.0 if constant else std, (), has_missing, constant
            )
        codes = all(text.strip().isdecimal() for text in self.categories)
        or_number = f", or {self.subject.as_kind('number')} if these are numbers" if codes else ""
        if len(self.categories) == found >= _SURELY_IDENTIFIERS:
            raise TableError(
                f"{self.subject} is different in each row, so it names the rows and teaches "
                f"nothing; pass {self.subject.drop}{or_number}."
            )
        if len(self.categories) > MOST_CATEGORIES:
            raise TableError(
                f"{self.subject} has {len(self.categories):,} different values, more than "
                f"{MOST_CATEGORIES:,}; group them, or pass {self.subject.drop}{or_number}."
            )
        categories = tuple(sorted(self.categories))
        constant = len(categories) == 1
        return ColumnEncoding(name, self.kind, 0.0, 1.0, categories, has_missing, constant)


def require_kind(subject: Subject, column: Column, kind: Kind) -> None:
    """Refuse numbers in a column that was text before, and vice versa.

    Raises:
        TableError: for such a column.

    """
    if (column.kind == "number") != (kind == "number"):
        names: dict[Kind, str] = {"number": "numbers", "boolean": "booleans"}
        raise TableError(
            f"{subject} holds {names.get(column.kind, 'text')}, where {names.get(kind, 'text')} "
            f"came before; correct it, or pass {subject.as_kind(kind)}."
        )


def refuse_missing(subject: Subject, count: int, missing_as: Sequence[str]) -> None:
    """Refuse a column with missing values.

    Args:
        subject: the column.
        count: how many are missing.
        missing_as: the spellings of missing values.

    Raises:
        TableError: if any are missing.

    """
    if not count:
        return
    text = f"{subject} has no value in {'1 row' if count == 1 else f'{count:,} rows'}"
    cures = ["remove these rows"] if subject.is_target else ['pass missing="mean"']
    if missing_as:
        text = f"{text}, where {' or '.join(repr(spelling) for spelling in missing_as[:3])} stands"
        verb, one = ("pass ", "a class") if subject.is_target else ("", "one")
        cures.append(f"{verb}{subject.as_kind('text')} if that is {one}")
    raise TableError(f"{text}; {', or '.join(['fill them', *cures])}.")
