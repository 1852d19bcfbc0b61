"""Policy: which programs are compared with the eager engine, and with their gradients."""

import os
from collections.abc import Sequence

from liftgrad.errors import LiftError
from liftgrad.lift.call.leaves import LeafGroup
from liftgrad.lift.pipeline import Built
from liftgrad.lift.run.given import samples_of

_MOST_OPERATIONS, _MOST_DIFFERENTIATED = 20_000, 8_000
"""Of programs that are compared, and with their gradients: some 10 ms of the eager engine."""


def is_compared(
    check: bool | None, built: Built, groups: Sequence[LeafGroup], *, by_identity: bool = False
) -> bool:
    """Return whether a program is compared with the eager engine.

    A program that draws random numbers is not, since they cannot be drawn twice; nor is one with
    results for each sample beside others, which come in another order.

    Args:
        check: what the user asked for; None: LIFTGRAD_CHECK decides, or else the cost.
        built: the program.
        groups: the numbers that it is called with.
        by_identity: whether the function may tell objects apart in ways that stand-ins evade; such
            a program is compared at any size.

    Raises:
        LiftError: if LIFTGRAD_CHECK is something other than 0 or 1.

    """
    variable = os.environ.get("LIFTGRAD_CHECK", "")
    if variable not in ("", "0", "1"):
        raise LiftError(
            f"LIFTGRAD_CHECK={variable!r}: set it to 1 to compare all lifted programs with the "
            "eager engine, to 0 to compare none, or leave it unset to compare those that are "
            "quick to compare."
        )
    wanted = check if check is not None else {"0": False, "1": True}.get(variable)
    is_mixed = any(built.batched_outputs) and built.outputs + len(built.fixed) > 1
    if wanted is False or built.draws or is_mixed:
        return False
    return bool(wanted) or by_identity or _operations(built, groups) <= _MOST_OPERATIONS


def is_gradient_compared(built: Built, groups: Sequence[LeafGroup]) -> bool:
    """Return whether a gradient is compared, too: if the result is one Value, and it is cheap."""
    of_value = built.single and not built.plain_outputs[0] and not built.batched_outputs[0]
    return of_value and _operations(built, groups) <= _MOST_DIFFERENTIATED


def _operations(built: Built, groups: Sequence[LeafGroup]) -> int:
    return built.scalar_operations * samples_of(list(groups), built.batched_groups)
