"""Build: from a function and its arguments to a rolled program, with a record of what it took."""

import gc
import math
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from liftgrad import ops
from liftgrad.engine import Value
from liftgrad.errors import LiftError, TraceError, trace_errors
from liftgrad.legible import printable
from liftgrad.lift.call.arguments import flatten_result, substitute
from liftgrad.lift.call.leaf_names import LeafNames
from liftgrad.lift.call.structure import Kind, Reading
from liftgrad.lift.capture.unchanged import Watched
from liftgrad.lift.ir.check import VERIFY, check_groups
from liftgrad.lift.ir.groups import Builder, Constants, Leaf, Rolled, View
from liftgrad.lift.passes.adjoint import adjoint
from liftgrad.lift.passes.roll import roll
from liftgrad.lift.stand_ins.arrays import TracedArray
from liftgrad.lift.stand_ins.attributes import know_attributes
from liftgrad.lift.stand_ins.batch import Batch
from liftgrad.lift.stand_ins.values import Condition, Traced, TracedNumber
from liftgrad.lift.trace.draws import Draws
from liftgrad.lift.trace.tape import Tape
from liftgrad.lift.user_code import line_of
from liftgrad.operators import Operators


@dataclass(slots=True)
class Stats:
    """What lifting a function took so far."""

    traces: int = 0
    cache_hits: int = 0
    scalar_operations: int = 0
    """Of the last program traced, forward only."""
    tensor_operations: int = 0
    """Loop nests of the last program built, with its gradient."""
    kernels: int = 0
    """Distinct kernels among them."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Time spent in each stage, over all programs."""

    def __str__(self) -> str:
        traces = "1 trace" if self.traces == 1 else f"{self.traces:,} traces"
        calls = "1 call" if self.cache_hits == 1 else f"{self.cache_hits:,} calls"
        seconds = ", ".join(f"{stage} {s:.3f} s" for stage, s in self.seconds.items())
        return printable(
            f"{traces}, {calls} served by a program that was there already\n"
            f"{self.scalar_operations:,} scalar operations → {self.tensor_operations:,} tensor "
            f"operations (with the gradient), {self.kernels:,} kernels\n{seconds}"
        )

    def time(self, stage: str, since: float) -> float:
        """Add the time since `since` to a stage; return the time now."""
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - since
        return now


@dataclass(slots=True)
class Built:
    """A rolled program and how calls meet it."""

    rolled: Rolled
    leaf_of: dict[int, int]
    """The program's group for each of the arguments' leaf groups that it uses."""
    outputs: int
    """How many of the program's outputs are the function's results."""
    batched_outputs: list[bool]
    plain_outputs: list[bool]
    """Which of them are numbers or bools eagerly, not Values."""
    rebuild: Callable[[Iterator[Any]], Any]
    """Puts the results' numbers into the structure that the function returned."""
    fixed: dict[int, Any]
    """Results that do not depend on any argument, by place."""
    batched_groups: set[int]
    """The arguments' arrays that are mapped over."""
    open_groups: set[int]
    """Those of them whose first extent is known at run time: the function did not look at it."""
    index_bounds: dict[int, Any]
    """For each index group the extents of the tables that its positions are used in."""
    parameter_groups: list[int]
    """The arguments' leaf groups that gradients are wanted of."""
    scalar_operations: int
    forward: int = 0
    """How many groups came before those of the gradient."""
    seed: int | None = None
    """The leaf group of the results' adjoints."""
    gradients: list[View] = field(default_factory=list)
    sizes: int | None = None
    """The leaf group of the batch's size as a number."""
    draws: list[Draws] = field(default_factory=list)
    """The random numbers that each call draws."""
    names: dict[int, LeafNames] = field(default_factory=dict)
    """What the arguments call the numbers of the program's leaf groups."""
    averaged: bool = False
    """Whether it takes a mean over the samples."""
    single: bool = False
    """Whether the function returns just one Value."""


