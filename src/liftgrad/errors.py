"""The errors that liftgrad raises on its own account; each message ends in what to do."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class LiftgradError(Exception):
    """The common base of liftgrad's own errors."""


class GradcheckError(LiftgradError):
    """Gradients from `backward` and from central differences disagree."""


class LiftError(LiftgradError):
    """A function cannot be lifted or a lifted function cannot take these arguments."""


class TraceError(LiftError):
    """The function does something with a traced value that a recorded program cannot do."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        if _made.lists:
            _made.lists[-1].append(self)


class _Made(threading.local):
    """The TraceErrors that this thread made during each of the traces that it is in."""

    def __init__(self) -> None:
        self.lists: list[list[TraceError]] = []


_made = _Made()


@contextmanager
def trace_errors() -> Iterator[list[TraceError]]:
    """Yield the list of the TraceErrors made meanwhile, those that the user's code caught, too."""
    made: list[TraceError] = []
    _made.lists.append(made)
    try:
        yield made
    finally:
        _made.lists.pop()


class CheckpointError(LiftgradError):
    """A file is not a checkpoint that this training can go on from."""


class NonFiniteLossError(LiftgradError):
    """A loss or a parameter became nan or infinite while training."""
