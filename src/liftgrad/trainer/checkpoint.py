"""Checkpoints: where and when a fit writes its trainer's state."""

import itertools
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from liftgrad import files

if TYPE_CHECKING:
    from liftgrad.trainer.trainer import Trainer


@dataclass(frozen=True)
class Checkpoint:
    """Where and how often a fit writes a checkpoint; also at its end and at Ctrl-C.

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
        path, earlier = Path(rule.path), range(1, rule.keep)
        self.names = [path, *[path.with_name(f"{path.stem}.{i}{path.suffix}") for i in earlier]]
        """The latest, and those before it."""
        for name in self.names:
            files.check_writable(name)
        self.trainer, self.rule = trainer, rule
        self.last, self.epochs = time.monotonic(), 0
        self._written: tuple[int, int] | None = None
        """How many steps and epochs the trainer had taken when one was written."""

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
        """Write one now, unless the last one is of the same moment."""
        moment = self.trainer.optimizer.steps, len(self.trainer._log.rows)
        if moment == self._written:
            return
        for newer, older in reversed(list(itertools.pairwise(self.names))):
            # A copy, so that there is a whole file at each name all the time.
            if newer.is_file():
                files.write(older, newer.read_bytes())
        self.trainer.save(self.names[0])
        self.last, self._written = time.monotonic(), moment
