"""Many keys: what to say of a function that needs a program for nearly every call."""

from typing import Any

from liftgrad.lift.call.keys import Key, in_words, is_among_integers

_MANY = 16
_MANY_LISTS = 3
"""After this many programs, lists of integers that vary are likely to go on varying."""


def warning_of_many(
    name: str, count: int, earlier: Key, later: Key, replaced_code: str
) -> str | None:
    """Return a warning about the number of programs that a function was built for, if it is due.

    Args:
        name: of the function.
        count: of the programs.
        earlier: the key of the last program but one.
        later: the key of the last one.
        replaced_code: the argument whose entry says which code the function's variables hold.

    """
    if count <= _MANY_LISTS:
        return None
    first = next(i for i, (a, b) in enumerate(zip(earlier, later, strict=False)) if a != b)
    tokens = is_among_integers(later, first)
    if not tokens and count <= _MANY:
        return None
    argument = next(entry for entry in reversed(later[: first + 1]) if isinstance(entry, str))
    a, b = in_words(earlier[first]), in_words(later[first])
    what = f"one has {a} and the other {b} in {argument}"
    if argument == replaced_code:
        what = "a function, class or module that it uses was replaced by another"
    return (
        f"{name} was built for {count} structures of arguments; of the last two, {what}. "
        f"{_OF_TOKENS if tokens else _advice(later[first])}"
    )


_OF_TOKENS = (
    "Integers in lists are part of the program: pass them as an integer array, padded to one "
    "length, and look rows up with take(table, i)."
)


def _advice(entry: Any) -> str:
    match entry:
        case ("input" | "index", *_):
            return "Map over arrays that vary in length with vmap, or pad them."
        case (kind, str() | int()) if kind in (int, bool, str):
            return "If it is a number that varies, pass it as a float or in an array."
        case (kind, str()) if kind is float:
            return "Attributes are static: pass a number that varies as an argument, or as a Value."
        case (type(), *_):
            return "Pad what varies in length or kind."
        case _:
            return "Arguments of one structure share one program."
