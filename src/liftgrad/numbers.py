"""What counts as one number, and the error for what does not."""

from numbers import Integral, Real
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


def is_number(x: Any) -> bool:
    """Tell whether `x` is one real number.

    >>> is_number(2), is_number("2"), is_number([2])
    (True, False, False)
    """
    return isinstance(x, float | int | Real) or _is_scalar_array(x)


def is_whole(x: Any) -> bool:
    """Tell whether `x` is one whole number, of Python or NumPy.

    >>> is_whole(2), is_whole(2.0)
    (True, False)
    """
    kind = getattr(getattr(x, "dtype", None), "kind", "")
    return isinstance(x, Integral) or (getattr(x, "ndim", None) == 0 and kind in "iu")


def plain(x: Any) -> Any:
    """Return a number of NumPy's as Python's, and all else as it is.

    With one of float32 all arithmetic would be in float32.

    >>> plain(2.0), plain("2")
    (2.0, '2')
    """
    return x.item() if is_number(x) and hasattr(x, "item") else x


def _is_scalar_array(x: Any) -> bool:
    kind = getattr(getattr(x, "dtype", None), "kind", "f")
    return getattr(x, "ndim", None) == 0 and kind in "fiub" and hasattr(type(x), "__float__")


def _refusal(x: Any) -> str:
    kind = getattr(getattr(x, "dtype", None), "kind", "")
    if isinstance(x, complex) or kind == "c":
        return "a Value is a real number, and this is complex; pass its .real or .imag part."
    if isinstance(x, str | bytes):
        return f"a Value is a number, and {x!r:.40} is text; convert it with float() first."
    if getattr(x, "ndim", 0):
        return (
            f"a Value is one number, and this array has shape {tuple(x.shape)}; "
            "make a Value of each element, as in [Value(v) for v in array]."
        )
    if hasattr(x, "_apply"):
        return f"a Value is one number, and this is a {type(x).__name__} already; use it as it is."
    return f"a Value is one number, and this is of type {type(x).__name__}; pass a float."
