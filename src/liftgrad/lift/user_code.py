"""User code: where in the user's program the compiler is, and what is refused there."""

import sys
from pathlib import Path
from typing import Any, NoReturn

import liftgrad
from liftgrad.errors import TraceError

_PACKAGE = str(Path(liftgrad.__file__).parent)


def user_line() -> str:
    """Return "file:line" of the innermost frame that is not liftgrad's own."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def refuse_branch() -> NoReturn:
    """Say what to write instead of a branch on a number that is not known yet."""
    raise TraceError(
        f"{user_line()}: a Python branch (if, and, or, max, min, sorted) on a traced value, which "
        "has no number while the program is being recorded; use where(condition, a, b), "
        "maximum(a, b) or minimum(a, b), or make it a static argument (an int, str or bool)."
    )


def refuse_arithmetic(kind: Any, advice: str) -> None:
    """Make arithmetic on something that is no number say what to do."""

    def refuse(_a: Any, _b: Any = None) -> NoReturn:
        raise TraceError(f"{user_line()}: {advice}")

    for name in ("add", "sub", "mul", "matmul", "truediv", "pow"):
        setattr(kind, f"__{name}__", refuse)
        setattr(kind, f"__r{name}__", refuse)
    kind.__neg__ = kind.__abs__ = refuse
