"""Synthetic points in classes.

Sets that always have two classes have the labels -1.0 and 1.0, others the integers 0, 1, 2, ...
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def make_moons(
    n_samples: int = 100, noise: float = 0.1, seed: int | None = None
) -> tuple[Array, Array]:
    """Return two interleaving half circles: points X (n_samples, 2) and labels y (n_samples,).

    The upper moon is labelled -1.0, the lower one 1.0; if `n_samples` is odd, the lower one has one
    point more. Points and order are those of scikit-learn's `make_moons(n_samples, noise=noise,
    random_state=seed)`.

    >>> X, y = make_moons(4, noise=0.0, seed=0)
    >>> X.round(2).tolist(), y.tolist()
    ([[0.0, 0.5], [2.0, 0.5], [-1.0, 0.0], [1.0, 0.0]], [1.0, 1.0, -1.0, -1.0])

    Args:
        n_samples: how many points.
        noise: the standard deviation of the normal noise on both coordinates.
        seed: of the order and the noise; None: a new one at every call.

    Raises:
        ValueError: if `n_samples` is less than 1 or `noise` negative, infinite or nan.

    """
    check_arguments("make_moons", n_samples, noise)
    n_upper = n_samples // 2
    upper = np.linspace(0.0, np.pi, n_upper)
    lower = np.linspace(0.0, np.pi, n_samples - n_upper)
    X = np.empty((n_samples, 2))
    X[:n_upper] = np.column_stack([np.cos(upper), np.sin(upper)])
    X[n_upper:] = np.column_stack([1.0 - np.cos(lower), 1.0 - np.sin(lower) - 0.5])
    y = np.repeat([-1.0, 1.0], [n_upper, n_samples - n_upper])

    # As scikit-learn draws: from the generator that it uses for an integer, first the order.
    random = np.random.RandomState(seed)
    X, y = _shuffled(random, X, y)
    return X + random.normal(scale=noise, size=X.shape), y


def make_circles(
    n_samples: int = 100, noise: float = 0.05, factor: float = 0.5, seed: int | None = None
) -> tuple[Array, Array]:
    """Return two concentric circles: points X (n_samples, 2) and labels y (n_samples,).

    The outer circle, of radius 1, is labelled -1.0, the inner one 1.0; if `n_samples` is odd, the
    inner one has one point more. For a seed the points are those of scikit-learn's `make_circles`.

    >>> X, y = make_circles(4, noise=0.0, seed=0)
    >>> np.hypot(*X.T).tolist(), y.tolist()
    ([0.5, 0.5, 1.0, 1.0], [1.0, 1.0, -1.0, -1.0])

    Args:
        n_samples: how many points.
        noise: the standard deviation of the normal noise on both coordinates.
        factor: the radius of the inner circle.
        seed: of the order and the noise; None: a new one at every call.

    Raises:
        ValueError: if `n_samples` is less than 1, `noise` negative, infinite or nan, or `factor`
            not between 0 and 1.

    """
    check_arguments("make_circles", n_samples, noise)
    if not 0.0 <= factor < 1.0:
        raise ValueError(f"factor is the inner radius, from 0 to below 1; got factor={factor}.")
    n_outer = n_samples // 2
    angles = [
        np.linspace(0.0, 2.0 * np.pi, n, endpoint=False) for n in (n_outer, n_samples - n_outer)
    ]
    circles = [np.column_stack([np.cos(angle), np.sin(angle)]) for angle in angles]
    X = np.concatenate([circles[0], circles[1] * factor])
    y = np.repeat([-1.0, 1.0], [n_outer, n_samples - n_outer])
    random = np.random.RandomState(seed)
    X, y = _shuffled(random, X, y)
    return X + random.normal(scale=noise, size=X.shape), y


def make_blobs(
    n_samples: int = 100,
    n_features: int = 2,
    centers: int | Array = 3,
    cluster_std: float = 1.0,
    seed: int | None = None,
) -> tuple[Array, NDArray[np.int64]]:
    """Return normal clouds: points X (n_samples, n_features) and labels y (n_samples,) from 0 on.

    For a seed the points are those of scikit-learn's `make_blobs`.

    >>> X, y = make_blobs(5, centers=np.array([[0.0, 0.0], [9.0, 9.0]]), cluster_std=0.0, seed=0)
    >>> X[:, 0].tolist(), y.tolist()
    ([9.0, 0.0, 9.0, 0.0, 0.0], [1, 0, 1, 0, 0])

    Args:
        n_samples: how many points, divided evenly among the clouds; the first ones get the rest.
        n_features: how many coordinates, if `centers` is a number.
        centers: how many clouds, with centres drawn uniformly from -10 to 10; or the centres
            (n, n_features).
        cluster_std: the standard deviation of all coordinates.
        seed: of centres, points and order; None: a new one at every call.

    Raises:
        ValueError: if `n_samples`, `n_features` or `centers` is less than 1, or `cluster_std`
            negative, infinite or nan.

    """
    check_arguments("make_blobs", n_samples, cluster_std, "cluster_std")
    random = np.random.RandomState(seed)
    if isinstance(centers, int | np.integer):
        if centers < 1 or n_features < 1:
            raise ValueError(
                f"make_blobs needs 1 centre and 1 feature or more; got centers={centers}, "
                f"n_features={n_features}."
            )
        centers = random.uniform(-10.0, 10.0, size=(int(centers), n_features))
    means = np.asarray(centers, np.float64)
    if means.ndim != 2 or not means.size:
        raise ValueError(
            f"centers has the shape {means.shape}; pass a number or an array (clouds, features)."
        )
    sizes = [n_samples // len(means) + (i < n_samples % len(means)) for i in range(len(means))]
    X = np.concatenate(
        [
            random.normal(loc=mean, scale=cluster_std, size=(size, means.shape[1]))
            for mean, size in zip(means, sizes, strict=True)
        ]
    )
    return _shuffled(random, X, np.repeat(np.arange(len(means)), sizes))


def make_spirals(
    n_samples: int = 100,
    arms: int = 2,
    noise: float = 0.02,
    turns: float = 1.0,
    seed: int | None = None,
) -> tuple[Array, NDArray[np.int64]]:
    """Return arms of a spiral: points X (n_samples, 2) and labels y (n_samples,) from 0 on.

    Arm i of n starts at the centre in the direction 2πi/n and winds outwards to radius 1.

    >>> X, y = make_spirals(4, noise=0.0, seed=0)
    >>> X[:, 0].round(2).tolist(), y.tolist()
    ([0.5, -1.0, 1.0, -0.5], [1, 1, 0, 0])

    Args:
        n_samples: how many points, divided evenly among the arms; the first ones get the rest.
        arms: how many.
        noise: the standard deviation of the normal noise on both coordinates.
        turns: how often an arm winds around the centre.
        seed: of the order and the noise; None: a new one at every call.

    Raises:
        ValueError: if `n_samples` or `arms` is less than 1, or `noise` negative, infinite or nan.

    """
    check_arguments("make_spirals", n_samples, noise)
    if arms < 1:
        raise ValueError(f"a spiral has at least 1 arm; got arms={arms}.")
    sizes = [n_samples // arms + (i < n_samples % arms) for i in range(arms)]
    y = np.repeat(np.arange(arms), sizes)
    radius = np.concatenate([np.arange(1, size + 1) / size for size in sizes if size])
    angle = 2.0 * np.pi * (turns * radius + y / arms)
    X = radius[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    random = np.random.RandomState(seed)
    X, y = _shuffled(random, X, y)
    return X + random.normal(scale=noise, size=X.shape), y


def make_checkerboard(
    n_samples: int = 100, squares: int = 4, noise: float = 0.0, seed: int | None = None
) -> tuple[Array, Array]:
    """Return a checkerboard: points X (n_samples, 2) and labels y (n_samples,).

    The points are uniform on [-1, 1]². The square at the lower left is labelled -1.0, its
    neighbours 1.0, and so on.

    >>> X, y = make_checkerboard(3, squares=2, seed=0)
    >>> X.round(2).tolist(), y.tolist()
    ([[0.1, 0.43], [0.21, 0.09], [-0.15, 0.29]], [-1.0, -1.0, 1.0])

    Args:
        n_samples: how many points.
        squares: how many along each side.
        noise: the standard deviation of the normal noise that is then added to both coordinates.
        seed: of the points and the noise; None: a new one at every call.

    Raises:
        ValueError: if `n_samples` or `squares` is less than 1, or `noise` negative, infinite or
            nan.

    """
    check_arguments("make_checkerboard", n_samples, noise)
    if squares < 1:
        raise ValueError(f"a board has at least 1 square along each side; got squares={squares}.")
    random = np.random.RandomState(seed)
    X = random.uniform(-1.0, 1.0, size=(n_samples, 2))
    odd = np.floor((X + 1.0) * (squares / 2.0)).sum(axis=1) % 2.0
    return X + random.normal(scale=noise, size=X.shape), 2.0 * odd - 1.0


def make_xor(
    n_samples: int = 100, noise: float = 0.0, seed: int | None = None
) -> tuple[Array, Array]:
    """Return four squares: points X (n_samples, 2) and labels y (n_samples,).

    The points are uniform on [-1, 1]², labelled 1.0 where their coordinates differ in sign, else
    -1.0: a checkerboard of 2 by 2. Arguments and errors are those of `make_checkerboard`.

    >>> X, y = make_xor(3, seed=0)
    >>> bool(np.all(y == -np.sign(X[:, 0] * X[:, 1])))
    True
    """
    check_arguments("make_xor", n_samples, noise)
    return make_checkerboard(n_samples, 2, noise, seed)


def check_arguments(name: str, n_samples: int, spread: float, what: str = "noise") -> None:
    """Refuse an impossible number of samples or standard deviation.

    Raises:
        ValueError: if `n_samples` is less than 1 or `spread` negative, infinite or nan.

    """
    if n_samples < 1:
        raise ValueError(f"{name} needs at least 1 sample; got n_samples={n_samples}.")
    if not 0.0 <= spread < np.inf:
        raise ValueError(f"{what} is a standard deviation, 0 or more; got {what}={spread}.")


def _shuffled(random: np.random.RandomState, X: Array, y: NDArray[Any]) -> tuple[Array, Any]:
    order = np.arange(len(X))
    random.shuffle(order)
    return X[order], y[order]
