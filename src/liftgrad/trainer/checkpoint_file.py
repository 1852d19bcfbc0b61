"""Checkpoint files: a trainer's state in one sealed file.

Arrays hold the numbers (parameters, the optimiser's state, the rest of the epoch's order, history);
the JSON entry holds the rest.
"""

import math
import os
import random
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad.errors import CheckpointError
from liftgrad.fields import MOST, fields, floats, listed, one_of, real, text, whole
from liftgrad.sealed import Kind, damaged, seal, shown, unseal
from liftgrad.trainer.batches import Batches
from liftgrad.trainer.identity import rates
from liftgrad.trainer.interruption import deferred
from liftgrad.trainer.state import TrainerState, other_names
from liftgrad.trainer.stopping import Best

Array = NDArray[Any]
VERSION = 2
"""The first to say when groups were added; files without such groups have version 1."""
KIND = Kind("liftgrad", "checkpoint", "trainer", VERSION)
_LETTERS = 40
"""How many characters of a file's own text a message quotes."""


def pack(state: TrainerState, identity: dict[str, Any]) -> bytes:
    """Return a trainer's state as a file.

    Args:
        state: of the trainer.
        identity: what identifies its training.

    """
    optimizer, log, best, batches = state.optimizer, state.log, state.best, state.batches
    best.join(optimizer.params)
    history = log.history()
    arrays: dict[str, Array] = {
        "parameters": state.parameters().numbers(),
        "history.loss": history.loss,
        "epoch.loss": np.concatenate([np.zeros(0), *log.epoch]),
    }
    for name, column in optimizer.state.items():
        arrays[f"state.{name}"] = np.array(column)
    for name, column in history.epochs.items():
        arrays[f"epochs.{name}"] = column.astype(np.float64)
    if best.parameters is not None:
        arrays["best.parameters"] = best.parameters
    if batches is not None:
        arrays["order"] = batches.order
    began = [rule.began for rule in optimizer.rules]
    entry = {
        # An older liftgrad would assume that the groups were there from the first step.
        "version": VERSION if any(began) else 1,
        "began": began,
        "is": identity,
        "names": state.names(),
        "steps": optimizer.steps,
        "rates": rates(optimizer, optimizer.steps),
        "plateaus": [plateau.state_dict() for plateau in optimizer.plateaus()],
        "columns": list(history.epochs),
        "best": {k: x for k, x in asdict(best).items() if k != "parameters"},
        "rows": 0 if batches is None else batches.rows,
        "random": None if batches is None else batches.random.bit_generator.state,
        "draws": random.getstate() if state.may_draw() else None,
    }
    return seal(KIND, arrays, entry)


def unpack(
    state: TrainerState, identity: dict[str, Any], dtype: str, path: str | os.PathLike[str]
) -> None:
    """Set a trainer's state from a file; nothing is changed if it is refused.

    Args:
        state: of the trainer.
        identity: what identifies its training.
        dtype: of the parameters, which the file's numbers must not overflow.
        path: of the file.

    Raises:
        CheckpointError: if the file is truncated, damaged, of another kind, of a newer version or
            of another training.
        OSError: if it cannot be read.

    """
    rates(state.optimizer, 0)  # an error of the trainer's own schedule is not the file's
    try:
        arrays, entry = unseal(KIND, path)
        try:
            steps = whole("steps", entry["steps"])
            _check(state, identity, path, entry, steps)
            found = _found(state, dtype, arrays, entry, steps)
        except KeyError as error:
            raise damaged(KIND, path, f"its {error} is not there") from None
        except ValueError as error:
            raise damaged(KIND, path, error) from None
    except ValueError as error:
        raise CheckpointError(str(error)) from None
    with deferred() as asked:
        _set(state, found)
    if asked():
        raise KeyboardInterrupt


@dataclass(frozen=True)
class _Found:
    """The contents of a file, once all of them are checked."""

    parameters: Array
    columns: dict[str, Array]
    steps: int
    began: list[int]
    plateaus: list[dict[str, Any]]
    losses: Array
    epoch: Array
    rows: list[dict[str, float]]
    best: Best
    names: str | None
    draws: tuple[Any, ...] | None
    batches: tuple[np.random.Generator, int, Array] | None


