"""Native steps: a training step as machine code, with its memory, many steps to a call."""

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad.lift.native.memory import NativeProgram
from liftgrad.lift.run.bound import Bound
from liftgrad.lift.run.parameters import memory_of
from liftgrad.lift.train.inputs import Gather
from liftgrad.lift.train.native_draws import NativeDraws
from liftgrad.lift.train.step import StepRecipe
from liftgrad.lift.train.step_data import StepData
from liftgrad.lift.update.step_state import StepState
from liftgrad.lift.update.store_update import store_update
from liftgrad.mapped import rows_at_once

Array = NDArray[Any]


class NativeSteps:
    """A training step as machine code, with its memory.

    Args:
        recipe: the step.
        native: its program.
        state: the parameters and the optimiser's state.
        data: the arguments.

    """

    def __init__(
        self, recipe: StepRecipe, native: NativeProgram, state: StepState, data: StepData
    ) -> None:
        self.recipe, self.state, self.data, self.code = recipe, state, data, native.code
        built, addresses = recipe.built, native.code.addresses
        self.dtype = np.dtype(native.dtype)
        for parameters in state.parameters.values():
            if parameters.store is not None:
                parameters.store.make_update = store_update
        memory = memory_of(state.parameters)
        self.bound = Bound(native, data.samples, memory, built.sizes)
        self.instance = self.bound.instance
        every = range(len(native.program.nests))
        self.portions = self.bound.plan(every) if self.bound.in_portions else None
        self.order = np.zeros(1, np.uint64)
        """The address of the step's sample numbers, which the gathering kernels read."""
        self.gathers = {
            i: Gather(
                data.array(i),
                self.instance.arrays[leaf],
                self.instance.layouts[leaf],
                data.size,
                i in built.batched_groups,
                self.order,
                addresses,
            )
            for i, leaf in built.leaf_of.items()
            if leaf in self.instance.arrays and data.is_cut(i)
        }
        gathering = [(gather.code, gather.words.ctypes.data) for gather in self.gathers.values()]
        self.draws = NativeDraws(built.draws, data.samples, self.instance, addresses)
        head = np.array(gathering + self.draws.plan, np.uint64).reshape(-1)
        nests = self.instance.calls[:0] if self.bound.in_portions else self.instance.calls
        self.plan = np.concatenate([head, nests.reshape(-1)])

    def take_data(self) -> None:
        """Take the data of a run that begins."""
        built, data = self.recipe.built, self.data
        for i, gather in self.gathers.items():
            gather.update(data.array(i))
        for i, leaf in built.leaf_of.items():
            if i not in built.parameter_groups and not data.is_cut(i):
                self.instance.set(leaf, data.numbers(i))

    def run(self, batches: Array | None, steps: int, stop: Callable[[], bool]) -> Array:
        """Take steps; return the losses."""
        instance, state, output = self.instance, self.state, self.recipe.loss
        for leaf, parameters in state.parameters.items():
            parameters.settle()
            if parameters.store is None:
                instance.set(leaf, parameters.numbers())
        for leaf, numbers in state.fetch().items():
            instance.set(leaf, numbers)
        scalars = np.ascontiguousarray(state.rates(steps), self.dtype)
        rates = instance.arrays[state.update.rates]
        loss = instance.arrays[output.group]
        layout = instance.layouts[output.group]
        place = output.positions[0] if layout is None else layout[output.positions[0]]
        history = np.zeros(steps, self.dtype)
        orders = np.ascontiguousarray(
            np.zeros((steps, 1), np.int64) if batches is None else batches, np.int64
        )
        pointer = ctypes.c_void_p
        # Steps in portions go one by one: each takes long enough to be worth a call.
        at_once = steps if self.portions is None else 1
        in_files = [gather.source for gather in self.gathers.values() if gather.mapped]
        if in_files:
            rows = min(map(rows_at_once, in_files))
            at_once = max(1, min(at_once, rows // orders.shape[1]))
        done = running = 0
        self.draws.take()
        try:
            for step in range(0, steps, at_once):
                self.order[0] = 0
                running = min(at_once, steps - step)
                if in_files:
                    self.fetch(orders[step : step + running])
                self.code.train(
                    *(pointer(self.plan.ctypes.data), len(self.plan) // 2, running),
                    *(pointer(scalars[step].ctypes.data), scalars.shape[1] * self.dtype.itemsize),
                    *(pointer(rates.ctypes.data), pointer(orders[step].ctypes.data)),
                    *(orders.shape[1] * 8, pointer(self.order.ctypes.data)),
                    pointer(loss.ctypes.data + int(place) * self.dtype.itemsize),
                    *(self.dtype.itemsize, pointer(history[step:].ctypes.data)),
                )
                if self.portions is not None:
                    self.portions.run()
                    history[step] = loss[place]
                done, running = done + running, 0
                if at_once < steps and stop():
                    break
        finally:
            self.draws.give_back()
            if self.portions is None and self.order[0]:
                done += running  # an interruption is heard of after the call, which sets the order
            for leaf, parameters in state.parameters.items():
                if parameters.store is None:
                    parameters.set_numbers(instance.arrays[leaf])
            state.give_back(instance.arrays)
            state.optimizer.steps += done
        return history[:done].astype(np.float64)

    def fetch(self, orders: Array) -> None:
        """Read the rows of some batches from their files; the batches then index these rows."""
        rows = orders.flatten()
        for gather in self.gathers.values():
            gather.read(rows)
        orders[:] = np.arange(len(rows)).reshape(orders.shape)
