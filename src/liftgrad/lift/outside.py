"""Outside: what a lifted function reads while it is traced and may find changed at the next call.

The clock, the environment, files, the user's answers, the system's randomness: a program would hold
what the first call read. CPython tells a profiler of each call of a function written in C. That
makes tracing two to three times as slow, so it is asked for only where the user's code mentions
something of the kind, which is known beforehand from the names in it and the objects it can get at.
"""

import builtins
import datetime as dt
import io
import os
import random
import sys
import time
import types
from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import Any, Self

import numpy as np

from liftgrad.errors import TraceError
from liftgrad.lift.generators import Generators, draws
from liftgrad.lift.reach import Named
from liftgrad.lift.static import is_users


def _reads(what: str) -> str:
    return (
        f"reads {what}, and runs once for many calls, which would all get the same; read it before "
        "and pass it as an argument."
    )


_CLOCK, _ENVIRONMENT, _FILE = map(_reads, ("the clock", "the environment", "a file or a folder"))
_ENTROPY, _ANSWER = map(_reads, ("the system's random numbers", "the user's answer"))
_DIRECTLY = (_CLOCK, _ENVIRONMENT)
"""What libraries may read on their own account, unless these only help to:"""
_HELPERS = frozenset(("os", "collections", "uuid"))

_CALLS: dict[Any, str] = {
    **{
        function: _CLOCK
        for name, function in vars(time).items()
        if isinstance(function, types.BuiltinFunctionType)
        and name not in ("sleep", "mktime", "strptime", "get_clock_info", "tzset")
    },
    **{
        getattr(os, name): _FILE
        for name in ("listdir", "scandir", "stat", "lstat", "open", "read", "getcwd", "readlink")
        if hasattr(os, name)
    },
    **{getattr(os, name): _ENTROPY for name in ("urandom", "getrandom") if hasattr(os, name)},
    io.open: _FILE,
    np.fromfile: _FILE,
    builtins.input: _ANSWER,
}
_CODE: dict[types.CodeType, str] = {
    type(os.environ).__getitem__.__code__: _ENVIRONMENT,
    random.SystemRandom.random.__code__: _ENTROPY,
}
_SEED = random.Random.seed.__code__
_MODULES = frozenset(
    (
        *("time", "datetime", "os", "posix", "nt", "pathlib", "io", "_io"),
        *("uuid", "secrets", "random"),
    )
)
_NAMES = _MODULES.union(
    (
        *("now", "today", "utcnow", "environ", "getenv", "open", "input", "stdin", "urandom"),
        *("default_rng", "Random", "RandomState", "SystemRandom", "SeedSequence"),
        *("load", "loadtxt", "genfromtxt", "fromfile", "glob", "tempfile", "shutil"),
    )
)
"""What code mentions that reads from outside; names that begin with "read" do, too."""
_ASIDE = frozenset(
    ("importlib", "linecache", "logging", "warnings", "traceback", "tokenize", "inspect")
)
"""Modules of Python's that read on their own account, whatever the function does."""


def mentions_outside(names: Collection[str]) -> bool:
    """Tell whether code that mentions these names may read outside."""
    return not _NAMES.isdisjoint(names) or any(name.startswith("read") for name in names)


def is_of_outside(x: Any) -> bool:
    """Tell whether an object may be a way to read outside: a clock, a path, a generator, ..."""
    kind: Any = type(x)
    if issubclass(kind, types.ModuleType):
        return _is_outside(x.__name__)
    if issubclass(kind, type | types.FunctionType | types.BuiltinFunctionType):
        return _is_outside(x.__module__ or "")
    return _is_kind_of_outside(kind)


@lru_cache(maxsize=1024)
def _is_kind_of_outside(kind: Any) -> bool:
    return any(_is_outside(base.__module__) for base in kind.__mro__)


def _is_outside(module: str) -> bool:
    return module.partition(".")[0] in _MODULES or module.startswith("numpy.random")


class Outside:
    """Refuses what is read, in a `with` block, while it happens.

    A profiler that the user has set sees nothing of the block.

    Args:
        generators: those that must not be drawn from.
        held: what the function can get at.

    """

    def __init__(self, generators: Generators, held: Iterable[Named]) -> None:
        self.generators = generators
        self.refusal: TraceError | None = None
        self.files = [x for _, x in held if isinstance(x, io.IOBase)]
        self.places = list(map(_place, self.files))

    def __enter__(self) -> Self:
        self.profiler: Any = sys.getprofile()
        sys.setprofile(self._see)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        if callable(self.profiler):
            sys.setprofile(self.profiler)
        elif self.profiler is not None:  # Python's own, written in C
            self.profiler.enable()

    def check(self, place: str) -> None:
        """Raise the refusal again, if the function caught it; `place` is where the function is."""
        if self.refusal is None and list(map(_place, self.files)) != self.places:
            self.refusal = TraceError(f"{place}: the lifted function {_FILE}")  # it went through it
        if self.refusal is not None:
            raise self.refusal

    def _see(self, frame: types.FrameType, event: str, called: Any) -> None:
        if event == "c_call":
            what = _CALLS.get(called) or self._method(called)
        elif event == "call":
            what = _CODE.get(frame.f_code)
            if frame.f_code is _SEED and frame.f_locals.get("a") is None:
                what = _ENTROPY
        else:
            return
        if what is not None and self.refusal is None:
            user = _user_of(frame, what)
            if user is not None:
                place = f"{user.f_code.co_filename}:{user.f_lineno}"
                self.refusal = TraceError(f"{place}: the lifted function {what}")
                raise self.refusal

    def _method(self, called: Any) -> str | None:
        """Return what a method written in C reads, or None."""
        its, name = called.__self__, called.__name__
        if id(its) in self.generators.known and name in ("random", "getrandbits"):
            return draws(self.generators.known[id(its)][0])
        if name == "generate_time_safe":  # which uuid1 calls
            return _CLOCK
        if isinstance(its, type) and issubclass(its, dt.date):
            return _CLOCK if name in ("now", "today", "utcnow") else None
        return _FILE if name.startswith("read") and isinstance(its, io.IOBase) else None


def _user_of(frame: types.FrameType | None, what: str) -> types.FrameType | None:
    """Return the frame of the user's code for which something is read, or None."""
    while frame is not None:
        space = frame.f_globals
        if is_users(space) and frame.f_code.co_name != "<module>":  # an import of the user's own
            return frame
        module = str(space.get("__name__")).partition(".")[0]
        if module in _ASIDE or (what in _DIRECTLY and module not in _HELPERS):
            return None
        frame = frame.f_back
    return None


def _place(file: Any) -> int | None:
    """Return how far a file was read, if it is one to read only; None while it is gone through."""
    try:
        return None if file.writable() else int(file.tell())
    except (OSError, ValueError):
        return None
