"""How `liftgrad train` reads a table, and what it finds odd about it."""

import re
import shlex
from dataclasses import replace
from typing import Any

import numpy as np

from liftgrad import data

_NAMES_OF_IDENTIFIERS = re.compile(
    r"(^|[\W_])(id|ids|uid|uuid|guid|key|index|idx|row|nr|no|number)$|^unnamed: 0$"
    r"|(?-i:[a-z](Id|ID)$)",
    re.IGNORECASE,
)
_FEW = 20
"""In fewer rows, different values mean little."""


def read_and_fit(stream: data.TableStream, encoder: data.TableEncoder) -> data.Table:
    """Return the rows, and fit the encoder to them; its classes are spelled as in the file.

    Raises:
        TableError: with the faults found in reading and, in the other columns, in encoding.

    """
    try:
        rows = stream.read()
    except data.TableError as error:
        if error.usable is None or not error.usable.columns:
            raise
        try:
            encoder.fit(error.usable)
        except data.TableError as others:
            raise data.TableError(*error.complaints, *others.complaints) from None
        raise
    encoder.fit(rows)
    spelled = _as_spelled(stream, encoder)
    if spelled is not None:
        rows = replace(rows, target=spelled)
        encoder.fit(rows)
    return rows


def identifiers(rows: data.Table) -> list[str]:
    """Return a sentence for each column that seems to identify the rows.

    In a table sorted by class, such a column predicts the class, but not that of new rows.
    """
    sentences = []
    for column in rows.columns:
        what = _identifies(column)
        if what:
            sentences.append(
                f"Column '{column.name}' {what}; if it means nothing else, leave it out with "
                f"--drop {shlex.quote(column.name)}."
            )
    return sentences


def words_for_missing(rows: data.Table) -> list[str]:
    """Return a sentence for each column of text in which a word counts as a missing value."""
    return [
        f"Column '{column.name}': {' and '.join(map(repr, column.missing_as))} counts as missing; "
        f"if it is a value, pass --text {shlex.quote(column.name)}."
        for column in rows.columns
        if column.missing_as and column.missing_as != ("?",)
    ]


def classes_spelled_alike(encoder: data.TableEncoder) -> list[str]:
    """Return a sentence for classes that differ only in capitals or spaces."""
    alike: dict[str, list[str]] = {}
    for label in map(str, encoder.classes):
        alike.setdefault(" ".join(label.split()).casefold(), []).append(label)
    return [
        f"Classes {' and '.join(map(repr, labels))} differ only in capitals or spaces; if they are "
        "one, spell them alike."
        for labels in alike.values()
        if len(labels) > 1
    ]


def _identifies(column: data.Column) -> str:
    """Return the predicate of the sentence about a column of identifiers; "" for others."""
    values, count = column.values, len(column.values)
    if column.kind == "boolean" or column.missing.any() or count < 3:
        return ""
    if column.kind != "number":
        different = len(column.categories)
        many = count >= _FEW and 2 * different > count
        return f"has {different:,} different values in {count:,} rows" if many else ""
    if (np.abs(np.diff(values)) == 1.0).all() and abs(values[-1] - values[0]) == count - 1:
        return "counts the rows"
    if count < _FEW or (values % 1.0 != 0.0).any() or len(np.unique(values)) < count:
        return ""
    if values.max() - values.min() == count - 1:
        return "numbers the rows"
    named = _NAMES_OF_IDENTIFIERS.search(column.name.strip())
    return "is different in each row, as identifiers are" if named else ""


def _as_spelled(stream: data.TableStream, encoder: data.TableEncoder) -> data.Column | None:
    """Return a target of numbers or booleans as text, if the file spells its classes otherwise.

    Without it, a class that the file calls 1.0 or True would be predicted as 1 or true.
    """
    if encoder.task != "classification" or encoder.target_kind not in ("number", "boolean"):
        return None
    spellings = stream.spellings()
    if {str(label) for label in encoder.classes} == set(spellings):
        return None
    spelling_of: dict[Any, str] = {}
    for text in spellings:
        label = text.strip().lower() if encoder.target_kind == "boolean" else float(text)
        if label in spelling_of:
            raise data.TableError(
                f"the target '{stream.target}' of '{stream.source}' has the class "
                f"'{spelling_of[label]}', which is also written '{text}'; spell it one way, or "
                f'pass kinds={{{stream.target!r}: "category"}} if they are two.'
            )
        spelling_of[label] = text
    if not spelling_of:
        return None
    target = str(stream.target)
    again = data.TableStream(
        stream.source,
        target,
        only=[target],
        kinds={target: "category"},
        delimiter=stream.delimiter,
        on_bad_rows=stream.on_bad_rows,
    )
    return again.read().target
