"""Arrow's columns as ours."""

import importlib
import math
import re
from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad.data.place import Place
from liftgrad.data.table import Column, Kind, TableError

CODE = r"^\s*0([0-9]+|[xX][0-9a-fA-F]+)\s*$"
"""A number with a leading zero is a code, such as 01069, and another than 1069; so is 0x1F."""
_GROUPS = r"\d{1,3}(?:([,.'\u2019 \u00a0\u202f_])\d{3})(?:\1\d{3})*(?:[.,]\d+)?"
_WRITTEN = re.compile(rf"[-+]?\s*[$€£¥]?\s*[-+]?(?:{_GROUPS}|\d+[.,]\d+|\d+)\s*[$€£¥%]?")
"""Numbers as people write them: 1,234.50 or 1.234,50 or 3,5 or $20 or 15% or +2."""
_NUMBER = re.compile(r"\s*-?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?\s*", re.ASCII)
"""A number as pyarrow reads it."""
_DATE = re.compile(
    r"(?:\d{4}([-/.])\d{1,2}\1\d{1,2}|\d{1,2}([-/.])\d{1,2}\2\d{4}|\d{1,2}/\d{1,2}/\d{2})"
    r"(?:[T ,].*)?"
)


def pyarrow(module: str = "") -> Any:
    """Return pyarrow, or one of its modules.

    Raises:
        ImportError: if it is not installed.

    """
    try:
        return importlib.import_module(f"pyarrow.{module}" if module else "pyarrow")
    except ModuleNotFoundError:
        raise ImportError(
            "tables are read by pyarrow, which is not installed; run pip install 'liftgrad[data]'."
        ) from None


def column_of(
    place: Place, values: Any, kind: Kind | None, first: int, missing: Collection[str] = ()
) -> Column:
    """Return an Arrow column as ours.

    Args:
        place: whose column it is.
        values: Arrow's.
        kind: what it is said to be; None: what it holds.
        first: how many rows of the file are before it.
        missing: the spellings of a missing value; of "text" it is the empty one only.

    Raises:
        TableError: if it holds neither numbers nor categories.

    """
    arrow, compute = pyarrow(), pyarrow("compute")
    types = arrow.types
    values = _plain(place, values, kind)
    if types.is_boolean(values.type) and kind in ("boolean", None):
        codes = compute.fill_null(values.cast(arrow.int8()), -1).to_numpy(zero_copy_only=False)
        return Column(place.name, "boolean", codes.astype(np.int32), ("false", "true"))
    text = types.is_string(values.type) or types.is_large_string(values.type)
    if kind in ("category", "text") or (text and kind != "number"):
        missing = [spelling for spelling in missing if kind != "text" or not spelling]
        values = values if text else values.cast(arrow.string())
        column = _categories(place.name, values, kind or "category", missing)
        if text and kind is None:
            _refuse_spoiled_numbers(place, column, first)
        return column
    return Column(place.name, "number", _numbers(place, values, first))


def _plain(place: Place, values: Any, kind: Kind | None) -> Any:
    """Return values without dictionaries, views, times and nulls.

    Raises:
        TableError: if they are bytes, times that are not said to be categories, or nothing at all.

    """
    arrow = pyarrow()
    types = arrow.types
    if types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if str(values.type) == "string_view":
        values = values.cast(arrow.string())
    if types.is_binary(values.type) or types.is_large_binary(values.type):
        raise TableError(f"{place} is not text in UTF-8; save the file in that encoding.")
    if types.is_temporal(values.type):
        if kind in ("category", "text"):
            return values.cast(arrow.string())
        raise TableError(
            f"{place} holds dates or times ({values.type}); turn them into numbers, such as days "
            f"since a date{place.or_drop}"
        )
    if types.is_null(values.type):
        if kind is None:
            raise TableError(f"{place} has no values at all; {place.only_drop}")
        return values.cast(arrow.float64() if kind == "number" else arrow.string())
    return values


