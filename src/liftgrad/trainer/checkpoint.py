"""Checkpoints: all that a trainer needs to go on to the bit, in one safetensors file.

Tensors hold numbers (parameters, the optimiser's state, the rest of the epoch's order, history);
the metadata's entry "liftgrad" is JSON with the rest.
"""

import hashlib
import itertools
import json
import math
import os
import random
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from liftgrad import files
from liftgrad.errors import CheckpointError
from liftgrad.trainer.stopping import Best

if TYPE_CHECKING:
    from liftgrad.trainer.trainer import Trainer

Array = NDArray[Any]
VERSION = 2
"""Of files that know when groups were added; files without such groups are of version 1."""
_ENTRY = "liftgrad"
_NO_SETTINGS = ("params", "state", "state_names", "steps", "lr", "_parts")


@dataclass(frozen=True)
class Checkpoint:
    """Where and how often a fit writes a checkpoint; also at its end and at Ctrl-C.

    >>> from liftgrad import Trainer, Value, lift, optim
    >>> w = [Value(1.0)]
    >>> trainer = Trainer(lift(lambda w: w[0] * w[0]), optim.SGD(w, lr=0.25))
    >>> history = trainer.fit(4, w, checkpoint=Checkpoint("run.safetensors", every_epochs=2))
    >>> os.path.exists("run.safetensors")
    True

    Args:
        path: the file, such as "run.safetensors".
        every_seconds: how long a process that is killed may have worked in vain; looked at
            between steps.
        every_epochs: write after every so many epochs instead.
        keep: how many to keep: the latest at `path`, earlier ones beside it as "run.1.safetensors",
            "run.2.safetensors", ...

    Raises:
        ValueError: if a number is not positive.

    """

    path: str | os.PathLike[str]
    every_seconds: float = 60.0
    every_epochs: int | None = None
    keep: int = 1

    def __post_init__(self) -> None:
        if not 0.0 < self.every_seconds < math.inf:
            raise ValueError(f"every_seconds is above 0 and finite; got {self.every_seconds!r}.")
        for name, count in (("every_epochs", self.every_epochs), ("keep", self.keep)):
            if count is not None and count < 1:
                raise ValueError(f"{name} is 1 or more; got {count!r}.")


class Writer:
    """Writes a trainer's checkpoints when they are due."""

    def __init__(self, trainer: "Trainer", rule: Checkpoint) -> None:
        files.check_writable(rule.path)
        self.trainer, self.rule = trainer, rule
        self.last, self.epochs = time.monotonic(), 0

    def due(self) -> bool:
        """Tell whether one is due by the clock."""
        by_clock = self.rule.every_epochs is None
        return by_clock and time.monotonic() - self.last >= self.rule.every_seconds

    def epoch(self) -> None:
        """Write if one is due after an epoch."""
        self.epochs += 1
        every = self.rule.every_epochs
        if self.due() or (every is not None and self.epochs % every == 0):
            self.write()

    def write(self) -> None:
        """Write one now."""
        path = Path(self.rule.path)
        earlier = range(1, self.rule.keep)
        names = [path, *[path.with_name(f"{path.stem}.{i}{path.suffix}") for i in earlier]]
        for newer, older in reversed(list(itertools.pairwise(names))):
            # A copy, so that there is a whole file at each name all the time.
            if newer.exists():
                files.write(older, newer.read_bytes())
        self.trainer.save(path)
        self.last = time.monotonic()


def pack(trainer: "Trainer") -> bytes:
    """Return a trainer's state as a file."""
    from safetensors.numpy import save  # noqa: PLC0415, imported at use

    optimizer, log, best, batches = (
        trainer.optimizer,
        trainer._log,
        trainer._best,
        trainer._batches,
    )
    best.join(optimizer.params)
    tensors: dict[str, Array] = {
        "parameters": trainer._parameters().numbers(),
        "history.loss": log.history().loss,
        "epoch.loss": np.concatenate([np.zeros(0), *log.epoch]),
    }
    for name, column in optimizer.state.items():
        tensors[f"state.{name}"] = np.array(column)
    for name, column in log.history().epochs.items():
        tensors[f"epochs.{name}"] = column.astype(np.float64)
    if best.parameters is not None:
        tensors["best.parameters"] = best.parameters
    if batches is not None:
        tensors["order"] = batches.order
    began = [rule.began for rule in optimizer.rules]
    entry = {
        # An older liftgrad would take the groups to be there from the first step.
        "version": VERSION if any(began) else 1,
        "began": began,
        "is": _identity(trainer),
        "names": trainer._names(),
        "steps": optimizer.steps,
        "rates": _rates(trainer, optimizer.steps),
        "columns": list(log.history().epochs),
        "best": {k: x for k, x in asdict(best).items() if k != "parameters"},
        "rows": 0 if batches is None else batches.rows,
        "random": None if batches is None else batches.random.bit_generator.state,
        "draws": random.getstate() if trainer._may_draw() else None,
    }
    arrays = {name: np.ascontiguousarray(x) for name, x in tensors.items()}
    return save(arrays, {_ENTRY: json.dumps(entry)})


