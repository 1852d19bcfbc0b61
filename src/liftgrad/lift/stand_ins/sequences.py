"""Sequences: what stands for that which a step of a scan is given of lists and arrays."""

from typing import Any

import numpy as np

from liftgrad.lift.call.flatten import flatten_result
from liftgrad.lift.stand_ins.arrays import TracedArray
from liftgrad.lift.stand_ins.series import Series
from liftgrad.lift.stand_ins.time_axis import first_difference, like
from liftgrad.lift.stand_ins.values import TracedNumber, TracedValue
from liftgrad.lift.trace.scans import (
    Meaning,
    OfArray,
    OfNodes,
    OfNumbers,
    OfResults,
    Scan,
)
from liftgrad.lift.trace.tape import Tape


class NotOnce(Exception):  # noqa: N818, it is no error
    """A scan cannot be recorded by one step; all of its steps are."""


def class_of(x: Any) -> type | None:
    """Return the class of plain number that `x` is or stands for; None for a Value.

    Raises:
        NotOnce: if it is something else.

    """
    if type(x) is TracedValue:
        return None
    if type(x) is TracedNumber:
        return x._class
    if type(x) in (float, int) or isinstance(x, np.floating):
        return type(x)
    raise NotOnce


def stand_in(tape: Tape, node: int, cls: type | None) -> Any:
    """Return what stands for a number of a class, or for a Value."""
    return TracedValue(tape, node) if cls is None else TracedNumber(tape, node, cls)


def given(tape: Tape, scan: Scan, number: int, xs: Any) -> Any:
    """Return what a step is given of nested sequences, and enter them into the scan.

    Raises:
        NotOnce: if what steps are given is not alike.

    """
    if isinstance(xs, tuple):
        return like(xs, [given(tape, scan, number, x) for x in xs])
    if isinstance(xs, dict):
        return {key: given(tape, scan, number, x) for key, x in xs.items()}
    if xs is None:
        return None
    meaning = Meaning("given", number, len(scan.sequences))
    if type(xs) is TracedArray:
        return _of_array(tape, scan, meaning, xs)
    if type(xs) is Series:
        scan.sequences.append(
            OfResults(xs.results[0].scan, tuple(r.index for r in xs.results), xs.steps)
        )
        numbers = [
            stand_in(tape, tape.leaf_of_scan(meaning, i, varies=r.varies), r.number_class)
            for i, r in enumerate(xs.results)
        ]
        return xs.nested(iter(numbers))
    if type(xs) is np.ndarray and xs.dtype == np.float64:
        scan.sequences.append(OfNumbers(xs.reshape(len(xs), -1)))
        row = np.empty(xs.shape[1:], object)
        for i in range(row.size):
            row.flat[i] = TracedNumber(tape, tape.leaf_of_scan(meaning, i), np.float64)
        return row if row.ndim else row[()]
    return _of_list(tape, scan, meaning, list(xs))


def _of_array(tape: Tape, scan: Scan, meaning: Meaning, array: TracedArray) -> Any:
    array._note_elements()
    positions = array._positions
    scan.sequences.append(OfArray(array._group, positions.reshape(len(positions), -1)))
    group = tape.group_of_scan(meaning, varies=array._group in tape.batched)
    row = TracedArray(
        *(tape, group, positions.shape[1:], array._dtype), of_sample=True, rearranged=True
    )
    return row if row.ndim else row[()]


def _of_list(tape: Tape, scan: Scan, meaning: Meaning, entries: list[Any]) -> Any:
    flat = [flatten_result(entry) for entry in entries]
    if any(first_difference(entries[0], entry, "") for entry in entries):
        raise NotOnce
    numbers: list[Any] = []
    columns = [*zip(*[leaves for leaves, _ in flat], strict=True)]
    if not columns:
        raise NotOnce
    known = all(type(x) is float for column in columns for x in column)
    nodes = [] if known else [[tape.index_of(x) for x in column] for column in columns]
    for i, column in enumerate(columns):
        classes = set(map(class_of, column))
        if len(classes) > 1 and None not in classes:
            raise NotOnce
        varies = not known and any(map(tape.depends_on_batch, nodes[i]))
        cls = None if None in classes else classes.pop()
        numbers.append(stand_in(tape, tape.leaf_of_scan(meaning, i, varies=varies), cls))
    if known:
        scan.sequences.append(OfNumbers(np.array(columns).T))
    else:
        scan.sequences.append(OfNodes(tuple(zip(*nodes, strict=True))))
    rebuild: Any = flat[0][1]
    return rebuild(iter(numbers))


def nodes_of(x: Any) -> list[int]:
    """Return the nodes of what a step is given."""
    leaves, _ = flatten_result(x)
    every: list[Any] = []
    for leaf in leaves:
        every += [*leaf.flat] if type(leaf) is np.ndarray else [] if leaf is None else [leaf]
    return [leaf._index for leaf in every]


def index_bounds(tape: Tape, scan: Scan, number: int) -> list[tuple[tuple[int, int], int]]:
    """Return the bounds of the indices that a step is given, for those that they stand for.

    The bounds of what stands for them are forgotten.
    """
    found = []
    for (group, position), extent in [*tape.bounds.items()]:
        meaning = tape.meanings.get(group)
        if meaning is None:
            continue
        del tape.bounds[group, position]
        if meaning.scan == number:
            sequence = scan.sequences[meaning.index]
            assert isinstance(sequence, OfArray)
            found += [
                ((sequence.group, p), extent) for p in sequence.positions[:, position].tolist()
            ]
    return found
