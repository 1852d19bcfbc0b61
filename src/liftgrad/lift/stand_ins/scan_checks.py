"""Scan checks: what a scan is given and its steps return."""

from operator import index
from typing import Any

from liftgrad.lift.stand_ins.time_axis import first_difference, lengths_of
from liftgrad.numbers import kind_of


def steps_of(xs: Any, length: int | None) -> int:
    """Return how many steps there are.

    Raises:
        ValueError: if xs differ in length, or neither says it.
        TypeError: if something in xs has no length, or the length is no whole number.

    """
    lengths = [*lengths_of(xs)]
    if len(set(lengths)) > 1:
        raise ValueError(f"scan over xs of lengths {lengths}; make them equal.")
    if length is None:
        if not lengths:
            raise ValueError("scan without xs does not know how many steps; give it a length.")
        return lengths[0]
    try:
        steps = index(length)
    except TypeError:
        raise TypeError(f"scan of length={length!r}; give it a whole number.") from None
    if steps < 0:
        raise ValueError(f"scan of length={length}; give it 0 or more.")
    if lengths and lengths[0] != steps:
        raise ValueError(
            f"scan of length={length} over xs of length {lengths[0]}; make them equal, or leave "
            "out the length."
        )
    return steps


def state_and_result(returned: Any) -> tuple[Any, Any]:
    """Return the state and the result that a step returned.

    Raises:
        TypeError: if it is not two things.

    """
    if not isinstance(returned, tuple | list) or len(returned) != 2:
        raise TypeError(
            f"the step of scan returned {kind_of(returned)}; return the next state and the step's "
            "result, as in return state, None."
        )
    return returned[0], returned[1]


def check_state(before: Any, after: Any, t: int) -> None:
    """Raise ValueError if the state's structure changed in step t."""
    if found := first_difference(before, after, "state"):
        raise ValueError(
            f"scan needs a state of one structure, and {found[0]} is {found[1]} before step {t} "
            f"and {found[2]} after it; return the state as it came."
        )


def check_result(first: Any, y: Any, t: int) -> None:
    """Raise ValueError if the structure of step t's result is not that of the first one's."""
    if found := first_difference(first, y, "y"):
        raise ValueError(
            f"scan needs results of one structure, and {found[0]} is {found[1]} in step 0 and "
            f"{found[2]} in step {t}; return the same from all steps."
        )
