"""Groups and tapes computed with NumPy: the backend without LLVM, and the second oracle."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial, reduce
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from liftgrad import ops
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
        leaves: the numbers of each leaf group.
        dtype: the type to compute in.
        known: the numbers of the first groups, if they were computed before.

    """
    arrays = list(known)
    samples = next((x.shape[1] for x in leaves.values() if x.ndim == 2), 1)
    with np.errstate(all="ignore"):
        for i, group in enumerate(groups[len(arrays) :], len(arrays)):
            arrays.append(
                leaves[i] if isinstance(group, Leaf) else _evaluate(group, arrays, dtype, samples)
            )
    return arrays


def _evaluate(group: Group, arrays: list[Array], dtype: str, samples: int) -> Array:
    match group:
        case Leaf():
            raise AssertionError(group)
        case Constants(numbers=numbers):
            return numbers.astype(dtype)
        case Elementwise(operation=operation, operands=views):
            operands = _aligned([_read(arrays, view) for view in views], batched=group.batched)
            return function_of(operation)(*operands)  # type: ignore[no-any-return]
        case Sum(operands=runs):
            result: Array = np.zeros((group.size, samples) if group.batched else group.size, dtype)
            for run in runs:
                sums = _reduce(run, arrays, np.add, 0.0)
                if not group.batched and sums.ndim == 2:
                    sums = sums.sum(axis=1)
                result += sums[:, None] if sums.ndim < result.ndim else sums
            return result
        case Largest(operands=runs):
            maxima = [_reduce(run, arrays, np.maximum, -np.inf) for run in runs]
            return reduce(np.maximum, _aligned(maxima, batched=group.batched))
        case Take(index=view, group=source, table=table):
            index, rows = _read(arrays, view), np.arange(len(table))
            if index.ndim == 1:
                return arrays[source][table[rows, index]]
            positions = table[rows[:, None], index]
            if arrays[source].ndim == 1:
                return arrays[source][positions]
            return np.take_along_axis(arrays[source], positions, axis=0)
        case Put(source=source_view, index=view, table=table, size=size):
            terms, index = _read(arrays, source_view), _read(arrays, view)
            return _scattered(terms, index, table, size, samples if group.batched else None)
        case _:
            assert_never(group)


def _read(arrays: list[Array], view: View) -> Array:
    return arrays[view.group][view.positions]


def _aligned(arrays: list[Array], *, batched: bool) -> list[Array]:
    """Return the arrays with a dimension for the samples, if their group is batched."""
    return [x[:, None] if batched and x.ndim == 1 else x for x in arrays]


def _reduce(runs: Runs, arrays: list[Array], function: np.ufunc, empty: float) -> Array:
    """Reduce each run; runs of one length together, so that NumPy adds pairwise in each."""
    numbers = arrays[runs.group][runs.positions]
    lengths = np.diff(runs.offsets)
    result: Array = np.full((len(lengths), *numbers.shape[1:]), empty, numbers.dtype)
    for length in np.unique(lengths):
        if length == 0:
            continue
        rows = np.nonzero(lengths == length)[0]
        elements = runs.offsets[rows][:, None] + np.arange(length)
        result[rows] = function.reduce(numbers[elements], axis=1)
    return result


def _scattered(terms: Array, index: Array, table: Array, size: int, samples: int | None) -> Array:
    """Return the sums of a Put, for each of `samples`; None: over all samples."""
    if terms.ndim == 1 and index.ndim == 1 and samples is None:
        targets = table[np.arange(len(table)), index]
        return np.bincount(targets, terms, minlength=size).astype(terms.dtype)
    columns = samples or max(x.shape[1] for x in (terms, index) if x.ndim == 2)
    shape = len(table), columns
    terms, index = (np.broadcast_to(x, shape) for x in _aligned([terms, index], batched=True))
    targets = table[np.arange(len(table))[:, None], index]
    if samples is None:
        result: Array = np.zeros(size, terms.dtype)
        np.add.at(result, targets, terms)
        return result
    result = np.zeros((size, samples), terms.dtype)
    np.add.at(result, (targets, np.arange(samples)), terms)
    return result


class ArrayArithmetic:
    """Evaluates tapes on arrays, whose last dimension, if they have one, is that of the samples."""

    def __init__(self, dtype: str) -> None:
        self._dtype = dtype

    def constant(self, number: float) -> Array:
        """Return a number for all samples."""
        return np.asarray(number, self._dtype)

    def apply(self, operation: Operation, operands: Sequence[Array]) -> Array:
        """Return an operation's result."""
        if operation is ops.total:
            return np.asarray(_stacked(operands).sum(axis=0))
        if operation is ops.largest:
            return np.asarray(_stacked(operands).max(axis=0))
        if operation is ops.dot:
            *factors, result = operands
            half = len(factors) // 2
            for a, b in zip(factors[:half], factors[half:], strict=True):
                result = result + a * b
            return result
        return np.asarray(function_of(operation)(*operands))

    def take(self, index: Array, table: Sequence[Array]) -> Array:
        """Return the element of the table at the index."""
        elements = _stacked(table)
        if elements.ndim == 1 or index.ndim == 0:
            return np.asarray(elements[index])
        return np.asarray(np.take_along_axis(elements, index[None, :], axis=0)[0])

    def total_over_samples(self, number: Array) -> Array:
        """Return the sum of the samples' numbers."""
        return np.asarray(number.sum())


def _stacked(arrays: Sequence[Array]) -> Array:
    return np.stack(np.broadcast_arrays(*arrays))


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
