"""Time axis: nested states and sequences, taken apart and put together step by step.

Lists and arrays have the steps along their first axis; tuples and dicts hold several of them.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from liftgrad.numbers import kind_of


def lengths_of(xs: Any) -> Iterator[int]:
    """Yield the length of each list and array in a nested structure of tuples and dicts.

    Raises:
        TypeError: if there is anything else in it.

    """
    if isinstance(xs, tuple):
        for x in xs:
            yield from lengths_of(x)
    elif isinstance(xs, dict):
        for x in xs.values():
            yield from lengths_of(x)
    elif hasattr(xs, "__len__") and hasattr(xs, "__getitem__") and not isinstance(xs, str):
        yield len(xs)
    elif xs is not None:
        raise TypeError(
            f"scan goes over lists and arrays, and tuples and dicts of them, and this is "
            f"{kind_of(xs)}; keep what is the same in all steps out of xs."
        )


def at_step(xs: Any, t: int) -> Any:
    """Return what a nested structure of sequences holds for one step, in the same structure."""
    if isinstance(xs, tuple):
        return like(xs, [at_step(x, t) for x in xs])
    if isinstance(xs, dict):
        return {key: at_step(x, t) for key, x in xs.items()}
    return None if xs is None else xs[t]


def stacked(ys: Sequence[Any]) -> Any:
    """Return what the steps returned as one structure, with the steps first in its lists.

    >>> stacked([(1.0, {"v": [2.0, 3.0]}), (4.0, {"v": [5.0, 6.0]})])
    ([1.0, 4.0], {'v': [[2.0, 3.0], [5.0, 6.0]]})
    """
    first = ys[0] if ys else ()
    if isinstance(first, tuple) and ys:
        return like(first, [stacked(column) for column in zip(*ys, strict=True)])
    if isinstance(first, dict):
        return {key: stacked([y[key] for y in ys]) for key in first}
    return None if first is None else list(ys)


def like(original: tuple[Any, ...], items: list[Any]) -> tuple[Any, ...]:
    """Return a tuple, or named tuple, of other items."""
    cls: type[tuple[Any, ...]] = type(original)
    return cls(*items) if hasattr(original, "_fields") else cls(items)


def first_difference(a: Any, b: Any, name: str) -> tuple[str, str, str] | None:
    """Return where two nested structures differ first, and in words what they are there.

    >>> first_difference({"h": [1.0, 2.0]}, {"h": [3.0]}, "state")
    ("state['h']", 'a list of length 2', 'a list of length 1')
    """
    kind = _kind(a)
    pairs: list[tuple[Any, Any, Any]] = []
    same = kind == _kind(b)
    if same and kind is dict:
        same = a.keys() == b.keys()
        pairs = [(key, x, b[key]) for key, x in a.items()] if same else []
    elif same and kind in (tuple, list):
        same = len(a) == len(b)
        pairs = [(i, x, y) for i, (x, y) in enumerate(zip(a, b, strict=True))] if same else []
    if not same:
        return name, _described(a), _described(b)
    for key, x, y in pairs:
        if x is not y and (found := first_difference(x, y, f"{name}[{key!r}]")):
            return found
    return None


def _kind(x: Any) -> type:
    """Return what a container is as a part of a structure: tuple, dict or list; else a number."""
    if x is None:
        return type(None)
    of = next((cls for cls in (tuple, dict) if isinstance(x, cls)), None)
    return of or (list if hasattr(x, "__len__") else float)


def _described(x: Any) -> str:
    kind = _kind(x)
    if kind is dict:
        return f"a dict with the keys {[*x]}"
    return f"{kind_of(x)} of length {len(x)}" if kind in (tuple, list) else kind_of(x)
