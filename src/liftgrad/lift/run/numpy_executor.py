"""NumPy executor: groups computed with NumPy, the backend without LLVM and the second oracle."""

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import assert_never

import numpy as np

from liftgrad import ops
from liftgrad.lift.ir.groups import (
    Constants,
    Elementwise,
    Group,
    Largest,
    Leaf,
    Loop,
    Put,
    Rolled,
    Runs,
    Sum,
    Take,
    View,
)
from liftgrad.lift.ir.operands import part
from liftgrad.lift.run.array_arithmetic import Array, function_of


def execute(
    program: Rolled,
    leaves: Mapping[int, Array],
    dtype: str = "float64",
    known: Sequence[Array] = (),
    stop: int | None = None,
) -> list[Array]:
    """Return the numbers of each group, of shape (size,), or (size, samples) if it is batched.

    Args:
        program: what to compute.
        leaves: the numbers of each leaf group.
        dtype: the type to compute in.
        known: the numbers of the first groups, if they were computed before.
        stop: the first group that is not to be computed; by default, all are.

    """
    arrays = list(known)
    groups = program.groups[:stop]
    samples = next((x.shape[1] for x in leaves.values() if x.ndim == 2), 1)
    loop_at = {loop.first: loop for loop in program.loops}
    with np.errstate(all="ignore"):
        while len(arrays) < len(groups):
            i = len(arrays)
            group = groups[i]
            if i in loop_at:
                _run_loop(loop_at[i], groups, arrays, dtype, samples)
            elif isinstance(group, Leaf):
                arrays.append(leaves[i])
            else:
                arrays.append(_evaluate(group, arrays, dtype, samples))
    return arrays


def _run_loop(
    loop: Loop, groups: Sequence[Group], arrays: list[Array], dtype: str, samples: int
) -> None:
    """Compute the groups of a loop step by step, and append their numbers."""
    members = range(loop.first, loop.stop)
    for i in members:
        group = groups[i]
        shape = (group.size, samples) if group.batched else (group.size,)
        decides = isinstance(group, Elementwise) and group.operation in ops.CONDITIONS
        arrays.append(np.zeros(shape, bool if decides else dtype))
    steps = range(loop.steps)
    bounds = [offsets.tolist() for offsets in loop.offsets]
    for t in reversed(steps) if loop.backwards else steps:
        for i, of_group in zip(members, bounds, strict=True):
            start, end = of_group[t], of_group[t + 1]
            if start < end:
                step = part(groups[i], slice(start, end))
                arrays[i][start:end] = _evaluate(step, arrays, dtype, samples)


def _evaluate(group: Group, arrays: list[Array], dtype: str, samples: int) -> Array:
    match group:
        case Leaf():
            raise AssertionError(group)
        case Constants(numbers=numbers):
            return numbers.astype(dtype)
        case Elementwise(operation=operation, operands=views):
            operands = _aligned([_read(arrays, view) for view in views], batched=group.batched)
            return function_of(operation)(*operands)  # type: ignore[no-any-return]
        case Sum(operands=runs):
            result: Array = np.zeros((group.size, samples) if group.batched else group.size, dtype)
            if sum(len(run.positions) for run in runs) <= group.size:
                # What only one number is added up for is that number, even if it is -0.0.
                result[sum(np.diff(run.offsets) for run in runs) == 1] = -0.0
            for run in runs:
                sums = _reduce(run, arrays, np.add, -0.0)
                if not group.batched and sums.ndim == 2:
                    sums = sums.sum(axis=1)
                result += sums[:, None] if sums.ndim < result.ndim else sums
            return result
        case Largest(operands=runs):
            maxima = [_reduce(run, arrays, np.maximum, -np.inf) for run in runs]
            return reduce(np.maximum, _aligned(maxima, batched=group.batched))
        case Take(index=view, group=source, table=table):
            index, rows = _read(arrays, view), np.arange(len(table))
            if index.ndim == 1:
                return arrays[source][table[rows, index]]
            positions = table[rows[:, None], index]
            if arrays[source].ndim == 1:
                return arrays[source][positions]
            return np.take_along_axis(arrays[source], positions, axis=0)
        case Put(source=source_view, index=view, table=table, size=size):
            terms, index = _read(arrays, source_view), _read(arrays, view)
            return _scattered(terms, index, table, size, samples if group.batched else None)
        case _:
            assert_never(group)


def _read(arrays: list[Array], view: View) -> Array:
    return arrays[view.group][view.positions]


def _aligned(arrays: list[Array], *, batched: bool) -> list[Array]:
    """Return the arrays with a dimension for the samples, if their group is batched."""
    return [x[:, None] if batched and x.ndim == 1 else x for x in arrays]


def _reduce(runs: Runs, arrays: list[Array], function: np.ufunc, empty: float) -> Array:
    """Reduce each run; runs of one length together, so that NumPy adds pairwise in each."""
    numbers = arrays[runs.group][runs.positions]
    lengths = np.diff(runs.offsets)
    result: Array = np.full((len(lengths), *numbers.shape[1:]), empty, numbers.dtype)
    for length in np.unique(lengths):
        if length == 0:
            continue
        rows = np.nonzero(lengths == length)[0]
        starts = runs.offsets[rows]
        if length == 1:
            result[rows] = numbers[starts]  # NumPy would add it to 0.0
        else:
            elements = starts[:, None] + np.arange(length)
            result[rows] = function.reduce(numbers[elements], axis=1)
    return result


def _scattered(terms: Array, index: Array, table: Array, size: int, samples: int | None) -> Array:
    """Return the sums of a Put, for each of `samples`; None: over all samples."""
    if terms.ndim == 1 and index.ndim == 1 and samples is None:
        targets = table[np.arange(len(table)), index]
        return np.bincount(targets, terms, minlength=size).astype(terms.dtype)
    columns = samples or max(x.shape[1] for x in (terms, index) if x.ndim == 2)
    shape = len(table), columns
    terms, index = (np.broadcast_to(x, shape) for x in _aligned([terms, index], batched=True))
    targets = table[np.arange(len(table))[:, None], index]
    if samples is None:
        result: Array = np.zeros(size, terms.dtype)
        np.add.at(result, targets, terms)
        return result
    result = np.zeros((size, samples), terms.dtype)
    np.add.at(result, (targets, np.arange(samples)), terms)
    return result
