"""scan: carry a state through the steps of a loop."""

from collections.abc import Callable
from typing import Any, TypeVar

from liftgrad.lift.stand_ins.scan_checks import (
    check_result,
    check_state,
    state_and_result,
    steps_of,
)
from liftgrad.lift.stand_ins.scan_once import recording_scans, scanned_once
from liftgrad.lift.stand_ins.sequences import NotOnce
from liftgrad.lift.stand_ins.time_axis import at_step, stacked

State = TypeVar("State")


def scan(
    step: Callable[[State, Any], tuple[State, Any]],
    state: State,
    xs: Any = None,
    length: int | None = None,
    *,
    checkpoint: bool = False,
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
        checkpoint: whether the gradient keeps of each step the state alone, and computes the rest
            a second time; it needs less memory then.

    Returns:
        The last state, and the results: lists with an entry for each step. If the steps return
        tuples or dicts, tuples or dicts of such lists.

    Raises:
        ValueError: if xs differ in length, or neither says how many steps there are; if the
            state's structure changes in a step.
        TypeError: if xs are nothing that has steps, or `step` does not return two things.

    """
    steps = steps_of(xs, length)
    tape = recording_scans.tape
    if tape is not None and steps >= _FEW:
        try:
            return scanned_once(tape, step, state, xs, steps, checkpoint=checkpoint)
        except NotOnce:
            pass
    ys: list[Any] = []
    for t in range(steps):
        following, y = state_and_result(step(state, at_step(xs, t)))
        check_state(state, following, t)
        if ys:
            check_result(ys[0], y, t)
        state = following
        ys.append(y)
    return state, stacked(ys)


_FEW = 4
"""Fewer steps are recorded one by one."""
