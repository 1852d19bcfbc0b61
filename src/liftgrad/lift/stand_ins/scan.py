"""scan: carry a state through the steps of a loop."""

from collections.abc import Callable
from operator import index
from typing import Any, TypeVar

from liftgrad.lift.stand_ins.time_axis import at_step, first_difference, lengths_of, stacked
from liftgrad.numbers import kind_of

State = TypeVar("State")


def scan(
    step: Callable[[State, Any], tuple[State, Any]],
    state: State,
    xs: Any = None,
    length: int | None = None,
    *,
    checkpoint: bool = False,  # noqa: ARG001, a matter of memory
) -> tuple[State, Any]:
    """Carry a state through the steps of a loop, and return the last and what each step gave.

    It is this loop, as `jax.lax.scan` is:

        ys = []
        for x in xs:
            state, y = step(state, x)
            ys.append(y)
        return state, ys

    >>> scan(lambda total, x: (total + x, 10.0 * total), 0.0, [1.0, 2.0, 3.0])
    (6.0, [0.0, 10.0, 30.0])

    Within a lifted function `step` may be run once, for a step that stands for all of them: let it
    depend on its arguments only, and on what is the same in all steps.

    Args:
        step: takes the state and what xs hold for the step; returns the next state and a result.
        state: the first one: a number, or lists, tuples and dicts of numbers and Values. Each step
            returns one of the same structure.
        xs: lists or arrays, whose first axis is time, or tuples and dicts of them, of which a step
            is given the same structure; None for no xs.
        length: how many steps; needed without xs.
        checkpoint: whether a gradient computes most states a second time instead of keeping them.

    Returns:
        The last state, and the results: lists with an entry for each step. If the steps return
        tuples or dicts, tuples or dicts of such lists.

    Raises:
        ValueError: if xs differ in length, or neither says how many steps there are; if the
            state's structure changes in a step.
        TypeError: if xs are nothing that has steps, or `step` does not return two things.

    """
    ys: list[Any] = []
    for t in range(_steps(xs, length)):
        following, y = _pair(step(state, at_step(xs, t)))
        if found := first_difference(state, following, "state"):
            raise ValueError(
                f"scan needs a state of one structure, and {found[0]} is {found[1]} before step "
                f"{t} and {found[2]} after it; return the state as it came."
            )
        if ys and (found := first_difference(ys[0], y, "y")):
            raise ValueError(
                f"scan needs results of one structure, and {found[0]} is {found[1]} in step 0 and "
                f"{found[2]} in step {t}; return the same from all steps."
            )
        state = following
        ys.append(y)
    return state, stacked(ys)


def _steps(xs: Any, length: int | None) -> int:
    """Return how many steps there are."""
    lengths = [*lengths_of(xs)]
    if len(set(lengths)) > 1:
        raise ValueError(f"scan over xs of lengths {lengths}; make them equal.")
    if length is None:
        if not lengths:
            raise ValueError("scan without xs does not know how many steps; give it a length.")
        return lengths[0]
    if (steps := index(length)) < 0:
        raise ValueError(f"scan of length={length}; give it 0 or more.")
    if lengths and lengths[0] != steps:
        raise ValueError(
            f"scan of length={length} over xs of length {lengths[0]}; make them equal, or leave "
            "out the length."
        )
    return steps


def _pair(result: Any) -> tuple[Any, Any]:
    """Return the state and the result that a step returned."""
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise TypeError(
            f"the step of scan returned {kind_of(result)}; return the next state and the step's "
            "result, as in return state, None."
        )
    return result[0], result[1]
