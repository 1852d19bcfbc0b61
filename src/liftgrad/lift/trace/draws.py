"""Draws: random numbers that a lifted function draws at each call, inputs like any others.

`functional.uniform` of a traced value records an input. Each call then draws as many numbers from
Python's `random`, in the order in which the eager function would: a run of draws outside of vmap,
then those within it, sample after sample, and so on. So the same seed gives the same numbers.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Draw = Callable[[], Iterator[tuple[int, NDArray[np.float64]]]]
_FEW = 4000


@dataclass(slots=True)
class Draws:
    """Draws one after another, outside of vmap or within one vmap."""

    mapped: int
    """The number of the vmap, from 1; 0: outside."""
    count: int = 0
    """How many numbers, for each sample if within vmap."""
    group: int | None = None
    """The program's group of them; None where nothing uses them."""


@contextmanager
def drawing(runs: Sequence[Draws], samples: int, calls: int = 1) -> Iterator[Draw]:
    """Yield a function that yields each group's numbers for a call, (count,) or (count, samples).

    Python's `random` is left as that many calls of the eager function would leave it, or as many
    as were made; in between, nothing else may use it.

    """
    counts = [run.count * samples if run.mapped else run.count for run in runs]
    # NumPy has the same generator, ten times as fast, but to hand over its state takes 0.2 ms.
    twister = _Twister() if sum(counts) * calls > _FEW else None
    uniform = _uniform if twister is None else twister.generator.random

    def draw() -> Iterator[tuple[int, NDArray[np.float64]]]:
        for run, count in zip(runs, counts, strict=True):
            numbers = uniform(count)
            if run.group is not None:
                yield run.group, numbers.reshape(samples, run.count).T if run.mapped else numbers

    try:
        yield draw
    finally:
        if twister is not None:
            twister.give_back()


def _uniform(count: int) -> NDArray[np.float64]:
    return np.array([random.random() for _ in range(count)])


class _Twister:
    """Python's generator in the hands of NumPy: `random` gives random.random()'s numbers."""

    def __init__(self) -> None:
        self.version, (*key, position), self.gauss = random.getstate()
        self.bits = np.random.MT19937(0)
        state: Any = {"key": np.array(key, np.uint32), "pos": position}
        self.bits.state = {"bit_generator": "MT19937", "state": state}
        self.generator = np.random.Generator(self.bits)

    def give_back(self) -> None:
        """Leave Python's generator where this one has come to."""
        state = self.bits.state["state"]
        random.setstate((self.version, (*state["key"].tolist(), int(state["pos"])), self.gauss))
