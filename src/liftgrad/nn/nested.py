"""Nested lists: creating them from Values, and mapping functions over them."""

from collections.abc import Callable, Sequence
from typing import Any

from liftgrad.engine import Value
from liftgrad.nn.one_output import OneOutput
from liftgrad.numbers import is_number, kind_of
from liftgrad.protocols import has_operators


def values(shape: Sequence[int], draw: Callable[[], float]) -> Any:
    """Return Values in nested lists of this shape, drawn in the order of their positions."""
    if not shape:
        return Value(draw())
    return [values(shape[1:], draw) for _ in range(shape[0])]


def map_numbers(function: Callable[[Any], Any], x: Any) -> Any:
    """Return nested lists with a function applied to each number."""
    if hasattr(x, "__len__"):
        results = [map_numbers(function, item) for item in x]
        return OneOutput(results) if x.__class__ is OneOutput else results
    return function(x)


def map_rows(function: Callable[[list[Any]], Any], x: Any, layer: str) -> Any:
    """Return nested lists with a function applied to each innermost list."""
    if not hasattr(x, "__len__"):
        kind = "one number" if has_operators(x) or is_number(x) else kind_of(x)
        raise TypeError(f"{layer} takes a list of numbers and got {kind}; pass a list, as [x].")
    items = list(x)
    if items and hasattr(items[0], "__len__"):
        return [map_rows(function, item, layer) for item in items]
    return function(items)


def sample(x: Any, layer: str, *dimensions: str) -> Any:
    """Return one sample as nested lists.

    Raises:
        TypeError: if its number of dimensions is wrong.

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
