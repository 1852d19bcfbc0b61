"""Write the network on single numbers. Run it at tensor speed. See every step between."""

from liftgrad import loading

if loading.is_command():
    loading.begin()  # before the slow imports

import importlib
from typing import TYPE_CHECKING, Any

from liftgrad import functional, losses, nn, optim
from liftgrad.derivatives import grad, hessian, hvp, jacobian, value_and_grad
from liftgrad.engine import Value
from liftgrad.gradcheck import gradcheck
from liftgrad.version import __version__ as __version__

__all__ = [
    "Checkpoint",
    "EarlyStopping",
    "Trainer",
    "Value",
    "data",
    "functional",
    "get_num_threads",
    "grad",
    "gradcheck",
    "hessian",
    "hvp",
    "jacobian",
    "lift",
    "losses",
    "nn",
    "operation",
    "optim",
    "plot",
    "predict",
    "recording",
    "scan",
    "set_num_threads",
    "value_and_grad",
    "vmap",
]

if TYPE_CHECKING:
    from liftgrad import data, plot
    from liftgrad.custom import operation
    from liftgrad.lift import lift
    from liftgrad.lift.stand_ins.scan import scan
    from liftgrad.lift.stand_ins.vmap import vmap
    from liftgrad.lift.threads import get_num_threads, set_num_threads
    from liftgrad.record.context import recording
    from liftgrad.trainer import Checkpoint, EarlyStopping, Trainer, predict

# These need NumPy, which takes longer to import than everything else. `dir()` lists them, too.
_MODULES_IMPORTED_AT_USE = {"data", "lift", "plot"}
_NAMES_IMPORTED_AT_USE = {
    "Checkpoint": "trainer",
    "EarlyStopping": "trainer",
    "Trainer": "trainer",
    "get_num_threads": "lift.threads",
    "operation": "custom",
    "predict": "trainer",
    "recording": "record.context",
    "scan": "lift.stand_ins.scan",
    "set_num_threads": "lift.threads",
    "vmap": "lift.stand_ins.vmap",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES_IMPORTED_AT_USE:
        return importlib.import_module(f"liftgrad.{name}")
    if name in _NAMES_IMPORTED_AT_USE:
        return getattr(importlib.import_module(f"liftgrad.{_NAMES_IMPORTED_AT_USE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
