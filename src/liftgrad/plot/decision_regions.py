"""The decision regions of any number of classes in a plane."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from liftgrad.plot.axes import letters_across, make_room_for_legend, set_title
from liftgrad.plot.classes import (
    are_numbers,
    class_labels,
    draw_points,
    label_text,
    plain_text,
    region_colours,
)
from liftgrad.plot.outputs import outputs
from liftgrad.plot.plane import Plane, extent_of, grid_around, plane_of, show_plane

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]
_SIZE = (5.6, 4.2)
_FINER = 4
"""The number of pixels of a grid cell in each direction."""


def decision_regions(
    predictor: Any,
    X: Any,
    y: Any,
    ax: "Axes | None" = None,
    *,
    features: tuple[int, int] | None = None,
    class_names: Sequence[str] | None = None,
    feature_names: Sequence[str] | None = None,
    resolution: int = 100,
    title: str = "",
    size: tuple[float, float] = _SIZE,
) -> "DecisionRegions":
    """Draw the regions that a classifier assigns to each class, and the points.

    With more than two features, it shows a plane, and says so: that of two `features`, with the
    others at their means, or by default that of the two leading principal components. The points
    are projected onto it, so that they may lie in the regions of other classes.

    Args:
        predictor: a function of one point, such as a model, that returns a score for each class, or
            one class; or, for classes 1 and -1, one score whose sign is the class; or an object
            with scikit-learn's `predict_proba` or `predict`.
        X: points, (n, d).
        y: their classes, (n,), integers or other labels. Scores are those of 0, 1, ..., or of the
            labels in sorted order.
        ax: where to draw; by default, a new figure.
        features: the indices of two features, to show their plane.
        class_names: for the legend, in the order of the classes.
        feature_names: for the axes, one for each feature.
        resolution: the number of grid points along each axis.
        title: above the picture.
        size: of a new figure, width and height in inches.

    Raises:
        ValueError: if an argument is invalid, or a score is not finite.
        TypeError: if `predictor` is neither a function nor has a method that predicts.

    >>> X, y = [[-1, -1], [1, 0], [0, 1]], [0, 1, 2]
    >>> regions = decision_regions(lambda p: [0.0, p[0], p[1]], X, y)
    >>> regions.prediction.shape, regions.classes.tolist()
    ((100, 100), [0, 1, 2])

    """
    regions = compute_regions(predictor, X, y, features, class_names, feature_names, resolution)
    return regions.plot(ax, title=title, size=size)


def compute_regions(
    predictor: Any,
    X: Any,
    y: Any,
    features: tuple[int, int] | None,
    class_names: Sequence[str] | None,
    feature_names: Sequence[str] | None,
    resolution: int,
) -> "DecisionRegions":
    """Return the regions, not drawn yet; arguments and errors are those of `decision_regions`."""
    columns = getattr(X, "columns", None)
    if feature_names is None and columns is not None:
        feature_names = [plain_text(str(name)) for name in columns]
    X, y = np.asarray(X, np.float64), np.asarray(y)
    if X.ndim != 2 or not len(X) or y.shape != X.shape[:1]:
        raise ValueError(
            "decision regions need points of shape (n, d) and classes of shape (n,); "
            f"got {X.shape} and {y.shape}."
        )
    if not np.isfinite(X).all():
        raise ValueError("the points hold numbers that are not finite; drop or replace them.")
    plane = plane_of(X, features, feature_names)
    shown = plane.coordinates(X)
    xx0, xx1 = grid_around(shown, resolution)
    points = plane.points(np.column_stack([xx0.ravel(), xx1.ravel()]))
    classes, scores = class_scores(predictor, points, class_labels(y, class_names), columns)
    if class_names is None:
        class_names = [label_text(label) for label in classes.tolist()]
    elif len(class_names) != len(classes):
        raise ValueError(
            f"{len(class_names)} class names, and the predictor knows {len(classes)} classes; "
            "pass one for each of them."
        )
    return DecisionRegions(
        *(xx0, xx1, scores.reshape(*xx0.shape, -1), classes, plane, shown),
        np.searchsorted(classes, y),
        class_names,
    )


def class_scores(
    predictor: Any, points: Array, classes: NDArray[Any], columns: Any = None
) -> tuple[NDArray[Any], Array]:
    """Return all classes, including those that only the predictor knows, and scores at points.

    Args:
        predictor: as for `decision_regions`.
        points: (n, d).
        classes: the known ones, sorted.
        columns: as for `outputs`.

    Returns:
        the classes (c,), and scores (n, c), which are 1.0 and 0.0 if the predictor returns classes.

    Raises:
        ValueError: if the predictor's outputs do not match the classes, or one is not finite.

    """
    found = outputs(predictor, points, columns)
    number = are_numbers(found)
    if number and not np.isfinite(found).all():
        point = points[~np.isfinite(found).reshape(len(points), -1).all(axis=1)][0].tolist()
        raise ValueError(f"an output at {point} is not finite; train at a smaller rate.")
    if found.ndim == 2:
        classes = _scored_classes(predictor, found.shape[1], classes)
        order = np.argsort(classes)
        return classes[order], found[:, order]
    if number and are_numbers(classes) and not (found == np.round(found)).all():
        if np.array_equal(classes, [-1, 1]):
            return classes, np.column_stack([-found, found])
        raise ValueError(
            "the predictor returns one number that is no class; return a score for each class, "
            "such as [0.0, score] for two."
        )
    if number != are_numbers(classes):
        raise ValueError(
            f"the predictor returns {found[0]!r}, which is not like the class {classes[0]!r}; "
            "give it and y the same labels."
        )
    classes = np.union1d(classes, found)
    return classes, (found[:, None] == classes).astype(np.float64)


def _scored_classes(predictor: Any, count: int, classes: NDArray[Any]) -> NDArray[Any]:
    """Return the label of each column of scores."""
    own = getattr(predictor, "classes_", None)
    if own is not None and len(own) == count:
        candidate = np.asarray(own)
        if np.isin(classes, candidate).all():
            return candidate
    integers = are_numbers(classes) and np.isin(classes, np.arange(count)).all()
    if integers:
        return np.arange(count)
    if len(classes) != count:
        raise ValueError(
            f"the predictor returns {count} scores and there are {len(classes)} classes; "
            "let it return one for each."
        )
    return classes


@dataclass
class DecisionRegions:
    """The result of `decision_regions`: the scores and the drawing.

    >>> X, y = [[-1, -1], [1, 0], [0, 1]], [0, 1, 2]
    >>> regions = decision_regions(lambda p: [0.0, p[0], p[1]], X, y, resolution=5)
    >>> regions.response.shape
    (5, 5, 3)
    """

    xx0: Array
    """The first coordinate of the grid points in the plane, (resolution, resolution)."""
    xx1: Array
    """Their second coordinate."""
    response: Array
    """Their scores, (resolution, resolution, c); a point belongs to the class of the highest."""
    classes: NDArray[Any]
    """The labels of the classes, (c,)."""
    plane: Plane
    """The plane of the picture in the space of all features."""
    X: Array
    """The points that are shown, (n, 2), in the plane."""
    y: NDArray[np.int64]
    """Their classes, as indices of `classes`."""
    class_names: Sequence[str]
    """The names of the classes in the legend."""
    ax_: "Axes | None" = None
    """The axes drawn on."""
    figure_: "Figure | None" = None
    """The axes' figure, to be written to a file with `liftgrad.plot.save`."""
    artists_: "list[Artist]" = field(default_factory=list)
    """The image of the regions, and the lines around them."""

    @property
    def prediction(self) -> NDArray[np.int64]:
        """The class of each grid point, as an index of `classes`.

        >>> X, y = [[-1, -1], [1, 0], [0, 1]], [0, 1, 2]
        >>> regions = decision_regions(lambda p: [0.0, p[0], p[1]], X, y, resolution=5)
        >>> regions.prediction[0].tolist()
        [0, 0, 0, 1, 1]
        """
        return np.asarray(self.response.argmax(axis=-1))

    def plot(
        self,
        ax: "Axes | None" = None,
        *,
        title: str = "",
        size: tuple[float, float] = _SIZE,
    ) -> Self:
        """Draw; the arguments are those of `decision_regions`.

        >>> X, y = [[-1, -1], [1, 0], [0, 1]], [0, 1, 2]
        >>> regions = decision_regions(lambda p: [0.0, p[0], p[1]], X, y, resolution=5)
        >>> regions.plot(title="Again").ax_.get_title()
        'Again'
        """
        from matplotlib.figure import Figure

        own = ax is None
        ax = ax or Figure(size, layout="constrained").add_subplot()
        self.ax_, self.figure_ = ax, ax.get_figure(root=True)
        self.draw_regions(ax)
        above = draw_points(ax, self.X, self.y, self.class_names)
        ax.set(xlabel=self.plane.labels[0], ylabel=self.plane.labels[1])
        show_plane(ax, self.xx0, self.xx1)
        if own:
            make_room_for_legend(ax)
        set_title(ax, title, pad=24.0 if above else None)
        if self.plane.note:
            note = textwrap.fill(self.plane.note, letters_across(ax, "medium"))
            ax.set_xlabel(f"{self.plane.labels[0]}\n{note}")
        return self

    def draw_regions(self, ax: "Axes") -> None:
        """Draw only the regions and their boundaries.

        >>> from matplotlib.figure import Figure
        >>> X, y = [[-1, -1], [1, 0], [0, 1]], [0, 1, 2]
        >>> regions = decision_regions(lambda p: [0.0, p[0], p[1]], X, y, resolution=5)
        >>> ax = Figure().add_subplot()
        >>> regions.draw_regions(ax)
        >>> len(ax.images)
        1
        """
        from matplotlib.colors import ListedColormap

        count = len(self.classes)
        # Interpolates scores, not classes, so that oblique boundaries are straight.
        self.artists_ = [
            ax.imshow(
                _finer(self.response).argmax(axis=-1),
                cmap=ListedColormap(region_colours(count).tolist()),
                vmin=-0.5,
                vmax=count - 0.5,
                extent=extent_of(_finer(self.xx0), _finer(self.xx1)),
                origin="lower",
                interpolation="nearest",
            )
        ]
        for i in range(count):
            others = np.delete(self.response, i, axis=-1)
            lead = self.response[..., i] - others.max(axis=-1, initial=-np.inf)
            if lead.min() < 0.0 < lead.max():
                self.artists_.append(
                    ax.contour(self.xx0, self.xx1, lead, [0.0], colors="black", linewidths=0.9)
                )


def _finer(values: Array) -> Array:
    return _interpolated(_interpolated(values, 0), 1)


def _interpolated(values: Array, axis: int) -> Array:
    """Return values with linearly interpolated ones in between, along an axis."""
    count = values.shape[axis]
    at = np.linspace(0.0, count - 1.0, _FINER * (count - 1) + 1)
    below = np.minimum(at.astype(np.int64), count - 2)
    shape = [-1 if i == axis else 1 for i in range(values.ndim)]
    share = (at - below).reshape(shape)
    lower, upper = values.take(below, axis), values.take(below + 1, axis)
    return np.asarray((1.0 - share) * lower + share * upper)
