"""recording: undecorated scalar programs, recorded and computed in machine code."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from liftgrad.engine import Value
from liftgrad.lift.forks import fork_safe_lock
from liftgrad.ops import Operation
from liftgrad.record.operators import methods
from liftgrad.record.recorder import record
from liftgrad.record.values import current

_eager = Value._apply
_lock = fork_safe_lock()
_blocks = 0
"""How many blocks all threads are in."""


@contextmanager
def recording() -> Iterator[None]:
    """Return a context in which operations on Values are recorded and computed in bulk.

    Programs run unchanged, with branches on data, numbers read midway, and a graph that differs
    each time. They give the numbers that they give without it, up to the rounding of exp, log and
    the like. Operations compute nothing; when a number is asked for (`data`, a comparison,
    `backward()`), all that was recorded is computed in one native call. Results stay usable after
    the block. It holds for the thread that enters it, and may be nested. Graphs of under some
    thirty operations are faster without.

    Results are Values of a class of their own. For one node, `_prev` always holds the same object,
    which may be a different one from yours. The two are equal, with one hash and label; attributes
    that you set are on the object that you set them on.

    One graph holds at most 8,388,608 operations; a longer one raises LiftError when a number of it
    is asked for.

    >>> from liftgrad import Value
    >>> x = Value(3.0)
    >>> with recording():
    ...     y = x**2 + 2 * x
    ...     y.backward()
    >>> y.data, x.grad
    (15.0, 8.0)

    """
    _enter()
    try:
        yield
    finally:
        _leave()


def _enter() -> None:
    global _blocks  # noqa: PLW0603, there is one class Value
    with _lock:
        _blocks += 1
        methods.follow()
        # Replaced, so that the engine need not ask at each operation whether some thread records.
        Value._apply = _apply  # type: ignore[method-assign]
    current.depth += 1


def _leave() -> None:
    global _blocks  # noqa: PLW0603
    current.depth -= 1
    if not current.depth:
        current.close()
    with _lock:
        _blocks -= 1
        if not _blocks:
            Value._apply = _eager  # type: ignore[method-assign]


def _apply(self: Value, operation: Operation, *operands: Any) -> Any:
    """Apply an operation to Values while a thread records."""
    return record(operation, *operands) if current.depth else _eager(self, operation, *operands)


def _count_own() -> None:
    """Count the blocks of the one thread that a forked process has."""
    global _blocks  # noqa: PLW0603
    _blocks = current.depth
    if not _blocks:
        Value._apply = _eager  # type: ignore[method-assign]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_count_own)
