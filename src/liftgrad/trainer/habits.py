"""Habits from Keras, PyTorch and scikit-learn: what their users try, and what to write instead."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from liftgrad import optim
from liftgrad.engine import Value
from liftgrad.errors import LiftError
from liftgrad.lift.function import LiftedFunction
from liftgrad.nn import Module
from liftgrad.numbers import is_whole
from liftgrad.optim import Optimizer
from liftgrad.trainer.checkpoint import Checkpoint
from liftgrad.trainer.stopping import EarlyStopping

_OF_THE_TRAINER = "it is the Trainer's: Trainer(loss, optimizer, {name}=...)"
_OF_THE_LOSS = "write it into the loss, as a factor of each sample's loss"
_INSTEAD = {
    "epochs": "the number of epochs comes first: {fit}",
    "max_epochs": "the number of epochs comes first: {fit}",
    "steps": "the number of steps comes first in run(), and that of epochs in fit(): {fit}",
    **dict.fromkeys(("batch_size", "shuffle", "seed", "max_norm", "clip_value"), _OF_THE_TRAINER),
    "validation_data": "write validation=({arguments}), the loss's arguments with other data",
    "validation_split": "write validation=0.2",
    "verbose": "write progress=True",
    "patience": "write early_stopping=EarlyStopping(patience=10)",
    "lr": "it is the optimiser's: optim.Adam(model.parameters(), lr=0.001)",
    "learning_rate": "it is the optimiser's: optim.Adam(model.parameters(), lr=0.001)",
    "sample_weight": _OF_THE_LOSS,
    "class_weight": _OF_THE_LOSS,
}
"""Arguments of other libraries."""
_OF_FIT = ("validation", "metrics", "early_stopping", "callbacks", "checkpoint", "progress")
_ELSEWHERE = {
    "predict": "ask liftgrad.predict(model, X)",
    "evaluate": "call the loss itself, or pass validation= and metrics= to fit()",
    "score": "call the loss itself, or pass validation= and metrics= to fit()",
    "train": "it trains by fit(), and a model is in training unless model.eval() was called",
    "step": "it takes steps by run(), and epochs by fit()",
    "compile": "loss and optimiser are given to Trainer(loss, optimizer)",
}
"""Methods of other libraries."""


def missing(name: str) -> str:
    """Return the message about an attribute that a Trainer does not have."""
    cure = f"; {_ELSEWHERE[name]}" if name in _ELSEWHERE else ""
    return f"a Trainer has no {name!r}{cure}."


def call_of(loss: LiftedFunction, method: str = "fit") -> str:
    """Return an example of a call with the loss's arguments."""
    return f"trainer.{method}(10, {_arguments(loss)})"


def _arguments(loss: LiftedFunction) -> str:
    return ", ".join(inspect.signature(loss).parameters)


def check_loss(loss: Any) -> None:
    """Refuse what is not a lifted loss.

    Raises:
        LiftError: saying how to write one.

    """
    if isinstance(loss, LiftedFunction):
        return
    if isinstance(loss, Module | Optimizer | str) or not callable(loss):
        raise LiftError(
            "a Trainer needs a lifted loss first, and this is of type "
            f"{type(loss).__name__}; write a function of model and data that returns "
            "the loss, and decorate it with @lift."
        )
    if getattr(loss, "__module__", "").startswith("liftgrad.losses"):
        raise LiftError(
            f"a Trainer needs a lifted loss, and {loss.__name__} compares outputs with targets; "
            "write a function of model and data that returns it, and decorate it with @lift."
        )
    raise LiftError("a Trainer needs a lifted loss; decorate the function with @lift.")


def check_optimizer(optimizer: Any) -> None:
    """Refuse what is not an optimiser.

    Raises:
        TypeError: saying how to make one.

    """
    if isinstance(optimizer, Optimizer):
        return
    name = optimizer.__name__ if isinstance(optimizer, type) else optimizer
    known = {x.lower(): x for x in optim.__all__ if isinstance(getattr(optim, x), type)}
    wanted = known.get(name.lower(), "Adam") if isinstance(name, str) else "Adam"
    what = (
        f"the class {name}"
        if isinstance(optimizer, type)
        else f"of type {type(optimizer).__name__}"
    )
    raise TypeError(
        f"a Trainer needs an optimiser that holds the parameters, and this is {what}; pass "
        f"optim.{wanted}(model.parameters())."
    )


