"""Curves to fit: noisy values of a function of one number."""

from collections.abc import Callable
from typing import Literal

import numpy as np

from liftgrad.data.points import Array, check_arguments

_CURVES: dict[str, Callable[[Array], Array]] = {
    "sine": lambda x: np.sin(2.0 * np.pi * x),
    "step": lambda x: np.where(x < 0.0, -1.0, 1.0),
    "polynomial": lambda x: 4.0 * x**3 - 3.0 * x,
}


def make_curve(
    n_samples: int = 100,
    kind: Literal["sine", "step", "polynomial"] = "sine",
    noise: float = 0.1,
    seed: int | None = None,
) -> tuple[Array, Array]:
    """Return points of a curve: X (n_samples, 1), uniform on [-1, 1], and y (n_samples,).

    The curves are sin(2πx), the sign of x (1 at 0), and Chebyshev's polynomial 4x³ - 3x.

    >>> X, y = make_curve(3, "polynomial", noise=0.0, seed=0)
    >>> X[:, 0].round(2).tolist(), y.round(2).tolist()
    ([0.1, 0.43, 0.21], [-0.29, -0.97, -0.58])

    Args:
        n_samples: how many points.
        kind: which curve.
        noise: the standard deviation of the normal noise on y.
        seed: of the points and the noise; None: a new one at every call.

    Raises:
        ValueError: if `n_samples` is less than 1, `noise` is negative, infinite or nan, or `kind`
            is unknown.

    """
    check_arguments("make_curve", n_samples, noise)
    if kind not in _CURVES:
        raise ValueError(f"there is no curve {kind!r}; choose one of {', '.join(_CURVES)}.")
    random = np.random.RandomState(seed)
    x = random.uniform(-1.0, 1.0, size=n_samples)
    return x[:, None], _CURVES[kind](x) + random.normal(scale=noise, size=n_samples)