def refuse_large(place: Place, numbers: NDArray[np.float64]) -> None:
    """Refuse whole numbers that were read as floats and may be others than in the file.

    Raises:
        TableError: if there are numbers beyond 2^53.

    """
    if np.any(np.abs(numbers[np.isfinite(numbers)]) >= 2.0**53):
        cure = "" if place.is_target else f"{place.drop}, or "
        raise TableError(
            f"{place} holds whole numbers beyond 2^53, which float64 cannot tell apart; pass "
            f"{cure}{place.as_kind('category')}, or {place.as_kind('number')} if their last digits "
            "do not matter."
        )


def _numbers(place: Place, values: Any, first: int) -> NDArray[np.float64]:
    """Return numbers as float64, nan where missing.

    Raises:
        TableError: if they are none, infinite, or whole ones too large to be told apart.

    """
    arrow, compute = pyarrow(), pyarrow("compute")
    types = arrow.types
    try:
        numbers = values.cast(arrow.float64(), safe=False)
    except arrow.ArrowException:
        raise TableError(
            f"{place} holds {values.type}, which is not all numbers, text or booleans; convert it"
            f"{place.or_drop}"
        ) from None
    array = compute.fill_null(numbers, math.nan).to_numpy(zero_copy_only=False)
    whole = types.is_decimal(values.type) and values.type.scale <= 0
    if types.is_integer(values.type) or whole:
        refuse_large(place, array)
    if np.isinf(array).any():
        row = first + int(np.argmax(np.isinf(array))) + 1
        raise TableError(f"{place} is infinite in row {row}; correct it, or leave the field empty.")
    return np.array(array, np.float64)


def _categories(name: str, values: Any, kind: Kind, missing: Collection[str]) -> Column:
    compute = pyarrow("compute")
    encoded = compute.dictionary_encode(values)
    if isinstance(encoded, pyarrow().ChunkedArray):
        encoded = encoded.combine_chunks()
    met: list[str] = encoded.dictionary.to_pylist()
    categories = sorted(text for text in met if text not in missing)
    place = {category: i for i, category in enumerate(categories)}
    places = np.array([place.get(text, -1) for text in met] + [-1], np.int32)
    codes = compute.fill_null(encoded.indices, len(met)).to_numpy(zero_copy_only=False)
    missing_as = tuple(sorted(text for text in met if text and text in missing))
    return Column(name, kind, places[codes], tuple(categories), missing_as)


def _refuse_spoiled_numbers(place: Place, column: Column, first: int) -> None:
    """Refuse a column of numbers or dates that would become categories.

    Raises:
        TableError: if more than half of the different values are numbers, but not all: one odd
            entry, or numbers with signs that only people read; or if so many are dates.

    """
    different = column.categories
    odd = [text for text in different if not _NUMBER.fullmatch(text)]
    written = [text for text in odd if _WRITTEN.fullmatch(text.strip())]
    dates = [text for text in different if _DATE.fullmatch(text.strip())]
    spoiled = odd and 2 * (len(odd) - len(written)) < len(different)
    if not spoiled and 2 * len(dates) <= len(different):
        return
    met, rows = np.unique(column.values, return_index=True)
    first_row = {different[i]: first + row + 1 for i, row in zip(met, rows, strict=True) if i >= 0}
    text = min((written or odd) if spoiled else dates, key=first_row.__getitem__)
    found = f"'{text[:40]}' in row {first_row[text]}"
    classes = place.as_kind("category")
    if spoiled and written:
        cure = "" if place.is_target else f"{place.drop}, or "
        raise TableError(
            f"{place} holds numbers that are written like {found}; write them with digits and a "
            f"decimal point only, or pass {cure}{classes}."
        )
    if spoiled:
        raise TableError(
            f"{place} holds numbers, but {found}; correct it, leave the field empty, or pass "
            f"{classes}."
        )
    raise TableError(
        f"{place} holds dates, such as {found}; turn them into numbers, such as days since a date"
        f"{place.or_drop}"
    )
