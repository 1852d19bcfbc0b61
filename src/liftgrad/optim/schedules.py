"""Schedules of the learning rate: functions from the number of steps taken so far to the rate.

Any such function will do; these are the usual ones, besides `ReduceLROnPlateau`, which depends on
the loss. After its last step a schedule is constant. Schedules are partial functions, so that they
can be pickled.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from liftgrad.numbers import is_whole
from liftgrad.optim.checks import check

Schedule = Callable[[int], float]
"""From the number of steps taken so far to the learning rate."""


def constant(rate: float) -> Schedule:
    """Return a schedule that is `rate` at every step.

    >>> rate = constant(0.1)
    >>> rate(0), rate(1000)
    (0.1, 0.1)

    Raises:
        ValueError: if the rate is negative.

    """
    check("rate", rate)
    return partial(_constant, rate)


def linear(start: float, end: float, steps: int) -> Schedule:
    """Return a straight line from `start` at step 0 to `end` at step `steps`, then `end`.

    >>> rate = linear(1.0, 0.1, steps=100)
    >>> rate(0), rate(50), rate(100)
    (1.0, 0.55, 0.1)

    Raises:
        ValueError: if a rate is negative or `steps` less than 1.

    """
    check("start", start)
    check("end", end)
    _check_steps("linear", steps)
    return partial(_linear, start, end, steps)


def step(start: float, every: int, gamma: float = 0.1) -> Schedule:
    """Return a rate that is multiplied by `gamma` every `every` steps (`StepLR`).

    >>> rate = step(8.0, every=10, gamma=0.5)
    >>> rate(0), rate(9), rate(10), rate(25)
    (8.0, 8.0, 4.0, 2.0)

    Raises:
        ValueError: if the rate or `gamma` is negative, or `every` less than 1.

    """
    check("start", start)
    check("gamma", gamma)
    if every < 1:
        raise ValueError(f"a step schedule falls every 1 step or more; got every={every}.")
    return partial(_stepwise, start, every, gamma)


def exponential(start: float, gamma: float) -> Schedule:
    """Return the schedule start·gammaᵏ at step k (`ExponentialLR`).

    >>> exponential(8.0, gamma=0.5)(2)
    2.0

    Raises:
        ValueError: if the rate or `gamma` is negative.

    """
    check("start", start)
    check("gamma", gamma)
    return partial(_stepwise, start, 1, gamma)


def cosine(start: float, end: float, steps: int) -> Schedule:
    """Return half a cosine from `start` at step 0 to `end` at step `steps`, then `end`.

    This is `CosineAnnealingLR` up to its T_max (Loshchilov & Hutter, 2017, without restarts).

    >>> rate = cosine(1.0, 0.0, steps=3)
    >>> [round(rate(k), 6) for k in range(5)]
    [1.0, 0.75, 0.25, 0.0, 0.0]

    Raises:
        ValueError: if a rate is negative or `steps` less than 1.

    """
    check("start", start)
    check("end", end)
    _check_steps("cosine", steps)
    return partial(_cosine, start, end, steps)


def warm_restarts(start: float, end: float, steps: int, factor: int = 1) -> Schedule:
    """Return PyTorch's `CosineAnnealingWarmRestarts`: half cosines, one after the other.

    Each goes from `start` to `end`: the first in `steps` steps (T_0), each other one in `factor`
    (T_mult) times as many as the one before it (Loshchilov & Hutter, 2017).

    >>> rate = warm_restarts(1.0, 0.0, steps=2, factor=2)
    >>> [round(rate(k), 6) for k in range(8)]
    [1.0, 0.5, 1.0, 0.853553, 0.5, 0.146447, 1.0, 0.96194]

    Raises:
        ValueError: if a rate is negative, or `steps` or `factor` is not a whole number of 1 or
            more.

    """
    check("start", start)
    check("end", end)
    for name, count in (("steps", steps), ("factor", factor)):
        if not is_whole(count) or count < 1:
            raise ValueError(f"{name} is a whole number, 1 or more; got {name}={count!r}.")
    return partial(_warm_restarts, start, end, int(steps), int(factor))


def one_cycle(
    peak: float,
    steps: int,
    pct_start: float = 0.3,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
) -> Schedule:
    """Return PyTorch's `OneCycleLR`: up to `peak` and down again, each along half a cosine.

    It goes from peak/div_factor at step 0 to `peak` at step pct_start·steps - 1, and to
    peak/(div_factor·final_div_factor) at step `steps` - 1 (Smith & Topin, 2018).

    >>> rate = one_cycle(1.0, steps=11, pct_start=0.5)
    >>> round(rate(0), 6), round(rate(10) * 25e4, 6)
    (0.04, 1.0)

    Raises:
        ValueError: if `peak` is negative, a factor is 0 or less, or there is no step to rise or
            none to fall in.

    """
    check("peak", peak)
    for name, factor in (("div_factor", div_factor), ("final_div_factor", final_div_factor)):
        check(name, factor)
        if factor == 0.0:
            raise ValueError(f"{name} divides a rate; pass a number above 0.")
    check("pct_start", pct_start)
    top, last = pct_start * steps - 1.0, steps - 1.0
    if not 0.0 < top < last:
        raise ValueError(
            f"a cycle rises up to step pct_start·steps - 1 and falls up to step steps - 1; got "
            f"{top:g} and {last:g}: pass more steps, or a pct_start further from 0 and 1."
        )
    low = peak / div_factor
    return partial(_one_cycle, low, peak, low / final_div_factor, top, last)


def warm_up(start: float, steps: int, then: float | Schedule) -> Schedule:
    """Return a straight line from `start` to the first rate of `then`, then the schedule `then`.

    Step `steps` is step 0 of `then`, as in a `SequentialLR` of a `LinearLR` and another schedule.

    >>> rate = warm_up(0.0, 4, then=linear(1.0, 0.1, steps=100))
    >>> rate(0), rate(2), rate(4), rate(54)
    (0.0, 0.5, 1.0, 0.55)

    Raises:
        ValueError: if a rate is negative or `steps` less than 1.

    """
    check("start", start)
    _check_steps("warm-up", steps)
    after = then if callable(then) else constant(then)
    return partial(_warm_up, linear(start, after(0), steps), steps, after)


def _constant(rate: float, _step: int) -> float:
    return rate


def _linear(start: float, end: float, steps: int, step: int) -> float:
    return start - (start - end) * step / steps if step < steps else end


def _stepwise(start: float, every: int, gamma: float, step: int) -> float:
    return start * gamma ** (step // every)


def _cosine(start: float, end: float, steps: int, step: int) -> float:
    return _half_cosine(start, end, step / steps) if step < steps else end


def _warm_restarts(start: float, end: float, steps: int, factor: int, step: int) -> float:
    if factor == 1:
        step %= steps
    while step >= steps:
        step, steps = step - steps, steps * factor
    return _half_cosine(start, end, step / steps)


def _one_cycle(low: float, peak: float, end: float, top: float, last: float, step: int) -> float:
    if step <= top:
        return _half_cosine(low, peak, step / top)
    return _half_cosine(peak, end, (step - top) / (last - top)) if step < last else end


def _warm_up(rising: Schedule, steps: int, after: Schedule, step: int) -> float:
    return rising(step) if step < steps else after(step - steps)


def _half_cosine(start: float, end: float, fraction: float) -> float:
    return end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * fraction))


def _check_steps(kind: str, steps: Any) -> None:
    if steps < 1:
        raise ValueError(f"a {kind} schedule takes at least 1 step; got steps={steps}.")
