"""Outside reads: the clock, the environment, files, the user's answers, the system's randomness.

What a lifted function reads while it is traced may differ at the next call, and the program would
hold what the first call read. CPython reports each call of a C function to a profiler, but then
runs all code five to ten times as slowly (3.11 gives up its specialised instructions). So there is
a profiler only if the user's code mentions something of the cls; nearly all such functions are
refused in the end.
"""

import builtins
import datetime as dt
import io
import os
import random
import sys
import time
import types
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any, Self

import numpy as np

from liftgrad.errors import TraceError
from liftgrad.lift.purity.mentions import Mentions
from liftgrad.lift.purity.random_generators import RandomGenerators, draws
from liftgrad.lift.purity.reachable import Named
from liftgrad.lift.user_code import frames, is_users_module


def _reads(what: str) -> str:
    return (
        f"reads {what}, and runs once for many calls, which would all get the same; read it before "
        "and pass it as an argument."
    )


_CLOCK, _ENVIRONMENT, _FILE = map(_reads, ("the clock", "the environment", "a file or a folder"))
_ENTROPY, _ANSWER = map(_reads, ("the system's random numbers", "the user's answer"))
_CONTEXT = _reads("a context variable")
_SETS = (
    "sets a context variable, and runs once for many calls, which would not; return the new value "
    "instead of storing it."
)
_DIRECTLY = (_CLOCK, _ENVIRONMENT, _CONTEXT, _SETS)
"""What libraries may read for purposes of their own, but for the helpers below."""
_HELPERS = frozenset(("os", "collections", "uuid"))
"""Modules that read these on behalf of their caller."""

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
_READS = ("read", "read1", "readall", "readinto", "readline", "readlines")
_NAMES_OF_CALLS = frozenset(
    (
        *(call.__name__ for call in _CALLS),
        *(
            *_READS,
            "get",
            "set",
            "now",
            "today",
            "utcnow",
            "random",
            "getrandbits",
            "generate_time_safe",
        ),
    )
)
_SEED = random.Random.seed.__code__
_CODE: dict[int, str] = {
    id(type(os.environ).__getitem__.__code__): _ENVIRONMENT,
    id(random.SystemRandom.random.__code__): _ENTROPY,
    id(_SEED): _ENTROPY,
}
"""What functions written in Python read, by the id of their code, whose hash is slow."""
_CLOCKS = frozenset(call.__name__ for call, what in _CALLS.items() if what is _CLOCK)
_NAMES = frozenset(
    (
        *("now", "today", "utcnow", "environ", "environb", "getenv", "getenvb"),
        *("open", "input", "stdin", "load", "loadtxt", "genfromtxt", "fromfile", "memmap"),
        *("listdir", "scandir", "stat", "lstat", "getcwd", "readlink", "exists", "iterdir"),
        *("is_file", "is_dir", "isfile", "isdir", "glob", "rglob", "cwd", "walk"),
        *("urandom", "getrandom", "uuid1", "uuid4", "randbelow", "randbits", "token_bytes"),
        *("token_hex", "token_urlsafe", "SystemRandom", "Random", "RandomState", "default_rng"),
        *_READS,
        *("eval", "exec", "__import__", "import_module"),
        *("SeedSequence", "PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"),
    )
)
"""Names in code that may read from outside; so may names that begin with "read_"."""
_MODULES = frozenset(
    ("time", "os", "posix", "nt", "io", "_io", "uuid", "secrets", "random", "numpy", "datetime")
)
"""Modules that define what has these names."""
_ASIDE = frozenset(
    ("importlib", "linecache", "logging", "warnings", "traceback", "tokenize", "inspect")
)
"""Modules of Python that read for purposes of their own, whatever the function does."""


def may_read(mentions: Mentions, known: Iterable[Any]) -> bool:
    """Return whether code with these mentions that knows these objects may read from outside."""
    names = mentions.names
    if not _NAMES.isdisjoint(names) or any(name.startswith("read_") for name in names):
        return True
    if any(module.partition(".")[0] in _MODULES for module in mentions.imports):
        return True
    clocks = not _CLOCKS.isdisjoint(mentions.attributes)
    return any((x is time and clocks) or _may_read(x) for x in known)


