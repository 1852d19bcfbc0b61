"""Generators: random numbers that a lifted function must not draw while it is traced.

It runs once for many calls, which would all get the same. What `functional.uniform` draws is an
input of the program instead (`draws`).
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
from liftgrad.lift.capture.reachable import Named
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


class Generators:
    """Generators of random numbers whose states are to stay as they are.

    These are Python's and NumPy's own, and those that the function can get at. Threads share all
    of them: while others run, one of these may have drawn from what the function does not name,
    so that there is a warning and no refusal.

    Args:
        named: what the function can get at.
        names: what it, and what it calls, mentions. Where that looks like drawing, NumPy's own
            generators are looked at even if nothing has loaded them, and so are all others that
            there are in the process.

    """

    def __init__(self, named: Iterable[Named], names: Collection[str]) -> None:
        mentioned = not _DRAWS.isdisjoint(names)
        if mentioned:
            importlib.import_module("numpy.random")  # which takes its time
        kinds = _kinds()
        own: dict[str, Any] = {"random": random.random.__self__}  # type: ignore[attr-defined]
        numpy_random = sys.modules.get("numpy.random")
        if numpy_random is not None:
            own["numpy.random"] = numpy_random.get_state.__self__
        self.known: dict[int, tuple[str, Any, bool]] = {
            id(x): (name, x, True) for name, x in named if isinstance(x, kinds)
        }
        """Their names by identity, themselves, and whether the function names them."""
        for name, x in own.items():
            self.known.setdefault(id(x), (name, x, mentioned))
        if mentioned:
            for x in gc.get_objects():
                if issubclass(type(x), kinds):
                    self.known.setdefault(id(x), ("a generator", x, False))
        self.alone = _is_alone()
        self.before = self._states()

    def check(self, place: str) -> None:
        """Raise TraceError if numbers were drawn; `place` is where the function is."""
        after = self._states()
        for number, (name, _, is_named) in self.known.items():
            states = (self.before[number], after[number])
            unknown = any(state is None for state in states)
            if not unknown and states[0] != states[1]:
                message = f"{place}: the lifted function {draws(name)}"
                if is_named or (self.alone and _is_alone()):
                    raise TraceError(message)
                warnings.warn(f"{message} (Or another thread drew them.)", RuntimeWarning, 2)

    def _states(self) -> dict[int, Any]:
        return {number: _state(x) for number, (_, x, _) in self.known.items()}


def draws(name: str) -> str:
    """Return what is wrong with a function that draws from a generator."""
    return (
        f"draws numbers from {name}, and runs once for many calls, which would all get the same; "
        "draw them before and pass them, or use functional.uniform(x), x being an argument."
    )


def _is_alone() -> bool:
    """Tell whether no other thread runs that might draw."""
    us = threading.current_thread()
    return all(x is us or is_worker(x) for x in threading.enumerate())


def _kinds() -> tuple[type, ...]:
    numpy_random = sys.modules.get("numpy.random")
    others = [getattr(numpy_random, name) for name in _GENERATORS] if numpy_random else []
    return random.Random, *others


def _state(x: Any) -> Any:
    if isinstance(x, random.Random):
        try:
            return x.getstate()
        except (AttributeError, NotImplementedError):
            return None  # half made, or the system's
    legacy = hasattr(x, "get_state")
    source = x._bit_generator if legacy else getattr(x, "bit_generator", x)
    if not source.lock.acquire(timeout=_LONGEST_WAIT if _forked else -1):
        return None  # nobody can draw from it any more
    try:
        return snapshot(x.get_state(legacy=False) if legacy else source.state)
    finally:
        source.lock.release()


_LONGEST_WAIT = 0.1
"""Seconds; a thread that drew when the process was forked holds its generator's lock for ever."""
_forked = False


def _note_fork() -> None:
    global _forked  # noqa: PLW0603, it is a state of the process
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)
