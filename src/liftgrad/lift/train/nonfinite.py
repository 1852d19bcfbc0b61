"""Nonfinite: which operation of a loss is the first to give nan or infinity, where and when.

Called only once a loss or a parameter is not finite: the function is traced again, with the line of
each operation, and the tape is evaluated node by node. In a loop the iteration is told, too.
"""

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad import ops
from liftgrad.lift.call.flat_arguments import FlatArguments
from liftgrad.lift.call.leaves import LeafGroup
from liftgrad.lift.run.array_arithmetic import ArrayArithmetic
from liftgrad.lift.run.drawing import drawing
from liftgrad.lift.source import Source
from liftgrad.lift.trace.evaluation import batch_size, evaluate, leaf_arrays
from liftgrad.lift.trace.lined_tape import LinedTape
from liftgrad.lift.trace.nodes import BATCH_TOTAL, CONSTANT, LEAF, TAKE
from liftgrad.lift.trace.tape import Tape

Array = NDArray[Any]


def first_nonfinite(
    source: Source,
    arguments: dict[str, Any],
    flat: FlatArguments,
    rows: Array | None = None,
) -> str | None:
    """Return what first makes the loss, or else its gradient, nan or infinite; None: unknown.

    Random numbers are drawn from Python's `random` in its present state.

    Args:
        source: the lifted loss.
        arguments: the arguments of the failing call by name, with what the function captures.
        flat: their numbers and structure, its arrays being those of the batch.
        rows: the indices of the batch's samples in the whole data.

    """
    tape = LinedTape(flat.groups)
    with source.lock:
        source.build(dict(arguments), flat, tape)
    with np.errstate(all="ignore"):
        leaves = [*leaf_arrays(tape), *_drawn(tape)]
        leaves = [x.astype(source.dtype) if x.dtype.kind == "f" else x for x in leaves]
        numbers = evaluate(tape, leaves, ArrayArithmetic(source.dtype))
    (loss,) = tape.outputs
    if np.isfinite(numbers[loss]).all():
        return _derivative(tape, numbers)
    return _cause(tape, numbers, flat.groups, loss, rows)


def _drawn(tape: Tape) -> list[Array]:
    """Return the numbers of the leaf groups of random numbers."""
    draws = [replace(run, group=i) for i, run in enumerate(tape.draws)]
    with drawing(draws, batch_size(tape)) as draw:
        return [numbers for _, numbers in draw()]


def _cause(
    tape: LinedTape, numbers: list[Any], groups: list[LeafGroup], node: int, rows: Array | None
) -> str:
    """Return where a node that is not finite comes from: its operands are followed down."""
    sample: int | None = None
    while True:
        operation, *operands = tape.nodes[node]
        row = "" if sample is None else f" in row {sample if rows is None else rows[sample]}"
        if operation is LEAF:
            group, position = groups[operands[0]], operands[1]
            name = group.names[position] if group.array is None else group.name
            return f"{name} is {_at(numbers[node], sample):.6g}{row} to begin with"
        if operation is BATCH_TOTAL:
            failing_samples = np.flatnonzero(~np.isfinite(numbers[operands[0]]))
            if len(failing_samples):
                node, sample = operands[0], int(failing_samples[0])
                continue
        if operation is ops.select:
            operands = [operands[1] if _at(numbers[operands[0]], sample) else operands[2]]
        elif operation is TAKE:
            index, table = operands
            operands = [tape.nodes[table][1 + int(_at(numbers[index], sample))]]
        failing = [
            i
            for i in operands
            if tape.nodes[i][0] is not CONSTANT and not math.isfinite(_at(numbers[i], sample))
        ]
        if not failing and operation in (ops.select, TAKE):
            name = "where" if operation is ops.select else "take"
            constant = f"{_at(numbers[node], sample):.6g}"
            return f"{name}() takes the constant {constant}{row} ({_place(tape, node)})"
        if not failing:
            given = [] if operation is BATCH_TOTAL else [_at(numbers[i], sample) for i in operands]
            result = _at(numbers[node], sample)
            if operation is ops.dot:
                operation, given, result = _product(given, result)
            return f"{_called(operation, given)} is {result:.6g} ({_place(tape, node)})"
        node = failing[0]


def _product(given: list[float], result: float) -> tuple[ops.Operation, list[float], float]:
    """Return the first product of a dot product that is not finite, or else the dot product."""
    half = len(given) // 2
    for a, b in zip(given[:half], given[half : 2 * half], strict=True):
        if not math.isfinite(a * b):
            return ops.multiply, [a, b], a * b
    return ops.dot, given, result


def _derivative(tape: LinedTape, numbers: list[Any]) -> str | None:
    """Return the last operation whose derivative is not finite: backward() meets it first."""
    for node in range(len(tape.nodes) - 1, -1, -1):
        operation, *operands = tape.nodes[node]
        if not isinstance(operation, ops.Operation) or operation.finite_derivatives:
            continue
        if operation.pullback is None:
            continue
        for sample in range(numbers[node].size):
            given = [_at(numbers[i], sample) for i in operands]
            derivatives = operation.pullback(1.0, _at(numbers[node], sample), *given)
            for derivative in derivatives:
                if not math.isfinite(derivative):
                    what = f"the derivative of {_called(operation, given)}"
                    return f"{what} is {derivative:.6g} ({_place(tape, node)})"
    return None


def _place(tape: LinedTape, node: int) -> str:
    """Return the line of a node, in a loop with the iteration, counted from 1."""
    iteration, iterations = tape.iteration(node)
    which = f", iteration {iteration:,} of {iterations:,}" if iterations > 1 else ""
    return tape.lines[node] + which


def _at(number: Any, sample: int | None) -> float:
    return float(number if number.ndim == 0 else number[sample or 0])


def _called(operation: Any, given: list[float]) -> str:
    """Return an operation on numbers as text."""
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
