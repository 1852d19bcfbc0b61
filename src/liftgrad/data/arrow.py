"""Conversion of Arrow's columns to ours."""

import importlib
import math
import re
from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad.data.subject import Subject
from liftgrad.data.table import Column, Kind, TableError

CODE = r"^\s*0([0-9]+|[xX][0-9a-fA-F]+)\s*$"
"""A number with a leading zero is a code: 01069 is not 1069, and neither is 0x1F a number."""
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
    subject: Subject, values: Any, kind: Kind | None, first: int, missing: Collection[str] = ()
) -> Column:
    """Return an Arrow column as ours.

    Args:
        subject: the column in messages.
        values: of Arrow.
        kind: of the column; None: inferred from the values.
        first: how many rows of the file come before.
        missing: the spellings of a missing value; in "text" only an empty one is missing.

    Raises:
        TableError: if it holds neither numbers nor categories.

    """
    arrow, compute = pyarrow(), pyarrow("compute")
    types = arrow.types
    values = _plain(subject, values, kind)
    if types.is_boolean(values.type) and kind in ("boolean", None):
        codes = compute.fill_null(values.cast(arrow.int8()), -1).to_numpy(zero_copy_only=False)
        return Column(subject.name, "boolean", codes.astype(np.int32), ("false", "true"))
    text = types.is_string(values.type) or types.is_large_string(values.type)
    if kind in ("category", "text") or (text and kind != "number"):
        missing = [spelling for spelling in missing if kind != "text" or not spelling]
        values = values if text else values.cast(arrow.string())
        column = _categories(subject.name, values, kind or "category", missing)
        if text and kind is None:
            _refuse_spoiled_numbers(subject, column, first)
        return column
    return Column(subject.name, "number", _numbers(subject, values, first))


def _plain(subject: Subject, values: Any, kind: Kind | None) -> Any:
    """Return values as one of Arrow's types of numbers, booleans and strings.

    Raises:
        TableError: if they are bytes, times that were not declared as categories, or all null.

    """
    arrow = pyarrow()
    types = arrow.types
    if types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if str(values.type) == "string_view":
        values = values.cast(arrow.string())
    if types.is_binary(values.type) or types.is_large_binary(values.type):
        raise TableError(f"{subject} is not text in UTF-8; save the file in that encoding.")
    if types.is_temporal(values.type):
        if kind in ("category", "text"):
            return values.cast(arrow.string())
        raise TableError(
            f"{subject} holds dates or times ({values.type}); turn them into numbers, such as days "
            f"since a date{subject.or_drop}"
        )
    if types.is_null(values.type):
        if kind is None:
            raise TableError(f"{subject} has no values at all; {subject.only_drop}")
        return values.cast(arrow.float64() if kind == "number" else arrow.string())
    return values


def refuse_large(subject: Subject, numbers: NDArray[np.float64]) -> None:
    """Refuse whole numbers that were read as floats and may differ from those in the file.

    Raises:
        TableError: if there are numbers beyond 2^53.

    """
    if np.any(np.abs(numbers[np.isfinite(numbers)]) >= 2.0**53):
        cure = "" if subject.is_target else f"{subject.drop}, or "
        raise TableError(
            f"{subject} holds whole numbers beyond 2^53, which float64 cannot tell apart; pass "
            f"{cure}{subject.as_kind('category')}, or {subject.as_kind('number')} if their last "
            "digits do not matter."
        )


def _numbers(subject: Subject, values: Any, first: int) -> NDArray[np.float64]:
    """Return numbers as float64, nan where missing.

    Raises:
        TableError: if they are not numbers, infinite, or whole numbers too large for a float.

    """
    arrow, compute = pyarrow(), pyarrow("compute")
    types = arrow.types
    try:
        numbers = values.cast(arrow.float64(), safe=False)
    except arrow.ArrowException:
        raise TableError(
            f"{subject} holds {values.type}, which is not all numbers, text or booleans; convert it"
            f"{subject.or_drop}"
        ) from None
    array = compute.fill_null(numbers, math.nan).to_numpy(zero_copy_only=False)
    whole = types.is_decimal(values.type) and values.type.scale <= 0
    if types.is_integer(values.type) or whole:
        refuse_large(subject, array)
    if np.isinf(array).any():
        row = first + int(np.argmax(np.isinf(array))) + 1
        raise TableError(
            f"{subject} is infinite in row {row}; correct it, or leave the field empty."
        )
    return np.array(array, np.float64)


def _categories(name: str, values: Any, kind: Kind, missing: Collection[str]) -> Column:
    compute = pyarrow("compute")
    encoded = compute.dictionary_encode(values)
    if isinstance(encoded, pyarrow().ChunkedArray):
        encoded = encoded.combine_chunks()
    found: list[str] = encoded.dictionary.to_pylist()
    categories = sorted(text for text in found if text not in missing)
    index_of = {category: i for i, category in enumerate(categories)}
    indices = np.array([index_of.get(text, -1) for text in found] + [-1], np.int32)
    codes = compute.fill_null(encoded.indices, len(found)).to_numpy(zero_copy_only=False)
    missing_as = tuple(sorted(text for text in found if text and text in missing))
    return Column(name, kind, indices[codes], tuple(categories), missing_as)


def _refuse_spoiled_numbers(subject: Subject, column: Column, first: int) -> None:
    """Refuse a column of numbers or dates that would become categories.

    Raises:
        TableError: if more than half of the different values are numbers, but not all, as with a
            typing error or with thousands separators; or if more than half are dates.

    """
    different = column.categories
    odd = [text for text in different if not _NUMBER.fullmatch(text)]
    written = [text for text in odd if _WRITTEN.fullmatch(text.strip())]
    dates = [text for text in different if _DATE.fullmatch(text.strip())]
    spoiled = odd and 2 * (len(odd) - len(written)) < len(different)
    if not spoiled and 2 * len(dates) <= len(different):
        return
    codes, rows = np.unique(column.values, return_index=True)
    first_row = {
        different[i]: first + row + 1 for i, row in zip(codes, rows, strict=True) if i >= 0
    }
    text = min((written or odd) if spoiled else dates, key=first_row.__getitem__)
    found = f"'{text[:40]}' in row {first_row[text]}"
    classes = subject.as_kind("category")
    if spoiled and written:
        cure = "" if subject.is_target else f"{subject.drop}, or "
        raise TableError(
            f"{subject} holds numbers that are written like {found}; write them with digits and a "
            f"decimal point only, or pass {cure}{classes}."
        )
    if spoiled:
        raise TableError(
            f"{subject} holds numbers, but {found}; correct it, leave the field empty, or pass "
            f"{classes}."
        )
    raise TableError(
        f"{subject} holds dates, such as {found}; turn them into numbers, such as days since a date"
        f"{subject.or_drop}"
    )
