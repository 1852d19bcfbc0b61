"""Write the network on single numbers. Run it at tensor speed. See every step between."""

import importlib
from typing import Any

from liftgrad import functional, losses, nn, optim
from liftgrad.derivatives import grad, hessian, hvp, jacobian, value_and_grad
from liftgrad.engine import Value
from liftgrad.gradcheck import gradcheck

__all__ = [
    "Value",
    "data",
    "functional",
    "grad",
    "gradcheck",
    "hessian",
    "hvp",
    "jacobian",
    "losses",
    "nn",
    "optim",
    "plot",
    "value_and_grad",
]
__version__ = "0.1.0"

_IMPORTED_AT_USE = {"data", "plot"}  # They need NumPy, whose import takes longer than all else.


def __getattr__(name: str) -> Any:
    if name in _IMPORTED_AT_USE:
        return importlib.import_module(f"liftgrad.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
