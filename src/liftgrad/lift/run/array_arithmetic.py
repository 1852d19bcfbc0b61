"""Array arithmetic: what each operation computes on NumPy arrays."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad import ops
from liftgrad.composition import Composition, forward_of
from liftgrad.errors import LiftError, TraceError
from liftgrad.ops import OPERATIONS, Operation

Array = NDArray[Any]


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
