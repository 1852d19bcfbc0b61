"""Eager run: the function itself, called with copies of its arguments."""

import gc
import random
from collections.abc import Callable, Collection, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import Any

import numpy as np

from liftgrad.copying import copy_value
from liftgrad.engine import Value
from liftgrad.lift.call.flatten import flatten_result, substitute
from liftgrad.lift.call.leaves import LeafGroup, LeafKind
from liftgrad.lift.capture.tracing import tracing

Run = Callable[[dict[str, Any], dict[Any, Any]], Any]
"""Calls the function with arguments by name, and stand-ins for other objects in its copies."""


@dataclass
class Outcome:
    """What a call gave, eagerly or lifted."""

    results: list[Any]
    """Its numbers and other results, as a flat list."""
    gradients: dict[int, list[float]] | None = None
    """The gradient of the one result by the parameters of each leaf group, if it was taken."""

    @property
    def gradient(self) -> list[float]:
        """The gradient by all parameters."""
        return [x for of_group in (self.gradients or {}).values() for x in of_group]


def run_eagerly(
    run: Run,
    arguments: dict[str, Any],
    groups: Sequence[LeafGroup],
    differentiated: Collection[int] | None = None,
    jitter: float = 0.0,
    seed: int = 0,
    *,
    own: bool = False,
) -> Outcome:
    """Return what the function itself gives, on copies of its arguments.

    Args:
        run: calls the function.
        arguments: by name.
        groups: their numbers.
        differentiated: the groups of parameters by which a result that is one Value is
            differentiated; None: it is not.
        jitter: how far the copies of parameters may be off, relatively.
        seed: of the jitter.
        own: whether parameters are the arguments' own, not copies.

    """
    uniform = random.Random(seed).uniform
    copied: dict[int, list[Value]] = {i: [] for i in range(len(groups))}

    def leaves(group: int, first: int, count: int) -> list[Any]:
        values = groups[group].values[first : first + count]
        if groups[group].kind != "parameter" or own:
            return values
        made = list(map(_copy, values))
        if jitter:
            for value in made:
                value.data *= 1.0 + uniform(-jitter, jitter)
        copied[group] += made
        return made

    def array(group: int, _kind: LeafKind) -> Any:
        of_group = groups[group].array
        assert of_group is not None
        usual = of_group.dtype.kind != "f" or of_group.dtype == np.float64
        return of_group if usual else of_group.astype(np.float64)  # as the program computes

    collecting = gc.isenabled()
    gc.disable()  # a graph has no cycles
    tracing.depth += 1  # lifted functions that it calls run eagerly, too
    try:
        copies, _ = substitute(arguments, leaves, array)
        with np.errstate(all="ignore"), redirect_stdout(StringIO()):
            result = run(copies, {})
        outcome = Outcome(numbers_in(result))
        if differentiated is not None and isinstance(result, Value):
            result.backward()
            outcome.gradients = {i: [v.grad for v in copied[i]] for i in differentiated}
        return outcome
    finally:
        tracing.depth -= 1
        if collecting:
            gc.enable()


def numbers_in(result: Any) -> list[Any]:
    """Return the numbers of a nested result, and whatever else is in it, as a flat list."""
    leaves, _ = flatten_result(result)
    items: list[Any] = []
    for leaf in leaves:
        if isinstance(leaf, np.ndarray):
            items += leaf.ravel().tolist()
        else:
            items.append(leaf.data if isinstance(leaf, Value) else leaf)
    return items


def _copy(value: Any) -> Any:
    """Return a leaf with a Value's number, of the same class if that is the user's."""
    if type(value) is Value or value._copied_as is not None:
        return Value(value.data)
    copied = copy_value(value)
    copied._prev, copied._operation = (), ""
    return copied
