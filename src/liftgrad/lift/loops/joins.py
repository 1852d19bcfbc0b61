"""Joins: sums of one term for each element, which bring elements of several groups into one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from liftgrad.lift.ir.groups import Indices, Runs, Sum


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Elements of a group, and which rows of a sum they are terms of."""

    group: int
    positions: Indices
    rows: Indices


def joined(parts: Sequence[Part], size: int, *, batched: bool) -> Sum:
    """Return a sum of these parts, with a run for each group.

    Args:
        parts: the terms.
        size: how many sums.
        batched: whether the sum is.

    """
    of_group: dict[int, list[Part]] = {}
    for part in parts:
        of_group.setdefault(part.group, []).append(part)
    runs = []
    for group, mine in of_group.items():
        rows = np.concatenate([part.rows for part in mine])
        positions = np.concatenate([part.positions for part in mine])
        if (rows[1:] < rows[:-1]).any():
            order = np.argsort(rows, kind="stable")
            rows, positions = rows[order], positions[order]
        lengths = np.bincount(rows, minlength=size)
        runs.append(Runs(group, positions, np.concatenate([[0], np.cumsum(lengths)])))
    return Sum(tuple(runs), batched)
