"""Refusals: special methods that stand-ins refuse, each with a sentence that says what to do."""

import dis
import sys
from collections.abc import Iterable
from typing import Any, NoReturn

from liftgrad.lift.user_code import frames, is_users_file, refused


def refuse(cls: Any, names: Iterable[str], advice: str) -> None:
    """Make these special methods of a class refuse, with this advice."""

    def refusing(*_: Any, **__: Any) -> NoReturn:
        raise refused(advice)

    for name in names:
        setattr(cls, f"__{name}__", refusing)


def refuse_branch() -> NoReturn:
    """Refuse a branch on a number that is not known yet."""
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


def _names_on_the_line() -> set[Any]:
    """Return the globals that the user's current line mentions."""
    frame = next((f for f in frames(sys._getframe()) if is_users_file(f.f_code.co_filename)), None)
    if frame is None:
        return set()
    return {
        i.argval
        for i in dis.get_instructions(frame.f_code)
        if i.opname == "LOAD_GLOBAL" and i.positions and i.positions.lineno == frame.f_lineno
    }


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
    "a traced value is converted to text, in a print, an f-string or str(), and has no number "
    "while the program is being recorded; return it and print what the call returns."
)
AS_PICKLE = (
    "a traced value is copied or pickled, and has no number while the program is being recorded; "
    "copy what the lifted function is given before the call."
)
AS_INTEGER = (
    "//, %, bits, rounding or conversion of a number that is not known while the program is being "
    "recorded; compute it before the call and pass it."
)
AS_KEY = (
    "a traced number is looked up in a dict or set, and has no number while the program is being "
    "recorded; compare it with where(x == 1.0, a, b), or use take(list, index) of an integer "
    "array's element."
)
AS_FLOAT = (
    "float() of a traced value, which has no number while the program is being recorded; keep it "
    "as it is, with .data to stop its gradient, and use functions of liftgrad.functional instead "
    "of those of math."
)