def check_count(count: Any, what: str, loss: LiftedFunction, method: str) -> None:
    """Refuse what is not a number of epochs or steps.

    Raises:
        TypeError: if it is data or a model.
        ValueError: if it is negative or not whole.

    """
    if is_whole(count) and count >= 0:
        return
    if isinstance(count, Module) or hasattr(count, "__len__"):
        raise TypeError(
            f"{method}() takes the number of {what} first, and this is of type "
            f"{type(count).__name__}; "
            f"write {call_of(loss, method)}."
        )
    raise ValueError(f"{count!r} {what}; pass a whole number, 0 or more.")


def check_unknown(
    unknown: Mapping[str, Any], loss: LiftedFunction, called: Callable[..., Any]
) -> None:
    """Refuse arguments that `Trainer` or its `fit` does not have.

    Raises:
        TypeError: naming the first, and what to write instead.

    """
    for name in unknown:
        parameters = inspect.signature(called).parameters.values()
        own = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
        of_trainer = isinstance(called, type)
        if of_trainer and name in (*_OF_FIT, "epochs", "max_epochs"):
            cure = f"it is for fit(): {call_of(loss)}"
            cure = f"{cure[:-1]}, {name}=...)" if name in _OF_FIT else cure
        elif name in _INSTEAD:
            cure = _INSTEAD[name].format(name=name, fit=call_of(loss), arguments=_arguments(loss))
        elif name in inspect.signature(loss).parameters:
            cure = f"the loss's arguments are passed to fit(), without names: {call_of(loss)}"
        else:
            cure = f"it has {', '.join(own)}"
        raise TypeError(f"{called.__name__}() has no argument {name!r}; {cure}.")


def checked_callbacks(early_stopping: Any, checkpoint: Any, callbacks: Any) -> list[Any]:
    """Return the callbacks of a fit as a list, once they and its rules have the right types.

    Raises:
        TypeError: saying what to pass.

    """
    if early_stopping is not None and not isinstance(early_stopping, EarlyStopping):
        raise TypeError(
            f"early_stopping={early_stopping!r}; pass early_stopping=EarlyStopping(patience=10), "
            "or None for none."
        )
    if checkpoint is not None and not isinstance(checkpoint, Checkpoint):
        raise TypeError(
            f'checkpoint={checkpoint!r}; pass checkpoint=Checkpoint("run.safetensors"), or None '
            "for none."
        )
    if not isinstance(callbacks, Iterable) or isinstance(callbacks, str):
        raise TypeError(
            f"callbacks is of type {type(callbacks).__name__}; pass a list of functions of an "
            "EpochState."
        )
    listed = list(callbacks)
    for callback in listed:
        if isinstance(callback, type) or not callable(callback):
            place = {EarlyStopping: "early_stopping", Checkpoint: "checkpoint"}.get(type(callback))
            cure = f"pass it as {place}=" if place else "pass a function of an EpochState"
            raise TypeError(f"a callback is of type {type(callback).__name__}; {cure}.")
    return listed


def check_arguments(args: tuple[Any, ...], loss: LiftedFunction, validation: Any) -> None:
    """Refuse arguments to train or validate on that are not the loss's.

    Raises:
        TypeError: saying what is missing.

    """
    try:
        loss.source.arguments(args, {})
    except TypeError as error:
        raise TypeError(f"{error}; write {call_of(loss)}.") from None
    if not isinstance(validation, tuple):
        return
    fits = len(validation) == len(args)
    if not fits or any(
        _trains(a) and not _trains(b) for a, b in zip(args, validation, strict=True)
    ):
        raise TypeError(
            f"validation holds all arguments of the loss, model and all; write "
            f"validation=({_arguments(loss)}) with other data."
        )


def _trains(x: Any) -> bool:
    """Return whether an argument holds parameters, judging by its first elements."""
    if isinstance(x, list | tuple) and x:
        return _trains(x[0])
    return isinstance(x, Module | Value)