def _found(
    state: TrainerState, dtype: str, arrays: dict[str, Array], entry: dict[str, Any], steps: int
) -> _Found:
    """Return what the file says.

    Raises:
        ValueError: if a field is not what it must be.
        KeyError: if one is missing.

    """
    optimizer = state.optimizer
    count = len(optimizer.params)
    names = listed("columns", entry["columns"], text)
    known = {
        *("parameters", "history.loss", "epoch.loss"),
        *[f"state.{name}" for name in optimizer.state],
        *[f"epochs.{name}" for name in names],
        *([] if state.batches is None else ["order"]),
    }
    unknown = sorted(set(arrays) - known - {"best.parameters"})
    if unknown or len(set(names)) < len(names):
        raise ValueError("it has arrays that no trainer writes")
    from_the_start = [0] * len(optimizer.rules)
    began = entry.get("began", from_the_start)
    began = listed("began", began, lambda n, x: whole(n, x, most=steps))
    if len(began) != len(optimizer.rules):
        raise ValueError(f"its began is not of {len(optimizer.rules)} groups")
    plateaus = listed("plateaus", entry.get("plateaus", []), _plateau)
    if len(plateaus) != len(optimizer.plateaus()):
        raise ValueError("its plateaus are not those of the optimiser's schedules")
    digest, parameters = entry["names"], arrays["parameters"]
    columns = {name: arrays[f"state.{name}"] for name in optimizer.state}
    return _Found(
        parameters=_in_range(dtype, "parameters", floats("parameters", parameters, count)),
        columns={
            name: _in_range(dtype, f"state.{name}", floats(f"state.{name}", column, count))
            for name, column in columns.items()
        },
        steps=steps,
        began=began,
        plateaus=plateaus,
        losses=floats("history.loss", arrays["history.loss"]),
        epoch=floats("epoch.loss", arrays["epoch.loss"]),
        rows=_rows({name: arrays[f"epochs.{name}"] for name in names}),
        best=_best(count, dtype, fields("best", entry["best"]), arrays.get("best.parameters")),
        names=digest if digest is None else text("names", digest),
        draws=_draws(entry["draws"]),
        batches=_batches(state.batches, entry, arrays.get("order")),
    )


def _plateau(name: str, state: Any) -> dict[str, Any]:
    """Return the state of a schedule that depends on each epoch's loss."""
    contents = fields(name, state)
    rate = real(f"{name}.rate", contents["rate"])
    if not 0.0 <= rate < math.inf:
        raise ValueError(f"its {name}.rate is {rate:g}")
    return {
        "rate": rate,
        "best": real(f"{name}.best", contents["best"]),
        "waited": whole(f"{name}.waited", contents["waited"]),
        "cooling": whole(f"{name}.cooling", contents["cooling"]),
    }


def _in_range(dtype: str, name: str, x: Array) -> Array:
    """Return numbers that belong to parameters, if they do not overflow the loss's type."""
    with np.errstate(over="ignore"):
        if (np.isfinite(x) != np.isfinite(x.astype(dtype))).any():
            raise ValueError(f"its {name} are beyond {dtype}")
    return x


def _rows(columns: dict[str, Array]) -> list[dict[str, float]]:
    """Return a history's rows."""
    length = len(next(iter(columns.values()))) if columns else 0
    for name, column in columns.items():
        floats(f"epochs.{name}", column, length)
        if (
            name in ("epoch", "step")
            and not (
                np.isfinite(column) & (column >= 0) & (column < MOST) & (np.trunc(column) == column)
            ).all()
        ):
            raise ValueError(f"its epochs.{name} is not of whole numbers")
    lists = [column.tolist() for column in columns.values()]
    return [dict(zip(columns, row, strict=True)) for row in zip(*lists, strict=True)]


def _best(count: int, dtype: str, best: dict[str, Any], parameters: Array | None) -> Best:
    if parameters is not None:
        if len(floats("best.parameters", parameters)) > count:
            raise ValueError(f"its best.parameters are not {count} or fewer")
        _in_range(dtype, "best.parameters", parameters)
    return Best(
        monitored=text("best.monitored", best["monitored"]),
        number=real("best.number", best["number"]),
        epoch=whole("best.epoch", best["epoch"]),
        waited=whole("best.waited", best["waited"]),
        parameters=parameters,
    )


