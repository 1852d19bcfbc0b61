"""CSV and Parquet files, read by pyarrow, with errors that say where in the file."""

import contextlib
import csv
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from liftgrad.data.arrow import CODE, pyarrow
from liftgrad.data.blocks import (
    BLOCK_BYTES,
    Glance,
    WholeBreaks,
    glance,
    refuse_open_quote,
    text_of,
)
from liftgrad.data.subject import Subject
from liftgrad.data.table import Kind, TableError

MISSING = ("", "?", "NA", "N/A", "#N/A", "<NA>", "n/a", "NaN", "nan", "NULL", "null", "None")
"""The spellings of a missing value in a CSV file."""

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
"""The delimiters that are recognised, and their names."""

_CHUNK_BYTES = BLOCK_BYTES
_CHUNK_ROWS = 65536
_NAMED = 3
"""How many more malformed lines an error names."""
_SEARCHED = 1_000_000
"""How many rows after a malformed one are searched for others, which takes a second."""
_ARROW_NAMES = {"double": "a number", "bool": "a boolean", "null": "a missing value"}


def delimiter_of(source: str, usual: str) -> str:
    """Return the delimiter of a CSV file, judging by its first line.

    It is the usual one, unless that does not occur, and a comma, a semicolon, a tab or a bar does.
    """
    # Whatever is wrong with the file is reported when it is read.
    with contextlib.suppress(OSError, UnicodeError, csv.Error), text_of(source) as lines:
        line = next((line for line in lines if line.strip()), "")
        for delimiter in (usual, *DELIMITERS):
            if len(next(csv.reader([line], delimiter=delimiter), ())) > 1:
                return delimiter
    return usual


class BrokenRowsError(TableError):
    """Rows have a wrong number of fields, and could be left out."""


class UnlikeColumnError(TableError):
    """A column does not hold the declared kind; the second argument is its name."""

    @property
    def complaints(self) -> tuple[str, ...]:
        """The sentence."""
        return super().complaints[:1]

    @property
    def column(self) -> str:
        """The column's name."""
        return str(self.args[1])


