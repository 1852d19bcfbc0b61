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
    if not hasattr(x, "__len__"):
        raise TypeError(f"a layer takes a list of numbers and got {x!r}; pass a list, such as [x].")
    items = list(x)
    if items and hasattr(items[0], "__len__"):
        return [map_rows(function, item) for item in items]
    return function(items)


def sample(x: Any, layer: str, *dimensions: str) -> Any:
    """Return one sample as nested lists.

    Raises:
        TypeError: if it has another number of dimensions.

    """

    def lists(x: Any, depth: int) -> Any:
        if hasattr(x, "__len__") != (depth > 0):
            more, advice = (
                ("fewer", "pass nested lists") if depth else ("more", "loop, or use vmap")
            )
            raise TypeError(
                f"{layer} takes one sample, ({', '.join(dimensions)}), and got {more} dimensions; "
                f"{advice}."
            )
        return [lists(item, depth - 1) for item in x] if depth else x

    return lists(x, len(dimensions))


def numbers(x: Any) -> list[Any]:
    """Return the numbers in nested lists in one list."""
    if hasattr(x, "__len__"):
        return [number for item in x for number in numbers(item)]
    return [x]
