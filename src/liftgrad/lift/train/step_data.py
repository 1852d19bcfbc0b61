"""Step data: the arguments of a training run, as steps on batches of one size see them."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad.lift.call.leaves import LeafGroup, has_rows
from liftgrad.lift.pipeline import Built
from liftgrad.lift.run.given import checked_numbers, samples_of
from liftgrad.mapped import let_go, take_rows

Array = NDArray[Any]
_CHECKED_AT_ONCE = 1 << 16


@dataclass(slots=True)
class RunData:
    """The arguments' numbers in a training run."""

    groups: list[LeafGroup]
    rows: int | None
    """How many samples the data has; None: every step sees all of it."""
    run: int = 0
    """The number of the run."""


class StepData:
    """The data of a run, as a step's program sees it.

    Args:
        data: of the run, whichever it is.
        built: the step's program.
        size: of its batches; 0: all data.
        groups: the arguments' numbers in one batch.

    """

    def __init__(self, data: RunData, built: Built, size: int, groups: list[LeafGroup]) -> None:
        self.data, self.built, self.size = data, built, size
        self.samples = samples_of(groups, built.batched_groups)
        self.shapes = [g.array.shape if g.array is not None else () for g in groups]
        """Of a batch's arrays."""

    def is_cut(self, i: int) -> bool:
        """Return whether batches are cut from an argument."""
        return bool(self.size) and has_rows(self.data.groups[i].array, self.data.rows)

    def array(self, i: int) -> Array:
        """Return the array of an argument from which batches are cut."""
        array = self.data.groups[i].array
        assert array is not None
        return array

    def numbers(self, i: int) -> Array:
        """Return the numbers of an argument that each step sees as a whole."""
        return checked_numbers(self.data.groups[i], i, self.built)

    def of_batch(self, i: int, batch: Array | None) -> Array:
        """Return an argument's numbers in a batch, of shape (size,) or (size, samples)."""
        if batch is None or not self.is_cut(i):
            return self.numbers(i)
        rows = take_rows(self.array(i), batch)
        if i in self.built.batched_groups:
            return rows.reshape(len(batch), -1).T
        return rows.reshape(-1)

    def check(self) -> None:
        """Check all rows of index arrays against the extents that a batch's rows are used in.

        Raises:
            IndexError: if an index is outside of its table.

        """
        for i in self.built.index_bounds:
            self._check(self.data.groups[i], i)

    def _check(self, group: LeafGroup, i: int) -> None:
        built = self.built
        extents = built.index_bounds.get(i)
        if extents is None or group.array is None:
            return
        if i in built.batched_groups:
            for start in range(0, len(group.array), _CHECKED_AT_ONCE):
                some = group.array[start : start + _CHECKED_AT_ONCE]
                checked_numbers(replace(group, array=some), i, built)
                let_go(some)
            return
        if self.shapes[i] == group.array.shape:
            checked_numbers(group, i, built)
            return
        # The program sees a batch: any row may come to stand at any place in it.
        row = extents.reshape(self.shapes[i][0], -1).min(axis=0)
        for start in range(0, len(group.array), _CHECKED_AT_ONCE):
            some = group.array[start : start + _CHECKED_AT_ONCE].reshape(-1, len(row))
            wrong = (some < 0) | (some >= row)
            let_go(group.array)
            if wrong.any():
                raise IndexError(
                    f"take() at an index outside of its table, from row "
                    f"{start + int(np.argmax(wrong.any(axis=1)))} of the argument {group.name}; "
                    f"indices go from 0 to {int(row.min()) - 1}."
                )
