"""Run a rolled program with NumPy: the fallback without LLVM and the second oracle."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad.composition import Composition, forward_of
from liftgrad.errors import LiftError, TraceError
from liftgrad.lift.ir.groups import (
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
from liftgrad.ops import OPERATIONS, Operation

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
    samples = next((x.shape[1] for x in leaves.values() if x.ndim == 2), 1)
    with np.errstate(all="ignore"):
        for number, group in enumerate(groups[len(arrays) :], len(arrays)):
            if isinstance(group, Leaf):
                arrays.append(leaves[number])
            else:
                arrays.append(_evaluate(group, arrays, dtype, samples))
    return arrays


def _evaluate(group: Group, arrays: list[Array], dtype: str, samples: int) -> Array:
    match group:
        case Leaf():
            raise AssertionError(group)
        case Constants(numbers=numbers):
            return numbers.astype(dtype)
        case Elementwise(operation=operation, operands=operands):
            looks = [_look(arrays, view) for view in operands]
            if group.batched:
                looks = [x if x.ndim == 2 else x[:, None] for x in looks]
            return function_of(operation)(*looks)  # type: ignore[no-any-return]
        case Sum(operands=runs):
            result: Array = np.zeros((group.size, samples) if group.batched else group.size, dtype)
            for run in runs:
                part = _reduce(run, arrays, np.add, 0.0)
                if not group.batched and part.ndim == 2:
                    part = part.sum(axis=1)
                result += part[:, None] if part.ndim < result.ndim else part
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
                return arrays[source][table[rows, chosen]]
            places = table[rows[:, None], chosen]
            if arrays[source].ndim == 1:
                return arrays[source][places]
            return np.take_along_axis(arrays[source], places, axis=0)
        case Put(source=source_view, index=index, table=table, size=size):
            scattered, chosen = _look(arrays, source_view), _look(arrays, index)
            return _put(scattered, chosen, table, size, samples if group.batched else None)


def _put(parts: Array, chosen: Array, table: Array, size: int, samples: int | None) -> Array:
    """Return the sums of a Put, for each of `samples`; None: over all samples."""
    if parts.ndim == 1 and chosen.ndim == 1 and samples is None:
        places = table[np.arange(len(table)), chosen]
        return np.bincount(places, parts, minlength=size).astype(parts.dtype)
    batched = samples is not None
    samples = samples or max(x.shape[1] for x in (parts, chosen) if x.ndim == 2)
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
    return arrays[view.group][view.positions]


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


def function_of(operation: Operation) -> Callable[..., Any]:
    """Return the function of arrays that computes an operation."""
    if operation.parameter is not None:
        exponent = operation.parameter
        if exponent == 0.5:
            # NumPy takes the square root, which is nan at -inf and keeps the sign of zero.
            return lambda x: np.where(x == -np.inf, np.inf, np.sqrt(x) + 0.0)
        return lambda x: x**exponent
    if callable(operation.numpy):
        return partial(operation.numpy, np)
    if operation.numpy:
        return getattr(np, operation.numpy)  # type: ignore[no-any-return]
    try:
        composition = forward_of(operation)
    except TraceError:
        if not operation.llvm:
            raise
        return partial(_element_by_element, operation)
    return partial(_by_composition, composition)


def _by_composition(composition: Composition, *operands: Array) -> Array:
    number = np.result_type(*operands).type
    return composition.evaluate(operands, lambda o, given: function_of(o)(*given), number)[0]


def _element_by_element(operation: Operation, *operands: Array) -> Array:
    function = np.vectorize(operation.forward, otypes=[np.result_type(*operands)])
    return function(*operands)  # type: ignore[no-any-return]


for _operation in OPERATIONS.values():
    if isinstance(_operation.numpy, str) and not hasattr(np, _operation.numpy or "ndarray"):
        raise LiftError(
            f"the entry of the operation {_operation.name!r} names numpy.{_operation.numpy}, which "
            "NumPy does not have; give a function (np, *arrays) instead."
        )
