"""CSV and Parquet files as tables, whole or in chunks; pyarrow reads them."""

from collections.abc import Iterator, Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Literal

from liftgrad.data.arrow import column_of
from liftgrad.data.formats import MISSING, CsvFile, ParquetFile, delimiter_of
from liftgrad.data.table import Kind, Table, TableError, no_such_column

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

    Columns of numbers become float64, with nan where a value is missing; text, booleans and
    Arrow's dictionaries become categories. In a CSV file the first line names the columns, and
    the spellings in `MISSING` stand for a missing value. Text most of which is dates, or numbers as
    people write them (1,234.50 or 3,5 or $20 or 15%), is refused, and no category.

    >>> _ = Path("plants.csv").write_text("height,colour\n1.5,red\n2.5,green\n")
    >>> plants = read_table("plants.csv", target="colour")
    >>> plants.names, plants.target.categories
    (('height',), ('green', 'red'))

    Args:
        path: the file.
        target: the column to predict, which stands apart in the result.
        only: the columns to read, the target among them; None: all.
        drop: columns that are left out.
        kinds: what columns are, "number", "boolean" or "category", where it should not be found
            from what they hold: codes of places that look like numbers are categories. If a
            column is named here that the file has not, it is refused.
        delimiter: between a CSV file's fields; None: a comma, and a tab in .tsv files, or which of
            comma, semicolon and tab cuts the first line where that does not.
        on_bad_rows: whether a CSV row with a wrong number of fields is refused ("error") or left
            out and counted in the table's `skipped` ("skip").

    Raises:
        TableError: if the file or a column cannot be used; one sentence says where and why.
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
    r"""A CSV or Parquet file that is read in chunks, each a `Table`, anew by each iteration.

    Only a chunk is in memory: about 16 MB of a CSV file, 65,536 rows of a Parquet file. What a CSV
    file's columns are is found from its first chunk; where a later one differs, `kinds` says it.

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
            if kind not in ("number", "boolean", "category"):
                raise ValueError(
                    f'kinds[\'{name}\']={kind!r}; pass "number", "boolean" or "category".'
                )
        self.source = fspath(path)
        self.target, self.kinds = target, dict(kinds or {})
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

    def read(self) -> Table:
        r"""Return the whole file as one table.

        >>> _ = Path("plants.csv").write_text("height,colour\n1.5,red\n2.5,green\n")
        >>> len(TableStream("plants.csv").read())
        2
        """
        rows = self.file.read(self.names, self.kinds)
        if not rows.num_rows:
            raise TableError(f"'{self.source}' has no rows; add some.")
        return self._table(rows, 0)

    def __iter__(self) -> Iterator[Table]:
        """Yield the file's chunks."""
        row = 0
        for chunk in self.file.chunks(self.names, self.kinds):
            if chunk.num_rows:
                yield self._table(chunk, row)
            row += chunk.num_rows
        if not row:
            raise TableError(f"'{self.source}' has no rows; add some.")

    def _chosen(
        self, names: list[str], only: Sequence[str] | None, drop: Sequence[str]
    ) -> list[str]:
        """Return the columns to read."""
        wanted = [*(only or ()), *drop, *self.kinds]
        for name in [*wanted, *([] if self.target is None else [self.target])]:
            if name not in names:
                raise TableError(no_such_column(f"'{self.source}'", name, names))
        if self.target in drop:
            raise TableError(f"the target '{self.target}' is dropped; choose another of the two.")
        chosen = [name for name in names if name not in drop and (only is None or name in only)]
        for name in chosen:
            if not name:
                raise TableError(
                    f"column {names.index(name) + 1} of '{self.source}' has no name; name it, or "
                    "leave it out with drop=['']."
                )
            if chosen.count(name) > 1:
                raise TableError(
                    f"'{self.source}' has {chosen.count(name)} columns named '{name}'; rename or "
                    "remove all but one."
                )
        return chosen

    def _table(self, rows: Any, first: int) -> Table:
        """Return Arrow's columns as ours; `first` is the number of rows before them."""
        columns = [
            column_of(self.source, name, rows.column(name), self.kinds.get(name), first)
            for name in self.names
        ]
        return Table(
            self.source,
            tuple(column for column in columns if column.name != self.target),
            next((column for column in columns if column.name == self.target), None),
            self.file.skipped,
        )