@dataclass
class CsvFile:
    """A CSV file; `skip` leaves out rows with a wrong number of fields and counts them."""

    source: str
    delimiter: str
    skip: bool
    skipped: int = 0
    whole: set[str] = field(default_factory=set)
    """Columns of whole numbers that were read as floats."""
    missing: tuple[str, ...] = MISSING
    _seen: tuple[int, Glance] | None = None
    """The file's size when it was scanned, and the result."""

    def names(self) -> list[str]:
        """Return the first line's fields."""
        with self._refusals():
            self._scanned()
        with self._refusals(), text_of(self.source) as lines:
            header: list[str] = next((row for row in self._rows(lines) if row), [])
        if not header:
            raise TableError(f"'{self.source}' is empty; it needs a line of column names and rows.")
        if len(header) == 1:
            for other, name in DELIMITERS.items():
                if other in header[0]:
                    raise TableError(
                        f"'{self.source}' has one column, '{header[0][:40]}', and seems to be "
                        f"delimited by {name}s; pass delimiter={other!r}."
                    )
        return header

    def read(self, names: list[str], kinds: Mapping[str, Kind]) -> Any:
        """Return the file as an Arrow table."""
        self.skipped = 0
        with self._refusals():
            seen = self._scanned()
            rows = pyarrow("csv").read_csv(self._blocks(seen), **self._options(names, kinds))
            for name in self._codes(seen, rows.schema, kinds):
                texts = pyarrow().chunked_array([*self._texts(name)])
                rows = rows.set_column(rows.schema.get_field_index(name), name, texts)
            for number in rows.schema:
                self._note_whole(number, rows.column(number.name), kinds)
            return rows

    def chunks(self, names: list[str], kinds: Mapping[str, Kind]) -> Iterator[Any]:
        """Yield the file as Arrow record batches."""
        arrow_csv = pyarrow("csv")
        options = self._options(names, kinds)
        options["read_options"] = arrow_csv.ReadOptions(block_size=_CHUNK_BYTES)
        with self._refusals():
            seen = self._scanned()
            with arrow_csv.open_csv(self._blocks(seen), **options) as reader:
                schema = reader.schema
            codes = self._codes(seen, schema, kinds)
            found: dict[str, Kind] = dict.fromkeys(codes, "category")
            # Whole numbers in the first chunk may be followed by others.
            found |= {
                f.name: "number"
                for f in schema
                if pyarrow().types.is_integer(f.type) and f.name not in found
            }
            self.whole = {name for name, kind in found.items() if kind == "number"} - kinds.keys()
            self.skipped = 0
            options |= self._options(names, {**found, **kinds})
            with arrow_csv.open_csv(self._blocks(seen), **options) as reader:
                for batch in reader:
                    for number in schema:
                        self._note_whole(number, batch.column(number.name), kinds)
                    yield batch

    def spellings(self, name: str) -> list[str]:
        """Return the spellings of a column's different values, without missing ones."""
        return [text for text in self._different(name) if text not in self.missing]

    def missing_as(self, name: str) -> list[str]:
        """Return the spellings of a column's missing values."""
        return sorted(text for text in self._different(name) if text in self.missing)

    def _different(self, name: str) -> dict[str, None]:
        """Return the spellings of a column's different values, in the order of the file."""
        return {text: None for texts in self._texts(name) for text in texts.unique().to_pylist()}

    def _texts(self, name: str) -> Iterator[Any]:
        """Yield a column as it is spelled, in Arrow's arrays of text."""
        arrow_csv, skipped = pyarrow("csv"), self.skipped
        options = self._options([name], {name: "text"})
        options["read_options"] = arrow_csv.ReadOptions(block_size=_CHUNK_BYTES)
        with (
            self._refusals(),
            arrow_csv.open_csv(self._blocks(self._scanned()), **options) as reader,
        ):
            for batch in reader:
                yield batch.column(0)
        self.skipped = skipped

    def _options(self, names: list[str], kinds: Mapping[str, Kind]) -> dict[str, Any]:
        arrow, arrow_csv = pyarrow(), pyarrow("csv")
        text = arrow.string()
        types = {
            "number": arrow.float64(),
            "boolean": arrow.bool_(),
            "category": text,
            "text": text,
        }
        chosen = set(names)
        return {
            "parse_options": arrow_csv.ParseOptions(
                delimiter=self.delimiter,
                newlines_in_values=True,
                invalid_row_handler=self._skip if self.skip else None,
            ),
            # In text, `column_of` finds missing values and their spellings.
            "convert_options": arrow_csv.ConvertOptions(
                column_types={name: types[kind] for name, kind in kinds.items() if name in chosen},
                include_columns=names,
                null_values=list(MISSING),
                strings_can_be_null=False,
            ),
        }

    def _skip(self, _row: Any) -> str:
        self.skipped += 1
        return "skip"

    def _scanned(self) -> Glance:
        """Return the result of scanning the bytes; refuse a quote that is never closed."""
        size = Path(self.source).stat().st_size
        if self._seen is None or self._seen[0] != size:
            seen = glance(self.source, self.delimiter)
            if seen.open_quote:
                refuse_open_quote(self.source, self.delimiter)
            self._seen = size, seen
        return self._seen[1]

    def _blocks(self, seen: Glance) -> Any:
        """Return the file as pyarrow should read it."""
        if not seen.quoted_breaks:
            return self.source
        arrow = pyarrow()
        raw = arrow.input_stream(self.source, compression="detect")
        return arrow.PythonFile(WholeBreaks(raw), "r")

    def _codes(self, seen: Glance, schema: Any, kinds: Mapping[str, Kind]) -> list[str]:
        """Return the columns that were read as numbers and hold codes such as 01069."""
        if not seen.codes:
            return []
        numbers = [f.name for f in schema if _is_number(f.type) and f.name not in kinds]
        return [name for name in numbers if self._matches(name, CODE)]

    def _note_whole(self, number: Any, values: Any, kinds: Mapping[str, Kind]) -> None:
        """Add to `whole` a column of whole numbers too large for floats to tell them apart."""
        if (
            pyarrow().types.is_floating(number.type)
            and number.name not in kinds
            and number.name not in self.whole
            and _is_large(values)
            and self._matches(number.name, r"^\s*[-+]?[0-9]{16,}\s*$")
        ):
            self.whole.add(number.name)

    def _matches(self, name: str, pattern: str) -> bool:
        """Return whether a value of a column, as it is spelled, matches a pattern."""
        compute = pyarrow("compute")
        return any(
            compute.any(compute.match_substring_regex(texts, pattern)).as_py()
            for texts in self._texts(name)
        )

    def _rows(self, lines: Iterable[str]) -> Any:
        return csv.reader(lines, delimiter=self.delimiter)

    @contextlib.contextmanager
    def _refusals(self) -> Iterator[None]:
        """Turn pyarrow's errors and those of decoding into ours."""
        try:
            yield
        except UnicodeError:
            raise TableError(_not_utf8(self.source)) from None
        except (pyarrow().ArrowException, csv.Error) as error:
            raise self._explained(error) from None
        except OSError as error:
            if error.errno is not None:
                raise
            # pyarrow's own error, about a stream that it decompresses.
            raise TableError(
                f"'{self.source}' cannot be decompressed ({error}); write it again."
            ) from None

    def _others(self, rows: Any, fields: int) -> str:
        """Return the part of a sentence about more rows with another number of fields."""
        lines, seen = [], 0
        line = rows.line_num + 1
        with contextlib.suppress(csv.Error, UnicodeDecodeError):  # the first line is reported
            for row in itertools.islice(rows, _SEARCHED):
                if row and len(row) != fields:
                    lines.append(line)
                line = rows.line_num + 1
                seen += 1
        if not lines:
            return ""
        first = ", ".join(map(str, lines[:_NAMED]))
        if len(lines) == 1 and seen < _SEARCHED:
            return f", and line {first} does not fit either"
        least = "at least " if seen == _SEARCHED else ""
        dots = ", ..." if len(lines) > _NAMED else ""
        return f", and {least}{len(lines):,} more lines do not fit ({first}{dots})"

    def _explained(self, error: Exception) -> TableError:
        """Return pyarrow's error as a sentence that says where."""
        message = str(error).splitlines()[0].rstrip(".")
        unlike = re.search(
            r"In CSV column #(\d+): .* error to (\w+): invalid value '(.*)'", message
        )
        line, header = 1, list[str]()
        try:
            with text_of(self.source) as lines:
                rows = self._rows(lines)
                for row in rows:
                    header = header or row
                    if row and len(row) != len(header) and not self.skip:
                        more = self._others(rows, len(header))
                        fields = "1 field" if len(row) == 1 else f"{len(row)} fields"
                        return BrokenRowsError(
                            f"line {line} of '{self.source}' has {fields} where the "
                            f"header has {len(header)}{more}; correct "
                            f'{"them" if more else "it"}, or pass on_bad_rows="skip".'
                        )
                    index = int(unlike[1]) if unlike else len(row)
                    if unlike and line > 1 and [unlike[3]] == row[index : index + 1]:
                        kind = _ARROW_NAMES.get(unlike[2], unlike[2])
                        category = Subject(self.source, header[index]).as_kind("category")
                        return UnlikeColumnError(
                            f"line {line} of '{self.source}' has '{unlike[3][:40]}' in the column "
                            f"'{header[index]}', which is not {kind}; correct it, or pass "
                            f"{category}.",
                            header[index],
                        )
                    line = rows.line_num + 1
        except UnicodeDecodeError:
            return TableError(_not_utf8(self.source))
        except csv.Error as malformed:
            return TableError(
                f"line {line} of '{self.source}' is malformed ({malformed}); correct it."
            )
        return TableError(f"'{self.source}' cannot be read as a table ({message}); correct it.")


