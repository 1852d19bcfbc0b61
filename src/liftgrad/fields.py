"""Fields of files: each has the type and the range that it must have, or is refused by name."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
MOST = 2**53
"""The largest whole number: not all integers beyond it are floats."""


def whole(name: str, x: Any, least: int = 0, most: float = MOST) -> int:
    """Return a whole number from `least` to `most`.

    Raises:
        ValueError: naming the field, as all functions here do.

    >>> whole("steps", 3)
    3
    """
    if type(x) is not int or not least <= x <= most:
        raise _refusal(name, f"a whole number from {least} to {most}")
    return x


def real(name: str, x: Any) -> float:
    """Return a number, which may be nan or infinite."""
    if type(x) not in (int, float) or (type(x) is int and abs(x) > MOST):
        raise _refusal(name, "a number")
    return float(x)


def text(name: str, x: Any) -> str:
    """Return a text."""
    if type(x) is not str:
        raise _refusal(name, "a text")
    return x


def flag(name: str, x: Any) -> bool:
    """Return a truth value."""
    if type(x) is not bool:
        raise _refusal(name, "true or false")
    return x


def one_of(name: str, x: Any, choices: Iterable[T]) -> T:
    """Return the choice that it is."""
    for choice in choices:
        if type(x) is type(choice) and x == choice:
            return choice
    raise _refusal(name, "one of those that there are")


def class_label(name: str, x: Any) -> str | float:
    """Return a class's label: a text, a number or a truth value."""
    if type(x) not in (str, int, float, bool):
        raise _refusal(name, "a class")
    return x  # type: ignore[no-any-return]


def fields(name: str, x: Any) -> dict[str, Any]:
    """Return a JSON object."""
    if type(x) is not dict:
        raise _refusal(name, "an object of fields")
    return x


def listed(name: str, x: Any, each: Callable[[str, Any], T]) -> list[T]:
    """Return a list with `each` applied to the names and the elements, to check them."""
    if type(x) is not list:
        raise _refusal(name, "a list")
    return [each(f"{name}[{i}]", element) for i, element in enumerate(x)]


def floats(name: str, x: NDArray[Any], length: int | None = None) -> NDArray[Any]:
    """Return a one-dimensional array of floats, of a given length if there is one."""
    if x.dtype not in (np.float64, np.float32) or x.ndim != 1:
        raise _refusal(name, "a row of floats")
    if length is not None and len(x) != length:
        raise _refusal(name, f"of {length:,} numbers")
    return x


def _refusal(name: str, what: str) -> ValueError:
    return ValueError(f"its field '{name}' is not {what}")
