"""Training: loss, gradient and the optimiser's update as one program, many steps at a time.

The optimiser's rule runs on symbols and becomes groups like all others; parameters and the
optimiser's state are updated in place. Batches are gathered natively from the whole data.
"""

import ctypes
import operator
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad.lift.call.structure import LeafGroup, Reading, has_rows
from liftgrad.lift.explain.listing import Listing
from liftgrad.lift.function import LiftedFunction
from liftgrad.lift.native.host import machine_code
from liftgrad.lift.pipeline import Built
from liftgrad.lift.run.numpy_executor import execute
from liftgrad.lift.run.portions import Portions, staged
from liftgrad.lift.run.repeat import Repeat
from liftgrad.lift.run.results import checked_numbers, samples_of
from liftgrad.lift.trace.draws import Draw, drawing
from liftgrad.lift.train.clipping import Clipping
from liftgrad.lift.train.inputs import Gather
from liftgrad.lift.train.native_draws import NativeDraws
from liftgrad.lift.train.step import step_recipe
from liftgrad.lift.train.update import Settings
from liftgrad.mapped import let_go, rows_at_once, take_rows
from liftgrad.optim import Optimizer

Array = NDArray[Any]


_AT_ONCE, _MOST_AT_ONCE = 128, 4096
_CHECKED_AT_ONCE = 1 << 16
_PATIENCE = 0.1
"""Seconds that a user who interrupts may have to wait."""


class Training:
    """Trains the parameters in some arguments of a lifted loss with an optimiser.

    Args:
        function: returns one Value, the loss.
        optimizer: holds the parameters, all or some of them.
        arguments: of the loss; arrays of `rows` rows are cut into batches.
        reading: what they consist of.
        rows: how many samples the data has; None: every step sees all of it.
        clipping: what is done to the gradients before each step.

    Raises:
        LiftError: if the function's result is not one Value or nothing is there to train.

    """

    def __init__(
        self,
        function: LiftedFunction,
        optimizer: Optimizer,
        arguments: dict[str, Any],
        reading: Reading,
        rows: int | None,
        clipping: Clipping,
    ) -> None:
        self.clipping = clipping
        self.function, self.optimizer = function, optimizer
        self.arguments, self.reading, self.rows = arguments, reading, rows
        self.groups = reading.groups
        """The arguments' numbers in the run at hand."""
        self.settings = Settings(optimizer)
        self.programs: dict[int, _StepProgram] = {}
        self.runs = 0
        self.like: Repeat | None = None

    def belongs_to(self, function: LiftedFunction, optimizer: Optimizer) -> bool:
        """Tell whether the programs are of this function and an optimiser with these settings."""
        same = self.function is function and self.optimizer is optimizer
        return same and self.settings.hold(optimizer)

    def repeats(self, arguments: dict[str, Any]) -> bool:
        """Take the numbers of these arguments, if they are clearly like those of the last run."""
        if self.like is None or tuple(arguments) != self.like.names:
            return False
        groups = self.like.taken(list(arguments.values()))
        if groups is None:
            self.like = None
            return False
        self.groups = groups
        return True

    def serves(self, arguments: dict[str, Any], reading: Reading, rows: int | None) -> bool:
        """Take these arguments, if they are of the same structure with the same parameters."""
        if reading.key != self.reading.key or rows != self.rows:
            return False
        for old, new in zip(self.reading.groups, reading.groups, strict=True):
            if new.kind == "parameter" and not all(map(operator.is_, old.values, new.values)):
                return False
        self.arguments, self.reading, self.groups = arguments, reading, reading.groups
        return True

    def remember(self) -> None:
        """Make the next run quick, if its arguments are like these."""
        if self.like is None or self.like.live is not self.reading.containers:
            self.like = Repeat.of(self.arguments, self.reading, self._forget)

    def _forget(self, _: Any) -> None:
        self.like = None

    def run(
        self,
        batches: Iterable[NDArray[np.int64]] | None,
        steps: int,
        stop: Callable[[], bool] = lambda: False,
    ) -> Array:
        """Take steps and return the loss before each of them.

        Args:
            batches: the samples of each step, by number; None: all of them at each step.
            steps: how many, if `batches` is None.
            stop: asked now and then whether to return with the steps taken so far.

        """
        self.runs += 1
        losses: list[Array] = []
        left = steps
        while batches is None and left and not (losses and stop()):
            program = self._program(0)
            losses.append(program.run(None, min(left, program.at_once), stop))
            left -= len(losses[-1])
        # Neighbours of one size run together natively.
        alike: list[NDArray[np.int64]] = []
        for batch in batches or ():
            full = alike and len(alike) == self._program(len(alike[0])).at_once
            if alike and (full or len(batch) != len(alike[0])):
                losses.append(self._program(len(alike[0])).run(np.stack(alike), len(alike), stop))
                alike = []
                if stop():
                    break
            alike.append(batch)
        if alike:
            losses.append(self._program(len(alike[0])).run(np.stack(alike), len(alike), stop))
        return np.concatenate(losses) if losses else np.zeros(0)

    def batch(self, rows: NDArray[np.int64] | None) -> Reading:
        """Return what a batch of the run at hand consists of; None: all of its data."""
        reading = replace(self.reading, groups=self.groups)
        if rows is None or self.rows is None:
            return reading
        return reading.of_rows(lambda x: take_rows(x, rows), self.rows)

    def prepare(self, sizes: Iterable[int]) -> None:
        """Build the programs for batches of these sizes (0: all data), if they are not there."""
        for size in sizes:
            self._program(size)

    @property
    def draws(self) -> bool:
        """Whether steps draw random numbers, from Python's `random`."""
        return any(program.built.draws for program in self.programs.values())

    def listing(self) -> Listing:
        """Return the program of a step, on the largest batches, as text."""
        return self.programs[max(self.programs)].listing()

    def _program(self, size: int) -> "_StepProgram":
        program = self.programs.get(size)
        if program is None:
            program = self.programs[size] = _StepProgram(self, size)
        return program


