"""The bytes of a CSV file: one pass that checks them, and blocks that pyarrow reads correctly."""

import contextlib
import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from liftgrad.data.arrow import pyarrow
from liftgrad.data.table import TableError

BLOCK_BYTES = 16 << 20


@dataclass(frozen=True)
class Glance:
    """The result of one pass over a CSV file's bytes."""

    open_quote: bool
    """Whether a quote may be open at the end."""
    quoted_breaks: bool
    """Whether there are quotes and \\r, so that a field may hold a line break \\r\\n."""
    codes: bool
    """Whether a field may begin with a zero and another digit, or 0x."""


def glance(source: str, delimiter: str) -> Glance:
    """Scan the bytes of a CSV file, which may be compressed, once."""
    quotes, returns, codes, before = 0, False, False, b""
    with pyarrow().input_stream(source, compression="detect") as raw:
        while block := raw.read(BLOCK_BYTES):
            quotes += block.count(b'"')
            returns = returns or b"\r" in block
            codes = (
                codes
                or _has_code(block, delimiter)
                or _has_code(before[-2:] + block[:2], delimiter)
            )
            before = block
    return Glance(quotes % 2 == 1, bool(quotes) and returns, codes)


def _has_code(block: bytes, delimiter: str) -> bool:
    """Return whether a zero and a digit or x follow a byte before which a field may begin."""
    every = np.frombuffer(block, np.uint8)
    # Line breaks, spaces and quotes are less than "#".
    begins = (every[:-2] < ord("#")) | (every[:-2] == ord(delimiter))
    codes = (every[2:] - ord("0") < 10) | (every[2:] | 0x20 == ord("x"))
    return bool((begins & (every[1:-1] == ord("0")) & codes).any())


class WholeBreaks(io.RawIOBase):
    r"""A file whose reads do not end between \r and \n, where pyarrow loses the \n of a field.

    That is apache/arrow#51368; there is no other workaround while blocks are read one by one.
    """

    def __init__(self, raw: Any) -> None:
        self.raw, self.kept = raw, b""

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return at most `size` bytes; fewer do not mean the end of the file."""
        block: bytes = self.kept + self.raw.read(size - len(self.kept) if size > 0 else None)
        self.kept = b""
        if block.endswith(b"\r") and len(block) > 1:
            block, self.kept = block[:-1], b"\r"
        return block


def text_of(source: str) -> io.TextIOWrapper:
    """Return a CSV file, which may be compressed, as text with its own line breaks."""
    raw = pyarrow().input_stream(source, compression="detect")
    return io.TextIOWrapper(io.BufferedReader(raw), "utf-8-sig", newline="")


def refuse_open_quote(source: str, delimiter: str) -> None:
    """Refuse a file with a quote that is never closed.

    pyarrow would take the rest of the file for one field. Call it only for a file with an odd
    number of quotes, since it parses the whole file.

    Raises:
        TableError: with the line of the quote.

    """
    line = _open_quote(source, delimiter)
    if line is not None:
        raise TableError(
            f"a quote that opens in line {line} of '{source}' is never closed; close it, or write "
            '"" for a quote within quotes.'
        )


def _open_quote(source: str, delimiter: str) -> int | None:
    """Return the line with a quote that is never closed, if there is one."""
    lines_of_row: list[str] = []

    def collected(lines: io.TextIOWrapper) -> Iterator[str]:
        for line in lines:
            lines_of_row.append(line)
            yield line

    first, fields, last = 1, 0, (1, [""])
    with text_of(source) as lines:
        reader = csv.reader(collected(lines), delimiter=delimiter)
        try:
            for row in reader:
                fields = fields or len(row)
                last = first, lines_of_row.copy()
                if len(last[1]) > 1 and len(row) != fields:
                    break  # a later quote closed it, and from there on nothing is right
                lines_of_row.clear()
                first = reader.line_num + 1
        except csv.Error:  # a field is larger than the csv module allows
            last = first, lines_of_row
    first, texts = last
    if len(texts) == 1:
        with contextlib.suppress(csv.Error):
            # In a field that does not begin with a quote, quotes are plain characters.
            list(csv.reader(texts, delimiter=delimiter, strict=True))
            return None
    opened, opening = False, first
    for number, text in enumerate(texts, first):
        if text.count('"') % 2:
            opened = not opened
            opening = number if opened else opening
    return opening
