"""Unchanged: a lifted function may not change what it was given, since a repeated call would not.

The function runs once, on copies; what it appended to a list or assigned to an attribute there
would be lost, and missing in the next call. So it is refused.
"""

from collections.abc import Iterable
from operator import is_
from types import CellType
from typing import Any

from liftgrad.errors import TraceError
from liftgrad.lift.trace import user_line


class Watched:
    """Containers, objects and variables, by the names that the user has for them.

    The variables of a module, a dict, have no name of their own: "".
    """

    def __init__(self, named: Iterable[tuple[str, Any]]) -> None:
        self.before = [(name, x, _contents(x)) for name, x in named]

    def check(self) -> None:
        """Raise TraceError if one of them is not as it was."""
        for name, x, before in self.before:
            after = _contents(x)
            if len(after) != len(before) or not all(map(is_, after, before)):
                if isinstance(x, dict) and not name:
                    known = dict(
                        zip(before[: len(before) // 2], before[len(before) // 2 :], strict=True)
                    )
                    name = next(key for key in x if known.get(key, self) is not x[key])  # noqa: PLW2901
                raise TraceError(
                    f"{user_line()}: {name} is changed by the lifted function, which runs once for "
                    "many calls; return the new value instead of storing it."
                )


def _contents(x: Any) -> list[Any]:
    if isinstance(x, list):
        return list(x)
    if isinstance(x, set):
        return sorted(x, key=id)
    if isinstance(x, dict):
        return [*x, *x.values()]
    if isinstance(x, CellType):
        try:
            return [x.cell_contents]
        except ValueError:  # not bound
            return []
    attributes = getattr(x, "__dict__", {})
    return [*attributes, *attributes.values()]
