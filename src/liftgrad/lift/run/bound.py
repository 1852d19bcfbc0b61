"""Bound: a native program with memory to run in, whole or a portion of the batch at a time."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from liftgrad.lift.native.memory import Instance, NativeProgram
from liftgrad.lift.run.portions import Portions, staged
from liftgrad.lift.scheduling.stages import stages


class Runnable(Protocol):
    """Some nests of a program, bound to memory."""

    def run(self) -> None:
        """Compute them."""


class Bound:
    """A native program bound to memory.

    Args:
        native: the program.
        samples: the size of the batch.
        own: memory that is there already for some leaf groups, by group.
        sizes: the leaf group of the batch's size as a number.

    """

    def __init__(
        self,
        native: NativeProgram,
        samples: int,
        own: Mapping[int, NDArray[Any]],
        sizes: int | None = None,
    ) -> None:
        self.native = native
        self._cut = staged(native, samples)
        self.instance: Instance = native.bind(samples, own, self._cut[1] if self._cut else ())
        if sizes is not None:
            self.instance.set(sizes, np.array([samples]))

    @property
    def in_portions(self) -> bool:
        """Whether a batch runs a portion at a time."""
        return self._cut is not None

    def plan(self, nests: Sequence[int], *, brief: bool = False) -> Runnable:
        """Return what runs some of the nests, which may be known to be brief."""
        if self._cut is None:
            return self.instance.plan(nests, brief=brief)
        _, local, portion = self._cut
        cut = stages(self.native.program, list(nests))
        return Portions(self.native, cut, self.instance, portion, local)
