"""Native draws: the random numbers of each step, drawn by kernels at the head of its plan."""

import random
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad.lift.ir.groups import identity
from liftgrad.lift.kernels.llvm.twister import MEMORY
from liftgrad.lift.native.memory import Instance
from liftgrad.lift.trace.draws import Draws

Array = NDArray[Any]
_WORDS, _FIRST = struct.Struct("=625I"), 4
"""Words and position of the generator, as `random` and memory have them, and their first byte."""


class NativeDraws:
    """The kernels that draw a step's numbers, in the order of the eager function.

    Args:
        runs: of draws.
        samples: how many a step sees.
        instance: whose groups take the numbers.
        addresses: of the kernels, by name.

    """

    def __init__(
        self,
        runs: Sequence[Draws],
        samples: int,
        instance: Instance,
        addresses: Mapping[str, int],
    ) -> None:
        self.words = np.zeros(MEMORY, np.uint32)
        """The generator's words, during a native run."""
        self.plan: list[tuple[int, int]] = []
        """Pairs of a kernel and its arguments."""
        dtype = np.dtype(instance.native.dtype)
        code = addresses[f"draw{8 * dtype.itemsize}"]
        self.kept: list[Array] = []
        """Arrays whose addresses the kernels hold."""
        for run in runs:
            rows = samples if run.mapped else 1
            if run.group in instance.arrays:
                target, layout = instance.arrays[run.group], instance.layouts[run.group]
                places = (identity(run.count) if layout is None else layout) * rows
            else:
                # Numbers that nothing uses are drawn, too: the next ones come after them.
                target, places = np.zeros(rows, dtype), np.zeros(run.count, np.int64)
            addressed = (self.words.ctypes.data, target.ctypes.data)
            arguments = np.array([*addressed, rows, run.count, places.ctypes.data], np.uint64)
            self.plan.append((code, arguments.ctypes.data))
            self.kept += [target, places, arguments]

    def take(self) -> None:
        """Take over Python's generator; until `give_back`, nothing else may use it."""
        if self.plan:
            self.version, words, self.gauss = random.getstate()
            _WORDS.pack_into(self.words.data, _FIRST, *words)

    def give_back(self) -> None:
        """Set Python's generator to the state that the steps left it in."""
        if self.plan:
            words = _WORDS.unpack_from(self.words.data, _FIRST)
            random.setstate((self.version, words, self.gauss))
