"""Executable: a compiled program, ready to be called with numbers, natively or by NumPy."""

import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from liftgrad.errors import LiftError
from liftgrad.lift.ir.groups import View
from liftgrad.lift.ir.loop_error import LoopError
from liftgrad.lift.ir.nests import stores
from liftgrad.lift.later import Later, same_leaves
from liftgrad.lift.native.memory import NativeProgram
from liftgrad.lift.pipeline import Built, Compiled, Ending
from liftgrad.lift.run.bound import Bound
from liftgrad.lift.run.numpy_run import NumpyRun
from liftgrad.lift.run.parameters import MakeUpdate, Parameters, Store, adding, memory_of
from liftgrad.lift.run.runs import ONE, Run, Seeds, nobody

if TYPE_CHECKING:
    from liftgrad.lift.call.first_numbers import FirstNumbers

Array = NDArray[Any]
_MOST_INSTANCES = 8
_PROGRAM_BYTES, _OPERATION_BYTES = 90_000, 100


class Executable:
    """Runs a compiled program forward, and backward from given adjoints of its results."""

    is_due = False
    """Whether another program is to take its place."""
    replacement: "Executable | None" = None
    """The one that does, if it is there already."""

    def __init__(
        self,
        made: Compiled[Ending],
        dtype: str,
        make_update: MakeUpdate,
        later: Later | None = None,
    ) -> None:
        self._begin(made.built, dtype, later)
        self.make_update = make_update
        self._use(made)

    def _begin(self, built: Built, dtype: str, later: Later | None = None) -> None:
        self.built, self.dtype, self.later = built, dtype, later
        """The program with its gradient, if that waits until someone asks for it."""
        self.seen: FirstNumbers | None = None
        """The first calls' numbers, while results are still compared with the eager engine's."""
        self.instances: OrderedDict[tuple[int, ...], Any] = OrderedDict()

    def _use(self, made: Compiled[Ending]) -> None:
        self._made: Compiled[Ending] | None = made
        self.built = made.built
        program = made.program
        groups = [
            {program.buffers[access.buffer].group for access in stores(statement)}
            for statement in program.nests
        ]
        self.forward_nests = sum(max(written) < self.built.forward for written in groups)

    @property
    def made(self) -> Compiled[Ending]:
        """The compiled program."""
        assert self._made is not None
        return self._made

    def with_gradient(self) -> "Executable":
        """Return this, or what takes its place, with the gradient, if need be compiled now."""
        if self.later is None or self.replacement is not None:
            return self.replacement or self
        try:
            self._use(self.later.like(self.built))
        except LoopError:
            if self.later.instead is None:
                raise
            self.replacement, self.is_due = self.later.instead(), True
            self.replacement.seen = self.seen
            self.release()
            return self.replacement
        self.later = None
        return self

    def size(self) -> int:
        """Return roughly how many bytes it takes, by measurements of sums and networks."""
        each: list[int] = [run.bytes for run in list(self.instances.values())]
        return _PROGRAM_BYTES + _OPERATION_BYTES * self.built.scalar_operations + sum(each)

    def release(self) -> None:
        """Drop the memory to run in, which refers back to this, without the garbage collector."""
        self.instances.clear()

    def start(self, samples: int, parameters: dict[int, Parameters]) -> "NativeRun | NumpyRun":
        """Return memory to run the program in, with these parameters (by argument group)."""
        if self.made.native is None:
            return self._new_run(samples, parameters)
        key = _key(samples, parameters)
        run = self.instances.get(key)
        if run is None:
            run = NativeRun(self, self.made.native, samples, parameters)
            self._keep(run, key, parameters)
            if len(self.instances) > _MOST_INSTANCES:
                self.instances.popitem(last=False)
        self.instances.move_to_end(key)
        return run

    def run_in_place_of(
        self, run: "NativeRun | NumpyRun", samples: int, parameters: dict[int, Parameters]
    ) -> "NativeRun | NumpyRun":
        """Return a run with the numbers of one that lacks the gradient."""
        result = self._new_run(samples, parameters)
        result.take_over(run)
        key = _key(samples, parameters)
        if isinstance(result, NativeRun) and self.instances.get(key) is run:
            self._keep(result, key, parameters)
        return result

    def _new_run(self, samples: int, parameters: dict[int, Parameters]) -> "NativeRun | NumpyRun":
        if self.made.native is None:
            return NumpyRun(self.built, self.dtype, samples, parameters, whole=self.later is None)
        return NativeRun(self, self.made.native, samples, parameters)

    def _keep(
        self, run: "NativeRun", key: tuple[int, ...], parameters: dict[int, Parameters]
    ) -> None:
        self.instances[key] = run
        # It is dropped with the parameters that it was made for.
        known = [p.store for p in parameters.values() if p.store is not None]
        run.ends = [weakref.ref(s, lambda _: self.instances.pop(key, None)) for s in known]


def _key(samples: int, parameters: dict[int, Parameters]) -> tuple[int, ...]:
    return (samples, *[id(p.store) for p in parameters.values()])


