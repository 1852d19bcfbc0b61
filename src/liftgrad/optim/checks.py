"""The check of numbers that optimisers, schedules and clipping share."""

import math
from typing import Any

from liftgrad.numbers import is_number


def check(name: str, number: Any) -> None:
    """Refuse what is not a finite number, 0 or more.

    Raises:
        ValueError: naming the argument.

    """
    if hasattr(number, "param_groups"):
        raise ValueError(
            f"{name} is a number, and this is an optimiser; make the schedule first and pass it to "
            "the optimiser as lr=schedule."
        )
    if not is_number(number) or not 0.0 <= number < math.inf:
        raise ValueError(f"{name} is a finite number, 0 or more; got {name}={number!r}.")
