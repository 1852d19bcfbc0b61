"""Run a rolled program with NumPy: the fallback without LLVM and the second oracle."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad import ops
from liftgrad.lift.groups import (
    Constants,
    Elementwise,
    Group,
    Largest,
    Leaf,
    Put,
    Runs,
    Sum,
    Take,
    View,
)
from liftgrad.ops import Operation

Array = NDArray[Any]


def execute(
    groups: Sequence[Group],
    leaves: Mapping[int, Array],
    dtype: str = "float64",
    known: Sequence[Array] = (),
) -> list[Array]:
    """Return the numbers of each group, of shape (size,), or (size, samples) if it is batched.

    Args:
        groups: what to compute, in order.
        leaves: the numbers of each leaf group, by its number.
        dtype: the type to compute in.
        known: the numbers of the first groups, if computed before.

    """
    arrays = list(known)
    with np.errstate(all="ignore"):
        for number, group in enumerate(groups[len(arrays) :], len(arrays)):
            arrays.append(_evaluate(group, number, arrays, leaves, dtype))
    return arrays


def _evaluate(
    group: Group, number: int, arrays: list[Array], leaves: Mapping[int, Array], dtype: str
) -> Array:
    match group:
        case Leaf():
            return leaves[number]
        case Constants(numbers=numbers):
            return numbers.astype(dtype)
        case Elementwise(operation=operation, operands=operands):
            looks = [_look(arrays, view) for view in operands]
            if group.batched:
                looks = [x if x.ndim == 2 else x[:, None] for x in looks]
            return _function(operation)(*looks)  # type: ignore[no-any-return]
        case Sum(operands=runs):
            result: Array = np.zeros(group.size, dtype)
            for run in runs:
                part = _reduce(run, arrays, np.add, 0.0)
                if not group.batched and part.ndim == 2:
                    part = part.sum(axis=1)
                elif group.batched and part.ndim == 1:
                    part = part[:, None]
                result = part + (result[:, None] if part.ndim > result.ndim else result)
            return result
        case Largest(operands=runs):
            parts = [_reduce(run, arrays, np.maximum, -np.inf) for run in runs]
            if group.batched:
                parts = [x if x.ndim == 2 else x[:, None] for x in parts]
            result = parts[0]
            for part in parts[1:]:
                result = np.maximum(result, part)
            return result
        case Take(index=index, group=source, table=table):
            chosen = _look(arrays, index)
            rows = np.arange(len(table))
            if chosen.ndim == 1:
                return arrays[source][table[rows, chosen]]  # type: ignore[no-any-return]
            places = table[rows[:, None], chosen]
            if arrays[source].ndim == 1:
                return arrays[source][places]  # type: ignore[no-any-return]
            return np.take_along_axis(arrays[source], places, axis=0)
        case Put(source=source_view, index=index, table=table, size=size):
            return _put(arrays, source_view, index, table, size, group.batched)


def _put(
    arrays: list[Array], source: View, index: View, table: Array, size: int, batched: bool
) -> Array:
    parts, chosen = _look(arrays, source), _look(arrays, index)
    if parts.ndim == 1 and chosen.ndim == 1 and not batched:
        places = table[np.arange(len(table)), chosen]
        return np.bincount(places, parts, minlength=size).astype(parts.dtype)
    samples = max(x.shape[1] for x in (parts, chosen) if x.ndim == 2)
    parts = np.broadcast_to(parts if parts.ndim == 2 else parts[:, None], (len(table), samples))
    chosen = np.broadcast_to(chosen if chosen.ndim == 2 else chosen[:, None], parts.shape)
    places = table[np.arange(len(table))[:, None], chosen]
    if not batched:
        result: Array = np.zeros(size, parts.dtype)
        np.add.at(result, places, parts)
        return result
    result = np.zeros((size, samples), parts.dtype)
    np.add.at(result, (places, np.arange(samples)), parts)
    return result


def _look(arrays: list[Array], view: View) -> Array:
    return arrays[view.group][view.positions]  # type: ignore[no-any-return]


def _reduce(runs: Runs, arrays: list[Array], function: np.ufunc, empty: float) -> Array:
    """Reduce each run; runs of one length together, so that NumPy adds pairwise in each."""
    numbers = arrays[runs.group][runs.positions]
    lengths = np.diff(runs.offsets)
    result: Array = np.full((len(lengths), *numbers.shape[1:]), empty, numbers.dtype)
    for length in np.unique(lengths):
        if length == 0:
            continue
        rows = np.nonzero(lengths == length)[0]
        places = runs.offsets[rows][:, None] + np.arange(length)
        result[rows] = function.reduce(numbers[places], axis=1)
    return result


def _function(operation: Operation) -> Callable[..., Any]:
    if operation.parameter is not None:
        exponent = operation.parameter
        return lambda x: x**exponent
    return _OWN.get(operation.name) or getattr(np, operation.numpy or operation.name)  # type: ignore[no-any-return]


def _sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0.0, 1.0, e) / (1.0 + e)


_OWN: dict[str, Callable[..., Any]] = {
    "erf": lambda x: np.vectorize(ops.erf.forward, otypes=[x.dtype])(x),
    "relu": lambda x: np.where(x <= 0.0, x.dtype.type(0.0), x),
    "sigmoid": _sigmoid,
    "softplus": lambda x: np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x))),
}
