"""Runs a random program eagerly and lifted, and compares all that comes out of it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from bounds import FORMATS, Number, UnstableError, gradient, rounded
from nests import Nests
from strategies import Program, distinct, made_of

from liftgrad import Value
from liftgrad.lift.call.flatten import flatten
from liftgrad.lift.function import lift
from liftgrad.lift.ir.groups import View
from liftgrad.lift.pipeline import compiled, results_and_gradients
from liftgrad.lift.run.given import checked_numbers, samples_of
from liftgrad.lift.run.numpy_executor import execute
from liftgrad.lift.stats import Stats
from liftgrad.numbers import plain
from liftgrad.operators import Operators


@dataclass(frozen=True)
class Outcome:
    """The results of a program, and the gradient of their weighted sum."""

    results: Sequence[float]
    gradient: Sequence[float]


def leaves(nested: Any) -> list[Any]:
    """Return what is in nested containers."""
    found: list[Any] = []
    made_of(found.append, nested)
    return found


def weights_of(program: Program, count: int) -> list[float]:
    """Return the weights of the results that are Values."""
    weights = [program.weights[i % len(program.weights)] for i in range(count)]
    return weights if any(weights) else [*weights[:-1], 1.0]


# --- eager -----------------------------------------------------------------------------------


def run_eagerly(
    program: Program, kind: Callable[[float], Any]
) -> tuple[list[Any], list[Any], list[Any]]:
    """Return all results, those of which a gradient may be taken, and the parameters."""
    p = program.parameters(kind)
    x, X = made_of(kind, program.x), made_of(kind, program.X)
    result = program.function()(p, x, kind(program.c), program.k, X, program.K)
    # Results for each sample are arrays when lifted, of which no gradient is taken.
    own = [x for x in result if not isinstance(x, list)] if isinstance(result, tuple) else result
    return leaves(result), [x for x in leaves(own) if isinstance(x, Operators)], leaves(p)


def backward(scalars: Sequence[Any], weights: Sequence[float]) -> None:
    chosen = [(x, w) for x, w in zip(scalars, weights, strict=True) if w]
    if len(chosen) == 1 and chosen[0][1] == 1.0:
        chosen[0][0].backward()
    else:
        sum(x * w for x, w in chosen).backward()


def eager_outcome(program: Program) -> Outcome:
    results, scalars, parameters = run_eagerly(program, Value)
    numbers = [plain(x) for x in results]
    move(program, parameters)
    backward(scalars, weights_of(program, len(scalars)))
    return Outcome(numbers, [p.grad for p in parameters])


def move(program: Program, parameters: Sequence[Value]) -> None:
    """Set the parameters to other numbers, if the program says so."""
    for parameter in distinct(parameters) if program.moves else ():
        parameter.data = 0.75 - parameter.data


def bounds(program: Program, dtype: str) -> tuple[list[Number], list[Number]] | None:
    """Return results and gradient with bounds on their errors, or None if rounding decides."""
    Number.made.clear()
    Number.format = FORMATS[dtype]
    try:
        results, scalars, parameters = run_eagerly(program, rounded)
        weights = weights_of(program, len(scalars))
        return (
            [x if isinstance(x, Number) else rounded(x) for x in results],
            gradient(scalars, weights, parameters),
        )
    except UnstableError:
        return None


# --- lifted ----------------------------------------------------------------------------------


def arrays(program: Program) -> tuple[Any, ...]:
    x, X = np.array(program.x), np.array(program.X)
    return x, program.c, np.array(program.k), X, np.array(program.K, np.uint8)


def lifted_outcome(program: Program, dtype: str = "float64") -> Outcome:
    """Run the program natively, as users do."""
    p = program.parameters(Value)
    result = lift(dtype=dtype)(program.function())(p, *arrays(program))
    scalars = [x for x in leaves(result) if isinstance(x, Value)]
    numbers = [plain(n) for x in leaves(result) for n in np.atleast_1d(x)]
    if not isinstance(result, list | tuple):  # of several, gradients are refused after that
        move(program, leaves(p))
    backward(scalars, weights_of(program, len(scalars)))
    return Outcome(numbers, [v.grad for v in leaves(p)])


class Scheduled:
    """A random program's gradient as loop nests, and the numbers to run them on.

    Args:
        program: the program.

    """

    def __init__(self, program: Program) -> None:
        function = lift(program.function())
        p = program.parameters(Value)
        self.parameters = leaves(p)
        arguments = function.source.arguments((p, *arrays(program)), {})
        flat = flatten(arguments)
        made = compiled(
            lambda: function.source.build(arguments, flat),
            results_and_gradients,
            *("float64", "numpy", Stats()),
            unit_seed=False,
        )
        self.built, self.nests = made.built, made.program
        built = self.built
        self.numbers = {
            number: np.asarray(checked_numbers(flat.groups[i], i, built))
            for i, number in built.leaf_of.items()
        }
        self.samples = samples_of(flat.groups, built.batched_groups)
        if built.sizes is not None:
            self.numbers[built.sizes] = np.array([self.samples], float)
        scalars = [i for i, batched in enumerate(built.batched_outputs) if not batched]
        assert built.seed is not None
        self.numbers[built.seed] = np.zeros(built.outputs)
        self.numbers[built.seed][scalars] = weights_of(program, len(scalars))

    def outcome(self, look: Callable[[View], Any]) -> Outcome:
        """Return the program's outcome, given what looks up the numbers of a view."""
        built = self.built
        parts: list[float] = []
        found = iter(zip(built.rolled.outputs, built.batched_outputs, strict=True))
        for place in range(built.outputs + len(built.fixed)):
            if place in built.fixed:
                parts.append(built.fixed[place])
                continue
            view, batched = next(found)
            count = self.samples if batched else 1
            parts += np.broadcast_to(look(view).reshape(1, -1), (1, count))[0].tolist()
        gradient = [look(view) for view in built.gradients]
        own = iter(gradient[0].reshape(-1).tolist() if gradient else [0.0] * len(self.parameters))
        parts_of = {id(v): next(own) for v in distinct(self.parameters)}
        return Outcome(parts, [parts_of[id(v)] for v in self.parameters])


