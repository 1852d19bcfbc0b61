"""Arrow's columns as ours."""

import importlib
import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad.data.table import Column, Kind, TableError

_GROUPS = r"\d{1,3}(?:([,.'\u2019 \u00a0\u202f])\d{3})(?:\1\d{3})*(?:[.,]\d+)?"
_WRITTEN = re.compile(rf"[-+]?\s*[$€£¥]?\s*[-+]?(?:{_GROUPS}|\d+[.,]\d+|\d+)\s*[$€£¥%]?")
"""Numbers as people write them: 1,234.50 or 1.234,50 or 3,5 or $20 or 15%."""
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


def column_of(source: str, name: str, values: Any, kind: Kind | None, first: int) -> Column:
    """Return an Arrow column as ours.

    Raises:
        TableError: if it holds neither numbers nor categories.

    """
    arrow, compute = pyarrow(), pyarrow("compute")
    types = arrow.types
    if types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if str(values.type) == "string_view":
        values = values.cast(arrow.string())
    where = f"the column '{name}' of '{source}'"
    if types.is_binary(values.type) or types.is_large_binary(values.type):
        raise TableError(f"{where} is not text in UTF-8; save the file in that encoding.")
    if types.is_temporal(values.type):
        raise TableError(
            f"{where} holds dates or times ({values.type}); turn them into numbers, such as days "
            "since a date, or drop the column."
        )
    if types.is_null(values.type):
        if kind is None:
            raise TableError(f"{where} has no values at all; drop it.")
        values = values.cast(arrow.float64() if kind == "number" else arrow.string())
    if types.is_boolean(values.type) and kind != "number":
        codes = compute.fill_null(values.cast(arrow.int8()), -1).to_numpy(zero_copy_only=False)
        return Column(name, "boolean", codes.astype(np.int32), ("false", "true"))
    text = types.is_string(values.type) or types.is_large_string(values.type)
    if kind == "category" or (text and kind != "number"):
        if kind is None:
            _refuse_spoiled_numbers(where, values, first)
        return _categories(name, values if text else values.cast(arrow.string()))
    return Column(name, "number", _numbers(where, values, first))


def refuse_large(source: str, name: str, values: Any) -> None:
    """Refuse whole numbers that were read as floats and may be others than in the file.

    Raises:
        TableError: if there are numbers beyond 2^53.

    """
    array = values.to_numpy(zero_copy_only=False)
    _refuse_large(f"the column '{name}' of '{source}'", array[np.isfinite(array)])


def _refuse_large(where: str, numbers: NDArray[np.float64]) -> None:
    if np.any(np.abs(numbers) >= 2.0**53):
        raise TableError(
            f"{where} holds whole numbers beyond 2^53, which float64 cannot tell apart; drop it, "
            'or say in kinds that it is a "category", or a "number" if their last digits do not '
            "matter."
        )


def _numbers(where: str, values: Any, first: int) -> NDArray[np.float64]:
    """Return numbers as float64, nan where missing.

    Raises:
        TableError: if they are none, infinite, or whole ones too large to be told apart.

    """
    arrow, compute = pyarrow(), pyarrow("compute")
    try:
        numbers = values.cast(arrow.float64(), safe=False)
    except arrow.ArrowException:
        raise TableError(
            f"{where} holds {values.type}, which is not all numbers, text or booleans; convert or "
            "drop it."
        ) from None
    array = compute.fill_null(numbers, math.nan).to_numpy(zero_copy_only=False)
    if arrow.types.is_integer(values.type):
        _refuse_large(where, array)
    if np.isinf(array).any():
        row = first + int(np.argmax(np.isinf(array))) + 1
        raise TableError(f"{where} is infinite in row {row}; correct it, or leave the field empty.")
    return np.array(array, np.float64)


def _categories(name: str, values: Any) -> Column:
    compute = pyarrow("compute")
    encoded = compute.dictionary_encode(values)
    if isinstance(encoded, pyarrow().ChunkedArray):
        encoded = encoded.combine_chunks()
    met: list[str] = encoded.dictionary.to_pylist()
    categories = sorted(met)
    place = {category: i for i, category in enumerate(categories)}
    places = np.array([place[category] for category in met] + [-1], np.int32)
    codes = compute.fill_null(encoded.indices, len(met)).to_numpy(zero_copy_only=False)
    return Column(name, "category", places[codes], tuple(categories))


def _refuse_spoiled_numbers(where: str, values: Any, first: int) -> None:
    """Refuse a column of numbers or dates that would become categories.

    Raises:
        TableError: if more than half of the different values are numbers, but not all: one odd
            entry, or numbers with signs that only people read; or if so many are dates.

    """
    compute = pyarrow("compute")
    different = compute.unique(compute.drop_null(values)).to_pylist()
    odd = [text for text in different if not _is_numeric(text)]
    written = [text for text in odd if _WRITTEN.fullmatch(text.strip())]
    if odd and 2 * (len(odd) - len(written)) < len(different):
        text = (written or odd)[0]
        row = first + compute.index(values, text).as_py() + 1
        if written:
            raise TableError(
                f"{where} holds numbers that are written like '{text[:40]}' in row {row}; write "
                "them with digits and a decimal point only, drop it, or name the column a "
                '"category" in kinds.'
            )
        raise TableError(
            f"{where} holds numbers, but '{text[:40]}' in row {row}; correct it, leave the field "
            'empty, or name the column a "category" in kinds.'
        )
    dates = [text for text in different if _DATE.fullmatch(text.strip())]
    if 2 * len(dates) > len(different):
        row = first + compute.index(values, dates[0]).as_py() + 1
        raise TableError(
            f"{where} holds dates, such as '{dates[0][:40]}' in row {row}; turn them into numbers, "
            "such as days since a date, or drop the column."
        )


def _is_numeric(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
