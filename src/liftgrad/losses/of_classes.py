"""Losses of rows of scores, one score for each class, and the index of each row's class."""

import math
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from liftgrad.functional import mean, relu, shifted_scores, take, total, where
from liftgrad.losses.reduction import (
    Reduction,
    check_reduction,
    is_scalar,
    pairs,
    reduced,
    share,
)
from liftgrad.numbers import as_python, is_number, is_whole, to_scalar
from liftgrad.ops import divide
from liftgrad.protocols import has_operators, is_index


def cross_entropy(
    scores: Any,
    targets: Any,
    reduction: Reduction = "mean",
    label_smoothing: float = 0.0,
    *,
    weight: Any = None,
    ignore_index: int | None = None,
) -> Any:
    """Return the mean of -log softmax(row)[target] over rows of scores, or that of one row.

    With label smoothing ε (Szegedy et al., 2016) the target's probability is 1 - ε + ε/C and that
    of each other class ε/C.

    >>> cross_entropy([[1000.0, 0.0], [0.0, 1000.0]], [0, 0])
    500.0

    With class weights the mean is a weighted one, Σ weight·loss / Σ weight. Mapped over samples by
    `vmap`, each row has its weighted loss for the "sum", and the mean is taken outside:

    >>> from liftgrad import vmap
    >>> X, y, weight = [[1.0, 2.0], [0.0, 4.0]], [0, 1], [3.0, 1.0]
    >>> each = vmap(lambda row, c: cross_entropy(row, c, "sum", weight=weight))(X, y)
    >>> mean_loss = total(each) / total(vmap(lambda c: take(weight, c))(y))
    >>> mean_loss == cross_entropy(X, y, weight=weight)
    True

    Args:
        scores: C numbers, or rows of C numbers.
        targets: an integer from 0 to C - 1, or one for each row.
        reduction: over the rows.
        label_smoothing: ε, from 0 to 1.
        weight: of each class, C numbers.
        ignore_index: the target of rows to ignore; None, unlike PyTorch's -100: there are none. In
            a lifted function a target that is neither this nor an index of its row makes the loss
            nan.

    Raises:
        ValueError: if there is not a target for each row or a weight for each class, for the mean
            of no rows, for the mean of one row by itself with weights or an `ignore_index`, or if
            `label_smoothing` is not from 0 to 1.
        TypeError: if a target is not an integer.
        IndexError: if a target is not an index of its row.

    """
    known, label_smoothing = is_number(label_smoothing), as_python(label_smoothing)
    if known and not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(f"label_smoothing is from 0 to 1; got label_smoothing={label_smoothing}.")

    weights = _weights("cross_entropy", weight)

    def smoothed(x: Any) -> Any:
        # Without smoothing a score of -inf adds nothing, but 0 times it would be nan.
        return x if known else where((abs(x) < math.inf) | (label_smoothing > 0.0), x, 0.0)

    def rule(row: list[Any], at: At) -> Any:
        shifted, normaliser = shifted_scores(row, "cross_entropy")
        own = at(shifted)
        if weights is None:
            if known and not label_smoothing:
                return normaliser - own
            average = smoothed(mean(shifted))
            return normaliser - (1.0 - label_smoothing) * own - label_smoothing * average
        loss = share(at(weights), normaliser - own)
        if known and not label_smoothing:
            return loss
        costs = [share(w, normaliser - x) for w, x in zip(weights, shifted, strict=True)]
        return share(1.0 - label_smoothing, loss) + label_smoothing * smoothed(mean(costs))

    return _of_rows("cross_entropy", rule, scores, targets, reduction, weights, ignore_index)


def nll_loss(
    log_probabilities: Any,
    targets: Any,
    reduction: Reduction = "mean",
    *,
    weight: Any = None,
    ignore_index: int | None = None,
) -> Any:
    """Return the mean of -row[target] over rows of log-probabilities, or that of one row.

    After `functional.log_softmax` this is `cross_entropy`, whose arguments and errors it has.

    >>> nll_loss([[-0.5, -1.0], [-2.0, -0.25]], [1, 1])
    0.625
    >>> nll_loss([[-0.5, -1.0], [-2.0, -0.25]], [1, 7], ignore_index=7)
    1.0
    """
    weights = _weights("nll_loss", weight)

    def rule(row: list[Any], at: At) -> Any:
        return -at(row) if weights is None else share(at(weights), -at(row))

    return _of_rows("nll_loss", rule, log_probabilities, targets, reduction, weights, ignore_index)


