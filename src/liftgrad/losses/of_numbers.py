"""Losses of numbers with a target each: one number, a list, or nested lists."""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from liftgrad.functional import relu, softplus, where
from liftgrad.losses.reduction import (
    Reduction,
    check_reduction,
    is_scalar,
    pairs,
    reduced,
    share,
)
from liftgrad.numbers import as_python, is_number, to_scalar


def mse_loss(predictions: Any, targets: Any, reduction: Reduction = "mean") -> Any:
    """Return the mean of (p - t)² over predictions p and targets t, of one shape.

    >>> mse_loss([1.0, 2.0], [0.0, 4.0])
    2.5

    Raises:
        ValueError: if the shapes differ, or for the mean of no numbers.

    """
    return _of_numbers("mse_loss", _squared, predictions, targets, reduction)


def l1_loss(predictions: Any, targets: Any, reduction: Reduction = "mean") -> Any:
    """Return the mean of |p - t| over predictions p and targets t, of one shape.

    >>> l1_loss([1.0, 2.0], [0.0, 4.0])
    1.5

    Raises:
        ValueError: if the shapes differ, or for the mean of no numbers.

    """
    return _of_numbers("l1_loss", lambda p, t: abs(p - t), predictions, targets, reduction)


def huber_loss(
    predictions: Any, targets: Any, reduction: Reduction = "mean", delta: float = 1.0
) -> Any:
    """Return the mean of ½d² where |d| < delta, else delta·(|d| - ½delta), for d = p - t.

    It is quadratic near the target and linear far from it (Huber, 1964).

    >>> huber_loss([1.5, 5.0], [1.0, 1.0], reduction="none")
    [0.125, 3.5]

    Raises:
        ValueError: if the shapes differ, for the mean of no numbers, or if delta is not above 0.

    """
    # In a lifted function delta may be an input, known only at run time.
    if is_number(delta) and not delta > 0.0:
        raise ValueError(f"huber_loss needs a delta above 0; got delta={delta}.")
    delta = as_python(delta)

    def rule(p: Any, t: Any) -> Any:
        difference = p - t
        distance = abs(difference)
        # With >= nan is squared; on the linear side its derivative would be 0.
        return where(
            distance >= delta, delta * (distance - 0.5 * delta), 0.5 * difference * difference
        )

    return _of_numbers("huber_loss", rule, predictions, targets, reduction)


def binary_cross_entropy_with_logits(
    scores: Any, targets: Any, reduction: Reduction = "mean", *, pos_weight: Any = None
) -> Any:
    """Return the mean of -w·t·log σ(s) - (1 - t)·log(1 - σ(s)), σ the sigmoid, t from 0 to 1.

    It does not overflow, and is exact where σ(s) would round to 0 or 1.

    >>> binary_cross_entropy_with_logits([800.0, -800.0], [1.0, 1.0])
    400.0
    >>> binary_cross_entropy_with_logits([800.0, -800.0], [1.0, 1.0], pos_weight=3.0)
    1200.0

    Args:
        scores, targets: numbers, in lists of one shape.
        reduction: over all of them.
        pos_weight: w, the weight of a target of 1, where that of 0 weighs 1: a number, or for rows
            of several scores one for each column; None: 1.

    Raises:
        ValueError: if the shapes differ, or for the mean of no numbers.

    """
    name = "binary_cross_entropy_with_logits"
    if pos_weight is None:
        return _of_numbers(name, _binary_cross_entropy, scores, targets, reduction)
    check_reduction(reduction)
    # Iterating over a dictionary would give its keys.
    if isinstance(pos_weight, str | bytes | Mapping | AbstractSet):
        raise TypeError(f"{name} takes pos_weight as a number or a list; got {pos_weight!r}.")
    losses = _each_weighted(name, scores, targets, pos_weight)
    return losses if is_scalar(losses) else reduced(losses, reduction)


def hinge(scores: Any, targets: Any, reduction: Reduction = "mean") -> Any:
    """Return the mean of max(0, 1 - y·s) over scores s and targets y, each 1.0 or -1.0.

    This is the max-margin loss of a support vector machine: zero only where every score has its
    target's sign and a margin of at least 1.

    >>> hinge([2.0, 0.5, 3.0], [1.0, 1.0, -1.0])
    1.5

    Raises:
        ValueError: if the shapes differ, for the mean of no numbers, or for a target that is
            another number, unless a lifted function knows it only at run time.

    """

    def rule(score: Any, target: Any) -> Any:
        if is_number(target) and target not in (-1.0, 1.0):
            raise ValueError(
                f"hinge takes targets of 1.0 and -1.0, and this one is {target:g}; pass 2·y - 1 of "
                "labels y of 0 and 1."
            )
        return relu(1.0 - target * score)

    return _of_numbers("hinge", rule, scores, targets, reduction)


def _squared(p: Any, t: Any) -> Any:
    difference = p - t
    return difference * difference


def _binary_cross_entropy(score: Any, target: Any, weight: Any = None) -> Any:
    # Not softplus(s) - t·s: for a confident score, a difference of two large numbers.
    # Not |s|, whose derivative at 0 belongs to neither side.
    positive = score > 0.0
    distance = where(positive, score, -score)
    of_one = target if weight is None else weight * target
    near = softplus(-distance)
    if weight is not None:
        near = (of_one + (1.0 - target)) * near
    return near + share(where(positive, 1.0 - target, of_one), distance)


def _each_weighted(name: str, a: Any, b: Any, weights: Any) -> Any:
    """Return the cross-entropies in the shape of `a` and `b`, to which weights are broadcast."""
    if is_scalar(a) and is_scalar(b):
        if not is_scalar(weights):
            raise ValueError(
                f"{name} takes one pos_weight, or one for each score of a row, and this is a list "
                "for one score; pass a number."
            )
        return _binary_cross_entropy(to_scalar(a), to_scalar(b), to_scalar(weights))
    rows = pairs(name, "score", a, b)
    of_rows = list(weights) if _depth(weights) == _depth(a) else [weights] * len(rows)
    if len(of_rows) != len(rows):
        raise ValueError(
            f"{name} takes one pos_weight, or one for each score of a row; got {len(of_rows)} "
            f"weights for {len(rows)} scores."
        )
    return [_each_weighted(name, x, y, w) for (x, y), w in zip(rows, of_rows, strict=True)]


def _depth(x: Any) -> int:
    """Return how deeply lists are nested."""
    return 0 if is_scalar(x) or not len(x) else 1 + _depth(x[0])


def _of_numbers(
    name: str, rule: Callable[[Any, Any], Any], a: Any, b: Any, reduction: Reduction
) -> Any:
    """Return the rule's results for all numbers of `a` and `b`, reduced."""
    check_reduction(reduction)
    losses = _each(name, rule, a, b)
    return losses if is_scalar(losses) else reduced(losses, reduction)


def _each(name: str, rule: Callable[[Any, Any], Any], a: Any, b: Any) -> Any:
    """Return the rule's results in the shape of `a` and `b`."""
    if is_scalar(a) and is_scalar(b):
        return rule(to_scalar(a), to_scalar(b))
    return [_each(name, rule, x, y) for x, y in pairs(name, "score", a, b)]