def trace(
    function: Callable[..., Any],
    arguments: dict[str, Any],
    reading: Reading,
    stats: Stats,
    tape: Tape | None = None,
) -> Built:
    """Run the function on traced values and roll what it does.

    `function` takes the arguments by name, the tape, and the reading; `tape` is an empty one to
    record on.
    Arrays have the shapes that they have in the reading.
    """
    since = time.perf_counter()
    tape = Tape(reading.groups) if tape is None else tape

    def array(group: int, _kind: Kind) -> TracedArray:
        of_group = reading.groups[group].array
        assert of_group is not None
        traced = TracedArray(tape, group, of_group.shape, of_group.dtype)
        return traced if of_group.ndim else traced[()]

    def numbers(group: int, first: int, count: int) -> list[Any]:
        if reading.groups[group].kind == "parameter":
            return [Traced(tape, i) for i in tape.leaves(group, first, count)]
        return [TracedNumber(tape, i, float) for i in tape.leaves(group, first, count)]

    # The tape is many small objects that all live: the collector would only look at them.
    collecting = gc.isenabled()
    gc.disable()
    tracing.depth += 1
    try:
        values = [v for g in reading.groups if g.kind == "parameter" for v in g.values]
        know_attributes({Value, *map(type, values)})
        traced, made = substitute(arguments, numbers, array)
        watched = Watched(made)
        result = _run(function, traced, tape, reading)
        watched.check()
        leaves, rebuild = flatten_result(result)
        fixed, outputs, batched, plain = {}, [], [], []
        for place, leaf in enumerate(leaves):
            if isinstance(leaf, Operators | Condition | Batch):
                outputs.append(_result(leaf, tape))
                batched.append(isinstance(leaf, Batch))
                plain.append(hasattr(leaf, "_kind"))
            else:
                fixed[place] = _known(leaf)
        tape.outputs = outputs
        since = stats.time("trace", since)
        stats.traces += 1
        groups = [
            Leaf(g.name, _per_sample(g, tape, i), g.kind, i in tape.batched)
            for i, g in enumerate(reading.groups)
        ]
        groups += [Leaf("random", d.count, "input", d.mapped > 0) for d in tape.draws]
        groups.append(Leaf("samples", 1, "input"))
        rolled = roll(tape.nodes, groups, outputs)
        if VERIFY:
            check_groups(rolled, after="roll")
        stats.time("roll", since)
    finally:
        tracing.depth -= 1
        if collecting:
            large = len(tape.nodes) > _LARGE  # else the collector would never come to run
            if large and gc.get_freeze_count() < _PYTHONS_OWN:  # else the user's would thaw, too
                gc.freeze()
                gc.unfreeze()  # into the oldest generation, past the collections of the young ones
            gc.enable()
    place_of = {id(g): i for i, g in enumerate(rolled.groups) if isinstance(g, Leaf)}
    arguments_groups = groups[: len(reading.groups)]
    leaf_of = {i: place_of[id(g)] for i, g in enumerate(arguments_groups) if id(g) in place_of}
    for draws, group in zip(tape.draws, groups[len(reading.groups) : -1], strict=True):
        draws.group = place_of.get(id(group))
    batched_groups = {i for i in tape.batched if i < len(reading.groups)}
    names = {leaf_of[i]: g.leaf_names() for i, g in enumerate(reading.groups) if i in leaf_of}
    for d in tape.draws:
        if d.group is not None:
            names[d.group] = LeafNames("random", shape=(1, d.count) if d.mapped else (d.count,))
    stats.scalar_operations = scalar_operations = tape.operations()
    return Built(
        rolled=rolled,
        leaf_of=leaf_of,
        outputs=len(outputs),
        batched_outputs=batched,
        plain_outputs=plain,
        rebuild=rebuild,
        fixed=fixed,
        batched_groups=batched_groups,
        open_groups=batched_groups - tape.measured,
        index_bounds=tape.index_bounds(reading.groups),
        parameter_groups=[
            i for i, g in enumerate(reading.groups) if g.kind == "parameter" and i in leaf_of
        ],
        scalar_operations=scalar_operations,
        forward=len(rolled.groups),
        sizes=place_of.get(id(groups[-1])),
        draws=tape.draws,
        names=names,
        averaged=tape.averaged,
        single=isinstance(result, Operators | Condition),
    )


