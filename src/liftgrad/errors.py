"""The errors that liftgrad raises on its own account; each message ends in what to do."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = [
    "CheckpointError",
    "GradcheckError",
    "LiftError",
    "LiftgradError",
    "NonFiniteLossError",
    "TraceError",
]


class LiftgradError(Exception):
    """The common base of liftgrad's own errors.

    >>> from liftgrad import lift
    >>> try:
    ...     lift(3)
    ... except LiftgradError as error:
    ...     print(error)
    lift() takes a function, and this is an int; write a function that computes it.
    """


class GradcheckError(LiftgradError):
    """Gradients from `backward` and from central differences disagree.

    >>> from liftgrad import Value, gradcheck
    >>> try:
    ...     gradcheck(lambda x: x * x.data, Value(3.0))
    ... except GradcheckError as error:
    ...     print("disagree" in str(error) or "differ" in str(error))
    True
    """


class LiftError(LiftgradError):
    """A function cannot be lifted or a lifted function cannot take these arguments.

    >>> from liftgrad import lift
    >>> try:
    ...     lift(staticmethod(lambda x: x))
    ... except LiftError as error:
    ...     print(str(error).partition("; ")[2])
    write @staticmethod above @lift, not below it.
    """


class TraceError(LiftError):
    """The function does something with a traced value that a recorded program cannot do.

    >>> from liftgrad import lift
    >>> try:
    ...     lift(lambda x: x if x > 0.0 else -x)(1.0)
    ... except TraceError as error:
    ...     print(str(error).partition(": ")[2].partition(" (")[0])
    a Python branch
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        if _made.lists:
            _made.lists[-1].append(self)


class _Made(threading.local):
    """The TraceErrors raised in each of the traces that this thread is in."""

    def __init__(self) -> None:
        self.lists: list[list[TraceError]] = []


_made = _Made()


@contextmanager
def trace_errors() -> Iterator[list[TraceError]]:
    """Yield a list that collects TraceErrors, including those that the user's code catches."""
    made: list[TraceError] = []
    _made.lists.append(made)
    try:
        yield made
    finally:
        _made.lists.pop()


class CheckpointError(LiftgradError):
    """A file is not a checkpoint that this training can resume from.

    >>> from pathlib import Path
    >>> from liftgrad import Trainer, Value, lift, optim
    >>> trainer = Trainer(lift(lambda w: w[0] * w[0]), optim.SGD([Value(1.0)]))
    >>> _ = Path("run.safetensors").write_text("")
    >>> try:
    ...     trainer.load("run.safetensors")
    ... except CheckpointError as error:
    ...     print(error)
    'run.safetensors' is not a safetensors file, or is truncated; choose another checkpoint.
    """


class NonFiniteLossError(LiftgradError):
    """A loss or a parameter became nan or infinite while training.

    >>> from liftgrad import Trainer, Value, lift, optim
    >>> w = [Value(0.0)]
    >>> trainer = Trainer(lift(lambda w: w[0].log()), optim.SGD(w))
    >>> try:
    ...     trainer.fit(1, w)
    ... except NonFiniteLossError:
    ...     print(w[0].data)
    0.0
    """