@dataclass
class ParquetFile:
    """A Parquet file."""

    source: str
    skip: bool = False
    skipped: int = 0
    whole: frozenset[str] = frozenset()
    missing: tuple[str, ...] = ()

    def names(self) -> list[str]:
        """Return the names of the columns."""
        with self._opened() as file:
            return list(file.schema_arrow.names)

    def read(self, names: list[str], _kinds: Mapping[str, Kind]) -> Any:
        """Return the file as an Arrow table."""
        with self._opened() as file:
            return file.read(columns=names)

    def spellings(self, _name: str) -> list[str]:
        """Return nothing: such a file does not spell its values."""
        return []

    def missing_as(self, _name: str) -> list[str]:
        """Return nothing: such a file does not spell missing values."""
        return []

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


def _is_large(values: Any) -> bool:
    """Return whether there are numbers beyond 2^53, where floats have gaps between integers."""
    ends = pyarrow("compute").min_max(values).as_py()
    return bool(max(abs(ends["min"] or 0.0), abs(ends["max"] or 0.0)) >= 2.0**53)


def _is_number(arrow_type: Any) -> bool:
    types = pyarrow().types
    return bool(types.is_integer(arrow_type) or types.is_floating(arrow_type))


def _not_utf8(source: str) -> str:
    return f"'{source}' is not text in UTF-8; save it in that encoding."