def stage_outcomes(program: Program) -> dict[str, Outcome]:
    """Return what the rolled program and its loop nests compute, by the names of the stages."""
    scheduled = Scheduled(program)
    rolled = scheduled.built.rolled
    computed = execute(rolled, scheduled.numbers)
    nests = Nests(scheduled.nests, rolled, scheduled.numbers)
    nests.run()
    return {
        "rolled": scheduled.outcome(lambda view: computed[view.group][view.positions]),
        "nests": scheduled.outcome(lambda view: nests.numbers(view.group, view.positions)),
    }


# --- comparing -------------------------------------------------------------------------------


def far(a: float, b: float, tolerance: float) -> bool:
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) != math.isnan(b)
    return a != b and not abs(a - b) <= tolerance


def compare(
    program: Program, expected: Outcome, found: dict[str, Outcome], dtype: str = "float64"
) -> None:
    """Raise AssertionError where outcomes differ by more than rounding explains."""
    apart = {who: outcome for who, outcome in found.items() if not close(expected, outcome)}
    limits = bounds(program, dtype) if apart else None
    if limits is None:
        return
    for who, outcome in apart.items():
        for what, xs, ys, zs in (
            ("result", expected.results, outcome.results, limits[0]),
            ("gradient", expected.gradient, outcome.gradient, limits[1]),
        ):
            for i, (x, y, z) in enumerate(zip(xs, ys, zs, strict=True)):
                tolerance = 1e-13 * abs(x) + 8 * z.error
                right = z.error == math.inf or not far(x, y, tolerance)
                # With infinities the tape's order, in which z was computed, may give another nan.
                if not (math.isfinite(x) and math.isfinite(z.number)):
                    right = right or not far(z.number, y, tolerance)
                assert right, f"{who}: {what} {i} is {y!r} instead of {x!r} ± {z.error:.0e}"


def close(a: Outcome, b: Outcome) -> bool:
    pairs = [*zip(a.results, b.results, strict=True), *zip(a.gradient, b.gradient, strict=True)]
    return not any(far(x, y, 1e-13 * abs(x)) for x, y in pairs)
