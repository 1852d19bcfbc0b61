"""Gradient clipping between `backward()` and `step()`, as in torch.nn.utils."""

import math
from collections.abc import Iterable
from typing import Any

from liftgrad.functional import maximum, minimum
from liftgrad.numbers import is_number, plain
from liftgrad.ops import divide
from liftgrad.optim.checks import check


def clip_grad_norm_(
    parameters: Iterable[Any],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> float:
    """Scale all gradients by one factor, so that their norm is at most `max_norm`.

    The factor is PyTorch's, max_norm / (norm + 1e-6), where that is less than 1. With an infinite
    norm, gradients become 0 or nan; with a norm that is nan, all become nan.

    >>> from liftgrad.engine import Value
    >>> p, q = Value(3.0), Value(4.0)
    >>> (0.5 * (p * p + q * q)).backward()
    >>> clip_grad_norm_([p, q], max_norm=1.0)
    5.0
    >>> round(p.grad, 5), round(q.grad, 5)
    (0.6, 0.8)

    Args:
        parameters: the parameters whose gradients are clipped.
        max_norm: the largest norm of all gradients together; inf only measures it.
        norm_type: the p of the p-norm; inf is the largest absolute gradient.
        error_if_nonfinite: whether to refuse a norm that is infinite or nan.

    Returns:
        The norm before clipping.

    Raises:
        ValueError: if `max_norm` is negative, `norm_type` is not above 0, or, with
            `error_if_nonfinite`, the norm is not finite; nothing is changed then.

    """
    if max_norm != math.inf:  # which only measures
        check("max_norm", max_norm)
    if not is_number(norm_type) or not norm_type > 0.0:
        raise ValueError(f"norm_type is a number above 0; got norm_type={norm_type!r}.")
    listed = list(parameters)
    norm = _norm([abs(plain(p.grad)) for p in listed], norm_type)
    if error_if_nonfinite and not math.isfinite(norm):
        raise ValueError(
            f"the norm of the gradients is {norm} and they cannot be clipped by it; lower the "
            "rate, or look for the operation that overflows."
        )
    factor = norm_factor(norm, max_norm)
    if factor != 1.0:
        for parameter in listed:
            parameter.grad = plain(parameter.grad) * factor
    return norm


def clip_grad_value_(parameters: Iterable[Any], clip_value: float) -> None:
    """Clip each gradient to the interval from -clip_value to clip_value; nan stays nan.

    >>> from liftgrad.engine import Value
    >>> p = Value(3.0)
    >>> (p * p).backward()
    >>> clip_grad_value_([p], clip_value=0.5)
    >>> p.grad
    0.5

    Raises:
        ValueError: if `clip_value` is negative.

    """
    check("clip_value", clip_value)
    for parameter in parameters:
        parameter.grad = clipped(plain(parameter.grad), clip_value)


def norm_factor(norm: Any, max_norm: float) -> Any:
    """Return what gradients of this norm are multiplied by: a number, or a symbol for one.

    It is at most 1, and nan if the norm is: clipping does not hide a gradient that is nan.
    """
    return minimum(divide(max_norm, norm + 1e-6), 1.0)


def clipped(gradient: Any, clip_value: float) -> Any:
    """Return a gradient, a number or a symbol, clipped to [-clip_value, clip_value]."""
    return minimum(maximum(gradient, -clip_value), clip_value)


def _norm(sizes: list[float], norm_type: float) -> float:
    if any(map(math.isnan, sizes)):
        return math.nan
    largest = max(sizes, default=0.0)
    if norm_type == math.inf or largest in {0.0, math.inf}:
        return largest
    # In units of the largest, so that no power overflows or underflows.
    return float(
        largest * math.fsum([(x / largest) ** norm_type for x in sizes]) ** (1 / norm_type)
    )
