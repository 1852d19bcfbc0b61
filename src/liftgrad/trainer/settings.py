"""Settings of a Trainer, checked at construction."""

import math
from typing import Any

from liftgrad.numbers import is_number, is_whole


def check_settings(batch_size: Any, seed: Any, max_norm: Any, clip_value: Any) -> None:
    """Refuse invalid settings.

    Raises:
        ValueError: naming the first of them.

    """
    if batch_size is not None and not (is_whole(batch_size) and batch_size >= 1):
        raise ValueError(
            f"batch_size={batch_size!r}; pass a whole number, 1 or more, or None for all samples."
        )
    # NumPy's generators accept other seeds, too, such as lists of numbers.
    if isinstance(seed, str | float) or (is_whole(seed) and seed < 0):
        raise ValueError(f"seed={seed!r}; pass a whole number, 0 or more.")
    for name, bound in (("max_norm", max_norm), ("clip_value", clip_value)):
        if bound is not None and not (is_number(bound) and 0.0 <= bound < math.inf):
            raise ValueError(f"{name} is a finite number, 0 or more; got {name}={bound!r}.")
    if max_norm is not None and clip_value is not None:
        raise ValueError("gradients are clipped by max_norm or by clip_value; pass one of them.")
