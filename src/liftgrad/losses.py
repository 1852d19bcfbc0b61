"""Losses as scalar programs, for floats, Values and traced values alike."""

from collections.abc import Iterable
from typing import Any

from liftgrad.functional import dot, mean, relu


def hinge(scores: Iterable[Any], targets: Iterable[Any]) -> Any:
    """Return the mean of max(0, 1 - y·s) over scores s and targets y, each 1.0 or -1.0.

    This is the max-margin loss of a support vector machine: zero only where every score has its
    target's sign and a margin of at least 1.

    >>> hinge([2.0, 0.5, 3.0], [1.0, 1.0, -1.0])
    1.5

    Raises:
        ValueError: if scores and targets differ in number, or there are none.

    """
    scores, targets = list(scores), list(targets)
    if len(scores) != len(targets):
        raise ValueError(
            f"hinge needs a target for each score; got {len(scores)} scores and "
            f"{len(targets)} targets."
        )
    return mean([relu(1.0 - y * s) for s, y in zip(scores, targets, strict=True)])


def l2(parameters: Iterable[Any], factor: float = 1e-4) -> Any:
    """Return factor·Σp², which draws the parameters p towards zero.

    >>> l2([3.0, 4.0], factor=0.5)
    12.5
    """
    parameters = list(parameters)
    return factor * dot(parameters, parameters)
