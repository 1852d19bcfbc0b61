"""Failure: a loss or parameter that is nan or infinite is traced to its step and operation."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad.errors import NonFiniteLossError
from liftgrad.lift.train.nonfinite import first_nonfinite
from liftgrad.lift.train.training import Training
from liftgrad.trainer.state import TrainerState


class Snapshot:
    """What steps change, as it is now."""

    def __init__(self, state: TrainerState) -> None:
        optimizer, parameters = state.optimizer, state.parameters()
        self.optimizer, self.parameters = optimizer, parameters
        self.numbers = np.array(parameters.numbers())
        self.state = {name: np.array(column) for name, column in optimizer.state.items()}
        self.steps = optimizer.steps
        self.random = random.getstate()

    def restore(self) -> None:
        """Set all of it back."""
        self.parameters.set_numbers(self.numbers)
        self.optimizer.state.update({name: x.copy() for name, x in self.state.items()})
        self.optimizer.steps = self.steps
        random.setstate(self.random)


@dataclass(frozen=True)
class Failure:
    """How many steps succeeded, and the error to raise."""

    steps: int
    error: NonFiniteLossError


def fail(
    training: Training,
    arguments: dict[str, Any],
    before: Snapshot,
    batches: Sequence[NDArray[np.int64]] | None,
    losses: NDArray[np.float64],
) -> Failure:
    """Go back to the last finite parameters and return what went wrong in the next step.

    Args:
        training: took the steps.
        arguments: of the loss.
        before: taken before the steps.
        batches: of each step, or None.
        losses: of each step taken.

    """
    broken = np.flatnonzero(~np.isfinite(losses))
    last = int(broken[0]) if len(broken) else len(losses)

    def finite_after(steps: int) -> bool:
        before.restore()
        if steps:
            training.run(None if batches is None else batches[:steps], steps)
        return bool(np.isfinite(before.parameters.numbers()).all())

    # Parameters that are not finite stay so: bisect for the first such step.
    low, high = 0, last
    if finite_after(last):
        low = last
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if finite_after(middle) else (low, middle)
    finite_after(low)

    rows = None if batches is None else batches[low]
    cause = first_nonfinite(training.source, arguments, training.batch(rows), rows)
    loss, steps = float(losses[low]), training.optimizer.steps
    taken = "1 step" if steps == 1 else f"{steps} steps"
    if math.isfinite(loss):
        text = f"after {taken} the next one made parameters nan or infinite"
        cause = cause or f"the loss was {loss:.6g}, but its gradient or the update is not finite"
    else:
        text = f"after {taken} the loss became {loss:.6g}"
        cause = cause or "its sum overflowed"
    return Failure(
        low,
        NonFiniteLossError(
            f"{text}: {cause}; the model is as it was before that. Keep that number in range, "
            "lower the learning rate, or clip the gradients with max_norm."
        ),
    )
