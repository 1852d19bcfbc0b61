"""State: all that a trainer needs to go on to the bit, in one sealed file.

Arrays hold numbers (parameters, the optimiser's state, the rest of the epoch's order, history);
the entry is JSON with the rest.
"""

import hashlib
import math
import os
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from liftgrad.errors import CheckpointError
from liftgrad.fields import MOST, fields, floats, listed, one_of, real, text, whole
from liftgrad.optim.plateau import plateaus
from liftgrad.sealed import Kind, damaged, seal, shown, unseal
from liftgrad.trainer.interruption import deferred
from liftgrad.trainer.stopping import Best

if TYPE_CHECKING:
    from liftgrad.trainer.batches import Batches
    from liftgrad.trainer.trainer import Trainer

Array = NDArray[Any]
VERSION = 2
"""Of files that know when groups were added; files without such groups are of version 1."""
KIND = Kind("liftgrad", "checkpoint", "trainer", VERSION)
_NO_SETTINGS = ("params", "state", "state_names", "steps", "lr", "_parts")
_LETTERS = 40
"""So many are shown of what a file says."""


def pack(trainer: "Trainer") -> bytes:
    """Return a trainer's state as a file."""
    optimizer, log, best, batches = (
        trainer.optimizer,
        trainer._log,
        trainer._best,
        trainer._batches,
    )
    best.join(optimizer.params)
    arrays: dict[str, Array] = {
        "parameters": trainer._parameters().numbers(),
        "history.loss": log.history().loss,
        "epoch.loss": np.concatenate([np.zeros(0), *log.epoch]),
    }
    for name, column in optimizer.state.items():
        arrays[f"state.{name}"] = np.array(column)
    for name, column in log.history().epochs.items():
        arrays[f"epochs.{name}"] = column.astype(np.float64)
    if best.parameters is not None:
        arrays["best.parameters"] = best.parameters
    if batches is not None:
        arrays["order"] = batches.order
    began = [rule.began for rule in optimizer.rules]
    entry = {
        # An older liftgrad would take the groups to be there from the first step.
        "version": VERSION if any(began) else 1,
        "began": began,
        "is": _identity(trainer),
        "names": trainer._names(),
        "steps": optimizer.steps,
        "rates": _rates(trainer, optimizer.steps),
        "plateaus": [plateau.state_dict() for plateau in optimizer.plateaus()],
        "columns": list(log.history().epochs),
        "best": {k: x for k, x in asdict(best).items() if k != "parameters"},
        "rows": 0 if batches is None else batches.rows,
        "random": None if batches is None else batches.random.bit_generator.state,
        "draws": random.getstate() if trainer._may_draw() else None,
    }
    return seal(KIND, arrays, entry)


def unpack(trainer: "Trainer", path: str | os.PathLike[str]) -> None:
    """Set a trainer's state from a file; nothing is changed if it is refused.

    Raises:
        CheckpointError: if the file is cut off, damaged, of another kind, of a newer version or of
            another training.
        OSError: if it cannot be read.

    """
    # What is wrong with the trainer is not the file's fault.
    ours, _ = _identity(trainer), _rates(trainer, 0)
    try:
        arrays, entry = unseal(KIND, path)
        try:
            steps = whole("steps", entry["steps"])
            _check(trainer, ours, path, entry, steps)
            state = _state(trainer, arrays, entry, steps)
        except KeyError as error:
            raise damaged(KIND, path, f"its {error} is not there") from None
        except ValueError as error:
            raise damaged(KIND, path, error) from None
    except ValueError as error:
        raise CheckpointError(str(error)) from None
    with deferred() as asked:
        _set(trainer, state)
    if asked():
        raise KeyboardInterrupt


