"""Losses as scalar programs, for floats, Values and traced values alike.

They have PyTorch's names, results and reductions: "mean", "sum", or "none" for the losses
themselves. In a lifted function targets may be numbers or indices that vary by call.

>>> from liftgrad import Value
>>> scores = [Value(2.0), Value(0.5)]
>>> loss = cross_entropy(scores, 0)
>>> loss.backward()
>>> round(loss.data, 4), [round(s.grad, 4) for s in scores]
(0.2014, [-0.1824, 0.1824])
"""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

from liftgrad.functional import dot, mean, relu, shifted_scores, softplus, take, total, where
from liftgrad.numbers import is_number, kind_of, to_float

Reduction = Literal["mean", "sum", "none"]


# Of numbers, each with a target. They may be one number, a list, or lists of lists.


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

    Squared close to the target and linear far from it (Huber, 1964).

    >>> huber_loss([1.5, 5.0], [1.0, 1.0], reduction="none")
    [0.125, 3.5]

    Raises:
        ValueError: if the shapes differ, for the mean of no numbers, or if delta is not above 0.

    """
    # In a lifted function delta may be one of its inputs, known at run time only.
    if is_number(delta) and not delta > 0.0:
        raise ValueError(f"huber_loss needs a delta above 0; got delta={delta}.")

    def rule(p: Any, t: Any) -> Any:
        difference = p - t
        distance = abs(difference)
        # With >= a nan is squared: the derivative of its distance would be 0.
        return where(
            distance >= delta, delta * (distance - 0.5 * delta), 0.5 * difference * difference
        )

    return _of_numbers("huber_loss", rule, predictions, targets, reduction)


def binary_cross_entropy_with_logits(
    scores: Any, targets: Any, reduction: Reduction = "mean"
) -> Any:
    """Return the mean of -t·log σ(s) - (1 - t)·log(1 - σ(s)), σ the sigmoid, t from 0 to 1.

    Without overflow, and exact where σ(s) itself would round to 0 or 1.

    >>> binary_cross_entropy_with_logits([800.0, -800.0], [1.0, 1.0])
    400.0

    Raises:
        ValueError: if the shapes differ, or for the mean of no numbers.

    """
    return _of_numbers(
        "binary_cross_entropy_with_logits", _binary_cross_entropy, scores, targets, reduction
    )


def hinge(scores: Any, targets: Any, reduction: Reduction = "mean") -> Any:
    """Return the mean of max(0, 1 - y·s) over scores s and targets y, each 1.0 or -1.0.

    This is the max-margin loss of a support vector machine: zero only where every score has its
    target's sign and a margin of at least 1.

    >>> hinge([2.0, 0.5, 3.0], [1.0, 1.0, -1.0])
    1.5

    Raises:
        ValueError: if the shapes differ, or for the mean of no numbers.

    """
    return _of_numbers("hinge", lambda s, y: relu(1.0 - y * s), scores, targets, reduction)


# Of rows of numbers, one for each class, each with the index of its class.


def cross_entropy(
    scores: Any, targets: Any, reduction: Reduction = "mean", label_smoothing: float = 0.0
) -> Any:
    """Return the mean of -log softmax(row)[target] over rows of scores, or that of one row.

    With label smoothing ε (Szegedy et al., 2016) the target's probability is 1 - ε + ε/C and that
    of each other class ε/C.

    >>> cross_entropy([[1000.0, 0.0], [0.0, 1000.0]], [0, 0])
    500.0

    Args:
        scores: C numbers, or rows of C numbers.
        targets: an integer from 0 up to, but not, C, or one for each row.
        reduction: over the rows.
        label_smoothing: ε, from 0 to 1.

    Raises:
        ValueError: if there is not a target for each row, for the mean of no rows, or if
            `label_smoothing` is not from 0 to 1.
        TypeError: if a target is not an integer.
        IndexError: if a target is no index of its row.

    """
    known = is_number(label_smoothing)
    if known and not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(f"label_smoothing is from 0 to 1; got label_smoothing={label_smoothing}.")

    def rule(row: list[Any], target: Any) -> Any:
        shifted, normaliser = shifted_scores(row, "cross_entropy")
        own = _of_class("cross_entropy", shifted, target)
        if known and not label_smoothing:
            return normaliser - own
        average = mean(shifted)
        if not known:
            # Without smoothing another class of -inf costs nothing, but 0 times it would be nan.
            average = where((average > -math.inf) | (label_smoothing > 0.0), average, 0.0)
        return normaliser - (1.0 - label_smoothing) * own - label_smoothing * average

    return _of_rows("cross_entropy", rule, scores, targets, reduction)


def nll_loss(log_probabilities: Any, targets: Any, reduction: Reduction = "mean") -> Any:
    """Return the mean of -row[target] over rows of log-probabilities, or that of one row.

    After `functional.log_softmax` this is `cross_entropy`, whose arguments and errors it has.

    >>> nll_loss([[-0.5, -1.0], [-2.0, -0.25]], [1, 1])
    0.625
    """
    return _of_rows(
        "nll_loss",
        lambda row, target: -_of_class("nll_loss", row, target),
        log_probabilities,
        targets,
        reduction,
    )


def multi_margin_loss(
    scores: Any, targets: Any, reduction: Reduction = "mean", margin: float = 1.0
) -> Any:
    """Return the mean of Σ_i max(0, margin - row[target] + row[i]) / C, over rows and i ≠ target.

    The hinge loss for C classes (Weston & Watkins, 1999), with the arguments and errors of
    `cross_entropy`; nan where the target's own score is infinite.

    >>> multi_margin_loss([0.5, 2.0, 1.25, -3.0], 1)
    0.0625
    """

    def rule(row: list[Any], target: Any) -> Any:
        own = _of_class("multi_margin_loss", row, target)
        # Times 0 and not a choice of the terms: then gradients need no account of what was chosen,
        # and a lifted step takes 8 µs, not 19 (5 classes, 200 rows).
        terms = [
            where(target == i, 0.0, 1.0) * relu(margin - own + score) for i, score in enumerate(row)
        ]
        return total(terms) / len(row)

    return _of_rows("multi_margin_loss", rule, scores, targets, reduction)


# Penalties, to add to a loss.


def l1(parameters: Iterable[Any], factor: float = 1e-4) -> Any:
    """Return factor·Σ|p|, which draws the parameters p to zero, many of them all the way.

    >>> l1([3.0, -4.0], factor=0.5)
    3.5
    """
    return factor * total([abs(p) for p in parameters])


def l2(parameters: Iterable[Any], factor: float = 1e-4) -> Any:
    """Return factor·Σp², which draws the parameters p towards zero.

    >>> l2([3.0, 4.0], factor=0.5)
    12.5
    """
    parameters = list(parameters)
    return factor * dot(parameters, parameters)


def _squared(p: Any, t: Any) -> Any:
    difference = p - t
    return difference * difference


def _binary_cross_entropy(s: Any, t: Any) -> Any:
    # Not softplus(s) - t·s, which is the difference of two large numbers for a confident score.
    return t * softplus(-s) + (1.0 - t) * softplus(s)


def _of_class(name: str, row: list[Any], target: Any) -> Any:
    """Return the row's element at a target, the index of a class."""
    # A traced number has __index__, too, to say in general that it has no number.
    integer = hasattr(target, "__index__") and not hasattr(target, "_apply")
    if not integer and not hasattr(target, "_take_from"):
        raise TypeError(
            f"{name} takes the indices of classes as targets, and this one is no integer; pass "
            "integers, such as y.astype(int) for an array y."
        )
    return take(row, target)


