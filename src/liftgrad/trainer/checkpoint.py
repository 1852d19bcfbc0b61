"""Checkpoints: where and when a fit writes its trainer's state."""

import itertools
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from liftgrad import files
from liftgrad.numbers import is_number, is_whole
from liftgrad.trainer.state import pack

if TYPE_CHECKING:
    from liftgrad.trainer.trainer import Trainer


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
        ValueError: if a number is not positive, or a count not whole.

    """

    path: str | os.PathLike[str]
    every_seconds: float = 60.0
    every_epochs: int | None = None
    keep: int = 1

    def __post_init__(self) -> None:
        if not is_number(self.every_seconds) or not 0.0 < self.every_seconds < math.inf:
            raise ValueError(f"every_seconds is above 0 and finite; got {self.every_seconds!r}.")
        counts = {"keep": self.keep}
        if self.every_epochs is not None:
            counts["every_epochs"] = self.every_epochs
        for name, count in counts.items():
            if not is_whole(count) or count < 1:
                raise ValueError(f"{name} is a whole number, 1 or more; got {count!r}.")


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
        """Write one now, unless the latest is of the same moment."""
        content, latest = pack(self.trainer), self.names[0]
        if not _holds(latest, content):
            self._move_earlier()
            files.write(latest, content)
        self.last = time.monotonic()

    def _move_earlier(self) -> None:
        """Copy each to the name of the one before it, unless Ctrl-C came when that was done."""
        latest, *earlier = self.names
        if not (earlier and latest.is_file()) or _holds(earlier[0], latest.read_bytes()):
            return
        for newer, older in reversed(list(itertools.pairwise(self.names))):
            # A copy, so that there is a whole file at each name all the time.
            if newer.is_file():
                files.write(older, newer.read_bytes())


def _holds(path: Path, content: bytes) -> bool:
    """Tell whether a file has this content."""
    return path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content
