"""Unchanged: a lifted function may not change what it was given, since a repeated call would not.

The function runs once, on copies; what it appended to a list or assigned to an attribute there
would be lost, and missing in the next call. So it is refused, with one exception: modules that note
down what they computed (`self.out = ...`). An attribute that an object did not have before cannot
have been read before it was set, so no result depends on it, and it goes with the copy.
"""

import random
import sys
import threading
import warnings
from collections.abc import Iterable
from operator import is_
from types import CellType, SimpleNamespace
from typing import Any

from liftgrad.errors import TraceError
from liftgrad.lift.portions import is_worker
from liftgrad.lift.trace import Batch, Condition
from liftgrad.lift.traced_array import TracedArray
from liftgrad.lift.user_code import refused, user_line
from liftgrad.operators import Operators


class Watched:
    """Containers, objects and variables, by the names that the user has for them.

    The variables of a module, a dict, have no name of their own: "".
    """

    def __init__(self, named: Iterable[tuple[str, Any]]) -> None:
        self.before = [(name, x, _contents(x)) for name, x in named]

    def check(self) -> None:
        """Raise TraceError if one of them is not as it was."""
        for name, x, before in self.before:
            after = _contents(_without_notes(x, before))
            if len(after) != len(before) or not all(map(is_, after, before)):
                if isinstance(x, dict) and not name:
                    known = dict(
                        zip(before[: len(before) // 2], before[len(before) // 2 :], strict=True)
                    )
                    name = next(key for key in x if known.get(key, self) is not x[key])  # noqa: PLW2901
                raise refused(
                    f"{name} is changed by the lifted function, which runs once for many calls; "
                    "return the new value instead of storing it."
                )


class Generators:
    """The random numbers of Python's and NumPy's own generators, of which none may be drawn.

    All threads share these generators: while others run, one of them may have drawn the numbers,
    so that there is a warning and no refusal.
    """

    def __init__(self) -> None:
        self.before = self._states()

    def check(self) -> None:
        """Raise TraceError if numbers were drawn."""
        for name, state in self._states().items():
            if state != self.before.get(name, state):
                message = (
                    f"{user_line()}: the lifted function draws numbers from {name}, and runs once "
                    "for many calls, which would all get the same; draw them before and pass them, "
                    "or use functional.uniform(x), x being an argument."
                )
                us = threading.current_thread()
                if all(x is us or is_worker(x) for x in threading.enumerate()):
                    raise TraceError(message)
                warnings.warn(f"{message} (Or another thread drew them.)", RuntimeWarning, 2)

    def _states(self) -> dict[str, Any]:
        states: dict[str, Any] = {"random": random.getstate()}
        numpy_random = sys.modules.get("numpy.random")  # loading it takes its time
        if numpy_random is not None:
            _, key, place, *_ = numpy_random.get_state()
            states["numpy.random"] = key.tobytes(), place
        return states


def _without_notes(x: Any, before: list[Any]) -> Any:
    """Return an object without the traced values that it did not have before."""
    attributes = getattr(x, "__dict__", None)
    if isinstance(x, list | set | dict | CellType | type) or not attributes:
        return x
    known = set(before[: len(before) // 2])
    return SimpleNamespace(
        **{key: y for key, y in attributes.items() if key in known or not _traced(y)}
    )


def _traced(x: Any) -> bool:
    """Tell whether something is a traced value, or a container of nothing else."""
    if isinstance(x, dict):
        x = list(x.values())
    if isinstance(x, list | tuple):
        return bool(x) and all(map(_traced, x))
    return isinstance(x, Operators | Condition | TracedArray | Batch)


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
