"""What the programs over time share: their sizes and data, and what is measured of them."""

from collections.abc import Callable
from typing import Any

import numpy as np
from common import QUICK, Array, clock, fastest, report

Result = tuple[Any, Any]
"""A value, and its gradient or Hessian as it comes."""

RATES = (1.0, 0.4, 0.4, 0.1)
"""Of Lotka and Volterra's equations: births of prey, deaths of it, deaths of predators, births."""
FIRST = (10.0, 5.0)
"""The prey and the predators at the start."""
STEP = 0.05

LONG = 1_000 if QUICK else 100_000
"""How many steps the programs with `scan` have."""


def steps(count: int) -> int:
    """Return how many steps a program has: in a quick run, a few."""
    return min(count, 40) if QUICK else count


def observed(count: int) -> Array:
    """Return made-up populations at each step, (count, 2)."""
    return np.random.default_rng(0).uniform(0.0, 10.0, (count, 2))


UNITS, INPUTS = 8, 3


def recurrent() -> tuple[dict[str, Array], Array]:
    """Return the weights of a GRU, (units, inputs + units) for each gate, and of its head."""
    rng = np.random.default_rng(1)
    weights = {gate: rng.normal(0.0, 0.3, (UNITS, INPUTS + UNITS)) for gate in "zrn"}
    return weights, rng.normal(0.0, 0.3, UNITS)


def series(count: int) -> tuple[Array, Array]:
    """Return made-up inputs, (count, 3), and targets."""
    rng = np.random.default_rng(2)
    return rng.uniform(size=(count, INPUTS)), rng.uniform(size=count)


TEN = (1.0, 0.4, 0.4, 0.1, 10.0, 5.0, 0.01, 0.02, 1.0, 1.0)
"""The parameters whose Hessian is asked for: rates, first populations, two more terms, weights."""


def bodies(count: int = 10) -> tuple[Array, Array, Array]:
    """Return masses, places and velocities."""
    rng = np.random.default_rng(3)
    return (
        np.arange(1.0, count + 1.0) / count,
        rng.uniform(size=(count, 2)),
        rng.uniform(size=(count, 2)),
    )


def flat(gradient: Any) -> Array:
    """Return the numbers of a gradient's parts in one array."""
    return np.concatenate([np.ravel(np.asarray(part, np.float64)) for part in gradient])


def fingerprint(value: float, gradient: Array) -> float:
    """Return a number that tells apart gradients, also of another order or sign."""
    weights = 2.0 + np.sin(np.arange(gradient.size))
    return float(value) + float(np.abs(gradient) @ weights + gradient @ weights[::-1])


def measure(
    prepare: Callable[[], Callable[[], Result]],
    what: str,
    read: Callable[[Any], Array] = flat,
) -> None:
    """Report the first call, with all that goes before it, or the fastest of many.

    Args:
        prepare: returns a function that computes a value and its gradient.
        what: "first" or "each".
        read: returns a gradient's numbers.

    """
    start = clock()
    compute = prepare()
    value, gradient = compute()
    first = clock() - start
    check = fingerprint(value, read(gradient))
    report(check, first if what == "first" else fastest(compute))