def _of_numbers(
    name: str, rule: Callable[[Any, Any], Any], a: Any, b: Any, reduction: Reduction
) -> Any:
    """Return the rule's results for all numbers of `a` and `b`, reduced."""
    _check_reduction(reduction)
    losses = _each(name, rule, a, b)
    return losses if _is_scalar(losses) else _reduced(losses, reduction)


def _each(name: str, rule: Callable[[Any, Any], Any], a: Any, b: Any) -> Any:
    """Return the rule's results in the shape of `a` and `b`."""
    if _is_scalar(a) and _is_scalar(b):
        return rule(_number(a), _number(b))
    return [_each(name, rule, x, y) for x, y in _pairs(name, "score", a, b)]


def _of_rows(
    name: str,
    rule: Callable[[list[Any], Any], Any],
    rows: Any,
    targets: Any,
    reduction: Reduction,
) -> Any:
    """Return the rule's results for all rows and targets, reduced, or that for one row."""
    _check_reduction(reduction)
    if _is_scalar(targets):
        return rule(_row(name, rows), targets)
    pairs = _pairs(name, "row", rows, targets)
    return _reduced([rule(_row(name, row), target) for row, target in pairs], reduction)


def _row(name: str, row: Any) -> list[Any]:
    if _is_scalar(row):
        raise ValueError(
            f"{name} takes a row of numbers for each target, one for each class, and this is one "
            "number; pass the outputs of all classes."
        )
    return [_number(x) for x in row]


def _pairs(name: str, what: str, a: Any, b: Any) -> list[tuple[Any, Any]]:
    """Return the elements of `a`, each with that of `b`."""
    if _is_scalar(a) or _is_scalar(b):
        raise ValueError(
            f"{name} needs a target for each {what}; one of the two is a number and the other a "
            "list: give them one shape, such as model(x)[0] for the one output of a model."
        )
    for x in (a, b):
        # The characters of a text are texts again.
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


def _reduced(losses: list[Any], reduction: Reduction) -> Any:
    if reduction == "none":
        return losses
    flat = list(_flattened(losses))
    return mean(flat) if reduction == "mean" else total(flat)


def _check_reduction(reduction: str) -> None:
    if reduction not in {"mean", "sum", "none"}:
        raise ValueError(f"reduction is 'mean', 'sum' or 'none'; got reduction={reduction!r}.")


def _flattened(losses: list[Any]) -> Iterator[Any]:
    for loss in losses:
        if isinstance(loss, list):
            yield from _flattened(loss)
        else:
            yield loss


def _is_scalar(x: Any) -> bool:
    return hasattr(x, "_apply") or is_number(x)


def _number(x: Any) -> Any:
    """Return a Value or traced value as it is, and any number as a float."""
    return x if hasattr(x, "_apply") else to_float(x)
