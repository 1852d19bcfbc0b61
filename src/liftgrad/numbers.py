"""Numbers: what counts as one, its conversion to a float, and the error for anything else."""

from numbers import Integral, Real
from typing import Any

from liftgrad.protocols import has_operators, is_on_tape


def to_float(x: Any) -> float:
    """Return `x` as a float; Python and NumPy numbers and 0-d arrays of real numbers count.

    Raises:
        TypeError: for arrays with dimensions, strings, complex numbers and anything else.

    """
    if not is_number(x):
        if is_on_tape(x):
            return float(x)  # raises the error that says why the number is not known
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


def to_scalar(x: Any) -> Any:
    """Return a Value or traced value unchanged, and any other number as a float.

    >>> to_scalar(2)
    2.0
    """
    return x if hasattr(x, "_apply") else to_float(x)


def is_number(x: Any) -> bool:
    """Return whether `x` is one real number.

    >>> is_number(2), is_number("2"), is_number([2])
    (True, False, False)
    """
    # By its type: while a function is traced, the `__class__` of a stand-in is a number's.
    kind = type(x)
    return issubclass(kind, float | int | Real) or (
        _is_scalar_array(x) and not hasattr(kind, "_apply")
    )


def is_whole(x: Any) -> bool:
    """Return whether `x` is one integer, Python's or NumPy's.

    >>> is_whole(2), is_whole(2.0)
    (True, False)
    """
    kind = getattr(getattr(x, "dtype", None), "kind", "")
    return isinstance(x, Integral) or (getattr(x, "ndim", None) == 0 and kind in "iu")


def as_python(x: Any) -> Any:
    """Return a NumPy number as a Python number, and anything else unchanged.

    Arithmetic with a NumPy float32 would be done in float32.

    >>> as_python(2.0), as_python("2")
    (2.0, '2')
    """
    return x.item() if is_number(x) and hasattr(x, "item") else x


def equal_elements(value: Any, array: Any) -> Any:
    """Return which elements of an array equal a value; NotImplemented if it is not an array."""
    elements: Any = array.astype(object) if hasattr(array, "flat") else None
    if not hasattr(elements, "flat"):  # as of NumPy's strings, which are scalars
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
    return f"a Value is one number, and this is {_not_one_number(x, kind)}"


def _not_one_number(x: Any, kind: str) -> str:
    """Return what something other than a number is, and what to do about it."""
    if kind == "O":
        return (
            "an array of objects; compute with its elements one by one, as in "
            "[v * x for x in array]."
        )
    if getattr(x, "ndim", 0):
        return (
            f"an array of shape {tuple(x.shape)}; make a Value of each element, as in "
            "[Value(v) for v in array]."
        )
    if isinstance(x, list | tuple):
        return "a list; take an element of it, such as x[0]."
    if has_operators(x):
        return "a Value already; use it as it is."
    return f"{kind_of(x)}; pass a float."


def kind_of(x: Any) -> str:
    """Return what a message calls `x`: by its class, or as users know an object of ours.

    >>> kind_of(3), kind_of([3])
    ('an int', 'a list')
    """
    kind = type(x)
    if hasattr(kind, "_known_as"):
        return str(kind._known_as)
    if hasattr(kind, "tobytes"):
        return "an array"
    if x is None:
        return "None"
    name = kind.__name__.lstrip("_")
    return f"an {name}" if name[0] in "aeiouAEIOU" else f"a {name}"
