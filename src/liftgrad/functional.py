"""Functions of scalars and of sequences of scalars; each takes floats, Values or traced values.

Functions with a derivative of their own come from the table in `ops`; the rest are expressions.

>>> from liftgrad import Value
>>> x = Value(2.0)
>>> y = log(softmax([x, 0.0])[0])
>>> y.backward()
>>> round(y.data, 4), round(x.grad, 4), round(exp(0.5), 4)
(-0.1269, 0.1192, 1.6487)
"""

import math
import operator
import random
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, overload

from liftgrad import ops
from liftgrad.numbers import kind_of, to_scalar
from liftgrad.ops import (
    cos,
    erf,
    exp,
    expm1,
    log,
    log1p,
    maximum,
    minimum,
    relu,
    sigmoid,
    sin,
    softplus,
    sqrt,
    tanh,
    where,
)
from liftgrad.protocols import ScalarT, are_results, is_drawing, is_index

if TYPE_CHECKING:
    from typing import Self

    class Methods:
        """The functions of one or two numbers as methods, which `operators` makes of them."""

        def negate(self) -> Self:
            """Return -self."""

        def add(self, other: Any) -> Self:
            """Return self + other."""

        def leaky_relu(self, negative_slope: float = 0.01) -> Self:
            """Return self where it is positive, else negative_slope·self."""

        def elu(self, alpha: float = 1.0) -> Self:
            """Return self where it is positive, else alpha·(exp(self) - 1)."""

        absolute = exp = expm1 = log = log1p = sqrt = sin = cos = tanh = erf = negate
        sigmoid = softplus = relu = gelu = silu = negate
        subtract = multiply = divide = power = maximum = minimum = add


__all__ = [
    "cos",
    "dot",
    "elu",
    "erf",
    "exp",
    "expm1",
    "gelu",
    "leaky_relu",
    "log",
    "log1p",
    "log_softmax",
    "logsumexp",
    "maximum",
    "mean",
    "minimum",
    "relu",
    "sigmoid",
    "silu",
    "sin",
    "softmax",
    "softplus",
    "sqrt",
    "tanh",
    "total",
    "uniform",
    "where",
]


def leaky_relu(x: Any, negative_slope: float = 0.01) -> Any:
    """Return x where it is positive, else negative_slope·x.

    >>> leaky_relu(2.0), leaky_relu(-2.0, negative_slope=0.5)
    (2.0, -1.0)
    """
    x = to_scalar(x)
    return where(x > 0.0, x, x * negative_slope)


def elu(x: Any, alpha: float = 1.0) -> Any:
    """Return x where it is positive, else alpha·(exp(x) - 1) (Clevert et al., 2015).

    >>> elu(2.0), round(elu(-1.0), 4)
    (2.0, -0.6321)
    """
    x = to_scalar(x)
    return where(x > 0.0, x, expm1(x) * alpha)


def gelu(x: Any) -> Any:
    """Return x·Φ(x), with the exact normal distribution Φ (Hendrycks & Gimpel, 2016).

    >>> gelu(0.0), round(gelu(1.0), 4)
    (0.0, 0.8413)
    """
    x = to_scalar(x)
    return x * ((erf(x * math.sqrt(0.5)) + 1.0) * 0.5)


def silu(x: Any) -> Any:
    """Return x·sigmoid(x).

    >>> silu(0.0), round(silu(1.0), 4)
    (0.0, 0.7311)
    """
    x = to_scalar(x)
    return x * sigmoid(x)


def dot(a: Iterable[Any], b: Iterable[Any], start: Any = None) -> Any:
    """Return start + a[0]·b[0] + a[1]·b[1] + ..., as one operation.

    In a lifted function each term may be rounded once, not twice, and the order of the sum is open.

    >>> dot([1.0, 2.0], [3.0, 4.0], start=0.5)
    11.5

    Raises:
        ValueError: if the sequences differ in length.

    """
    try:
        left, right = list(a), list(b)
    except TypeError:
        _check_lists("dot", a, b)
        raise
    if len(left) != len(right):
        raise ValueError(
            f"dot needs two sequences of one length, and got {len(left)} and {len(right)} numbers."
        )
    return ops.dot(*left, *right) if start is None else ops.dot(*left, *right, start)


@overload
def total(terms: Iterable[ScalarT]) -> ScalarT: ...
@overload
def total(terms: Iterable[float]) -> float: ...
@overload
def total(terms: Iterable[Any]) -> Any: ...
def total(terms: Iterable[Any]) -> Any:
    """Return the sum of the terms, as one operation; of none, 0.0.

    >>> total([1.0, 2.0, 3.0])
    6.0
    """
    if are_results(terms):  # the results of vmap in a lifted function
        return terms._total()
    try:
        return ops.total(*terms)
    except TypeError:
        _check_lists("total", terms)
        raise


