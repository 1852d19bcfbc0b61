"""Pipeline: the road that a program travels, a line for each pass.

    trace → roll → loops → adjoint → update → schedule → kernels

A call of a lifted function takes it without the update; a training step takes all of it.
`optimizer.step()` joins it at the update, with gradients that were computed before.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from liftgrad.lift.call.leaves import LeafNames
from liftgrad.lift.capture.tracing import (
    without_collector,
)
from liftgrad.lift.differentiation.adjoint import adjoint
from liftgrad.lift.ir.check import VERIFY, check_groups, check_nests
from liftgrad.lift.ir.groups import Assignment, Builder, Constants, Leaf, Rolled, View
from liftgrad.lift.ir.loop_error import LoopError
from liftgrad.lift.ir.nests import Program, count_nests
from liftgrad.lift.loops.recomputed import recomputed
from liftgrad.lift.native.host import machine_code
from liftgrad.lift.native.memory import NativeProgram
from liftgrad.lift.scheduling.schedule import schedule
from liftgrad.lift.stats import Stats
from liftgrad.lift.trace.draws import Draws
from liftgrad.lift.trace.sited_tape import Place


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
        recover: traces a function and rolls up what it does; see `recovery`.
        ending: appends how parameters move, or says what is read: see `results_and_gradients`.
        dtype: "float64" or "float32".
        backend: "native" or "numpy", which has no kernels.
        stats: takes the times and sizes.
        unit_seed: whether the results' adjoints are 1; None: if there is just one result.
        gradient: whether it has its gradient.

    """

    def to_the_end(recovered: Built) -> Compiled[Ending_co]:
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
            return to_the_end(built)
        except LoopError:
            if built.unrolled is None:
                raise
            return to_the_end(built.unrolled())


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


def compiled_call(
    dtype: str, backend: str, stats: Stats, built: Built, *, gradient: bool = True
) -> Compiled[Ending]:
    """Return a function's program, compiled with what a call's program ends with."""
    return compiled(lambda: built, results_and_gradients, dtype, backend, stats, gradient=gradient)


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
