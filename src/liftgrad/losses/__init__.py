"""Losses as scalar programs, for floats, Values and traced values alike.

They have PyTorch's names, results and reductions: "mean", "sum", or "none" for the losses
themselves. In a lifted function targets may be numbers or indices that vary by call.
"""

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