def multi_margin_loss(
    scores: Any, targets: Any, reduction: Reduction = "mean", margin: float = 1.0
) -> Any:
    """Return the mean of Σ_i max(0, margin - row[target] + row[i]) / C, over rows and i ≠ target.

    The hinge loss for C classes (Weston & Watkins, 1999), with the arguments and errors of
    `cross_entropy`; nan where the target's own score is infinite.

    >>> multi_margin_loss([0.5, 2.0, 1.25, -3.0], 1)
    0.0625
    """
    margin = as_python(margin)

    def rule(row: list[Any], at: At) -> Any:
        own, target = at(row), at.target
        # Times 0 and not a choice of the terms: then gradients need no account of what was chosen,
        # and a lifted step takes 8 µs, not 19 (5 classes, 200 rows).
        terms = [
            where(target == i, 0.0, 1.0) * relu(margin - own + score) for i, score in enumerate(row)
        ]
        return total(terms) / len(row)

    return _of_rows("multi_margin_loss", rule, scores, targets, reduction)


class At:
    """Takes a row's element at a target, the index of its class.

    Args:
        name: of the loss.
        target: an integer, or an index that is known at run time.
        ignore_index: the target of rows to ignore; None: there are none.

    """

    def __init__(self, name: str, target: Any, ignore_index: int | None) -> None:
        # Traced numbers have __index__, too, which refuses with a general sentence.
        self.known = hasattr(target, "__index__") and not has_operators(target)
        if not self.known and not is_index(target):
            raise TypeError(
                f"{name} takes the indices of classes as targets, and this one is not an integer; "
                "pass integers, such as y.astype(int) for an array y."
            )
        self.target, self.ignore_index = target, ignore_index
        self.ignored = ignore_index is not None and target == ignore_index

    def __call__(self, row: Sequence[Any]) -> Any:
        """Return the element; of an ignored row, any number."""
        if self.ignore_index is None:
            return take(row, self.target)
        if self.known:
            return take(row, 0 if self.ignored else self.target)
        # take() needs an index of the row, which `ignore_index` may not be.
        return total([where(self.target == i, x, 0.0) for i, x in enumerate(row)])

    def counted(self, number: Any, classes: int) -> Any:
        """Return a number, or 0 for an ignored row."""
        if self.ignore_index is None:
            return number
        if not self.known:
            inside = (self.target >= 0) & (self.target < classes)
            number = where(inside, number, math.nan)
        return where(self.ignored, 0.0, number)


def _of_rows(
    name: str,
    rule: Callable[[list[Any], At], Any],
    rows: Any,
    targets: Any,
    reduction: Reduction,
    weights: list[Any] | None = None,
    ignore_index: int | None = None,
) -> Any:
    """Return the rule's results for all rows and targets, reduced, or the result for one row."""
    check_reduction(reduction)
    if ignore_index is not None and not is_whole(ignore_index):
        raise TypeError(f"ignore_index is an integer or None; got ignore_index={ignore_index!r}.")
    alike = weights is None and ignore_index is None

    def loss_of(row: Any, target: Any) -> tuple[Any, Any]:
        """Return a row's loss and weight."""
        row, at = _row(name, row), At(name, target, ignore_index)
        if weights is not None and len(weights) != len(row):
            raise ValueError(
                f"{name} takes a weight for each class; got {len(weights)} weights for rows of "
                f"{len(row)} numbers."
            )
        loss = at.counted(rule(row, at), len(row))
        return loss, 1.0 if alike else at.counted(1.0 if weights is None else at(weights), len(row))

    if is_scalar(targets):
        if not alike and reduction == "mean":
            raise ValueError(
                f"{name} of one row: its mean by weight is its loss, whatever the weight; pass "
                'reduction="sum", and divide the total of all rows by the total of their weights.'
            )
        return loss_of(rows, targets)[0]
    found = [loss_of(row, target) for row, target in pairs(name, "row", rows, targets)]
    losses = [loss for loss, _ in found]
    if alike or reduction != "mean":
        return reduced(losses, reduction)
    return divide(total(losses), total([weight for _, weight in found]))


def _weights(name: str, weight: Any) -> list[Any] | None:
    """Return the weights of the classes, if there are any."""
    if weight is None:
        return None
    # Iterating over a dictionary would give its keys.
    named = isinstance(weight, str | bytes | Mapping | AbstractSet)
    if named or is_scalar(weight) or not hasattr(weight, "__iter__"):
        raise TypeError(f"{name} takes a weight for each class, as a list; got weight={weight!r}.")
    return [to_scalar(x) for x in weight]


def _row(name: str, row: Any) -> list[Any]:
    if is_scalar(row):
        raise ValueError(
            f"{name} takes a row of numbers for each target, one for each class, and this is one "
            "number; pass the outputs of all classes."
        )
    return [to_scalar(x) for x in row]
