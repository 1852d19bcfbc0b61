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

from typing import TYPE_CHECKING, Any

from liftgrad.losses.of_classes import cross_entropy, multi_margin_loss, nll_loss
from liftgrad.losses.of_numbers import (
    binary_cross_entropy_with_logits,
    hinge,
    huber_loss,
    l1_loss,
    mse_loss,
)
from liftgrad.losses.penalties import l1, l2
from liftgrad.losses.reduction import Reduction

__all__ = [
    "Reduction",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "hinge",
    "huber_loss",
    "l1",
    "l1_loss",
    "l2",
    "mse_loss",
    "multi_margin_loss",
    "nll_loss",
]

_ELSEWHERE = {
    "BCELoss": "binary_cross_entropy_with_logits, of scores before the sigmoid",
    "BCEWithLogitsLoss": "binary_cross_entropy_with_logits",
    "CrossEntropyLoss": "cross_entropy",
    "HuberLoss": "huber_loss",
    "L1Loss": "l1_loss",
    "MSELoss": "mse_loss",
    "MultiMarginLoss": "multi_margin_loss",
    "NLLLoss": "nll_loss",
    "SmoothL1Loss": "huber_loss",
    "binary_cross_entropy": "binary_cross_entropy_with_logits, of scores before the sigmoid",
    "hinge_loss": "hinge",
    "mae": "l1_loss",
    "mse": "mse_loss",
}
"""Names that other libraries use."""

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name in _ELSEWHERE:
            raise AttributeError(
                f"liftgrad.losses has no {name}, and losses are functions; call losses."
                f"{_ELSEWHERE[name]}."
            )
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
