"""Pipeline: the road that a program travels, a line for each pass.

    trace → roll → loops → adjoint → update → schedule → kernels

A call of a lifted function takes it without the update; a training step takes all of it.
`optimizer.step()` joins it at the update, with gradients that were computed before.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from liftgrad.lift.call.flat_arguments import FlatArguments
from liftgrad.lift.call.leaves import LeafNames
from liftgrad.lift.capture.tracing import (
    Trace,
    Traceable,
    trace,
    trace_by_steps,
    without_collector,
)
from liftgrad.lift.ir.check import VERIFY, check_groups, check_nests
from liftgrad.lift.ir.groups import Assignment, Builder, Constants, Leaf, Rolled, View
from liftgrad.lift.ir.loop_error import LoopError
from liftgrad.lift.ir.nests import Program, count_nests
from liftgrad.lift.loops.find import find_loops
from liftgrad.lift.loops.recomputed import recomputed
from liftgrad.lift.loops.scans import roll_scans
from liftgrad.lift.native.host import machine_code
from liftgrad.lift.native.memory import NativeProgram
from liftgrad.lift.passes.adjoint import adjoint
from liftgrad.lift.passes.schedule import schedule
from liftgrad.lift.stats import Stats
from liftgrad.lift.trace.draws import Draws
from liftgrad.lift.trace.nodes import CONSTANTS_LEAF, LEAF, SAMPLES_LEAF, Node
from liftgrad.lift.trace.sited_tape import Place, SitedTape
from liftgrad.lift.trace.tape import Tape


@dataclass(frozen=True, slots=True)
class Built:
    """A program as groups, and how calls of a function meet it."""

    rolled: Rolled
    """Its outputs are the function's results."""
    leaf_of: dict[int, int] = field(default_factory=dict)
    """The program's group for each of the arguments' leaf groups that it uses."""
    batched_outputs: Sequence[bool] = ()
    plain_outputs: Sequence[bool] = ()
    """Which of the results are numbers or bools eagerly, not Values."""
    rebuild: Callable[[Iterator[Any]], Any] = next
    """Puts the results' numbers into the structure that the function returned."""
    fixed: dict[int, Any] = field(default_factory=dict)
    """Results that depend on no argument, by their position among all results."""
    batched_groups: set[int] = field(default_factory=set)
    """The arguments' arrays that are mapped over."""
    open_groups: set[int] = field(default_factory=set)
    """Those whose first extent is known at run time only: the function did not ask for it."""
    index_bounds: dict[int, Any] = field(default_factory=dict)
    """For each index group the extents of the tables that its positions are used in."""
    parameter_groups: Sequence[int] = ()
    """The arguments' leaf groups that gradients are wanted of."""
    scalar_operations: int = 0
    forward: int = 0
    """How many groups come before those of the gradient."""
    seed: int | None = None
    """The leaf group of the results' adjoints; None: they are 1."""
    gradients: Sequence[View] = ()
    """The gradient by each parameter group, after the adjoint."""
    sizes: int | None = None
    """The leaf group of the batch's size as a number."""
    draws: Sequence[Draws] = ()
    """The random numbers that each call draws."""
    constants_leaf: int | None = None
    """The leaf group of constants that are inputs."""
    constants: Mapping[int, NDArray[np.float64]] = field(default_factory=dict)
    """Its numbers, by that group."""
    names: dict[int, LeafNames] = field(default_factory=dict)
    """What the arguments call the numbers of the program's leaf groups."""
    averaged: bool = False
    """Whether it takes a mean over the samples."""
    single: bool = False
    """Whether the function returns just one Value."""
    unrolled: "Callable[[], Built] | None" = None
    """If it has loops over time, returns the same without."""
    traced_for_it: bool = False
    """Whether the function is traced once more for that."""
    places: Mapping[int, Sequence[Place]] = field(default_factory=dict)
    """Where in the user's program a group's operations are, as far as it is known."""

    @property
    def outputs(self) -> int:
        """How many results depend on the arguments."""
        return len(self.rolled.outputs)


@dataclass(frozen=True, slots=True)
class Ending:
    """Groups, those of their elements that are read from outside, and the leaves' new values."""

    rolled: Rolled
    outputs: Sequence[View]
    assignments: Sequence[Assignment] = ()


Ending_co = TypeVar("Ending_co", bound=Ending, covariant=True)