_LARGE = 5000
"""Nodes of a tape that is worth keeping from the collector."""
_PYTHONS_OWN = 1000
"""More objects than Python 3.12 has frozen when it begins, and fewer than a program would."""


def _run(
    function: Callable[..., Any], arguments: dict[str, Any], tape: Tape, reading: Reading
) -> Any:
    """Call the function; once it was refused something, whatever it made of that is refused."""
    with trace_errors() as refusals:
        try:
            result = function(arguments, tape, reading)
        except Exception as error:
            if refusals and not isinstance(error, LiftError):
                raise refusals[0] from None
            _name_publicly(error)
            unknown = re.match(r"'Value' object has no attribute '\w+'", str(error))
            if isinstance(error, AttributeError) and unknown:
                raise TraceError(
                    f"{line_of(error)}: {unknown[0]} in a lifted function, which knows what all "
                    "Values have; pass other things as arguments, and keep them in variables."
                ) from None
            raise
    if refusals:
        raise refusals[0]
    return result


def _name_publicly(error: Exception) -> None:
    """Say in Python's own messages what a traced value stands for."""
    if error.args and isinstance(error.args[0], str):
        message = error.args[0]
        for name, public in _PUBLIC.items():
            message = message.replace(f"'{name}'", f"'{public}'")
        message = _TRACED.sub(lambda found: _PUBLIC[found[0]], message)
        error.args = (message, *error.args[1:])


_PUBLIC = {
    "Traced": "Value",
    "TracedNumber": "float",
    "TracedIndex": "numpy.int64",
    "TracedArray": "numpy.ndarray",
    "Condition": "bool",
    "Batch": "list",
}


_TRACED = re.compile(r"\bTraced(Number|Index|Array)?\b")


class _Tracing(threading.local):
    """How many functions this thread is tracing at the moment."""

    depth = 0


tracing = _Tracing()


def _known(result: Any) -> Any:
    """Return a result that depends on no number, if it is of a kind that cannot hide one."""
    if result is None or isinstance(result, str | bytes | int | float | np.ndarray | np.generic):
        return result
    raise LiftError(
        f"the lifted function returns a {type(result).__name__}; return Values, numbers, or lists, "
        "tuples and dicts of them."
    )


def differentiate(built: Built, stats: Stats, *, unit_seed: bool) -> None:
    """Add the gradient by all parameters, the results' adjoints being 1 or a leaf group."""
    since = time.perf_counter()
    builder = Builder(built.rolled)
    seeds: list[View | None] = []
    if unit_seed:
        seeds += [builder.constant(1.0, 1) for _ in builder.outputs]
    else:
        built.seed = builder.add(Leaf("seed", built.outputs, "input"))
        # Results for each sample are arrays, of which no gradient is taken.
        seeds += [
            None if batched else View(built.seed, np.array([i]))
            for i, batched in enumerate(built.batched_outputs)
        ]
    wanted = [built.leaf_of[i] for i in built.parameter_groups]
    built.rolled, built.gradients = adjoint(builder.program(), seeds, wanted)
    if VERIFY:
        check_groups(built.rolled, after="adjoint")
    stats.time("adjoint", since)


def constants_of(rolled: Rolled) -> dict[int, Any]:
    """Return the numbers of each constant group."""
    return {i: g.numbers for i, g in enumerate(rolled.groups) if isinstance(g, Constants)}


def _result(leaf: Any, tape: Tape) -> int:
    """Return the number of the node of a result."""
    if isinstance(leaf, Batch):
        return tape.index_of(leaf.each)
    return tape.result_of(ops.where(leaf, 1.0, 0.0) if isinstance(leaf, Condition) else leaf)


def _per_sample(group: Any, tape: Tape, number: int) -> int:
    if number not in tape.batched or group.array is None:
        return int(group.size)
    return math.prod(group.array.shape[1:])
