"""Recovery: the first part of the road, from a function to groups: trace, roll, loops."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from liftgrad.lift.call.flat_arguments import FlatArguments
from liftgrad.lift.call.leaves import LeafNames
from liftgrad.lift.capture.tracing import (
    Trace,
    Traceable,
    trace,
    trace_by_steps,
    without_collector,
)
from liftgrad.lift.ir.check import VERIFY, check_groups
from liftgrad.lift.ir.groups import Leaf, Rolled
from liftgrad.lift.ir.loop_error import LoopError
from liftgrad.lift.loops.find import find_loops
from liftgrad.lift.loops.scans import roll_scans
from liftgrad.lift.pipeline import Built
from liftgrad.lift.stats import Stats
from liftgrad.lift.trace.nodes import CONSTANTS_LEAF, LEAF, SAMPLES_LEAF, Node
from liftgrad.lift.trace.sited_tape import Place, SitedTape
from liftgrad.lift.trace.tape import Tape


def recovered(
    function: Traceable,
    arguments: dict[str, Any],
    flat: FlatArguments,
    stats: Stats,
    tape: Tape | None = None,
) -> Built:
    """Return the tensor program in a scalar function: it is traced, and the tape rolled up.

    Args:
        function: takes the arguments by name, the tape, and `flat`.
        arguments: of the function.
        flat: their numbers and structure; arrays have the shapes that they have there.
        stats: takes the times and sizes.
        tape: an empty one to record on, if the caller needs it afterwards.

    """
    traced = traced_once(function, arguments, flat, stats, tape)
    return rolled_up(function, arguments, flat, stats, traced)


def traced_once(
    function: Traceable,
    arguments: dict[str, Any],
    flat: FlatArguments,
    stats: Stats,
    tape: Tape | None = None,
) -> Trace:
    """Return what a function does with such arguments; see `recovered`."""
    nodes = 0
    with without_collector(lambda: nodes), stats.stage("trace"):
        traced = (
            trace_by_steps(function, arguments, flat)
            if tape is None
            else trace(function, arguments, flat, tape)
        )
        nodes = len(traced.tape.nodes)
    stats.traces += 1
    return traced


def rolled_up(
    function: Traceable,
    arguments: dict[str, Any],
    flat: FlatArguments,
    stats: Stats,
    traced: Trace,
    inputs: Mapping[int, float] | None = None,
) -> Built:
    """Return what was traced as groups, with loops over time where there are some.

    Args:
        function: what was traced, with its arguments; see `recovered`.
        arguments: of the function.
        flat: their numbers and structure.
        stats: takes the times and sizes.
        traced: what the function did.
        inputs: the constants that become inputs, as they may be others next time: their numbers, by
            their nodes. There are none if the trace has scans.

    """
    tape, inputs = traced.tape, inputs or {}
    with without_collector(lambda: len(tape.nodes)):
        with stats.stage("roll"):
            leaves = _leaves(flat, tape, len(inputs))
            try:
                rolled = roll_scans(tape, _with_inputs(tape, inputs), leaves, traced.outputs)
            except LoopError:
                return recovered(function, arguments, flat, stats, Tape(flat.groups))
        if VERIFY:
            check_groups(rolled, after="roll")
        built = with_constants(_built(traced, flat, rolled, leaves), list(inputs.values()))
        stats.scalar_operations = built.scalar_operations
        if tape.scans:
            in_all_steps = partial(recovered, function, arguments, flat, stats)
            places = {}
            if len(tape.nodes) < _FEW:
                sited = _sited(function, arguments, flat, traced)
                places = _places(rolled, sited) if sited is not None else {}
            return replace(
                built,
                unrolled=lambda: in_all_steps(Tape(flat.groups)),
                traced_for_it=True,
                places=places,
            )
        if not _is_chain(rolled, tape):
            return built
        with stats.stage("loops"):
            looped = _looped(function, arguments, flat, traced, leaves, inputs)
    if looped is None:
        return built
    program, places = looped
    if VERIFY:
        check_groups(program, after="loops")
    looping = with_constants(_built(traced, flat, program, leaves), list(inputs.values()))
    return replace(looping, unrolled=lambda: built, places=places)


def _with_inputs(tape: Tape, inputs: Mapping[int, float]) -> list[Node]:
    """Return a tape's nodes, of which some constants are inputs."""
    nodes = list(tape.nodes)
    for k, i in enumerate(inputs):
        nodes[i] = LEAF, CONSTANTS_LEAF, k
    return nodes


