"""Optimisers with PyTorch's arguments and results, clipping, and schedules of the learning rate.

An update rule is written once, as arithmetic on one parameter. `Optimizer.step` runs it on floats;
the compiler runs the same rule on symbols, which makes it part of a native training step.

>>> from liftgrad.engine import Value
>>> x = Value(3.0)
>>> optimizer = SGD([x], lr=0.1)
>>> for _ in range(50):
...     loss = (x - 1.0) ** 2
...     optimizer.zero_grad()
...     loss.backward()
...     optimizer.step()
>>> round(x.data, 3)
1.0
"""

from typing import TYPE_CHECKING, Any

from liftgrad.optim.adagrad import Adagrad
from liftgrad.optim.adam import Adam, AdamW
from liftgrad.optim.clip import clip_grad_norm_, clip_grad_value_
from liftgrad.optim.optimizer import Optimizer
from liftgrad.optim.param_groups import ParamGroup
from liftgrad.optim.plateau import ReduceLROnPlateau
from liftgrad.optim.rmsprop import RMSprop
from liftgrad.optim.schedules import (
    Schedule,
    constant,
    cosine,
    exponential,
    linear,
    one_cycle,
    step,
    warm_restarts,
    warm_up,
)
from liftgrad.optim.sgd import SGD

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Optimizer",
    "ParamGroup",
    "RMSprop",
    "ReduceLROnPlateau",
    "Schedule",
    "clip_grad_norm_",
    "clip_grad_value_",
    "constant",
    "cosine",
    "exponential",
    "linear",
    "one_cycle",
    "step",
    "warm_restarts",
    "warm_up",
]

_SCHEDULES = {
    "ConstantLR": "constant(0.1)",
    "CosineAnnealingLR": "cosine(0.1, 0.0, steps=100)",
    "CosineAnnealingWarmRestarts": "warm_restarts(0.1, 0.0, steps=100)",
    "ExponentialLR": "exponential(0.1, gamma=0.9)",
    "LinearLR": "linear(0.1, 0.01, steps=100)",
    "OneCycleLR": "one_cycle(0.1, steps=100)",
    "SequentialLR": "warm_up(0.0, 10, then=optim.constant(0.1))",
    "StepLR": "step(0.1, every=30)",
    "lr_scheduler": "step(0.1, every=30)",
}
"""PyTorch's classes, which take an optimiser, and the schedules that an optimiser takes here."""

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name in _SCHEDULES:
            raise AttributeError(
                f"liftgrad.optim has no {name}, since an optimiser is made with its schedule; pass "
                f"lr=optim.{_SCHEDULES[name]} to the optimiser."
            )
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