def names_digest(names: list[str]) -> str:
    """Return what the names of parameters are compared by."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


def other_names(path: str | os.PathLike[str]) -> CheckpointError:
    """Return the refusal of a checkpoint whose parameters have other names."""
    return CheckpointError(
        f"'{path}' is of another training: its parameters have other names; build the model in "
        "the same way first."
    )


@dataclass(frozen=True)
class _State:
    """What a file says, when all of it was looked at."""

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
    batches: Callable[[], None]
    """Sets the batches' order and its generator."""


def _state(
    trainer: "Trainer", arrays: dict[str, Array], entry: dict[str, Any], steps: int
) -> _State:
    """Return what the file says.

    Raises:
        ValueError: if a field is not what it must be.
        KeyError: if one is missing.

    """
    optimizer = trainer.optimizer
    count = len(optimizer.params)
    names = listed("columns", entry["columns"], text)
    known = {
        *("parameters", "history.loss", "epoch.loss"),
        *[f"state.{name}" for name in optimizer.state],
        *[f"epochs.{name}" for name in names],
        *([] if trainer._batches is None else ["order"]),
    }
    unknown = sorted(set(arrays) - known - {"best.parameters"})
    if unknown or len(set(names)) < len(names):
        raise ValueError("it has arrays that no trainer writes")
    older = [0] * len(optimizer.rules)  # than groups that are added
    began = listed("began", entry.get("began", older), lambda n, x: whole(n, x, most=steps))
    if len(began) != len(older):
        raise ValueError(f"its began is not of {len(optimizer.rules)} groups")
    told = listed("plateaus", entry.get("plateaus", []), _plateau)
    if len(told) != len(optimizer.plateaus()):
        raise ValueError("its plateaus are not those of the optimiser's schedules")
    digest, parameters = entry["names"], arrays["parameters"]
    columns = {name: arrays[f"state.{name}"] for name in optimizer.state}
    return _State(
        parameters=_numbers(trainer, "parameters", floats("parameters", parameters, count)),
        columns={
            name: _numbers(trainer, f"state.{name}", floats(f"state.{name}", column, count))
            for name, column in columns.items()
        },
        steps=steps,
        began=began,
        plateaus=told,
        losses=floats("history.loss", arrays["history.loss"]),
        epoch=floats("epoch.loss", arrays["epoch.loss"]),
        rows=_rows({name: arrays[f"epochs.{name}"] for name in names}),
        best=_best(trainer, fields("best", entry["best"]), arrays.get("best.parameters")),
        names=digest if digest is None else text("names", digest),
        draws=_draws(entry["draws"]),
        batches=_batches(trainer._batches, entry, arrays.get("order")),
    )


def _plateau(name: str, state: Any) -> dict[str, Any]:
    """Return what a schedule that is told of each epoch was told."""
    said = fields(name, state)
    rate = real(f"{name}.rate", said["rate"])
    if not 0.0 <= rate < math.inf:
        raise ValueError(f"its {name}.rate is {rate:g}")
    return {
        "rate": rate,
        "best": real(f"{name}.best", said["best"]),
        "waited": whole(f"{name}.waited", said["waited"]),
        "cooling": whole(f"{name}.cooling", said["cooling"]),
    }


def _numbers(trainer: "Trainer", name: str, x: Array) -> Array:
    """Return numbers of parameters, in the range of the loss's type."""
    with np.errstate(over="ignore"):
        if (np.isfinite(x) != np.isfinite(x.astype(trainer.loss.dtype))).any():
            raise ValueError(f"its {name} are beyond {trainer.loss.dtype}")
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


def _best(trainer: "Trainer", best: dict[str, Any], parameters: Array | None) -> Best:
    if parameters is not None:
        count = len(trainer.optimizer.params)
        if len(floats("best.parameters", parameters)) > count:
            raise ValueError(f"its best.parameters are not {count} or fewer")
        _numbers(trainer, "best.parameters", parameters)
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
    random.Random(0).setstate(state)  # says what else is wrong
    return state


