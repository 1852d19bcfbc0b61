"""What counts as one number, and the error for what does not."""

from numbers import Real
from typing import Any


def to_float(x: Any) -> float:
    """Return `x` as a float; Python and NumPy numbers and 0-d arrays of real numbers count.

    Raises:
        TypeError: for arrays with dimensions, strings, complex numbers and anything else.

    """
    if not is_number(x):
        raise TypeError(_refusal(x))
    try:
        return float(x)
    except OverflowError:
        raise TypeError(
            "a number beyond the range of float64 cannot be a Value; "
            "write it as a float, such as float('inf')."
        ) from None


def plain(x: Any) -> float:
    """Return the number of a Value, or any other number, as a float.

    >>> from liftgrad import Value
    >>> plain(Value(2.0)), plain(2)
    (2.0, 2.0)
    """
    return float(x.data if hasattr(x, "_apply") else x)


def is_number(x: Any) -> bool:
    """Tell whether `x` is one real number.

    >>> is_number(2), is_number("2"), is_number([2])
    (True, False, False)
    """
    return isinstance(x, float | int | Real) or _is_scalar_array(x)


def equal_elements(value: Any, array: Any) -> Any:
    """Return which elements of an array a value equals, and NotImplemented for anything else."""
    elements: Any = array.astype(object) if hasattr(array, "flat") else None
    if not hasattr(elements, "flat"):  # NumPy's texts look like arrays, but not their elements
        return NotImplemented
    elements.flat = [value == element for element in elements.flat]
    return elements.astype(bool)


def _is_scalar_array(x: Any) -> bool:
    kind = getattr(getattr(x, "dtype", None), "kind", "f")
    return getattr(x, "ndim", None) == 0 and kind in "fiub" and hasattr(type(x), "__float__")


def _refusal(x: Any) -> str:
    kind = getattr(getattr(x, "dtype", None), "kind", "")
    if isinstance(x, complex) or kind == "c":
        return "a Value is a real number, and this is complex; pass its .real or .imag part."
    if isinstance(x, str | bytes):
        return f"a Value is a number, and {x!r:.40} is text; convert it with float() first."
    if kind == "O":
        return (
            "a Value is one number, and this is an array of objects; compute with its elements one "
            "by one, as in [v * x for x in array]."
        )
    if getattr(x, "ndim", 0):
        return (
            f"a Value is one number, and this array has shape {tuple(x.shape)}; "
            "make a Value of each element, as in [Value(v) for v in array]."
        )
    if hasattr(x, "_apply"):
        return f"a Value is one number, and this is a {type(x).__name__} already; use it as it is."
    return f"a Value is one number, and this is of type {type(x).__name__}; pass a float."
