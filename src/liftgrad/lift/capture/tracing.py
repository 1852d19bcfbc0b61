"""Tracing: a function runs once, on stand-ins, and a tape records each of its operations."""

import gc
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from liftgrad import ops
from liftgrad.engine import Value
from liftgrad.errors import LiftError, TraceError, trace_errors
from liftgrad.lift.call.flat_arguments import FlatArguments
from liftgrad.lift.call.flatten import flatten_result, substitute
from liftgrad.lift.call.leaves import LeafKind
from liftgrad.lift.purity.mutation import Copies
from liftgrad.lift.stand_ins.arrays import TracedArray
from liftgrad.lift.stand_ins.attributes import know_attributes
from liftgrad.lift.stand_ins.scan_once import recording_scans
from liftgrad.lift.stand_ins.values import Condition, TracedNumber, TracedValue
from liftgrad.lift.stand_ins.vmap import Batch
from liftgrad.lift.trace.scans import RecordAllSteps
from liftgrad.lift.trace.tape import Tape
from liftgrad.lift.user_code import line_of
from liftgrad.operators import Operators
from liftgrad.protocols import stands_for_number

Traceable = Callable[[dict[str, Any], Tape, FlatArguments], Any]
"""Runs a function on these arguments, by name, which record on the tape."""


@dataclass(slots=True)
class Trace:
    """What a function did: its tape, and how its results are made of the tape's nodes."""

    tape: Tape
    outputs: list[int]
    """The node of each result."""
    batched: list[bool]
    """Which of the results are one number for each sample."""
    plain: list[bool]
    """Which of them are numbers or bools eagerly, not Values."""
    fixed: dict[int, Any]
    """Results that do not depend on any argument, by their position among all results."""
    rebuild: Callable[[Iterator[Any]], Any]
    """Puts the results' numbers into the structure that the function returned."""
    single: bool
    """Whether the function returned just one Value."""


def trace(function: Traceable, arguments: dict[str, Any], flat: FlatArguments, tape: Tape) -> Trace:
    """Return what the function does with stand-ins for the arguments, recorded on an empty tape.

    Arrays have the shapes that they have in `flat`.

    Raises:
        TraceError: if it asks a stand-in what only a number can answer, or mutates its arguments.
        LiftError: if it returns something that is neither a number nor made of numbers.

    """

    def array(group: int, _kind: LeafKind) -> TracedArray:
        of_group = flat.groups[group].array
        assert of_group is not None
        traced = TracedArray(tape, group, of_group.shape, of_group.dtype)
        return traced if of_group.ndim else traced[()]

    def stand_ins(group: int, first: int, count: int) -> list[Any]:
        if flat.groups[group].kind == "parameter":
            return [TracedValue(tape, i) for i in tape.leaves(group, first, count)]
        return [TracedNumber(tape, i, float) for i in tape.leaves(group, first, count)]

    tracing.depth += 1
    outer, recording_scans.tape = recording_scans.tape, tape
    try:
        values = [v for g in flat.groups if g.kind == "parameter" for v in g.values]
        know_attributes({Value, *map(type, values)})
        traced, copies = substitute(arguments, stand_ins, array)
        unchanged = Copies(copies)
        result = _run(function, traced, tape, flat)
        unchanged.check()
        leaves, rebuild = flatten_result(result)
        found = Trace(tape, [], [], [], {}, rebuild, isinstance(result, Operators | Condition))
        for position, leaf in enumerate(leaves):
            if isinstance(leaf, Operators | Condition | Batch):
                found.outputs.append(_node_of(leaf, tape))
                found.batched.append(isinstance(leaf, Batch))
                found.plain.append(stands_for_number(leaf))
            else:
                found.fixed[position] = _known(leaf)
        tape.outputs = found.outputs
        return found
    finally:
        tracing.depth -= 1
        recording_scans.tape = outer


def trace_by_steps(function: Traceable, arguments: dict[str, Any], flat: FlatArguments) -> Trace:
    """Return what `trace` does, with one step recorded of each scan of which that is possible."""
    in_all_steps: set[int] = set()
    while len(in_all_steps) <= _MOST_RETRIED:
        try:
            return trace(function, arguments, flat, Tape(flat.groups, in_all_steps))
        except RecordAllSteps as again:
            in_all_steps.add(again.scan)
    return trace(function, arguments, flat, Tape(flat.groups))


_MOST_RETRIED = 3
"""The most scans for which a function is traced again."""


@contextmanager
def without_collector(made: Callable[[], int]) -> Iterator[None]:
    """Keep the garbage collector off while small objects are made that all live.

    Args:
        made: returns, at the end, how many there are, about.

    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            large = made() > _LARGE  # moving small ones, too, would keep it from running
            if large and gc.get_freeze_count() < _PYTHONS_OWN:  # else the user's would thaw, too
                gc.freeze()
                gc.unfreeze()  # into the oldest generation, past the collections of the young ones
            gc.enable()


_LARGE = 5000
"""Objects that are worth keeping from the collector."""
_PYTHONS_OWN = 1000
"""More objects than Python 3.12 has frozen when it begins, and fewer than a program would."""


def _run(function: Traceable, arguments: dict[str, Any], tape: Tape, flat: FlatArguments) -> Any:
    """Call the function, and raise a refusal even if the function caught it."""
    with trace_errors() as refusals:
        try:
            result = function(arguments, tape, flat)
        except Exception as error:
            if refusals and not isinstance(error, LiftError):
                raise refusals[0] from None
            _name_publicly(error)
            unknown = re.match(r"'Value' object has no attribute '\w+'", str(error))
            if isinstance(error, AttributeError) and unknown:
                raise TraceError(
                    f"{line_of(error)}: {unknown[0]} in a lifted function, where Values have only "
                    "the attributes that all Values have; pass others as arguments, and keep them "
                    "in variables."
                ) from None
            raise
    if refusals:
        raise refusals[0]
    return result


def _name_publicly(error: Exception) -> None:
    """Name in Python's own messages what stand-ins stand for, instead of their classes."""
    if error.args and isinstance(error.args[0], str):
        message = error.args[0]
        for name, public in _PUBLIC.items():
            message = message.replace(f"'{name}'", f"'{public}'")
        message = _TRACED.sub(lambda found: _PUBLIC[found[0]], message)
        error.args = (message, *error.args[1:])


_PUBLIC = {
    "TracedValue": "Value",
    "TracedNumber": "float",
    "TracedIndex": "numpy.int64",
    "TracedArray": "numpy.ndarray",
    "Condition": "bool",
    "Batch": "list",
    "Series": "list",
}


_TRACED = re.compile(r"\bTraced(Value|Number|Index|Array)\b")


class _Tracing(threading.local):
    """How many functions this thread is tracing at the moment."""

    depth = 0


tracing = _Tracing()


def _known(result: Any) -> Any:
    """Return a constant result, if it is of a class that cannot hide traced values."""
    if result is None or isinstance(result, str | bytes | int | float | np.ndarray | np.generic):
        return result
    raise LiftError(
        f"the lifted function returns a {type(result).__name__}; return Values, numbers, or lists, "
        "tuples and dicts of them."
    )


def _node_of(leaf: Any, tape: Tape) -> int:
    """Return the index of the node of a result."""
    if isinstance(leaf, Batch):
        return tape.index_of(leaf.each)
    return tape.result_of(ops.where(leaf, 1.0, 0.0) if isinstance(leaf, Condition) else leaf)