def _batches(batches: "Batches | None", entry: dict[str, Any], order: Array | None) -> Any:
    """Return what sets the batches' order and generator."""
    rows = whole("rows", entry["rows"])
    if batches is None:
        return lambda: None
    if order is None:
        raise KeyError("order")
    if order.dtype != np.int64 or order.ndim != 1:
        raise ValueError("its order is not a row of whole numbers")
    # What is left of an epoch: natively, positions are not looked at any more.
    if len(order) and not (order.min() >= 0 and order.max() < rows):
        raise ValueError(f"its order names rows that {rows:,} rows do not have")
    if len(np.unique(order)) < len(order):
        raise ValueError("its order names a row twice")
    drawn = _generator(entry["random"])

    def set_order() -> None:
        batches.random, batches.rows, batches.order = drawn, rows, order

    return set_order


def _generator(state: Any) -> "np.random.Generator":
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


def _set(trainer: "Trainer", state: _State) -> None:
    """Make a trainer's state the file's; nothing of this can fail."""
    optimizer, log = trainer.optimizer, trainer._log
    trainer._parameters().set_numbers(state.parameters)
    optimizer.state.update(state.columns)
    optimizer.steps = state.steps
    for rule, step in zip(optimizer.rules, state.began, strict=True):
        rule.began = step
    for plateau, said in zip(optimizer.plateaus(), state.plateaus, strict=True):
        plateau.load_state_dict(said)
    log.losses, log.epoch = [state.losses], [state.epoch] if len(state.epoch) else []
    log.rows = state.rows
    trainer._best = state.best
    state.batches()
    if state.draws is not None:
        random.setstate(state.draws)
    trainer._drew = state.draws is not None
    trainer._expected_names = None
    if state.names is not None and trainer._training is None:
        trainer._expected_names = state.names, len(optimizer.params)


def _check(
    trainer: "Trainer",
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
        known = _rates(trainer, steps)
    except (ArithmeticError, LookupError, TypeError, ValueError):
        raise ValueError(f"its steps are {steps}, for which there is no learning rate") from None
    if found != known:
        raise CheckpointError(
            f"'{path}' is of another training: the learning rates were {shown(found, _LETTERS)} "
            f"and are {known}; make the optimiser with the same schedule first."
        )
    names = trainer._names()
    if names is not None and entry["names"] not in (None, names):
        raise other_names(path)


def _identity(trainer: "Trainer") -> dict[str, Any]:
    """Return what two trainings have in common if one goes on from the other."""
    optimizer = trainer.optimizer
    settings = {}
    for number, rule in enumerate(optimizer.rules):
        of_group = "" if rule is optimizer else f" in group {number}"
        if of_group:
            settings[f"the number of parameters{of_group}"] = str(len(rule.params))
        for name, setting in vars(rule).items():
            if name not in _NO_SETTINGS:
                settings[f"the optimiser's {name}{of_group}"] = repr(setting)
    return {
        "the loss": f"{trainer.loss.__name__} in {trainer.loss.dtype}",
        "the optimiser": type(optimizer).__name__,
        "the number of parameters": len(optimizer.params),
        "the number of groups": len(optimizer.rules),
        **settings,
        "batch_size": None if trainer.batch_size is None else int(trainer.batch_size),
        "shuffle": trainer.shuffle,
        "seed": repr(trainer.seed),
        "the clipping": repr(trainer._clipping),
    }


def _rates(trainer: "Trainer", steps: int) -> list[float]:
    """Return the learning rates of the first step and of the next, of each group.

    Of a schedule that learns of the loss it is where that begins.
    """
    optimizer = trainer.optimizer
    first, following = optimizer.rates(0), optimizer.rates(steps)
    found: list[float] = []
    for rule, rates in zip(optimizer.rules, zip(first, following, strict=True), strict=True):
        learning = [plateau.start for plateau in plateaus(rule.lr)]
        found += learning or rates
    return [float(rate) for rate in found]
