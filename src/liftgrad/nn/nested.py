"""Nested lists: making them of Values, and mapping functions over them."""

from collections.abc import Callable, Sequence
from typing import Any

from liftgrad.engine import Value


def values(shape: Sequence[int], draw: Callable[[], float]) -> Any:
    """Return Values in nested lists of this shape, drawn in the order of their positions."""
    if not shape:
        return Value(draw())
    return [values(shape[1:], draw) for _ in range(shape[0])]


def map_numbers(function: Callable[[Any], Any], x: Any) -> Any:
    """Return the function's result for each number in nested lists, nested alike."""
    if hasattr(x, "__len__"):
        return [map_numbers(function, item) for item in x]
    return function(x)


def map_rows(function: Callable[[list[Any]], Any], x: Any) -> Any:
    """Return the function's result for each innermost list in nested lists, nested alike."""
    items = list(x)
    if items and hasattr(items[0], "__len__"):
        return [map_rows(function, item) for item in items]
    return function(items)


def numbers(x: Any) -> list[Any]:
    """Return the numbers in nested lists in one list."""
    if hasattr(x, "__len__"):
        return [number for item in x for number in numbers(item)]
    return [x]
