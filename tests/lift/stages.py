"""What a function becomes after each pass, for tests that show programs before and after."""

from dataclasses import replace
from typing import Any

from liftgrad import Value
from liftgrad.lift.call.flatten import flatten
from liftgrad.lift.function import lift
from liftgrad.lift.ir.groups import Rolled
from liftgrad.lift.ir.nests import Program
from liftgrad.lift.pipeline import (
    Built,
    Ending,
    compiled,
    differentiated,
    results_and_gradients,
)
from liftgrad.lift.stats import Stats


def values(count: int) -> list[Value]:
    return [Value(i + 1.0) for i in range(count)]


def rolled(function: Any, *arguments: Any, gradient: bool = False, loops: bool = True) -> Rolled:
    """Return the program that a function rolls up to; gradients are outputs, too.

    Without loops, each step of one over time has groups of its own.
    """
    lifted = lift(function)
    taken = lifted.source.arguments(arguments, {})
    built = lifted.source.build(taken, flatten(taken))
    if not loops and built.unrolled is not None:
        built = built.unrolled()
    if gradient:
        built = differentiated(built, unit_seed=True)
        return replace(built.rolled, outputs=[*built.rolled.outputs, *built.gradients])
    return built.rolled


def scheduled(
    function: Any, *arguments: Any, gradient: bool = False, loops: bool = True
) -> Program:
    """Return the loop nests that a function becomes, by all passes of the road.

    Without loops, each step of one over time has nests of its own.
    """
    lifted = lift(function)
    taken = lifted.source.arguments(arguments, {})
    end = results_and_gradients if gradient else _results

    def recover() -> Built:
        built = lifted.source.build(taken, flatten(taken))
        return built if loops or built.unrolled is None else built.unrolled()

    return compiled(
        recover,
        end,
        *("float64", "numpy", Stats()),
        unit_seed=True,
    ).program


def _results(built: Built) -> Ending:
    return Ending(built.rolled, built.rolled.outputs)
