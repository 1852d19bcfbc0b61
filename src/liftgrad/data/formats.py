"""CSV and Parquet files, read by pyarrow, with errors that say where."""

import contextlib
import csv
import io
import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from liftgrad.data.arrow import pyarrow, refuse_large
from liftgrad.data.table import Kind, TableError

MISSING = ("", "?", "NA", "N/A", "#N/A", "<NA>", "n/a", "NaN", "nan", "NULL", "null", "None")
"""What stands in a CSV file where a value is missing."""

_CHUNK_BYTES = 16 << 20
_CHUNK_ROWS = 65536
_NAMED = 3
"""How many more bad lines an error names."""
_LOOKED_AT = 1_000_000
"""In how many rows after a bad one others are looked for, which takes a second."""
_ARROW_NAMES = {"double": "number", "bool": "boolean", "null": "missing value"}


def delimiter_of(source: str, usual: str) -> str:
    """Return what cuts the first line of a CSV file.

    It is the usual one, unless only a comma, a semicolon or a tab cuts the line.
    """
    # What is wrong with a file is said where it is read.
    with contextlib.suppress(OSError, UnicodeError, csv.Error), _text_of(source) as lines:
        line = next((line for line in lines if line.strip()), "")
        for delimiter in (usual, ",", ";", "\t"):
            if len(next(csv.reader([line], delimiter=delimiter), ())) > 1:
                return delimiter
    return usual


@dataclass
class CsvFile:
    """A CSV file; `skip` leaves rows with a wrong number of fields out and counts them."""

    source: str
    delimiter: str
    skip: bool
    skipped: int = 0
    closed: int = -1
    """How large the file was when all its quotes were closed."""

    def names(self) -> list[str]:
        """Return the first line's fields."""
        with self._refusals():
            self._refuse_open_quote()
        with self._refusals(), _text_of(self.source) as lines:
            header: list[str] = next((row for row in self._rows(lines) if row), [])
        if not header:
            raise TableError(f"'{self.source}' is empty; it needs a line of column names and rows.")
        if len(header) == 1:
            for other, name in ((";", "semicolon"), ("\t", "tab"), (",", "comma")):
                if other in header[0]:
                    raise TableError(
                        f"'{self.source}' has one column, '{header[0][:40]}', and seems to be cut "
                        f"by {name}s; pass delimiter={other!r}."
                    )
        return header

    def read(self, names: list[str], kinds: Mapping[str, Kind]) -> Any:
        """Return the file as an Arrow table."""
        arrow_csv = pyarrow("csv")
        self.skipped = 0
        with self._refusals():
            self._refuse_open_quote()
            return arrow_csv.read_csv(self.source, **self._options(names, kinds))

    def chunks(self, names: list[str], kinds: Mapping[str, Kind]) -> Iterator[Any]:
        """Yield the file as Arrow record batches."""
        arrow_csv = pyarrow("csv")
        options = self._options(names, kinds)
        options["read_options"] = arrow_csv.ReadOptions(block_size=_CHUNK_BYTES)
        with self._refusals():
            self._refuse_open_quote()
            with arrow_csv.open_csv(self.source, **options) as reader:
                schema = reader.schema
            # Whole numbers in the first chunk do not say that there are no others.
            numbers: dict[str, Kind] = {
                f.name: "number" for f in schema if pyarrow().types.is_integer(f.type)
            }
            self.skipped = 0
            options |= self._options(names, {**numbers, **kinds})
            with arrow_csv.open_csv(self.source, **options) as reader:
                for batch in reader:
                    for name in numbers.keys() - kinds.keys():
                        refuse_large(self.source, name, batch.column(name))
                    yield batch

    def _options(self, names: list[str], kinds: Mapping[str, Kind]) -> dict[str, Any]:
        arrow, arrow_csv = pyarrow(), pyarrow("csv")
        types = {"number": arrow.float64(), "boolean": arrow.bool_(), "category": arrow.string()}
        return {
            "parse_options": arrow_csv.ParseOptions(
                delimiter=self.delimiter,
                newlines_in_values=True,
                invalid_row_handler=self._skip if self.skip else None,
            ),
            "convert_options": arrow_csv.ConvertOptions(
                column_types={name: types[kind] for name, kind in kinds.items() if name in names},
                include_columns=names,
                null_values=list(MISSING),
                strings_can_be_null=True,
            ),
        }

    def _skip(self, _row: Any) -> str:
        self.skipped += 1
        return "skip"

    def _refuse_open_quote(self) -> None:
        """Refuse a file with a quote that is never closed, and swallows all that follows.

        pyarrow would take the rest of the file for one field. Where no quote is left open the
        number of quotes is even, so that few files are looked at more closely than that.
        """
        size = Path(self.source).stat().st_size
        if self.closed == size:
            return
        quotes = 0
        with pyarrow().input_stream(self.source, compression="detect") as raw:
            while block := raw.read(_CHUNK_BYTES):
                quotes += block.count(b'"')
        line = self._open_quote() if quotes % 2 else None
        if line is not None:
            raise TableError(
                f"a quote that opens in line {line} of '{self.source}' is never closed; close it, "
                'or write "" for a quote within quotes.'
            )
        self.closed = size

    def _open_quote(self) -> int | None:
        """Return the line with a quote that is never closed, if there is one."""
        lines_of_row: list[str] = []

        def noted(lines: io.TextIOWrapper) -> Iterator[str]:
            for line in lines:
                lines_of_row.append(line)
                yield line

        first, fields, last = 1, 0, (1, [""])
        with _text_of(self.source) as lines:
            reader = csv.reader(noted(lines), delimiter=self.delimiter)
            try:
                for row in reader:
                    fields = fields or len(row)
                    last = first, lines_of_row.copy()
                    if len(last[1]) > 1 and len(row) != fields:
                        break  # a later quote closed it, and all is in disorder from there on
                    lines_of_row.clear()
                    first = reader.line_num + 1
            except csv.Error:  # a field is larger than any would be
                last = first, lines_of_row
        first, texts = last
        if len(texts) == 1:
            with contextlib.suppress(csv.Error):
                # Quotes within a field that does not begin with one are just characters.
                list(csv.reader(texts, delimiter=self.delimiter, strict=True))
                return None
        opened, opening = False, first
        for number, text in enumerate(texts, first):
            if text.count('"') % 2:
                opened = not opened
                opening = number if opened else opening
        return opening

    def _rows(self, lines: io.TextIOWrapper) -> Any:
        return csv.reader(lines, delimiter=self.delimiter)

    @contextlib.contextmanager
    def _refusals(self) -> Iterator[None]:
        """Turn pyarrow's errors and those of decoding into ours."""
        try:
            yield
        except UnicodeError:
            raise TableError(_not_utf8(self.source)) from None
        except (pyarrow().ArrowException, csv.Error) as error:
            raise TableError(self._explain(error)) from None
        except OSError as error:
            if error.errno is not None:
                raise
            # pyarrow's own, of a stream that it decompresses.
            raise TableError(
                f"'{self.source}' cannot be decompressed ({error}); write it again."
            ) from None

    def _others(self, rows: Any, fields: int) -> str:
        """Return where the following rows have another number of fields, for a sentence."""
        lines, seen = [], 0
        line = rows.line_num + 1
        with contextlib.suppress(csv.Error, UnicodeDecodeError):  # the first line says enough
            for row in itertools.islice(rows, _LOOKED_AT):
                if row and len(row) != fields:
                    lines.append(line)
                line = rows.line_num + 1
                seen += 1
        if not lines:
            return ""
        first = ", ".join(map(str, lines[:_NAMED]))
        if len(lines) == 1 and seen < _LOOKED_AT:
            return f", and line {first} does not fit either"
        least = "at least " if seen == _LOOKED_AT else ""
        dots = ", ..." if len(lines) > _NAMED else ""
        return f", and {least}{len(lines):,} more lines do not fit ({first}{dots})"

    def _explain(self, error: Exception) -> str:
        """Return a sentence on what pyarrow did not like."""
        said = str(error).splitlines()[0].rstrip(".")
        unlike = re.search(r"In CSV column #(\d+): .* error to (\w+): invalid value '(.*)'", said)
        line, header = 1, list[str]()
        try:
            with _text_of(self.source) as lines:
                rows = self._rows(lines)
                for row in rows:
                    header = header or row
                    if row and len(row) != len(header) and not self.skip:
                        more = self._others(rows, len(header))
                        return (
                            f"line {line} of '{self.source}' has {len(row)} fields where the "
                            f"header has {len(header)}{more}; correct "
                            f'{"them" if more else "it"}, or pass on_bad_rows="skip".'
                        )
                    place = int(unlike[1]) if unlike else len(row)
                    if unlike and line > 1 and [unlike[3]] == row[place : place + 1]:
                        kind = _ARROW_NAMES.get(unlike[2], unlike[2])
                        return (
                            f"line {line} of '{self.source}' has '{unlike[3][:40]}' in the column "
                            f"'{header[place]}', which is no {kind}; correct it, or say in kinds "
                            "what the column holds."
                        )
                    line = rows.line_num + 1
        except UnicodeDecodeError:
            return _not_utf8(self.source)
        except csv.Error as malformed:
            return f"line {line} of '{self.source}' is malformed ({malformed}); correct it."
        return f"'{self.source}' cannot be read as a table ({said}); correct it."


