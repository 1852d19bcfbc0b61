"""Initial weights: each initialiser draws one number from Python's global `random`.

Seed with `random.seed(n)`. The arguments are the layer's numbers of inputs and outputs.
"""

import math
import random
from collections.abc import Callable

Initialiser = Callable[[int, int], float]


def uniform(_fan_in: int, _fan_out: int) -> float:
    """Draw from the uniform distribution on [-1, 1], as micrograd does.

    >>> -1.0 <= uniform(2, 3) <= 1.0
    True
    """
    return random.uniform(-1, 1)


def xavier(fan_in: int, fan_out: int) -> float:
    """Draw uniformly with variance 2 / (fan_in + fan_out) (Glorot & Bengio, 2010).

    >>> abs(xavier(2, 4)) <= 1.0
    True
    """
    bound = math.sqrt(6.0 / (fan_in + fan_out))
    return random.uniform(-bound, bound)


def he(fan_in: int, _fan_out: int) -> float:
    """Draw uniformly with variance 2 / fan_in, meant for ReLU (He et al., 2015).

    >>> abs(he(6, 4)) <= 1.0
    True
    """
    bound = math.sqrt(6.0 / fan_in)
    return random.uniform(-bound, bound)


def pytorch(fan_in: int, _fan_out: int) -> float:
    """Draw uniformly with variance 1 / (3·fan_in), as PyTorch does for its layers by default.

    >>> abs(pytorch(4, 3)) <= 0.5
    True
    """
    bound = 1.0 / math.sqrt(fan_in)
    return random.uniform(-bound, bound)


INITIALISERS: dict[str, Initialiser] = {
    "uniform": uniform,
    "xavier": xavier,
    "he": he,
    "pytorch": pytorch,
}
