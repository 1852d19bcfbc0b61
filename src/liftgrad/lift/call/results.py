"""Results: what a function returned, taken apart into leaves."""

from collections.abc import Callable, Iterator
from typing import Any

from liftgrad.protocols import stands_for_array


def flatten_result(result: Any) -> tuple[list[Any], Callable[[Iterator[Any]], Any]]:
    """Return the leaves of a nested result, and a function that nests other leaves alike.

    >>> leaves, rebuild = flatten_result({"loss": 1.0, "scores": [2.0, 3.0]})
    >>> leaves, rebuild(iter("abc"))
    ([1.0, 2.0, 3.0], {'loss': 'a', 'scores': ['b', 'c']})
    """
    if stands_for_array(result):  # part of an array argument
        result = list(result)
    if isinstance(result, list | tuple):
        flat = [flatten_result(item) for item in result]
        # `build` must not hold on to the result, and to the whole tape with it.
        rebuilds = [rebuild for _, rebuild in flat]
        cls, by_name = type(result), hasattr(result, "_fields")

        def build(leaves: Iterator[Any]) -> Any:
            items = [rebuild(leaves) for rebuild in rebuilds]
            return cls(*items) if by_name else cls(items)

        return [leaf for leaves, _ in flat for leaf in leaves], build
    if isinstance(result, dict):
        keys = list(result)
        leaves, rebuild = flatten_result(list(result.values()))
        return leaves, lambda others: dict(zip(keys, rebuild(others), strict=True))
    return [result], next
