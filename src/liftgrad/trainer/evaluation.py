"""Evaluation: the loss and the metrics after an epoch, on held-out data."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from liftgrad.errors import LiftError
from liftgrad.lift.function import LiftedFunction
from liftgrad.nn import Module
from liftgrad.numbers import is_number
from liftgrad.trainer.batches import Order
from liftgrad.trainer.history import COLUMNS, is_rate
from liftgrad.trainer.samples import Samples

Metric = Callable[..., Any]


class Evaluation:
    """The data that a fit trains on, and what it evaluates after each epoch.

    Args:
        loss: the lifted loss.
        args: its arguments.
        validation: the fraction of the rows to hold out, other arguments of the loss, or None.
        metrics: functions of the arguments, by name.
        seed: of the choice of the held-out rows.
        batched: whether steps see batches, cut from the other rows.

    Raises:
        ValueError: if the fraction leaves no row on one side, or a metric has a column's name.
        TypeError: if `validation` or a metric is of another type.
        LiftError: if there is no data to hold rows out of.

    """

    def __init__(
        self,
        loss: LiftedFunction,
        args: tuple[Any, ...],
        validation: float | tuple[Any, ...] | None,
        metrics: Mapping[str, Metric] | None,
        seed: int,
        *,
        batched: bool,
    ) -> None:
        self.loss = loss
        if metrics is not None and not isinstance(metrics, Mapping):
            raise TypeError(
                f"metrics is a {type(metrics).__name__}; pass a dictionary of functions of the "
                'loss\'s arguments that return a number, such as metrics={"accuracy": accuracy}.'
            )
        self.metrics = dict(metrics or {})
        for name, metric in self.metrics.items():
            if name in COLUMNS or is_rate(name):
                raise ValueError(f"{name!r} is a column of its own; give the metric another name.")
            if not callable(metric):
                raise TypeError(
                    f"the metric {name!r} is a {type(metric).__name__}; pass a function of the "
                    "loss's arguments that returns a number."
                )
        self.training = args
        """The arguments to train on."""
        self.rows: Order | None = None
        """The rows to cut batches from; None: all."""
        self.count = rows_of(loss.source.arguments(args, {})) if batched else None
        """How many rows an epoch sees; None: an epoch is one step."""
        self.validates = validation is not None
        self.data = Samples(validation if isinstance(validation, tuple) else args)
        """The arguments to evaluate on."""
        if isinstance(validation, tuple):
            check_rows(loss.source.arguments(validation, {}))
        if validation is None or isinstance(validation, tuple):
            return
        if not is_number(validation):
            raise TypeError(
                f"validation is a {type(validation).__name__}; pass a fraction such as 0.2, or a "
                "tuple of the loss's arguments with other data."
            )
        trained, held = _split(loss, args, float(validation), seed)
        self.data = Samples(args, held)
        if batched:
            self.rows, self.count = trained, len(trained)
        else:
            self.training = Samples(args, trained).all

    @property
    def columns(self) -> list[str]:
        """The names of the losses and metrics that can be monitored."""
        return ["loss", *(["validation_loss"] if self.validates else []), *self.metrics]

    def check_monitor(self, what: str, name: str) -> None:
        """Refuse to monitor what is not evaluated.

        Args:
            what: asks for it.
            name: of the loss or metric.

        Raises:
            ValueError: if it is not evaluated.

        """
        if name not in self.columns:
            raise ValueError(
                f"{what} monitors {name!r}, and there is only {', '.join(self.columns)}; pass "
                "validation= or another monitor."
            )

    def __call__(self) -> tuple[float | None, dict[str, float]]:
        """Return the validation loss and the metrics."""
        if not self.validates and not self.metrics:
            return None, {}
        with evaluating(self.loss.source.arguments(self.data.args, {})), self.data.reading():
            loss = self.data.number("loss", self.loss) if self.validates else None
            metrics = {}
            for name, metric in self.metrics.items():
                metrics[name] = self.data.number(name, metric)
        return loss, metrics


def rows_of(arguments: dict[str, Any]) -> int:
    """Return how many samples the data has.

    Raises:
        LiftError: if there is none, or an argument that looks like data cannot be cut.

    """
    arrays = [x for x in arguments.values() if isinstance(x, np.ndarray) and x.ndim]
    check_rows(arguments)
    for name, x in arguments.items():
        if not arrays and hasattr(x, "to_numpy"):
            raise LiftError(
                f"batch_size needs data to cut batches from, and {name} is of type "
                f"{type(x).__name__}; pass {name}.to_numpy()."
            )
    if not arrays:
        raise LiftError("batch_size needs data to cut batches from; pass it as NumPy arrays.")
    rows = len(arrays[0])
    for name, x in arguments.items():
        listed = isinstance(x, list | tuple) and len(x) == rows and all(map(is_number, x))
        if listed or (isinstance(x, np.ndarray) and x.shape[:1] == (rows,) and x.dtype == bool):
            raise LiftError(
                f"{name} has as many numbers as the data has rows, and cannot be cut into batches; "
                "pass it as an array of floats or integers."
            )
    return rows


def check_rows(arguments: Mapping[str, Any]) -> None:
    """Refuse data without samples, whose mean loss would be nan.

    Raises:
        LiftError: naming the first array, if it has no rows.

    """
    arrays = {name: x for name, x in arguments.items() if isinstance(x, np.ndarray) and x.ndim}
    for name, x in list(arrays.items())[:1]:
        if not len(x):
            raise LiftError(f"{name} has no rows, and a loss needs one or more; pass some.")


def _split(
    loss: LiftedFunction, args: tuple[Any, ...], fraction: float, seed: int
) -> tuple[Order, Order]:
    """Return the rows to train on and those to hold out, the last of a permutation."""
    arguments = loss.source.arguments(args, {})
    rows = rows_of(arguments)
    given = {id(x) for x in args}
    for name, x in arguments.items():
        if isinstance(x, np.ndarray) and x.shape[:1] == (rows,) and id(x) not in given:
            raise LiftError(
                f"{name} has as many rows as the data and is not among the arguments of fit(), "
                "so that none can be held out of it; pass it there."
            )
    count = round(fraction * rows) if 0.0 < fraction < 1.0 else 0
    if not 0 < count < rows:
        raise ValueError(
            f"validation={fraction:g} of {rows} rows leaves none on one side; pass a fraction "
            "between 0 and 1 that leaves some."
        )
    order = np.random.default_rng(seed).permutation(rows)
    # In their original order, which a trainer without shuffle keeps.
    return np.sort(order[:-count]), np.sort(order[-count:])


@contextlib.contextmanager
def evaluating(arguments: Any) -> Iterator[None]:
    """Switch modules among the arguments from training to evaluation mode until the block ends."""
    modules = {id(m): m for m in _modules(arguments) if m.training}.values()
    own = [(m, "training" in vars(m)) for m in modules]
    for module in modules:
        module.training = False
    try:
        yield
    finally:
        for module, was_own in own:
            # Exactly as before: one more attribute would be another structure to compile.
            if was_own:
                module.training = True
            else:
                del module.training


def _modules(x: Any) -> Iterator[Module]:
    # Not recursive: most items are numbers, each of which would cost a step of a generator.
    stack = [x]
    while stack:
        x = stack.pop()
        if isinstance(x, Module):
            yield x
            x = vars(x)
        items = x.values() if isinstance(x, dict) else x
        stack += [item for item in items if isinstance(item, _NESTED)]


_NESTED = (Module, dict, list, tuple)