@dataclass(frozen=True, slots=True)
class Compiled(Generic[Ending_co]):
    """A program at the end of the road."""

    built: Built
    before_end: int
    """How many groups come before those of the ending."""
    end: Ending_co
    program: Program
    native: NativeProgram | None
    """None: it runs on NumPy, as groups."""


def compiled(
    recover: Callable[[], Built],
    ending: Callable[[Built], Ending_co],
    dtype: str,
    backend: str,
    stats: Stats,
    *,
    unit_seed: bool | None = None,
    gradient: bool = True,
) -> Compiled[Ending_co]:
    """Return a program, compiled: the road from a function, or an optimiser's rule, to kernels.

    Args:
        recover: traces a function and rolls up what it does; see `recovered`.
        ending: appends how parameters move, or says what is read: see `results_and_gradients`.
        dtype: "float64" or "float32".
        backend: "native" or "numpy", which has no kernels.
        stats: takes the times and sizes.
        unit_seed: whether the results' adjoints are 1; None: if there is just one result.
        gradient: whether the program has its gradient.

    """

    def rest(recovered: Built) -> Compiled[Ending_co]:
        built = recovered
        if gradient:
            built = _with_gradient(recovered, stats, unit_seed=unit_seed)
        end = _ended(built, ending)
        program = _scheduled(end, stats)
        stats.differentiated = gradient
        return Compiled(
            built=replace(built, rolled=end.rolled, unrolled=None),
            before_end=len(built.rolled.groups),
            end=end,
            program=program,
            native=_kernels(program, end.rolled, dtype, backend, stats),
        )

    with without_collector(lambda: stats.scalar_operations):
        built = recover()
        try:
            return rest(built)
        except LoopError:
            if built.unrolled is None:
                raise
            return rest(built.unrolled())


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
_ROLLED = 100
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


def differentiated(built: Built, *, unit_seed: bool) -> Built:
    """Return a program with its gradient by all parameters.

    Args:
        built: the program.
        unit_seed: whether all results' adjoints are 1; else they are a leaf group, the seed.

    """
    builder = Builder(built.rolled)
    seed = None
    seeds: list[View | None] = []
    if unit_seed:
        seeds += [builder.constant(1.0, 1) for _ in builder.outputs]
    else:
        seed = builder.add(Leaf("seed", built.outputs, "input"))
        # Results for each sample are arrays, of which no gradient is taken.
        seeds += [
            None if batched else View(seed, np.array([i]))
            for i, batched in enumerate(built.batched_outputs)
        ]
    wanted = [built.leaf_of[i] for i in built.parameter_groups]
    program = builder.program()
    rolled, gradients = adjoint(program, seeds, wanted)
    if rolled.loops:
        rolled, gradients = recomputed(rolled, gradients, forward=len(program.groups))
    if VERIFY:
        check_groups(rolled, after="adjoint")
    return replace(built, rolled=rolled, seed=seed, gradients=gradients)


def results_and_gradients(built: Built) -> Ending:
    """Return what a call's program ends with."""
    return Ending(built.rolled, [*built.rolled.outputs, *built.gradients])


def _with_gradient(built: Built, stats: Stats, *, unit_seed: bool | None) -> Built:
    if built.gradients:
        return built
    with stats.stage("adjoint"):
        return differentiated(built, unit_seed=built.single if unit_seed is None else unit_seed)


def _ended(built: Built, ending: Callable[[Built], Ending_co]) -> Ending_co:
    end = ending(built)
    if VERIFY:
        check_groups(end.rolled, "update", end.outputs, end.assignments)
    return end


def _scheduled(end: Ending, stats: Stats) -> Program:
    with stats.stage("schedule"):
        program = schedule(end.rolled, end.outputs, end.assignments)
    if VERIFY:
        check_nests(program, after="schedule")
    stats.tensor_operations = count_nests(program)
    return program


def _kernels(
    program: Program, rolled: Rolled, dtype: str, backend: str, stats: Stats
) -> NativeProgram | None:
    code = machine_code() if backend == "native" else None
    if code is None:
        return None
    constants = {i: g.numbers for i, g in enumerate(rolled.groups) if isinstance(g, Constants)}
    with stats.stage("compile"):
        native = NativeProgram(program, constants, code, dtype)
    stats.kernels = native.different
    return native


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
