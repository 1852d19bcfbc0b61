"""Powers with a constant exponent, by cheaper operations where those give the same."""

import math
from collections.abc import Callable, Sequence

from liftgrad import ops
from liftgrad.ops import Operation


def power(
    apply: Callable[[Operation, Sequence[str]], str],
    literal: Callable[[float], str],
    x: str,
    exponent: float,
) -> str:
    """Return x**exponent; small whole exponents multiply, as LLVM's powi does."""
    one = literal(1.0)
    if abs(exponent) <= 4.0 and exponent == int(exponent):
        result = one
        for _ in range(abs(int(exponent))):
            result = x if result == one else apply(ops.multiply, (result, x))
        return result if exponent >= 0 else apply(ops.divide, (one, result))
    if abs(exponent) == 0.5:
        # pow, unlike sqrt, takes -inf to inf and -0 to 0.
        root = apply(ops.sqrt, (apply(ops.add, (x, literal(0.0))),))
        below = apply(ops.equal, (x, literal(-math.inf)))
        root = apply(ops.select, (below, literal(math.inf), root))
        return root if exponent > 0 else apply(ops.divide, (one, root))
    return apply(ops.power, (x, literal(exponent)))
