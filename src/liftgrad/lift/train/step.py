"""Step recipe: a training step without its numbers, which trainers of one structure share.

Loss, gradient and the optimiser's update are traced, rolled, scheduled and compiled once for a
structure: another model of the same sizes with an optimiser of the same settings, such as that of
the next fold of a cross-validation, takes the recipe and brings memory of its own.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad.errors import LiftError
from liftgrad.lift.call.structure import Reading
from liftgrad.lift.function import LiftedFunction
from liftgrad.lift.ir.check import VERIFY, check_groups, check_nests
from liftgrad.lift.ir.groups import Builder, View
from liftgrad.lift.ir.nests import Program
from liftgrad.lift.native.machine_code import MachineCode
from liftgrad.lift.native.memory import NativeProgram
from liftgrad.lift.passes.schedule import schedule
from liftgrad.lift.pipeline import constants_of, differentiate
from liftgrad.lift.run.parameters import Parameters
from liftgrad.lift.train.clipping import Clipping
from liftgrad.lift.train.update import Update, places_among, places_of
from liftgrad.optim import Optimizer

_MOST_RECIPES = 8


class StepRecipe:
    """A step's program, and its kernels once they are asked for.

    Args:
        function: returns one Value, the loss.
        optimizer: holds parameters in the arguments.
        clipping: what is done to the gradients.
        arguments: of the function.
        reading: what they consist of, its arrays being those of a batch.

    Raises:
        LiftError: if the function's result is not one Value or nothing is there to train.

    """

    def __init__(
        self,
        function: LiftedFunction,
        optimizer: Optimizer,
        clipping: Clipping,
        arguments: dict[str, Any],
        reading: Reading,
    ) -> None:
        built = function.build(dict(arguments), reading)
        if built.outputs != 1 or built.fixed:
            what = "more than a Value" if built.outputs else "no Value"
            raise LiftError(
                f"{function.__name__} returns {what}; a loss to train with returns just one."
            )
        if built.batched_outputs[0]:
            raise LiftError(
                f"{function.__name__} returns a number for each sample; a loss to train with "
                "returns one: their total() or mean()."
            )
        function.compare_built(built, dict(arguments), reading)
        differentiate(built, function.stats, unit_seed=True)
        self.built, self.dtype = built, function.dtype
        (self.loss,) = built.rolled.outputs
        self.gradient_end = len(built.rolled.groups)
        builder = Builder(built.rolled)
        update = Update(builder, optimizer)
        everything = [
            Parameters(reading.groups[i].values, function.dtype) for i in built.parameter_groups
        ]
        held = [
            View(gradient.group, gradient.positions[places])
            for parameters, gradient in zip(everything, built.gradients, strict=True)
            if len(places := update.held(parameters))
        ]
        clipped = clipping.apply(builder, built.gradients, held)
        groups = zip(built.parameter_groups, everything, clipped, strict=True)
        for i, parameters, gradient in groups:
            update.add(parameters, built.leaf_of[i], gradient)
        update.finish(function.dtype)
        built.rolled = builder.program()
        if VERIFY:
            check_groups(built.rolled, after="update")
        self.settings = _settings(optimizer)
        self.places = _places(optimizer, reading, built.parameter_groups)
        # The recipe must not keep the first trainer's model alive.
        self.update = update.released()
        self.native: NativeProgram | None = None

    def fits(self, optimizer: Optimizer, reading: Reading) -> bool:
        """Tell whether the optimiser moves the same parameters by the same rules."""
        if self.settings is None or self.settings != _settings(optimizer):
            return False
        places = _places(optimizer, reading, self.built.parameter_groups)
        return all(np.array_equal(a, b) for a, b in zip(self.places, places, strict=True))

    def update_of(self, optimizer: Optimizer, reading: Reading) -> Update:
        """Return the update with this optimiser's parameters and state."""
        built = self.built
        parameters = {
            built.leaf_of[i]: Parameters(reading.groups[i].values, self.dtype)
            for i in built.parameter_groups
        }
        return self.update.bound(optimizer, parameters, self.dtype)

    def scheduled(self) -> Program:
        """Return the step as loop nests."""
        program = schedule(self.built.rolled, [self.loss], self.update.assignments)
        if VERIFY:
            check_nests(program, after="schedule")
        return program

    def kernels(self, code: MachineCode) -> NativeProgram:
        """Return the step as machine code."""
        if self.native is None:
            constants = constants_of(self.built.rolled)
            self.native = NativeProgram(self.scheduled(), constants, code, self.dtype)
        return self.native


def step_recipe(
    function: LiftedFunction,
    optimizer: Optimizer,
    clipping: Clipping,
    arguments: dict[str, Any],
    reading: Reading,
) -> StepRecipe:
    """Return the function's recipe for such arguments and optimisers, made now if there is none."""
    with function.lock:
        recipes = function.recipes
        recipe: StepRecipe | None = recipes.get((function.structure(reading), clipping))
        if recipe is not None and recipe.fits(optimizer, reading):
            function.stats.cache_hits += 1
        else:
            recipe = StepRecipe(function, optimizer, clipping, arguments, reading)
        key = function.structure(reading), clipping  # in which making it may have left extents open
        recipes[key] = recipe
        recipes.move_to_end(key)
        if len(recipes) > _MOST_RECIPES:
            recipes.popitem(last=False)
        return recipe


def _settings(optimizer: Optimizer) -> list[Any] | None:
    """Return what a recipe bakes in of an optimiser; None if that is known only to its class."""
    rules = optimizer.rules
    if any(not type(rule).__module__.startswith("liftgrad.") for rule in [optimizer, *rules]):
        return None
    return [
        (type(rule), {name: x for name, x in vars(rule).items() if name not in _NOT_BAKED})
        for rule in rules
    ]


_NOT_BAKED = ("params", "lr", "steps", "state", "_parts")


def _places(
    optimizer: Optimizer, reading: Reading, parameter_groups: list[int]
) -> list[NDArray[np.int64]]:
    """Return where an optimiser holds the parameters of each group, -1 where it does not."""
    place = places_of(optimizer)
    found = [places_among(reading.groups[i].values, place) for i in parameter_groups]
    sizes = [len(rule.params) for rule in optimizer.rules]
    return [*found, np.array([len(optimizer.params), *sizes], np.int64)]
