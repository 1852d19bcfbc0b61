"""Checks of what a layer is constructed with: each error says what to pass."""

from collections.abc import Mapping, Sequence
from typing import Any


def check_size(size: int, what: str) -> None:
    """Raise ValueError unless a layer can have so many of something."""
    if size < 1:
        raise ValueError(f"a layer cannot have {size} {what}; pass 1 or more.")


def check_name(name: str, table: Mapping[str, Any], what: str) -> None:
    """Raise ValueError unless a name is in a table."""
    if name not in table:
        raise ValueError(f"there is no {what} called {name!r}; choose from {', '.join(table)}.")


def check_length(x: Sequence[Any], length: int, layer: str, what: str) -> None:
    """Raise ValueError unless a layer got as many of something as it was made for."""
    if len(x) != length:
        raise ValueError(f"{layer} takes {length} {what} and got {len(x)}; pass {length}.")
