"""Nonfinite: which operation of a loss is the first to give nan or inf, and on which line.

Only asked once a number has failed: the function is traced again with the line of each operation,
and the tape is evaluated node by node.
"""

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad import ops
from liftgrad.lift.call.flat_arguments import FlatArguments
from liftgrad.lift.call.leaves import LeafGroup
from liftgrad.lift.run.numpy_executor import function_of
from liftgrad.lift.source import Source
from liftgrad.lift.trace.draws import drawing
from liftgrad.lift.trace.lined_tape import LinedTape
from liftgrad.lift.trace.tape import (
    BATCH_TOTAL,
    CONSTANT,
    LEAF,
    SAMPLES_LEAF,
    TABLE,
    TAKE,
    Tape,
    number_of,
)

Array = NDArray[Any]
_SMOOTH = frozenset(
    {
        *(ops.add, ops.subtract, ops.multiply, ops.negate, ops.total, ops.largest, ops.absolute),
        *(ops.dot, ops.select, ops.detach, ops.from_index, ops.relu, ops.maximum, ops.minimum),
    }
)
"""Operations whose derivatives are finite wherever their operands are."""


def explain(
    source: Source,
    arguments: dict[str, Any],
    flat: FlatArguments,
    rows: Array | None = None,
) -> str | None:
    """Return what first makes the loss, or else its gradient, nan or infinite; None: unknown.

    What the function draws at random, it draws from Python's `random` as it is now.

    Args:
        source: the lifted loss.
        arguments: of the call at which it happened, by name, with what the function captures.
        flat: their numbers and structure, its arrays being those of the batch.
        rows: the numbers of the batch's samples in the whole data.

    """
    tape = LinedTape(flat.groups)
    with source.lock:
        source.build(dict(arguments), flat, tape)
    numbers = _evaluate(tape, flat.groups, source.dtype)
    (loss,) = tape.outputs
    if np.isfinite(numbers[loss]).all():
        return _derivative(tape, numbers)
    return _cause(tape, numbers, flat.groups, loss, rows)


def _evaluate(tape: Tape, groups: list[LeafGroup], dtype: str) -> list[Array]:
    """Return each node's number, or its numbers for all samples."""
    samples = next(iter(tape.batched.values()), 1)
    leaves = [
        g.numbers().reshape(samples, -1).T if i in tape.batched else g.numbers()
        for i, g in enumerate(groups)
    ]
    draws = [replace(run, group=i) for i, run in enumerate(tape.draws)]
    with drawing(draws, samples) as draw:
        leaves += [numbers for _, numbers in draw()]
    leaves = [x.astype(dtype) if x.dtype.kind == "f" else x for x in leaves]
    result: list[Any] = []
    with np.errstate(all="ignore"):
        for operation, *operands in tape.nodes:
            if operation is LEAF:
                group, position = operands
                number: Any = (
                    np.asarray(samples, dtype)
                    if group == SAMPLES_LEAF
                    else np.asarray(leaves[group][position])
                )
            elif operation is CONSTANT:
                number = np.asarray(number_of(operands[0]), dtype)
            elif operation is TABLE:
                number = np.stack(np.broadcast_arrays(*[result[i] for i in operands]))
            elif operation is TAKE:
                index, table = result[operands[0]], result[operands[1]]
                number = np.take_along_axis(*_aligned(table, index), axis=0)[0]
                number = number if table.ndim > 1 or index.ndim else number[0]
            elif operation is BATCH_TOTAL:
                number = result[operands[0]].sum()
            elif operation is ops.total or operation is ops.largest:
                parts = np.stack(np.broadcast_arrays(*[result[i] for i in operands]))
                number = parts.sum(axis=0) if operation is ops.total else parts.max(axis=0)
            elif operation is ops.dot:
                *factors, number = [result[i] for i in operands]
                count = len(factors) // 2
                for a, b in zip(factors[:count], factors[count:], strict=True):
                    number = number + a * b
            else:
                number = np.asarray(function_of(operation)(*[result[i] for i in operands]))
            result.append(number)
    return result


