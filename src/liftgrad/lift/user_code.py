"""User code: where in the user's program the compiler is, and what is refused there."""

import dis
import os
import sys
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from liftgrad.errors import TraceError

if TYPE_CHECKING:
    from types import FrameType

_PACKAGE = str(Path(__file__).parents[1]) + os.sep
_PYTHON = str(Path(os.__file__).parent) + os.sep
_LIBRARIES = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


def user_line() -> str:
    """Return "file:line" of the innermost frame of the user's: not liftgrad's or a library's."""
    frame: FrameType | None = sys._getframe(1)
    line = ""
    while frame is not None:
        filename = frame.f_code.co_filename
        if is_users_file(filename):
            return f"{filename}:{frame.f_lineno}"
        if not line and not filename.startswith(_PACKAGE):
            line = f"{filename}:{frame.f_lineno}"
        frame = frame.f_back
    return line


def _names_on_the_line() -> set[Any]:
    """Return the globals that are mentioned on the user's innermost line."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and not is_users_file(frame.f_code.co_filename):
        frame = frame.f_back
    if frame is None:
        return set()
    line = frame.f_lineno
    instructions = dis.get_instructions(frame.f_code)
    return {
        i.argval
        for i in instructions
        if i.opname == "LOAD_GLOBAL" and i.positions and i.positions.lineno == line
    }


def line_of(error: Exception) -> str:
    """Return "file:line" of the innermost frame of the user's that an error came through."""
    line, traceback = "", error.__traceback__
    while traceback is not None:
        filename = traceback.tb_frame.f_code.co_filename
        if is_users_file(filename):
            line = f"{filename}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return line


@lru_cache(maxsize=1024)
def is_users_file(filename: str) -> bool:
    """Tell whether code in a file is the user's, not liftgrad's, Python's or a library's."""
    return not filename.startswith((_PACKAGE, _PYTHON, "<frozen ")) and not any(
        part in filename for part in _LIBRARIES
    )


def refused(advice: str) -> TraceError:
    """Return the error that says what is refused on the user's line, and what to do."""
    return TraceError(f"{user_line()}: {advice}")


def refuse_branch() -> NoReturn:
    """Say what to write instead of a branch on a number that is not known yet."""
    if not {"max", "min"}.isdisjoint(_names_on_the_line()):
        raise refused(
            "max() or min() of traced values, which lifts only without a key, and only in the "
            "lifted function and functions of its module; elsewhere write maximum(a, b), "
            "minimum(a, b) or, where the largest is subtracted, softmax(xs) or logsumexp(xs) of "
            "liftgrad.functional, which do that themselves."
        )
    raise refused(
        "a Python branch (if, and, or, not, in, sorted) on a traced value, which has no number "
        "while the program is being recorded; use where(condition, a, b), maximum(a, b) or "
        "minimum(a, b), or make it a static argument (an int, str or bool)."
    )


def refuse(kind: Any, names: Iterable[str], advice: str) -> None:
    """Make these special methods of a class say what to do."""

    def refusing(*_: Any, **__: Any) -> NoReturn:
        raise refused(advice)

    for name in names:
        setattr(kind, f"__{name}__", refusing)


def _sides(*names: str) -> tuple[str, ...]:
    return (*names, *[f"r{name}" for name in names])


IN_WHOLE_NUMBERS = (
    *_sides("floordiv", "mod", "divmod", "lshift", "rshift", "and", "xor", "or"),
    "invert",
)
"""Arithmetic of whole numbers and of bits, by the names of its special methods."""
ARITHMETIC = (
    *_sides("add", "sub", "mul", "matmul", "truediv", "pow"),
    *("neg", "pos", "abs"),
    *IN_WHOLE_NUMBERS,
)
"""All of Python's arithmetic."""
COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
CONVERSIONS = ("float", "int", "index", "complex", "round", "trunc", "floor", "ceil")
TEXT = ("str", "repr", "format", "bytes")
PICKLING = ("reduce", "reduce_ex", "getstate")
AS_TEXT = (
    "a traced value is made text, in a print, an f-string or str(), and has no number while the "
    "program is being recorded; return it and print what the call returns."
)
AS_PICKLE = (
    "a traced value is copied or pickled, and has no number while the program is being recorded; "
    "copy what the lifted function is given before the call."
)
AS_INTEGER = (
    "//, %, bits, rounding or conversion of a number that is not known while the program is being "
    "recorded; compute it before the call and pass it."
)
