"""The plane that a picture of many dimensions shows, and a grid of points on it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Plane:
    """origin + a·directions[0] + b·directions[1], for all a and b."""

    origin: Array
    """(d,)"""
    directions: Array
    """(2, d), orthonormal."""
    labels: tuple[str, str]
    """What a and b are."""
    note: str
    """What the picture says about the other dimensions; "" if there are none."""

    def coordinates(self, X: Array) -> Array:
        """Return a and b, (n, 2), of the points (n, d) projected onto the plane."""
        return (X - self.origin) @ self.directions.T

    def points(self, coordinates: Array) -> Array:
        """Return the points (n, d) of the plane at a and b, (n, 2)."""
        return self.origin + coordinates @ self.directions


def plane_of(
    X: Array,
    features: "tuple[int, int] | None" = None,
    feature_names: "Sequence[str] | None" = None,
) -> Plane:
    """Return the plane of two features of the points (n, d), with the others at their means.

    If there are more than two and `features` does not name two of them, it is the plane of the two
    leading principal components.

    Raises:
        ValueError: if there are fewer than two features, `features` are not two of them, or there
            are not as many names.

    """
    count = X.shape[1]
    if count < 2:
        raise ValueError("a plane needs 2 features or more, and there is one; add another.")
    names = [f"$x_{{{i}}}$" for i in range(count)] if feature_names is None else feature_names
    if len(names) != count:
        raise ValueError(
            f"{len(names)} feature names for {count} features; pass one for each of them."
        )
    if features is None and count > 2:
        return _principal(X)
    i, j = _checked(features, count) if features is not None else (0, 1)
    origin = X.mean(axis=0)
    origin[[i, j]] = 0.0
    others = f"the other {count - 2} features" if count > 3 else "the other feature"
    note = f"{others} at {'their mean' if count > 3 else 'its mean'}" if count > 2 else ""
    return Plane(origin, np.eye(count)[[i, j]], (names[i], names[j]), note)


def grid_around(points: Array, resolution: int) -> tuple[Array, Array]:
    """Return the coordinates (resolution, resolution) of a grid that encloses points (n, 2).

    Raises:
        ValueError: if `resolution` is less than 2.

    """
    if resolution < 2:
        raise ValueError(f"a grid has at least 2 points either way; got resolution={resolution}.")
    lowest, extent = points.min(axis=0), np.ptp(points, axis=0)
    around = 0.15 * np.where(extent > 0.0, extent, 1.0)
    grid = np.linspace(lowest - around, lowest + extent + around, resolution)
    xx0, xx1 = np.meshgrid(*grid.T)
    return xx0, xx1


def show_plane(ax: "Axes", xx0: Array, xx1: Array) -> None:
    """Set the axes to the grid, with equal units unless the picture would become a sliver."""
    ax.set(xlim=xx0[0, [0, -1]], ylim=xx1[[0, -1], 0])
    ax.set_aspect("equal" if 1 / 3 < np.ptp(xx0) / np.ptp(xx1) < 3 else "auto")
    ax.locator_params(axis="y", nbins=6)


def extent_of(xx0: Array, xx1: Array) -> tuple[float, float, float, float]:
    """Return the edges of an image whose pixels are centred on the grid's points."""
    half = 0.5 * np.array([xx0[0, 1] - xx0[0, 0], xx1[1, 0] - xx1[0, 0]])
    return (
        *(xx0[0, 0] - half[0], xx0[0, -1] + half[0]),
        *(xx1[0, 0] - half[1], xx1[-1, 0] + half[1]),
    )


def _principal(X: Array) -> Plane:
    origin = X.mean(axis=0)
    # The triangular factor has the same components and is small, even for many points.
    factor = np.linalg.qr(X - origin, mode="r")
    _, singular, components = np.linalg.svd(factor, full_matrices=False)
    if len(components) < 2:
        raise ValueError("principal components need 2 points or more; pass features=(i, j).")
    directions = components[:2]
    # The sign of a component is arbitrary; scikit-learn's choice makes pictures repeatable.
    largest = np.abs(directions).argmax(axis=1)
    directions = directions * np.where(directions[[0, 1], largest] < 0.0, -1.0, 1.0)[:, None]
    variances = singular**2 / max(float(singular @ singular), np.finfo(float).tiny)
    note = (
        f"other components at their mean; the plane holds {variances[:2].sum():.0%} of the variance"
    )
    labels = [f"component {i + 1} ({variances[i]:.0%})" for i in (0, 1)]
    return Plane(origin, directions, (labels[0], labels[1]), note)


def _checked(features: Any, count: int) -> tuple[int, int]:
    pair = tuple(features)
    if len(pair) != 2 or not all(i in range(-count, count) for i in pair):
        raise ValueError(
            f"features={features!r}: pass the indices of two features, from 0 to {count - 1}."
        )
    i, j = (int(i) % count for i in pair)
    if i == j:
        raise ValueError(f"features={features!r} are one and the same; pass two different ones.")
    return i, j