def _may_read(x: Any) -> bool:
    """Return whether an object may read from outside, under whatever name."""
    if isinstance(x, types.ModuleType):
        return x.__name__ in ("secrets", "uuid")
    if not isinstance(x, type | types.FunctionType | types.BuiltinFunctionType):
        return x is os.environ or isinstance(x, ContextVar)
    owner = getattr(x, "__self__", None)  # of a method; of a class method, a class
    cls = owner if isinstance(owner, type) else type(owner)
    module = str(getattr(x, "__module__", None) or cls.__module__).partition(".")[0]
    return module in _MODULES and (x.__name__ in _NAMES or x.__name__ in _CLOCKS)


class OutsideReads:
    """Refuses reads in a `with` block as they happen.

    A profiler that the user has set sees nothing of the block.

    Args:
        generators: those that must not be drawn from.
        reachable: what the function can reach.

    """

    def __init__(self, generators: RandomGenerators, reachable: Iterable[Named]) -> None:
        self.generators = generators
        self.refusal: TraceError | None = None
        self.files = [x for _, x in reachable if isinstance(x, io.IOBase)]
        self.positions = list(map(_position, self.files))

    def __enter__(self) -> Self:
        self.profiler: Any = sys.getprofile()
        see = self._see

        def profile(frame: types.FrameType, event: str, called: Any) -> None:
            if event == "c_call":  # ten of these for each operation
                if called.__name__ in _NAMES_OF_CALLS:
                    see(frame, called)
            elif event == "call" and id(frame.f_code) in _CODE:
                see(frame, None)

        sys.setprofile(profile)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        if callable(self.profiler):
            sys.setprofile(self.profiler)
        elif self.profiler is not None:  # Python's own, written in C
            self.profiler.enable()

    def check(self, line: str) -> None:
        """Raise the refusal again, in case the function caught it; `line` is the function's."""
        if self.refusal is None and list(map(_position, self.files)) != self.positions:
            self.refusal = TraceError(f"{line}: the lifted function {_FILE}")  # it iterated over it
        if self.refusal is not None:
            raise self.refusal

    def _see(self, frame: types.FrameType, called: Any) -> None:
        """Refuse a call that has the name of one that reads, if it does read."""
        if called is not None:
            what = _CALLS.get(called) or self._method(called)
        elif frame.f_code is _SEED:
            what = _ENTROPY if frame.f_locals.get("a") is None else None
        else:
            what = _CODE[id(frame.f_code)]
        if what is not None and self.refusal is None:
            user = _user_of(frame, what)
            if user is not None:
                line = f"{user.f_code.co_filename}:{user.f_lineno}"
                self.refusal = TraceError(f"{line}: the lifted function {what}")
                raise self.refusal

    def _method(self, called: Any) -> str | None:
        """Return what a method written in C reads, or None."""
        owner, name = called.__self__, called.__name__
        if id(owner) in self.generators.known and name in ("random", "getrandbits"):
            return draws(self.generators.known[id(owner)][0])
        if isinstance(owner, ContextVar):
            return {"get": _CONTEXT, "set": _SETS}.get(name)
        if name == "generate_time_safe":  # which uuid1 calls
            return _CLOCK
        if isinstance(owner, type) and issubclass(owner, dt.date):
            return _CLOCK if name in ("now", "today", "utcnow") else None
        return _FILE if name in _READS and isinstance(owner, io.IOBase) else None


def _user_of(innermost: types.FrameType, what: str) -> types.FrameType | None:
    """Return the frame of the user's code on whose behalf something is read, or None."""
    for frame in frames(innermost):
        space = frame.f_globals
        if is_users_module(space) and frame.f_code.co_name != "<module>":  # which an import runs
            return frame
        module = str(space.get("__name__")).partition(".")[0]
        if module in _ASIDE or (what in _DIRECTLY and module not in _HELPERS):
            return None
    return None


def _position(file: Any) -> int | None:
    """Return the position in a file that is only read, or None while it is iterated over."""
    try:
        return None if file.writable() else int(file.tell())
    except (OSError, ValueError):
        return None