@overload
def mean(terms: Iterable[ScalarT]) -> ScalarT: ...
@overload
def mean(terms: Iterable[float]) -> float: ...
@overload
def mean(terms: Iterable[Any]) -> Any: ...
def mean(terms: Iterable[Any]) -> Any:
    """Return the arithmetic mean of the terms.

    >>> mean([1.0, 2.0, 6.0])
    3.0

    Raises:
        ValueError: if there are none.

    """
    if are_results(terms):  # the results of vmap in a lifted function
        return terms._mean()
    terms = _some(terms, "mean")
    return ops.total(*terms) / len(terms)


def take(table: Sequence[Any], index: Any) -> Any:
    """Return table[index], a number or a row; in a lifted function the index may vary by call.

    >>> take([[1.0, 2.0], [3.0, 4.0]], 1)
    [3.0, 4.0]

    Raises:
        TypeError: if the index is not an integer.
        IndexError: if the index is negative or not less than the table's length.

    """
    if is_index(index):
        return index._take_from(table)
    try:
        position = operator.index(index)
    except TypeError:
        raise TypeError(
            f"take() needs an integer as its index, and this is {kind_of(index)}; pass an int, or "
            "in a lifted function an element of an integer array."
        ) from None
    if not 0 <= position < len(table):
        raise IndexError(
            f"take() at index {position} of a table of {len(table)}; "
            f"indices go from 0 to {len(table) - 1}."
        )
    return table[position]


def uniform(like: Any = 0.0) -> Any:
    """Return `random.random()`, a number from 0 to 1; in a lifted function, one at each call.

    Lifted functions draw what eager ones draw: the same numbers for the same `random.seed`, and
    within vmap new ones for each sample.

    >>> random.seed(1337)
    >>> uniform()
    0.6177528569514706

    Args:
        like: a number of the kind to draw; in a lifted function, one of its arguments or a number
            computed from them.

    """
    return like._uniform() if is_drawing(like) else random.random()


def logsumexp(x: Iterable[Any]) -> Any:
    """Return log(exp(x[0]) + exp(x[1]) + ...) without overflow.

    >>> logsumexp([1e308, -1e308])
    1e+308

    Raises:
        ValueError: if there are no terms.

    """
    x = _some(x, "logsumexp")
    shift = _shift(x)
    return log(ops.total(*[exp(v - shift) for v in x])) + shift


def softmax(x: Iterable[Any]) -> list[Any]:
    """Return exp(x[i]) / (exp(x[0]) + exp(x[1]) + ...) for each i, without overflow.

    >>> softmax([1000.0, 1000.0])
    [0.5, 0.5]

    Raises:
        ValueError: if there are no terms.

    """
    x = _some(x, "softmax")
    shift = _shift(x)
    exps = [exp(v - shift) for v in x]
    normaliser = ops.total(*exps)
    return [ops.divide(e, normaliser) for e in exps]


def log_softmax(x: Iterable[Any]) -> list[Any]:
    """Return the logarithm of softmax(x), exact where softmax itself would round to 0 or 1.

    >>> log_softmax([0.0, -1000.0])
    [0.0, -1000.0]

    Raises:
        ValueError: if there are no terms.

    """
    shifted, normaliser = shifted_scores(x, "log_softmax")
    return [v - normaliser for v in shifted]


def shifted_scores(x: Iterable[Any], name: str) -> tuple[list[Any], Any]:
    """Return x minus its maximum, and the logsumexp of that; `name` is for errors.

    Their differences are log_softmax(x) at full precision: x[i] - logsumexp(x) would be rounded to
    the spacing of floats around x[i].

    Raises:
        ValueError: if there are no terms.

    """
    x = _some(x, name)
    shift = _shift(x)
    shifted = [v - shift for v in x]
    return shifted, log(ops.total(*[exp(v) for v in shifted]))


def _shift(x: Sequence[Any]) -> Any:
    """Return max(x) as a constant, or 0 where it is infinite: inf - inf would be nan."""
    shift = ops.largest(*x)
    return where(abs(shift) < math.inf, shift, 0.0)


def _some(terms: Iterable[Any], name: str) -> list[Any]:
    if not hasattr(terms, "__iter__"):
        _check_lists(name, terms)
    listed = [to_scalar(term) for term in terms]
    if not listed:
        raise ValueError(f"{name} of no numbers is undefined; pass at least one.")
    return listed


def _check_lists(name: str, *given: Any) -> None:
    """Raise TypeError if one of the arguments is not a list of numbers."""
    for x in given:
        if not hasattr(x, "__iter__"):
            raise TypeError(
                f"{name} takes numbers in a list, and this is {kind_of(x)}; pass a list, as [x]."
            ) from None