@dataclass
class ParquetFile:
    """A Parquet file."""

    source: str
    skipped: int = 0

    def names(self) -> list[str]:
        """Return the names of the columns."""
        with self._opened() as file:
            return list(file.schema_arrow.names)

    def read(self, names: list[str], _kinds: Mapping[str, Kind]) -> Any:
        """Return the file as an Arrow table."""
        with self._opened() as file:
            return file.read(columns=names)

    def chunks(self, names: list[str], _kinds: Mapping[str, Kind]) -> Iterator[Any]:
        """Yield the file as Arrow record batches."""
        with contextlib.ExitStack() as stack:
            with self._refusals():
                file = stack.enter_context(pyarrow("parquet").ParquetFile(self.source))
                batches = file.iter_batches(batch_size=_CHUNK_ROWS, columns=names)
            while True:
                with self._refusals():
                    batch = next(batches, None)
                if batch is None:
                    return
                yield batch

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Any]:
        parquet = pyarrow("parquet")
        with self._refusals(), parquet.ParquetFile(self.source) as file:
            yield file

    @contextlib.contextmanager
    def _refusals(self) -> Iterator[None]:
        """Turn pyarrow's errors into ours."""
        try:
            yield
        except (pyarrow().ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise TableError(
                f"'{self.source}' is no Parquet file, or a damaged one; write it again."
            ) from None


def _text_of(source: str) -> io.TextIOWrapper:
    raw = pyarrow().input_stream(source, compression="detect")
    return io.TextIOWrapper(io.BufferedReader(raw), "utf-8-sig", newline="")


def _not_utf8(source: str) -> str:
    return f"'{source}' is not text in UTF-8; save it in that encoding."
