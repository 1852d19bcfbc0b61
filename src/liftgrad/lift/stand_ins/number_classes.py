"""Number classes: the class of a number that is not known yet.

A traced number stands for a Python or NumPy number, and so do the results of operators on it.
`isinstance` may decide what the program does, so their classes must be those of an eager run.
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
    """Return the class of a number, or of the number that a stand-in stands for."""
    return x._class if stands_for_number(x) else type(x)


def is_numpy(cls: type) -> bool:
    """Return whether a class is one of NumPy's numbers."""
    return issubclass(cls, np.generic)


def is_plain_number(x: object) -> bool:
    """Return whether `x` is, or stands for, a number that is no Value."""
    return stands_for_number(x) or is_number(x)


def class_of_result(operation: Operation, operands: tuple[Any, ...]) -> type:
    """Return the class of what an operator of Python or NumPy, or a function of ours, returns."""
    if operation not in OPERATORS and operation.parameter is None:
        return float
    classes = [stands_for(x) for x in operands]
    if operation.parameter is not None:
        classes.append(int if operation.parameter.is_integer() else float)
    cls = _common_class(operation is ops.divide, *classes)
    if cls is None:
        raise refused(
            f"arithmetic on elements of an array of {classes[0].__name__}, which wraps around in "
            "NumPy; make the array one of int64 or float64 before the call."
        )
    return cls


@lru_cache(maxsize=1024)
def _common_class(divides: bool, *classes: type) -> type | None:
    """Return the class of an operator's result, or None if integers may wrap around."""
    of_numpy = [k for k in classes if issubclass(k, np.generic)]
    if not of_numpy:
        return int if not divides and all(issubclass(k, int) for k in classes) else float
    floats = [k for k in of_numpy if issubclass(k, np.floating)]
    if floats:
        return max(floats, key=lambda k: np.dtype(k).itemsize)
    if divides or not all(issubclass(k, np.integer | int) for k in classes):
        return np.float64
    return np.int64 if set(of_numpy) == {np.int64} else None


@lru_cache(maxsize=1)
def numpy_operations() -> dict[Any, Operation]:
    """Return our operations by the functions of NumPy that have the same names."""
    named = {
        o.numpy if isinstance(o.numpy, str) and o.numpy else name: o
        for name, o in OPERATIONS.items()
    }
    return {getattr(np, name): o for name, o in named.items() if hasattr(np, name)}
