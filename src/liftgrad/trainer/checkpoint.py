"""Checkpoints: where and how often a fit saves its trainer's state."""

import itertools
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from liftgrad import files
from liftgrad.numbers import is_number, is_whole


@dataclass(frozen=True)
class Checkpoint:
    """Where and how often a fit writes a checkpoint; it writes one at its end and at Ctrl-C, too.

    >>> from liftgrad import Trainer, Value, lift, optim
    >>> w = [Value(1.0)]
    >>> trainer = Trainer(lift(lambda w: w[0] * w[0]), optim.SGD(w, lr=0.25))
    >>> history = trainer.fit(4, w, checkpoint=Checkpoint("run.safetensors", every_epochs=2))
    >>> os.path.exists("run.safetensors")
    True

    Args:
        path: the file, such as "run.safetensors".
        every_seconds: the most work, in seconds, that a killed process loses; checked between
            steps.
        every_epochs: write every this many epochs instead.
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
    """Writes a trainer's checkpoints when they are due.

    Args:
        pack: returns the content of a checkpoint of the present state.
        rule: says where and how often.

    """

    def __init__(self, pack: Callable[[], bytes], rule: Checkpoint) -> None:
        path, earlier = Path(rule.path), range(1, rule.keep)
        self.names = [path, *[path.with_name(f"{path.stem}.{i}{path.suffix}") for i in earlier]]
        """The latest, and those before it."""
        for name in self.names:
            files.check_writable(name)
        self.pack, self.rule = pack, rule
        self.last, self.epochs = time.monotonic(), 0

    def due(self) -> bool:
        """Return whether a checkpoint is due by the clock."""
        by_clock = self.rule.every_epochs is None
        return by_clock and time.monotonic() - self.last >= self.rule.every_seconds

    def epoch(self) -> None:
        """Count an epoch, and write a checkpoint if one is due."""
        self.epochs += 1
        every = self.rule.every_epochs
        if self.due() or (every is not None and self.epochs % every == 0):
            self.write()

    def write(self) -> None:
        """Write a checkpoint, unless the latest holds the same."""
        content, latest = self.pack(), self.names[0]
        if not _holds(latest, content):
            self._move_earlier()
            files.write(latest, content)
        self.last = time.monotonic()

    def _move_earlier(self) -> None:
        """Move each file to the name before its own, unless an interrupted write did that."""
        latest, *earlier = self.names
        if not (earlier and latest.is_file()) or _holds(earlier[0], latest.read_bytes()):
            return
        for newer, older in reversed(list(itertools.pairwise(self.names))):
            # Copied, so that each name has a complete file at any time.
            if newer.is_file():
                files.write(older, newer.read_bytes())


def _holds(path: Path, content: bytes) -> bool:
    """Return whether a file has this content."""
    return path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content
