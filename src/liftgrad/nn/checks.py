"""Checks of a layer's arguments and inputs; each error says what to pass."""

from collections.abc import Mapping, Sequence
from typing import Any

from liftgrad.numbers import kind_of


def check_size(size: int, what: str) -> None:
    """Raise an error unless it is a positive whole number.

    Args:
        size: how many there are.
        what: is counted.

    """
    if not hasattr(size, "__index__"):
        raise TypeError(
            f"a layer's number of {what} is a whole number, and this is {kind_of(size)}; pass an "
            "int."
        )
    if size < 1:
        raise ValueError(f"a layer cannot have {size} {what}; pass 1 or more.")


def check_name(name: str, table: Mapping[str, Any], what: str) -> None:
    """Raise ValueError unless a name is in a table."""
    if name not in table:
        raise ValueError(f"there is no {what} called {name!r}; choose from {', '.join(table)}.")


def check_length(x: Sequence[Any], length: int, layer: str, what: str = "numbers") -> None:
    """Raise ValueError unless an input has the length that a layer was made for."""
    if len(x) != length:
        raise ValueError(
            f"{layer} takes {length} {what} and got {len(x)}; pass {length}, or make the layer "
            f"for {len(x)}."
        ) from None


def check_sample(x: Any, length: int, layer: str) -> None:
    """Explain a layer's failure, if its input is not a list of `length` numbers.

    Raises:
        TypeError: if it got one number, or lists.
        ValueError: if it got more or fewer numbers.

    """
    if not hasattr(x, "__len__"):
        if hasattr(x, "__iter__"):
            return
        raise TypeError(
            f"{layer} takes a list of {length} numbers and got one number; pass a list, such as "
            "[x]."
        ) from None
    if any(hasattr(item, "__len__") and not isinstance(item, str) for item in x):
        raise TypeError(
            f"{layer} takes one sample, a list of {length} numbers, and got {len(x)} lists; loop "
            "over them, as in [model(x) for x in X], or use vmap(model)(X)."
        ) from None
    check_length(x, length, layer)