def unpack(trainer: "Trainer", path: str | os.PathLike[str]) -> None:
    """Set a trainer's state from a file; nothing is changed if it is refused.

    Raises:
        CheckpointError: if the file is cut off, of another kind, of a newer version or of another
            training.
        OSError: if it cannot be read.

    """
    tensors, entry = _read(path)
    _check(trainer, path, entry)
    optimizer, batches = trainer.optimizer, trainer._batches
    count = len(optimizer.params)
    try:
        parameters = _of_length(tensors["parameters"], count)
        state = {name: _of_length(tensors[f"state.{name}"], count) for name in optimizer.state}
        columns = {name: tensors[f"epochs.{name}"].tolist() for name in entry["columns"]}
        rows = [
            dict(zip(columns, numbers, strict=True))
            for numbers in zip(*columns.values(), strict=True)
        ]
        losses, epoch = tensors["history.loss"], tensors["epoch.loss"]
        order = tensors["order"] if batches is not None else None
        best = Best(**entry["best"], parameters=tensors.get("best.parameters"))
        order_random = np.random.default_rng(0)
        if batches is not None:
            order_random.bit_generator.state = entry["random"]
        draws = entry["draws"] and (entry["draws"][0], tuple(entry["draws"][1]), entry["draws"][2])
        random.Random(0).setstate(draws or random.getstate())
        steps, data_rows, names = int(entry["steps"]), int(entry["rows"]), entry["names"]
        rules = optimizer.rules
        began = _of_length(np.array(entry.get("began", [0] * len(rules))), len(rules)).tolist()
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"'{path}' is a damaged checkpoint ({error}); choose another one."
        ) from None
    trainer._parameters().set_numbers(parameters)
    optimizer.state.update(state)
    optimizer.steps = steps
    for rule, step in zip(rules, began, strict=True):
        rule.began = step
    trainer._log.losses, trainer._log.epoch = [losses], [epoch] if len(epoch) else []
    trainer._log.rows = rows
    trainer._best = best
    if batches is not None and order is not None:
        batches.random, batches.rows, batches.order = order_random, data_rows, order
    random.setstate(draws or random.getstate())
    trainer._drew = draws is not None
    awaited = names is not None and trainer._training is None
    trainer._expected_names = (names, count) if awaited else None


def names_digest(names: list[str]) -> str:
    """Return what the names of parameters are compared by."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


def _read(path: str | os.PathLike[str]) -> tuple[dict[str, Array], dict[str, Any]]:
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415, imported at use

    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no checkpoint '{path}'; check the name.")
    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            # Copies: the file may be replaced, and a training changes its arrays.
            tensors = {name: np.array(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError, TypeError, AttributeError):
        raise CheckpointError(
            f"'{path}' is no safetensors file, or one that was cut off; choose another checkpoint."
        ) from None
    try:
        entry = json.loads(metadata[_ENTRY])
        version = int(entry["version"])
    except (KeyError, TypeError, ValueError):
        raise CheckpointError(
            f"'{path}' is a safetensors file that no liftgrad trainer wrote; load it with "
            "safetensors itself."
        ) from None
    if version > VERSION:
        raise CheckpointError(
            f"'{path}' was written by a newer liftgrad (checkpoint version {version}, known is "
            f"{VERSION}); update liftgrad."
        )
    return tensors, entry


def _check(trainer: "Trainer", path: str | os.PathLike[str], entry: dict[str, Any]) -> None:
    theirs = entry.get("is", {})
    for name, ours in _identity(trainer).items():
        if theirs.get(name) != ours:
            raise CheckpointError(
                f"'{path}' is of another training: {name} was {theirs.get(name)} and is {ours}; "
                "make model, optimiser and Trainer with the same arguments first."
            )
    rates = _rates(trainer, int(entry.get("steps", 0)))
    if entry.get("rates") != rates:
        raise CheckpointError(
            f"'{path}' is of another training: the learning rates were {entry.get('rates')} and "
            f"are {rates}; make the optimiser with the same schedule first."
        )
    known = trainer._names()
    if known is not None and entry.get("names") not in (None, known):
        raise other_names(path)


def other_names(path: str | os.PathLike[str]) -> CheckpointError:
    """Return the refusal of a checkpoint whose parameters have other names."""
    return CheckpointError(
        f"'{path}' is of another training: its parameters have other names; build the model in "
        "the same way first."
    )


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
        "batch_size": trainer.batch_size,
        "shuffle": trainer.shuffle,
        "seed": repr(trainer.seed),
        "the clipping": repr(trainer._clipping),
    }


def _rates(trainer: "Trainer", steps: int) -> list[float]:
    """Return the learning rates of the first step and of the next, of each group."""
    first, following = trainer.optimizer.rates(0), trainer.optimizer.rates(steps)
    return [rate for rates in zip(first, following, strict=True) for rate in rates]


def _of_length(x: Array, count: int) -> Array:
    if x.shape != (count,):
        raise ValueError(f"an array of shape {x.shape} instead of ({count},)")
    return x
