"""Random generators, whose numbers a lifted function must not draw while it is traced.

It runs once for many calls, which would all get the same numbers. What `functional.uniform` draws
is an input of the program instead (`trace.draws`).
"""

import gc
import importlib
import os
import random
import sys
import threading
import warnings
from collections.abc import Collection, Iterable
from typing import Any

from liftgrad.errors import TraceError
from liftgrad.lift.call.snapshots import snapshot
from liftgrad.lift.purity.reachable import Named
from liftgrad.lift.threads import is_worker

_DRAWS = frozenset(
    (
        *("random", "rand", "randn", "randint", "integers", "normal", "standard_normal", "gauss"),
        *("normalvariate", "choice", "choices", "shuffle", "permutation", "rvs", "rng"),
        *("default_rng", "Random", "RandomState", "Generator"),
        *("eval", "exec", "__import__", "import_module"),
    )
)
_GENERATORS = ("Generator", "BitGenerator", "RandomState")


class RandomGenerators:
    """Generators of random numbers, whose states must not change.

    These are Python's and NumPy's own, and those that the function can reach. Threads share them:
    while other threads run, a change of one that the function does not name is only warned of,
    since another thread may have drawn from it.

    Args:
        reachable: what the function can reach.
        names: the names that its code mentions. If some look like drawing, NumPy's own generators
            are checked even if nothing has loaded them, and so are all others in the process.

    """

    def __init__(self, reachable: Iterable[Named], names: Collection[str]) -> None:
        suspect = not _DRAWS.isdisjoint(names)
        if suspect:
            importlib.import_module("numpy.random")  # slow to load
        kinds = _kinds()
        own: dict[str, Any] = {"random": random.random.__self__}  # type: ignore[attr-defined]
        numpy_random = sys.modules.get("numpy.random")
        if numpy_random is not None:
            own["numpy.random"] = numpy_random.get_state.__self__
        self.known: dict[int, tuple[str, Any, bool]] = {
            id(x): (name, x, True) for name, x in reachable if isinstance(x, kinds)
        }
        """By id: the user's name for it, the generator, and whether the function names it."""
        for name, x in own.items():
            self.known.setdefault(id(x), (name, x, suspect))
        if suspect:
            for x in gc.get_objects():
                if issubclass(type(x), kinds):
                    self.known.setdefault(id(x), ("a generator", x, False))
        self.alone = _is_alone()
        self.before = self._states()

    def check(self, line: str) -> None:
        """Raise TraceError, with the function's line, if numbers were drawn."""
        after = self._states()
        for key, (name, _, is_named) in self.known.items():
            states = (self.before[key], after[key])
            if None not in states and states[0] != states[1]:
                message = f"{line}: the lifted function {draws(name)}"
                if is_named or (self.alone and _is_alone()):
                    raise TraceError(message)
                warnings.warn(f"{message} (Or another thread drew them.)", RuntimeWarning, 2)

    def _states(self) -> dict[int, Any]:
        return {key: _state(x) for key, (_, x, _) in self.known.items()}


def draws(name: str) -> str:
    """Return what a function that draws from a generator does, and what to write instead."""
    return (
        f"draws numbers from {name}, and runs once for many calls, which would all get the same; "
        "draw them before and pass them, or use functional.uniform(x), x being an argument."
    )


def _is_alone() -> bool:
    """Return whether no other thread that might draw is running."""
    current = threading.current_thread()
    return all(x is current or is_worker(x) for x in threading.enumerate())


def _kinds() -> tuple[type, ...]:
    numpy_random = sys.modules.get("numpy.random")
    others = [getattr(numpy_random, name) for name in _GENERATORS] if numpy_random else []
    return random.Random, *others


def _state(x: Any) -> Any:
    if isinstance(x, random.Random):
        try:
            return x.getstate()
        except (AttributeError, NotImplementedError):
            return None  # not initialised yet, or without a state, as the system's
    legacy = hasattr(x, "get_state")
    source = x._bit_generator if legacy else getattr(x, "bit_generator", x)
    if not source.lock.acquire(timeout=_LONGEST_WAIT if _forked else -1):
        return None  # locked for ever: nobody can draw from it
    try:
        return snapshot(x.get_state(legacy=False) if legacy else source.state)
    finally:
        source.lock.release()


_LONGEST_WAIT = 0.1
"""Seconds. If a thread was drawing while the process forked, the child's lock stays locked."""
_forked = False


def _note_fork() -> None:
    global _forked  # noqa: PLW0603, it is a state of the process
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)
