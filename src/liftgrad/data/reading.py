"""CSV and Parquet files as tables, whole or in chunks."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Literal

from liftgrad.data.arrow import column_of, refuse_large
from liftgrad.data.formats import (
    MISSING,
    BrokenRowsError,
    CsvFile,
    ParquetFile,
    UnlikeColumnError,
    delimiter_of,
)
from liftgrad.data.subject import Subject
from liftgrad.data.table import Column, Kind, Table, TableError, no_such_column

__all__ = ["MISSING", "TableStream", "read_table"]


def read_table(
    path: str | PathLike[str],
    target: str | None = None,
    *,
    only: Sequence[str] | None = None,
    drop: Sequence[str] = (),
    kinds: Mapping[str, Kind] | None = None,
    delimiter: str | None = None,
    on_bad_rows: Literal["error", "skip"] = "error",
) -> Table:
    r"""Return the columns of a CSV (also .tsv, .csv.gz) or Parquet file.

    Columns of numbers become float64, with nan where a value is missing; text, Arrow's dictionaries
    of text and booleans become categories. In a CSV file the first line names the columns, and the
    spellings in `MISSING` are missing values. A column of numbers where one begins with a zero
    (01069) has codes, which are categories. A column where most values are dates, or formatted
    numbers (1,234.50 or 3,5 or $20 or 15%), is refused.

    >>> _ = Path("plants.csv").write_text("height,colour\n1.5,red\n2.5,green\n")
    >>> plants = read_table("plants.csv", target="colour")
    >>> plants.names, plants.target.categories
    (('height',), ('green', 'red'))

    Args:
        path: the file.
        target: the column to predict, which the result has separately from the others.
        only: the columns to read, including the target; None: all.
        drop: columns to leave out.
        kinds: "number", "boolean", "category" or "text", by column, where the kind should not be
            inferred: "category" for codes that look like numbers, "text" for categories that
            include None, NA and the like. Columns that the file does not have are refused.
        delimiter: between a CSV file's fields; None: a comma, or a tab in .tsv files, unless it
            does not occur in the first line, and a comma, semicolon, tab or bar does.
        on_bad_rows: whether a CSV row with a wrong number of fields is refused ("error") or left
            out and counted in the table's `skipped` ("skip").

    Raises:
        TableError: if the file or columns cannot be used; with a sentence for each that says where
            and why.
        FileNotFoundError: if there is no such file.
        ImportError: if pyarrow is not installed.

    """
    return TableStream(
        path,
        target,
        only=only,
        drop=drop,
        kinds=kinds,
        delimiter=delimiter,
        on_bad_rows=on_bad_rows,
    ).read()


class TableStream:
    r"""A CSV or Parquet file in chunks, each a `Table`; every iteration reads the file again.

    Only one chunk is in memory: about 16 MB of a CSV file, 65,536 rows of a Parquet file. The kinds
    of a CSV file's columns are inferred from its first chunk; declare them in `kinds` if later
    chunks differ.

    >>> _ = Path("plants.csv").write_text("height,colour\n1.5,red\n2.5,green\n")
    >>> [len(chunk) for chunk in TableStream("plants.csv", target="colour")]
    [2]

    Args and errors: those of `read_table`.

    """

    def __init__(
        self,
        path: str | PathLike[str],
        target: str | None = None,
        *,
        only: Sequence[str] | None = None,
        drop: Sequence[str] = (),
        kinds: Mapping[str, Kind] | None = None,
        delimiter: str | None = None,
        on_bad_rows: Literal["error", "skip"] = "error",
    ) -> None:
        if on_bad_rows not in ("error", "skip"):
            raise ValueError(f'on_bad_rows={on_bad_rows!r}; pass "error" or "skip".')
        for name, kind in (kinds or {}).items():
            if kind not in ("number", "boolean", "category", "text"):
                raise ValueError(
                    f'kinds[\'{name}\']={kind!r}; pass "number", "boolean", "category" or "text".'
                )
        if delimiter is not None and not re.fullmatch(r'[^\r\n"\x80-\U0010ffff]', delimiter):
            raise ValueError(f"delimiter={delimiter!r}; pass one character, such as ';'.")
        self.source = fspath(path)
        self.target, self.kinds = target, dict(kinds or {})
        self.delimiter, self.on_bad_rows = delimiter, on_bad_rows
        if not Path(path).is_file():
            raise FileNotFoundError(f"there is no file '{self.source}'; check its name.")
        suffixes = [suffix.lower() for suffix in Path(path).suffixes]
        bare = suffixes[-2:-1] if suffixes[-1:] == [".gz"] else suffixes[-1:]
        self.file: CsvFile | ParquetFile
        if bare in ([".parquet"], [".pq"]):
            self.file = ParquetFile(self.source)
        elif bare in ([".csv"], [".tsv"]):
            usual = "\t" if bare == [".tsv"] else ","
            between = delimiter or delimiter_of(self.source, usual)
            self.file = CsvFile(self.source, between, on_bad_rows == "skip")
        else:
            raise TableError(
                f"'{self.source}' is no .csv, .tsv or .parquet file by its name; rename or convert "
                "it."
            )
        self.names = self._chosen(self.file.names(), only, drop)
        self._target_missing_as: tuple[str, ...] | None = None

    def read(self) -> Table:
        r"""Return the whole file as one table.

        >>> _ = Path("plants.csv").write_text("height,colour\n1.5,red\n2.5,green\n")
        >>> len(TableStream("plants.csv").read())
        2

        Raises:
            TableError: with a sentence for everything that is wrong, and the columns that are not
                as its `usable`.

        """
        complaints: list[str] = []
        names, file = self.names, copy(self.file)
        while True:
            try:
                rows = file.read(names, self.kinds)
                break
            except BrokenRowsError as error:
                complaints += error.complaints
                file.skip = True  # to check the other rows
            except UnlikeColumnError as error:
                complaints += error.complaints
                names = [name for name in names if name != error.column]
                if not names:
                    raise TableError(*complaints) from None
        if not rows.num_rows:
            raise TableError(*(complaints or [f"'{self.source}' has no rows; add some."]))
        return self._table(file, rows, 0, complaints)

    def spellings(self) -> list[str]:
        r"""Return the spellings of the target's values in a CSV file, and [] for other files.

        Numbers and booleans have no spelling in the `Table`: 1 may be 1.0 in the file.

        >>> _ = Path("plants.csv").write_text("height,kind\n1.5,01\n2.5,02\n")
        >>> TableStream("plants.csv", target="kind").spellings()
        ['01', '02']
        """
        return [] if self.target is None else self.file.spellings(self.target)

    def _missing_as(self, target: Column) -> tuple[str, ...]:
        """Return the spellings of a target's missing values: one may be a class, such as None."""
        if target.kind in ("category", "text") or not target.missing.any():
            return target.missing_as
        if self._target_missing_as is None:  # takes one pass over the file
            self._target_missing_as = tuple(filter(None, self.file.missing_as(target.name)))
        return self._target_missing_as

    def __iter__(self) -> Iterator[Table]:
        """Yield the file's chunks."""
        row = 0
        for chunk in self.file.chunks(self.names, self.kinds):
            if chunk.num_rows:
                yield self._table(self.file, chunk, row, [])
            row += chunk.num_rows
        if not row:
            raise TableError(f"'{self.source}' has no rows; add some.")

    def _chosen(
        self, names: list[str], only: Sequence[str] | None, drop: Sequence[str]
    ) -> list[str]:
        """Return the columns to read."""
        counts = Counter(names)
        wanted = dict.fromkeys([*(only or ()), *drop, *self.kinds, self.target])
        unknown = [name for name in wanted if name is not None and name not in counts]
        if unknown:
            raise TableError(*(no_such_column(f"'{self.source}'", name, names) for name in unknown))
        if self.target in drop:
            raise TableError(f"the target '{self.target}' is dropped; choose another of the two.")
        kept = counts.keys() - drop if only is None else set(only) - {*drop}
        chosen = [name for name in counts if name in kept]
        complaints = []
        if "" in kept:
            complaints.append(
                f"column {names.index('') + 1} of '{self.source}' has no name; name it, or pass "
                "drop=['']."
            )
        for name in chosen:
            if name and counts[name] > 1:
                subject = Subject(self.source, name, is_target=name == self.target)
                complaints.append(
                    f"'{self.source}' has {counts[name]} columns named '{name}'; rename or remove "
                    f"all but one{subject.or_drop}"
                )
        if complaints:
            raise TableError(*complaints)
        return chosen

    def _table(
        self, file: CsvFile | ParquetFile, rows: Any, first: int, complaints: list[str]
    ) -> Table:
        """Return Arrow's columns as a table.

        Args:
            file: that they come from.
            rows: the columns.
            first: the number of rows before them.
            complaints: so far.

        Raises:
            TableError: with all complaints, if there are any.

        """
        columns: list[Column] = []
        target: Column | None = None
        for name, values in zip(rows.schema.names, rows.columns, strict=True):
            subject = Subject(self.source, name, is_target=name == self.target)
            kind = self.kinds.get(name)
            try:
                column = column_of(subject, values, kind, first, file.missing)
                if name in file.whole:
                    refuse_large(subject, column.values)
            except TableError as unusable:
                complaints += unusable.complaints
                continue
            if subject.is_target:
                target = replace(column, missing_as=self._missing_as(column))
            else:
                columns.append(column)
        table = Table(self.source, tuple(columns), target, file.skipped)
        if complaints:
            error = TableError(*complaints)
            error.usable = table
            raise error
        return table