class _StepProgram:
    """One training step on batches of one size (0: on all data)."""

    def __init__(self, training: Training, size: int) -> None:
        self.training, self.size = training, size
        function, reading = training.function, training.reading
        if size and training.rows is not None:
            reading = reading.of_rows(lambda x: x[:size], training.rows)
        recipe = self.recipe = step_recipe(
            function, training.optimizer, training.clipping, training.arguments, reading
        )
        built = self.built = recipe.built
        self.part = [g.array.shape if g.array is not None else () for g in reading.groups]
        """The shapes of a batch's arrays."""
        self.loss = recipe.loss
        self.update = recipe.update_of(training.optimizer, reading)
        self.samples = samples_of(reading.groups, built.batched_groups)
        self.at_once = _AT_ONCE
        """How many steps run without a look at what Python has to do, such as an interruption."""
        self.checked = 0
        """The run whose data was looked at."""
        code = machine_code() if function.backend == "native" else None
        self.native = None if code is None else _NativeSteps(self, code)
        if self.native is None:
            function.stats.tensor_operations = len(recipe.scheduled().nests)

    @property
    def groups(self) -> list[LeafGroup]:
        """The arguments' numbers in the run at hand."""
        return self.training.groups

    def listing(self) -> Listing:
        """Return the program as text."""
        recipe = self.recipe
        return self.training.function.listing(self.built, recipe.scheduled(), recipe.gradient_end)

    def run(self, batches: Array | None, steps: int, stop: Callable[[], bool]) -> Array:
        """Take steps natively, or one by one with NumPy; fewer if asked to stop."""
        if self.checked != self.training.runs:
            for i in self.built.index_bounds:  # all are checked before the first step
                _check_all(self.groups[i], i, self.built, self.part[i])
            if self.native is not None:
                self.native.look()
            self.checked = self.training.runs
        if self.native is not None:
            since = time.perf_counter()
            losses = self.native.run(batches, steps, stop)
            taken = time.perf_counter() - since
            if steps == self.at_once and taken < _PATIENCE / 2:
                self.at_once = min(2 * self.at_once, _MOST_AT_ONCE)
            elif taken > _PATIENCE:
                self.at_once = max(self.at_once // 2, 1)
            return losses
        history: list[float] = []
        with drawing(self.built.draws, self.samples, steps) as draw:
            while len(history) < steps and not (history and stop()):
                history.append(self._step(len(history), batches, draw))
        return np.array(history)

    def _step(self, step: int, batches: Array | None, draw: Draw) -> float:
        """Take a step with NumPy; return the loss before it."""
        built, update = self.built, self.update
        leaves: dict[int, Array] = {}
        for i, number in built.leaf_of.items():
            if i not in built.parameter_groups:
                leaves[number] = self.inputs(i, None if batches is None else batches[step])
        if built.sizes is not None:
            leaves[built.sizes] = np.array([float(self.samples)])
        leaves.update(update.leaves())
        leaves.update(draw())
        arrays = execute(built.rolled.groups, leaves, self.training.function.dtype)
        update.store(arrays)
        return float(arrays[self.loss.group][self.loss.positions[0]])

    def inputs(self, i: int, batch: Array | None) -> Array:
        """Return an input's numbers for a batch, of shape (size,) or (size, samples)."""
        group = self.groups[i]
        if group.array is None or not self.cut(group) or batch is None:
            return checked_numbers(group, i, self.built)
        rows = take_rows(group.array, batch)
        if i in self.built.batched_groups:
            return rows.reshape(len(batch), -1).T
        return rows.reshape(-1)

    def data(self, i: int) -> Array:
        """Return the array of an argument from which batches are cut."""
        array = self.groups[i].array
        assert array is not None
        return array

    def cut(self, group: LeafGroup) -> bool:
        """Tell whether batches are cut from an argument."""
        return bool(self.size) and has_rows(group.array, self.training.rows)


class _NativeSteps:
    """A step program as machine code, with its memory."""

    def __init__(self, owner: _StepProgram, code: Any) -> None:
        self.owner, self.code = owner, code
        built, update = owner.built, owner.update
        function = owner.training.function
        self.dtype = np.dtype(function.dtype)
        rolled = built.rolled
        native = owner.recipe.kernels(code)
        program = native.program
        function.stats.tensor_operations = len(program.nests)
        function.stats.kernels = len({k.text for k in native.kernels})
        own = {}
        for leaf, parameters in update.parameters.items():
            if parameters.store is not None:
                parameters.store.native = True
                own[leaf] = parameters.store.numbers
        results = {view.group for view in rolled.outputs}
        outside = {i for i, b in enumerate(program.buffers) if b.group in results}
        cut = staged(native, list(range(len(program.nests))), owner.samples, outside)
        self.portions = None
        if cut is None:
            self.instance = native.bind(owner.samples, own)
        else:
            plan, local, portion = cut
            self.instance = native.bind(owner.samples, own, without=local)
            self.portions = Portions(native, plan, self.instance, portion, local)
        if built.sizes is not None:
            self.instance.set(built.sizes, np.array([owner.samples]))
        self.order = np.zeros(1, np.uint64)
        """The address of the step's sample numbers, which the gathering kernels read."""
        self.gathers = {
            i: Gather(
                owner.data(i),
                self.instance.arrays[number],
                self.instance.layouts[number],
                owner.size,
                i in built.batched_groups,
                self.order,
                code.addresses,
            )
            for i, number in built.leaf_of.items()
            if number in self.instance.arrays and owner.cut(owner.groups[i])
        }
        addresses = [(gather.code, gather.words.ctypes.data) for gather in self.gathers.values()]
        self.draws = NativeDraws(built.draws, owner.samples, self.instance, code.addresses)
        head = np.array(addresses + self.draws.plan, np.uint64).reshape(-1)
        nests = np.zeros(0, np.uint64) if cut else self.instance.plan.reshape(-1)
        self.plan = np.concatenate([head, nests])

    def look(self) -> None:
        """Look at the data of the run at hand."""
        owner, built = self.owner, self.owner.built
        for i, gather in self.gathers.items():
            gather.update(owner.data(i))
        for i, number in built.leaf_of.items():
            if i not in built.parameter_groups and not owner.cut(owner.groups[i]):
                self.instance.set(number, checked_numbers(owner.groups[i], i, built))

    def run(self, batches: Array | None, steps: int, stop: Callable[[], bool]) -> Array:
        """Take steps; return the losses."""
        owner, instance, update = self.owner, self.instance, self.owner.update
        for leaf, parameters in update.parameters.items():
            parameters.settle()
            if parameters.store is None:
                instance.set(leaf, parameters.numbers())
        for number, numbers in update.fetch().items():
            instance.set(number, numbers)
        scalars = np.ascontiguousarray(update.rows(steps), self.dtype)
        rates = instance.arrays[update.scalars]
        loss = instance.arrays[owner.loss.group]
        layout = instance.layouts[owner.loss.group]
        place = owner.loss.positions[0] if layout is None else layout[owner.loss.positions[0]]
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
            for leaf, parameters in update.parameters.items():
                if parameters.store is None:
                    parameters.set_numbers(instance.arrays[leaf])
            update.give_back({n: instance.arrays[n] for n in update.state_numbers})
            update.optimizer.steps += done
        return history[:done].astype(np.float64)

    def fetch(self, orders: Array) -> None:
        """Read the rows of some batches out of their files; the batches then count these."""
        rows = orders.flatten()
        for gather in self.gathers.values():
            gather.read(rows)
        orders[:] = np.arange(len(rows)).reshape(orders.shape)


def _check_all(group: LeafGroup, i: int, built: Built, part: tuple[int, ...]) -> None:
    """Check all rows of an index array against the extents that a batch's rows are used in."""
    extents = built.index_bounds.get(i)
    if extents is None or group.array is None:
        return
    if i in built.batched_groups:
        for start in range(0, len(group.array), _CHECKED_AT_ONCE):
            some = group.array[start : start + _CHECKED_AT_ONCE]
            checked_numbers(replace(group, array=some), i, built)
            let_go(some)
        return
    if part == group.array.shape:
        checked_numbers(group, i, built)
        return
    # The program sees a batch: any row may come to stand at any place in it.
    row = extents.reshape(part[0], -1).min(axis=0)
    for start in range(0, len(group.array), _CHECKED_AT_ONCE):
        some = group.array[start : start + _CHECKED_AT_ONCE].reshape(-1, len(row))
        wrong = (some < 0) | (some >= row)
        let_go(group.array)
        if wrong.any():
            raise IndexError(
                f"take() at an index outside of its table, from row "
                f"{start + int(np.argmax(wrong.any(axis=1)))} of the argument {group.name}; "
                f"indices go from 0 to {int(row.min()) - 1}."
            )
