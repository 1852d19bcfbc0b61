"""User code: which code is the user's, and which line of it the compiler has come to."""

import os
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from liftgrad.errors import TraceError

_PACKAGE = str(Path(__file__).parents[1]) + os.sep
_PYTHON = str(Path(os.__file__).parent) + os.sep
_LIBRARIES = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


def refused(advice: str) -> TraceError:
    """Return an error about the user's current line that ends in what to do."""
    return TraceError(f"{user_line()}: {advice}")


def user_line() -> str:
    """Return "file:line" of the innermost frame that is the user's, not liftgrad's or a library's.

    Without such a frame it is the innermost one that is not liftgrad's.
    """
    line = ""
    for frame in frames(sys._getframe(1)):
        filename = frame.f_code.co_filename
        if is_users_file(filename):
            return f"{filename}:{frame.f_lineno}"
        if not line and not filename.startswith(_PACKAGE):
            line = f"{filename}:{frame.f_lineno}"
    return line


def frames(innermost: FrameType) -> Iterator[FrameType]:
    """Yield a frame, its caller's, and so on."""
    frame: FrameType | None = innermost
    while frame is not None:
        yield frame
        frame = frame.f_back


def entries(error: Exception) -> Iterator[TracebackType]:
    """Yield the entries of an error's traceback, outermost first."""
    entry = error.__traceback__
    while entry is not None:
        yield entry
        entry = entry.tb_next


def line_of(error: Exception) -> str:
    """Return "file:line" of the user's innermost frame in an error's traceback, or ""."""
    line = ""
    for entry in entries(error):
        filename = entry.tb_frame.f_code.co_filename
        if is_users_file(filename):
            line = f"{filename}:{entry.tb_lineno}"
    return line


@lru_cache(maxsize=1024)
def is_users_file(filename: str) -> bool:
    """Return whether code in a file is the user's, not liftgrad's, Python's or a library's."""
    return not filename.startswith((_PACKAGE, _PYTHON, "<frozen ")) and not any(
        folder in filename for folder in _LIBRARIES
    )


def is_users_module(space: Mapping[str, Any]) -> bool:
    """Return whether these are the globals of a module that is the user's, as above."""
    package = str(space.get("__name__")).partition(".")[0]
    if package == "liftgrad" or package in sys.stdlib_module_names:
        return False
    return not any(folder in str(space.get("__file__", "")) for folder in _LIBRARIES)
