"""NumPy's run: a program's inputs, results and gradients without kernels."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad.lift.ir.groups import View
from liftgrad.lift.later import same_leaves
from liftgrad.lift.pipeline import Built
from liftgrad.lift.run.numpy_executor import execute
from liftgrad.lift.run.parameters import Parameters
from liftgrad.lift.run.runs import Run, Seeds, nobody

Array = NDArray[Any]


class NumpyRun:
    """A program run by NumPy, on groups instead of loop nests.

    Args:
        built: the program.
        dtype: "float64" or "float32".
        samples: the size of the batch.
        parameters: by their groups in the arguments.
        whole: whether the program has its gradient.

    """

    def __init__(
        self,
        built: Built,
        dtype: str,
        samples: int,
        parameters: dict[int, Parameters],
        *,
        whole: bool = True,
    ) -> None:
        self.built, self.dtype, self.differentiable = built, dtype, whole
        self.parameters = parameters
        self.leaves: dict[int, Array] = {}
        if self.built.sizes is not None:
            self.leaves[self.built.sizes] = np.array([samples], dtype)
        with np.errstate(all="ignore"):  # float32 may overflow
            for group, numbers in self.built.constants.items():
                self.feed(group, numbers)
        self.arrays: list[Array] = []
        self.scale = 1.0
        self.owner: Any = nobody

    def feed(self, group: int, numbers: Array) -> None:
        """Set a leaf group of the rolled program."""
        dtype = "int64" if numbers.dtype.kind in "iu" else self.dtype
        self.leaves[group] = np.array(numbers, dtype)

    def forward(self) -> None:
        """Compute the results."""
        for i, parameters in self.parameters.items():
            self.feed(self.built.leaf_of[i], parameters.numbers())
        self._run_forward()

    def _run_forward(self) -> None:
        built = self.built
        self.arrays = execute(built.rolled, self.leaves, self.dtype, stop=built.forward)

    def backward(self, seeds: Seeds) -> None:
        """Compute the gradients."""
        built = self.built
        if built.seed is None:
            self.scale = seeds[0]
        else:
            self.feed(built.seed, np.array(seeds))
        self.arrays = execute(built.rolled, self.leaves, self.dtype, self.arrays[: built.forward])

    def numbers(self, view: View) -> Array:
        """Return a result's numbers."""
        return self.arrays[view.group][view.positions]

    def gradient(self, view: View) -> Array:
        """Return a gradient's numbers."""
        numbers = self.numbers(view)
        if self.scale != 1.0:
            with np.errstate(all="ignore"):
                numbers = numbers * self.scale
        return numbers

    def refuse_outdated(self) -> None:
        """Do nothing: it has the parameters' numbers at the call."""

    def leaf(self, group: int) -> Array:
        """Return the numbers of a leaf group."""
        return self.leaves[group]

    def take_over(self, run: Run) -> None:
        """Compute the results of a call that was run without the gradient's program."""
        for mine, theirs in same_leaves(self.built, run.built).items():
            self.feed(mine, run.leaf(theirs))
        self._run_forward()
        self.owner, run.owner = run.owner, nobody

    def accumulate(self, seeds: Seeds) -> bool:
        """Compute the gradients; the caller adds them to the parameters' own."""
        self.backward(seeds)
        return False

    def target(self, group: int, shape: tuple[int, ...]) -> None:
        """Return None: numbers are set by `feed`."""

    def single(self) -> float:
        """Return the number of the one result."""
        return float(self.numbers(self.built.rolled.outputs[0]).item())

    def gradients(self) -> list[Array]:
        """Return all gradients."""
        return [self.gradient(view) for view in self.built.gradients]
