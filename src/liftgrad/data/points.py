"""Data sets made by formula, as NumPy arrays."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def make_moons(
    n_samples: int = 100, noise: float = 0.1, seed: int | None = None
) -> tuple[Array, Array]:
    """Return two interleaving half circles: points X (n_samples, 2) and labels y (n_samples,).

    The upper moon is labelled -1.0, the lower one 1.0 and larger by one if `n_samples` is odd.
    For one seed these are the points of scikit-learn's `make_moons(n_samples, noise=noise,
    random_state=seed)` in the same order, drawn from the same random numbers.

    >>> X, y = make_moons(4, noise=0.0, seed=0)
    >>> X.round(2).tolist(), y.tolist()
    ([[0.0, 0.5], [2.0, 0.5], [-1.0, 0.0], [1.0, 0.0]], [1.0, 1.0, -1.0, -1.0])

    Args:
        n_samples: how many points.
        noise: the standard deviation of the normal noise on both coordinates.
        seed: of the order and the noise; None for another one at every call.

    Raises:
        ValueError: if `n_samples` is less than 1 or `noise` negative, infinite or nan.

    """
    if n_samples < 1:
        raise ValueError(f"make_moons needs at least 1 sample; got n_samples={n_samples}.")
    if not 0.0 <= noise < np.inf:
        raise ValueError(f"noise is a standard deviation, 0 or more; got noise={noise}.")
    n_upper = n_samples // 2
    upper = np.linspace(0.0, np.pi, n_upper)
    lower = np.linspace(0.0, np.pi, n_samples - n_upper)
    X = np.empty((n_samples, 2))
    X[:n_upper] = np.column_stack([np.cos(upper), np.sin(upper)])
    X[n_upper:] = np.column_stack([1.0 - np.cos(lower), 1.0 - np.sin(lower) - 0.5])
    y = np.repeat([-1.0, 1.0], [n_upper, n_samples - n_upper])

    # scikit-learn's draws, from the generator that it uses for an integer: order, then noise.
    random = np.random.RandomState(seed)
    order = np.arange(n_samples)
    random.shuffle(order)
    return X[order] + random.normal(scale=noise, size=X.shape), y[order]
