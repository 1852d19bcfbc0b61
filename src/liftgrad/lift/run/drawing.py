"""Drawing: the random numbers of a call, as many and in the order as the eager function draws them.

They come from Python's `random`, so that the same seed gives the same numbers: for each run of
draws outside of vmap, one after another, and for those within it, sample after sample.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad.lift.trace.draws import Draws

Draw = Callable[[], Iterator[tuple[int, NDArray[np.float64]]]]
_FEW = 4000


@contextmanager
def drawing(runs: Sequence[Draws], samples: int, calls: int = 1) -> Iterator[Draw]:
    """Yield a function that yields each group's numbers for a call, (count,) or (count, samples).

    Python's `random` is left as that many calls of the eager function leave it, or as many as were
    made. Nothing else may use it within the block.

    Args:
        runs: the draws of the program.
        samples: the size of the batch.
        calls: how many calls are expected.

    """
    counts = [run.count * samples if run.mapped else run.count for run in runs]
    # NumPy's is the same generator, ten times as fast, but handing its state over takes 0.2 ms.
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
    """Python's generator run by NumPy: `generator.random` gives the numbers of random.random()."""

    def __init__(self) -> None:
        self.version, (*key, position), self.gauss = random.getstate()
        self.bits = np.random.MT19937(0)
        state: Any = {"key": np.array(key, np.uint32), "pos": position}
        self.bits.state = {"bit_generator": "MT19937", "state": state}
        self.generator = np.random.Generator(self.bits)

    def give_back(self) -> None:
        """Set Python's generator to the state that this one has reached."""
        state = self.bits.state["state"]
        random.setstate((self.version, (*state["key"].tolist(), int(state["pos"])), self.gauss))