def _draws(draws: Any) -> tuple[Any, ...] | None:
    """Return the state of Python's `random`, if the training draws from it."""
    if draws is None:
        return None
    version, words, gauss = listed("draws", draws, lambda _, x: x)
    words = listed("draws[1]", words, lambda name, x: whole(name, x, most=2**32 - 1))
    gauss = None if gauss is None else real("draws[2]", gauss)
    state = whole("draws[0]", version), tuple(words), gauss
    random.Random(0).setstate(state)  # raises whatever else is wrong
    return state


def _batches(
    batches: Batches | None, entry: dict[str, Any], order: Array | None
) -> tuple[np.random.Generator, int, Array] | None:
    """Return the generator of the batches' order, how many rows it orders, and what is left."""
    rows = whole("rows", entry["rows"])
    if batches is None:
        return None
    if order is None:
        raise KeyError("order")
    if order.dtype != np.int64 or order.ndim != 1:
        raise ValueError("its order is not a row of whole numbers")
    # The native steps do not check the positions again.
    if len(order) and not (order.min() >= 0 and order.max() < rows):
        raise ValueError(f"its order names rows that {rows:,} rows do not have")
    if len(np.unique(order)) < len(order):
        raise ValueError("its order names a row twice")
    return _generator(entry["random"]), rows, order


def _generator(state: Any) -> np.random.Generator:
    """Return the generator that draws the order."""
    generator = np.random.default_rng(0)
    state = fields("random", state)
    inner = fields("random.state", state["state"])
    generator.bit_generator.state = {
        "bit_generator": one_of("random.bit_generator", state["bit_generator"], ["PCG64"]),
        "state": {
            name: whole(f"random.state.{name}", inner[name], most=2**128 - 1)
            for name in ("state", "inc")
        },
        "has_uint32": whole("random.has_uint32", state["has_uint32"], most=1),
        "uinteger": whole("random.uinteger", state["uinteger"], most=2**32 - 1),
    }
    return generator


def _set(state: TrainerState, found: _Found) -> None:
    """Make a trainer's state the file's; nothing here can fail."""
    optimizer, log = state.optimizer, state.log
    state.parameters().set_numbers(found.parameters)
    optimizer.state.update(found.columns)
    optimizer.steps = found.steps
    for rule, step in zip(optimizer.rules, found.began, strict=True):
        rule.began = step
    for plateau, of_plateau in zip(optimizer.plateaus(), found.plateaus, strict=True):
        plateau.load_state_dict(of_plateau)
    log.losses, log.epoch = [found.losses], [found.epoch] if len(found.epoch) else []
    log.rows = found.rows
    state.best = found.best
    if state.batches is not None and found.batches is not None:
        state.batches.random, state.batches.rows, state.batches.order = found.batches
    if found.draws is not None:
        random.setstate(found.draws)
    state.drew = found.draws is not None
    state.expected_names = None
    if found.names is not None and state.training is None:
        state.expected_names = found.names, len(optimizer.params)


def _check(
    state: TrainerState,
    identity: dict[str, Any],
    path: str | os.PathLike[str],
    entry: dict[str, Any],
    steps: int,
) -> None:
    """Refuse the state of another training."""
    theirs = fields("is", entry["is"])
    for name, ours in identity.items():
        if theirs.get(name) != ours:
            was = shown(theirs.get(name), _LETTERS)
            raise CheckpointError(
                f"'{path}' is of another training: {name} was {was} and is {ours}; make "
                "model, optimiser and Trainer with the same arguments first."
            )
    found = listed("rates", entry["rates"], real)
    try:
        known = rates(state.optimizer, steps)
    except (ArithmeticError, LookupError, TypeError, ValueError):
        raise ValueError(f"its steps are {steps}, for which there is no learning rate") from None
    if found != known:
        raise CheckpointError(
            f"'{path}' is of another training: the learning rates were {shown(found, _LETTERS)} "
            f"and are {known}; make the optimiser with the same schedule first."
        )
    names = state.names()
    if names is not None and entry["names"] not in (None, names):
        raise other_names(path)
