"""Reduction of the losses of numbers or rows to one loss, and the pairing with their targets."""

import math
from collections.abc import Iterator
from typing import Any, Literal

from liftgrad.functional import mean, total, where
from liftgrad.numbers import is_number, kind_of
from liftgrad.protocols import has_operators

Reduction = Literal["mean", "sum", "none"]


def pairs(name: str, what: str, a: Any, b: Any) -> list[tuple[Any, Any]]:
    """Return the pairs of elements of `a` and `b`.

    Raises:
        ValueError: if their lengths or their nesting differ.
        TypeError: if one of them is neither a number nor a list.

    """
    if is_scalar(a) or is_scalar(b):
        raise ValueError(
            f"{name} needs a target for each {what}; one of the two is a number and the other a "
            "list: give them one shape, such as model(x)[0] for the one output of a model."
        )
    for x in (a, b):
        # Strings, whose items are strings again, would recurse forever.
        if isinstance(x, str | bytes) or not hasattr(x, "__iter__"):
            raise TypeError(
                f"{name} takes numbers or lists of numbers, and this is {kind_of(x)}; pass one of "
                "them."
            )
    left, right = list(a), list(b)
    if len(left) != len(right):
        raise ValueError(
            f"{name} needs a target for each {what}; got {len(left)} {what}s and "
            f"{len(right)} targets."
        )
    return list(zip(left, right, strict=True))


def share(weight: Any, loss: Any) -> Any:
    """Return weight·loss; 0 where the weight is 0, even if the loss is infinite."""
    product = weight * loss
    return where(weight == 0.0, where(loss == math.inf, 0.0, product), product)


def reduced(losses: list[Any], reduction: Reduction) -> Any:
    """Return the losses' mean or sum, or the losses."""
    if reduction == "none":
        return losses
    flat = list(flattened(losses))
    return mean(flat) if reduction == "mean" else total(flat)


def check_reduction(reduction: str) -> None:
    """Refuse an unknown reduction.

    Raises:
        ValueError: naming the known ones.

    """
    if not isinstance(reduction, str) or reduction not in {"mean", "sum", "none"}:
        raise ValueError(f"reduction is 'mean', 'sum' or 'none'; got reduction={reduction!r}.")


def flattened(losses: list[Any]) -> Iterator[Any]:
    """Yield the numbers in nested lists."""
    for loss in losses:
        if isinstance(loss, list):
            yield from flattened(loss)
        else:
            yield loss


def is_scalar(x: Any) -> bool:
    """Return whether it is one number: plain, a Value or traced."""
    return has_operators(x) or is_number(x)