def with_constants(built: Built, numbers: Sequence[float]) -> Built:
    """Return a program with these numbers for the constants that are inputs."""
    group = built.constants_leaf
    if group is None:
        return built
    return replace(built, constants={group: np.array(numbers, np.float64)})


_FEW = 1000
"""Operations that are traced a second time, if only for printing, as a matter of course."""
_CHAIN = 128
"""Groups, of which fewer compile quickly as they are."""
_ROLLED = 400
"""Operations to a group, from which on a program counts as rolled up."""


def _is_chain(rolled: Rolled, tape: Tape) -> bool:
    """Return whether a program consists of so many groups that loops over time are looked for."""
    groups = len(rolled.groups)
    return groups > _CHAIN and len(tape.nodes) < _ROLLED * groups


def _looped(
    function: Traceable,
    arguments: dict[str, Any],
    flat: FlatArguments,
    traced: Trace,
    leaves: list[Leaf],
    inputs: Mapping[int, float],
) -> tuple[Rolled, dict[int, Sequence[Place]]] | None:
    """Return a program with its loops over time, if it has some, and the places of its groups.

    It is traced once more, on a tape that knows where in the user's program each operation is.
    """
    tape = _sited(function, arguments, flat, traced)
    if tape is None:
        return None
    found = find_loops(_with_inputs(tape, inputs), tape.sites, leaves, traced.outputs)
    return None if found is None else (found, _places(found, tape))


def _sited(
    function: Traceable, arguments: dict[str, Any], flat: FlatArguments, traced: Trace
) -> SitedTape | None:
    """Return a function's tape with its sites, or None if it does not do the same each time."""
    tape = SitedTape(flat.groups, traced.tape.in_all_steps)
    trace(function, arguments, flat, tape)
    return tape if tape.nodes == traced.tape.nodes else None


def _places(rolled: Rolled, tape: SitedTape) -> dict[int, Sequence[Place]]:
    """Return where in the user's program the operations of groups are, for those that have one."""
    return {group: tape.places(node) for group, node in rolled.origins.items()}


def _leaves(flat: FlatArguments, tape: Tape, constants: int = 0) -> list[Leaf]:
    """Return the leaf groups: the arguments', random numbers, constants, and the batch's size."""
    leaves = [
        Leaf(g.name, _per_sample(g, tape, i), g.kind, i in tape.batched)
        for i, g in enumerate(flat.groups)
    ]
    leaves += [Leaf("random", d.count, "input", d.mapped > 0) for d in tape.draws]
    return [*leaves, Leaf("constants", constants, "input"), Leaf("samples", 1, "input")]


def _built(traced: Trace, flat: FlatArguments, rolled: Rolled, leaves: list[Leaf]) -> Built:
    tape, count = traced.tape, len(flat.groups)
    of_leaf = {id(g): i for i, g in enumerate(rolled.groups) if isinstance(g, Leaf)}
    leaf_of = {i: of_leaf[id(g)] for i, g in enumerate(leaves[:count]) if id(g) in of_leaf}
    draws = [
        replace(run, group=of_leaf.get(id(leaf)))
        for run, leaf in zip(tape.draws, leaves[count:CONSTANTS_LEAF], strict=True)
    ]
    names = {leaf_of[i]: g.leaf_names() for i, g in enumerate(flat.groups) if i in leaf_of}
    for d in draws:
        if d.group is not None:
            names[d.group] = LeafNames("random", shape=(1, d.count) if d.mapped else (d.count,))
    batched_groups = {i for i in tape.batched if i < count}
    return Built(
        rolled=rolled,
        leaf_of=leaf_of,
        batched_outputs=traced.batched,
        plain_outputs=traced.plain,
        rebuild=traced.rebuild,
        fixed=traced.fixed,
        batched_groups=batched_groups,
        open_groups=batched_groups - tape.measured,
        index_bounds=tape.index_bounds(flat.groups),
        parameter_groups=[
            i for i, g in enumerate(flat.groups) if g.kind == "parameter" and i in leaf_of
        ],
        scalar_operations=tape.operations(),
        forward=len(rolled.groups),
        sizes=of_leaf.get(id(leaves[SAMPLES_LEAF])),
        constants_leaf=of_leaf.get(id(leaves[CONSTANTS_LEAF])),
        draws=draws,
        names=names,
        averaged=tape.averaged,
        single=traced.single,
    )


def _per_sample(group: Any, tape: Tape, index: int) -> int:
    if index not in tape.batched or group.array is None:
        return int(group.size)
    return math.prod(group.array.shape[1:])