def _aligned(table: Array, index: Array) -> tuple[Array, Array]:
    """Return a table (size, samples) and indices (1, samples)."""
    table = table if table.ndim > 1 else table[:, None]
    table, index = np.broadcast_arrays(table, np.atleast_1d(index)[None, :])
    return table, index[:1]


def _cause(
    tape: LinedTape, numbers: list[Array], groups: list[LeafGroup], node: int, rows: Array | None
) -> str:
    """Follow what is not finite from a node down to where it comes from."""
    sample: int | None = None
    while True:
        operation, *operands = tape.nodes[node]
        row = "" if sample is None else f" in row {sample if rows is None else rows[sample]}"
        if operation is LEAF:
            group, position = groups[operands[0]], operands[1]
            name = group.names[position] if group.array is None else group.name
            return f"{name} is {_at(numbers[node], sample):.6g}{row} to begin with"
        if operation is BATCH_TOTAL:
            bad = np.flatnonzero(~np.isfinite(numbers[operands[0]]))
            if len(bad):
                node, sample = operands[0], int(bad[0])
                continue
        if operation is ops.select:
            operands = [operands[1] if _at(numbers[operands[0]], sample) else operands[2]]
        elif operation is TAKE:
            place = int(_at(numbers[operands[0]], sample))
            operands = [tape.nodes[operands[1]][1 + place]]
        failing = [
            i
            for i in operands
            if tape.nodes[i][0] is not CONSTANT and not math.isfinite(_at(numbers[i], sample))
        ]
        if not failing and operation in (ops.select, TAKE):
            name = "where" if operation is ops.select else "take"
            said = f"{_at(numbers[node], sample):.6g}"
            return f"{name}() takes the constant {said}{row} ({tape.lines[node]})"
        if not failing:
            given = [] if operation is BATCH_TOTAL else [_at(numbers[i], sample) for i in operands]
            number = _at(numbers[node], sample)
            if operation is ops.dot:
                operation, given, number = _product(given, number)
            return f"{_called(operation, given)} is {number:.6g} ({tape.lines[node]})"
        node = failing[0]


def _product(given: list[float], number: float) -> tuple[ops.Operation, list[float], float]:
    """Return the first product of a dot product that is not finite, or else the dot product."""
    count = len(given) // 2
    for a, b in zip(given[:count], given[count : 2 * count], strict=True):
        if not math.isfinite(a * b):
            return ops.multiply, [a, b], a * b
    return ops.dot, given, number


def _derivative(tape: LinedTape, numbers: list[Array]) -> str | None:
    """Return which operation has no finite derivative, the last one first, as in backward()."""
    for node in range(len(tape.nodes) - 1, -1, -1):
        operation, *operands = tape.nodes[node]
        if not isinstance(operation, ops.Operation) or operation in _SMOOTH:
            continue
        if operation.pullback is None:
            continue
        for sample in range(numbers[node].size):
            given = [_at(numbers[i], sample) for i in operands]
            parts = operation.pullback(1.0, _at(numbers[node], sample), *given)
            for part in parts:
                if not math.isfinite(part):
                    what = f"the derivative of {_called(operation, given)}"
                    return f"{what} is {part:.6g} ({tape.lines[node]})"
    return None


def _at(number: Array, sample: int | None) -> float:
    return float(number if number.ndim == 0 else number[sample or 0])


def _called(operation: Any, given: list[float]) -> str:
    if operation is BATCH_TOTAL:
        return "the total over the batch"
    if len(given) > 3:
        return f"{operation.name} of {len(given)} numbers"
    texts = [f"{x:.6g}" for x in given]
    if operation.arity is None:
        return f"{operation.name} of {', '.join(texts)}"
    if not operation.notation.endswith(")"):
        texts = [f"({t})" if t[0] == "-" else t for t in texts]
    return str(operation.notation.format(*texts))