class NativeRun:
    """One native instance: inputs in, results and gradients out."""

    def __init__(
        self,
        executable: Executable,
        native: NativeProgram,
        samples: int,
        parameters: dict[int, Parameters],
    ) -> None:
        built = self.built = executable.built
        self.differentiable = executable.later is None
        """Whether its program has the gradient."""
        # The caller keeps the stores alive; the kernels hold their addresses.
        stores = [p.store for p in parameters.values()]
        known = [store for store in stores if store is not None]
        for store in known:
            store.make_update = executable.make_update
            store.runs.add(self)
        own = memory_of({built.leaf_of[i]: p for i, p in parameters.items()})
        self.shared = set(own)
        """The leaf groups whose memory is that of the parameters."""
        self.stores = [weakref.ref(store) for store in known]
        self.ends: list[weakref.ref[Store]] = []
        """Weak references that drop it once its parameters are collected."""
        self.executable = executable
        self.owner: Any = nobody
        """The call whose numbers are in memory."""
        self.bound = Bound(native, samples, own, built.sizes)
        with np.errstate(all="ignore"):  # float32 may overflow
            for group, numbers in built.constants.items():
                self.bound.instance.set(group, numbers)
        every = range(len(executable.made.program.nests))
        self.whole_plan = self.bound.plan(every)
        self.forward_plan = self.bound.plan(every[: executable.forward_nests])
        # Numbers local to a stage are lost after a run in portions, so that all is computed again.
        self.backward_plan = (
            self.whole_plan
            if self.bound.in_portions
            else self.bound.plan(every[executable.forward_nests :])
        )
        self.instance = self.bound.instance
        self.foreseen = bool(parameters) and built.single
        """Whether the next call computes the gradient along with the result."""
        self.seeds: Seeds | None = None
        """The results' adjoints that the gradient was computed for; None: it was not."""
        self.scale = 1.0
        """The factor that the gradient is still to be multiplied by."""
        self.outdated = False
        """Whether parameters were set after the results were computed from them."""
        self.result: memoryview | None = None
        """The memory of the result, if there is only one."""
        if built.single:
            (view,) = built.rolled.outputs
            array = self.instance.contiguous(view.group, view.positions)
            assert array is not None
            self.result = array.reshape(-1).data  # of which indexing gives a float at once
        self.gradient_arrays = [
            self.instance.contiguous(v.group, v.positions) for v in built.gradients
        ]
        """The gradients' memory, where their elements lie in order."""
        self.adding = self._adding(stores)
        self.bytes = sum(buffer.nbytes for buffer in self.instance.buffers)

    def feed(self, group: int, numbers: Array) -> None:
        """Set a leaf group of the rolled program."""
        self.instance.set(group, numbers)

    def target(self, group: int, shape: tuple[int, ...]) -> Array | None:
        """Return a leaf group's memory in the shape of an array that is to be copied there."""
        return self.instance.target(group, shape)

    def forward(self) -> None:
        """Compute the results."""
        if self.foreseen:
            # Computing the gradient in the same pass saves a native call. If nobody asks for it,
            # the next call leaves it out.
            self.foreseen = False
            self.whole_plan.run()
            self.seeds = ONE
            return
        self.forward_plan.run()
        self.seeds, self.outdated = None, False
        for reference in self.stores:
            store = reference()
            if store is not None:
                store.settled = False

    def backward(self, seeds: Seeds) -> None:
        """Compute the gradients."""
        seed = self.built.seed
        if seed is None:
            # The gradient is kept for the adjoint 1, of which all others are multiples.
            self.foreseen = True
            self.scale = seeds[0]
            seeds = ONE
        if self.seeds == seeds:
            return
        self.refuse_outdated()
        if seed is not None:
            self.instance.set(seed, np.array(seeds))
        self.backward_plan.run()
        self.seeds = seeds

    def refuse_outdated(self) -> None:
        """Raise an error if the parameters are no longer those of the call."""
        if self.outdated:
            raise LiftError(
                "backward() of one of several results of a lifted function after its parameters "
                "were set; call backward() before."
            )

    def leaf(self, group: int) -> Array:
        """Return the numbers of a leaf group."""
        return self.instance.get(group, np.arange(self.built.rolled.groups[group].size))

    def take_over(self, run: Run) -> None:
        """Compute the results of a call that was run without the gradient's program."""
        for mine, theirs in same_leaves(self.built, run.built).items():
            if mine in self.instance.arrays and mine not in self.shared:
                self.feed(mine, run.leaf(theirs))
        self.forward()
        self.owner, run.owner = run.owner, nobody

    def accumulate(self, seeds: Seeds) -> bool:
        """Compute the gradients; return whether they were added to the parameters' own, too."""
        if seeds is ONE and self.seeds is ONE:
            self.foreseen, self.scale = True, 1.0
        else:
            self.backward(seeds)
            if self.scale != 1.0:
                return False
        if self.adding is None:
            return False
        plan, graphs = self.adding
        for graph in graphs:
            if graph:
                return False
        with adding:
            plan.run()
        return True

    def _adding(self, stores: list[Store | None]) -> tuple[Any, list[dict[int, Any]]] | None:
        """Return a plan that adds the gradients to the stores' own, if every group has a store.

        With it come the stores' tables of gradients that are graphs, which it must not add to.
        """
        known = [s for s in stores if s is not None]
        arrays = [a for a in self.gradient_arrays if a is not None]
        if not known or len(known) < len(stores) or len(arrays) < len(known):
            return None
        sums = [(s.gradients, a) for s, a in zip(known, arrays, strict=True)]
        return self.instance.sums(sums), [s.graphs for s in known]

    def numbers(self, view: View) -> Array:
        """Return a result's numbers."""
        return self.instance.get(view.group, view.positions)

    def single(self) -> float:
        """Return the number of the one result."""
        assert self.result is not None
        return self.result[0]

    def gradient(self, view: View) -> Array:
        """Return a gradient's numbers."""
        numbers = self.numbers(view)
        if self.scale != 1.0:
            with np.errstate(all="ignore"):
                numbers *= self.scale
        return numbers

    def gradients(self) -> list[Array]:
        """Return all gradients, to be read before the program runs again."""
        views = self.built.gradients
        return [
            self.gradient(view) if array is None or self.scale != 1.0 else array
            for view, array in zip(views, self.gradient_arrays, strict=True)
        ]
