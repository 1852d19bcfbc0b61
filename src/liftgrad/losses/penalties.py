"""Penalties that are added to a loss."""

from collections.abc import Iterable
from typing import Any

from liftgrad.functional import dot, total
from liftgrad.numbers import as_python


def l1(parameters: Iterable[Any], factor: float = 1e-4) -> Any:
    """Return factor·Σ|p|, which shrinks the parameters p, many of them to zero.

    >>> l1([3.0, -4.0], factor=0.5)
    3.5
    """
    return as_python(factor) * total([abs(p) for p in parameters])


def l2(parameters: Iterable[Any], factor: float = 1e-4) -> Any:
    """Return factor·Σp², which shrinks the parameters p towards zero.

    >>> l2([3.0, 4.0], factor=0.5)
    12.5
    """
    parameters = list(parameters)
    return as_python(factor) * dot(parameters, parameters)
