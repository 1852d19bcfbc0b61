"""What the programs that make names share: reading them, and writing new ones."""

import random
import string
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

LETTERS = "." + string.ascii_lowercase
"""The dot stands before and after each name."""


def read(path: str) -> list[str]:
    """Return a file's names, one a line, in an order drawn with seed 42.

    A file that cannot be read, or has fewer than 10 names or other letters than a to z, ends the
    program with a sentence.

    """
    try:
        words = Path(path).read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        sys.exit(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}.")
    strange = next((word for word in words if set(word) - set(LETTERS[1:])), None)
    if strange is not None:
        sys.exit(f"{path} has {strange!r}; names consist of the letters a to z.")
    if len(words) < 10:
        sys.exit(f"{path} has {len(words)} names; give at least 10.")
    random.Random(42).shuffle(words)
    return words


def cut(words: list[str]) -> tuple[list[str], list[str]]:
    """Return the first 80 % of the names to train with, and the next 10 % to validate with."""
    first, second = len(words) * 8 // 10, len(words) * 9 // 10
    return words[:first], words[first:second]


def write(following: Callable[[str], Any]) -> str:
    """Return a new name, drawn letter by letter from arrays of one probability for each letter."""
    word = ""
    while len(word) < 30:
        weights = [float(p[0]) for p in following(word)]
        letter = random.choices(LETTERS, weights)[0]
        if letter == ".":
            break
        word += letter
    return word
