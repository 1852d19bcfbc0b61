"""Number kinds: of which class a number is that is not known yet.

A traced number stands for a Python or NumPy number, and so do the results of operators on it: what
`isinstance` says of them may decide how the program goes on.
"""

from functools import lru_cache
from typing import Any

import numpy as np

from liftgrad import ops
from liftgrad.lift.user_code import refused
from liftgrad.numbers import is_number
from liftgrad.ops import OPERATIONS, Operation
from liftgrad.protocols import stands_for_number

OPERATORS = frozenset(
    {*(ops.add, ops.subtract, ops.multiply, ops.divide, ops.power, ops.negate, ops.absolute)}
)


def stands_for(x: Any) -> type:
    """Return the class of the number that something is or stands for."""
    return x._kind if stands_for_number(x) else type(x)


def is_numpy(kind: type) -> bool:
    """Tell whether a class is one of NumPy's numbers."""
    return issubclass(kind, np.generic)


def is_plain_number(x: object) -> bool:
    """Tell whether something is a number and no Value, or stands for one."""
    return stands_for_number(x) or is_number(x)


def kind_of_result(operation: Operation, operands: tuple[Any, ...]) -> type:
    """Return the class of what Python's or NumPy's operators, or our functions, give."""
    if operation not in OPERATORS and operation.parameter is None:
        return float
    kinds = [stands_for(x) for x in operands]
    if operation.parameter is not None:
        kinds.append(int if operation.parameter.is_integer() else float)
    kind = _common_kind(operation is ops.divide, *kinds)
    if kind is None:
        raise refused(
            f"arithmetic on elements of an array of {kinds[0].__name__}, which wraps around in "
            "NumPy; make the array one of int64 or float64 before the call."
        )
    return kind


@lru_cache(maxsize=1024)
def _common_kind(divides: bool, *kinds: type) -> type | None:
    """Return the class of the result of operators on numbers of these; None: it may wrap around."""
    of_numpy = [k for k in kinds if issubclass(k, np.generic)]
    if not of_numpy:
        return int if not divides and all(issubclass(k, int) for k in kinds) else float
    floats = [k for k in of_numpy if issubclass(k, np.floating)]
    if floats:
        return max(floats, key=lambda k: np.dtype(k).itemsize)
    if divides or not all(issubclass(k, np.integer | int) for k in kinds):
        return np.float64
    return np.int64 if set(of_numpy) == {np.int64} else None


@lru_cache(maxsize=1)
def numpy_operations() -> dict[Any, Operation]:
    """Return the operations by NumPy's functions."""
    named = {
        o.numpy if isinstance(o.numpy, str) and o.numpy else name: o
        for name, o in OPERATIONS.items()
    }
    return {getattr(np, name): o for name, o in named.items() if hasattr(np, name)}
