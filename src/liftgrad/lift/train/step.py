"""Step recipe: a training step without its numbers, which trainers of one structure share.

Loss, gradient and the optimiser's update are traced, rolled, scheduled and compiled once for a
structure: another model of the same sizes with an optimiser of the same settings, such as that of
the next fold of a cross-validation, takes the recipe and brings memory of its own.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from liftgrad.errors import LiftError
from liftgrad.lift.call.flat_arguments import FlatArguments
from liftgrad.lift.forks import renew_in_child
from liftgrad.lift.ir.groups import Builder, View
from liftgrad.lift.pipeline import Built, compiled
from liftgrad.lift.run.parameters import Parameters
from liftgrad.lift.source import Source
from liftgrad.lift.update.clipping import Clipping
from liftgrad.lift.update.rules import Updated, add_update, positions_among, positions_in
from liftgrad.lift.update.settings import baked
from liftgrad.lift.update.step_state import StepState
from liftgrad.optim import Optimizer

_MOST_RECIPES = 8


class StepRecipe:
    """A step's program.

    Args:
        source: returns one Value, the loss.
        optimizer: holds parameters in the arguments.
        clipping: what is done to the gradients.
        arguments: of the function.
        flat: their numbers and structure, its arrays being those of a batch.

    Raises:
        LiftError: if the function's result is not one Value or nothing is there to train.

    """

    def __init__(
        self,
        source: Source,
        optimizer: Optimizer,
        clipping: Clipping,
        arguments: dict[str, Any],
        flat: FlatArguments,
    ) -> None:
        self.dtype = source.dtype

        def build() -> Built:
            built = source.build(dict(arguments), flat)
            _check_is_loss(built, source.name)
            source.compare_built(built, dict(arguments), flat)
            return built

        def ending(built: Built) -> Updated:
            builder = Builder(built.rolled)
            leaves = [built.leaf_of[i] for i in built.parameter_groups]
            parameters = [flat.groups[i].values for i in built.parameter_groups]
            gradients = clipping.apply(
                builder, built.gradients, _held(optimizer, parameters, built)
            )
            update = add_update(
                builder,
                optimizer,
                dict(zip(leaves, parameters, strict=True)),
                dict(zip(leaves, gradients, strict=True)),
            )
            outputs = built.rolled.outputs
            return Updated(builder.program(), outputs, update.assignments, update=update)

        self.made = compiled(
            build, ending, source.dtype, source.backend, source.stats, unit_seed=True
        )
        self.built = self.made.built
        (self.loss,) = self.built.rolled.outputs
        self.settings = baked(optimizer)
        self.positions = _positions(optimizer, flat, self.built.parameter_groups)

    def fits(self, optimizer: Optimizer, flat: FlatArguments) -> bool:
        """Return whether the optimiser moves the same parameters by the same rules."""
        if self.settings is None or self.settings != baked(optimizer):
            return False
        positions = _positions(optimizer, flat, self.built.parameter_groups)
        return all(np.array_equal(a, b) for a, b in zip(self.positions, positions, strict=True))

    def state_of(self, optimizer: Optimizer, flat: FlatArguments) -> StepState:
        """Return this optimiser's parameters and state, for the step to read and write."""
        built, dtype = self.built, self.dtype
        parameters = {
            built.leaf_of[i]: Parameters(flat.groups[i].values, dtype)
            for i in built.parameter_groups
        }
        return StepState(self.made.end.update, optimizer, parameters, dtype)


class _Recipes:
    """The recipes of one function, those used last."""

    def __init__(self) -> None:
        self.recipes: OrderedDict[tuple[Any, ...], StepRecipe] = OrderedDict()
        self.lock = threading.RLock()
        renew_in_child(self)

    def forget(self) -> None:
        """Begin anew, in a forked process whose parent was at work on this in another thread."""
        self.recipes.clear()


_RECIPES: WeakKeyDictionary[Source, _Recipes] = WeakKeyDictionary()


def step_recipe(
    source: Source,
    optimizer: Optimizer,
    clipping: Clipping,
    arguments: dict[str, Any],
    flat: FlatArguments,
) -> StepRecipe:
    """Return the function's recipe for such arguments and optimisers, made now if there is none."""
    with source.lock:
        known = _RECIPES.setdefault(source, _Recipes())
        with known.lock:
            recipes = known.recipes
            recipe = recipes.get((source.program_key(flat), clipping))
            if recipe is not None and recipe.fits(optimizer, flat):
                source.stats.cache_hits += 1
            else:
                recipe = StepRecipe(source, optimizer, clipping, arguments, flat)
            # Making it may have left extents open, which are then no part of the structure.
            key = source.program_key(flat), clipping
            recipes[key] = recipe
            recipes.move_to_end(key)
            if len(recipes) > _MOST_RECIPES:
                recipes.popitem(last=False)
            return recipe


def _check_is_loss(built: Built, name: str) -> None:
    if built.outputs != 1 or built.fixed:
        what = "more than a Value" if built.outputs else "no Value"
        raise LiftError(f"{name} returns {what}; a loss to train with returns just one.")
    if built.batched_outputs[0]:
        raise LiftError(
            f"{name} returns a number for each sample; a loss to train with "
            "returns one: their total() or mean()."
        )


def _held(optimizer: Optimizer, parameters: Sequence[Sequence[Any]], built: Built) -> list[View]:
    """Return the gradients of those parameters that the optimiser holds, where there are any."""
    position_of = positions_in(optimizer)
    held = [np.flatnonzero(positions_among(values, position_of) >= 0) for values in parameters]
    return [
        View(gradient.group, gradient.positions[of_group])
        for gradient, of_group in zip(built.gradients, held, strict=True)
        if len(of_group)
    ]


def _positions(
    optimizer: Optimizer, flat: FlatArguments, parameter_groups: Sequence[int]
) -> list[NDArray[np.int64]]:
    """Return the positions in an optimiser of each group's parameters; -1: it does not hold one."""
    position_of = positions_in(optimizer)
    found = [positions_among(flat.groups[i].values, position_of) for i in parameter_groups]
    sizes = [len(rule.params) for rule in optimizer.rules]
    return [*found, np.array([len(optimizer.params), *sizes], np.int64)]
