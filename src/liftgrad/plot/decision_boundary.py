"""The decision boundary of two classes in the plane, with the score as shading and the points."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from liftgrad.plot.axes import set_title
from liftgrad.plot.classes import are_numbers
from liftgrad.plot.outputs import outputs
from liftgrad.plot.plane import extent_of, grid_around, show_plane

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

# Colour-blind readers can distinguish blue and orange. All of the blue side is darker than all of
# the orange side, so that the classes differ in grey copies.
_NEGATIVE_SIDE = ["#5b83bb", "#afc3de"]  # far from the boundary, at the boundary
_POSITIVE_SIDE = ["#fff3df", "#fdc877"]  # at the boundary, far from it
_POINTS: dict[float, dict[str, Any]] = {
    -1.0: {"marker": "o", "s": 26.0, "color": "#12305f", "edgecolor": "white"},
    1.0: {"marker": "^", "s": 34.0, "color": "#f28e1c", "edgecolor": "black"},
}


def decision_boundary(
    score: Callable[[Any], Any],
    X: Any,
    y: Any,
    ax: "Axes | None" = None,
    *,
    resolution: int = 100,
    title: str = "",
    size: tuple[float, float] = (6.4, 3.6),
) -> "DecisionBoundary":
    """Draw a score over the plane, whose sign is the class, and the points.

    The lines are where the score is 0, the decision boundary, and where it is ±1, the margins of
    `losses.hinge`.

    >>> boundary = decision_boundary(lambda p: p[0], [[1, 0], [-1, 0]], [1, -1], resolution=5)
    >>> boundary.response.shape
    (5, 5)

    Args:
        score: a function of a point, such as a model; positive for class 1.0.
        X: points, (n, 2).
        y: their classes, (n,), each 1.0 or -1.0.
        ax: where to draw; by default, a new figure.
        resolution: the number of grid points along each axis.
        title: above the picture.
        size: of a new figure, width and height in inches.

    Raises:
        ValueError: if `X`, `y` or `resolution` is invalid, or a score is nan or infinite.

    """
    X, y = np.asarray(X, np.float64), np.asarray(y, np.float64)
    if X.ndim != 2 or X.shape[1] != 2 or not len(X) or y.shape != X.shape[:1]:
        raise ValueError(
            "a decision boundary needs points of shape (n, 2) and classes of shape (n,); "
            f"got {X.shape} and {y.shape}."
        )
    if not np.isin(y, (-1.0, 1.0)).all():
        raise ValueError("the classes of a decision boundary are 1.0 and -1.0; pass them as these.")
    xx0, xx1 = grid_around(X, resolution)
    response = _scores(score, np.column_stack([xx0.ravel(), xx1.ravel()])).reshape(xx0.shape)
    return DecisionBoundary(xx0, xx1, response, X, y).plot(ax, title=title, size=size)


def _scores(score: Callable[[Any], Any], points: Array) -> Array:
    scores = outputs(score, points)
    if scores.ndim > 1:
        raise ValueError(
            "a decision boundary is drawn of one score for each point, and there are "
            f"{scores.shape[1]}; draw them with decision_regions."
        )
    if not are_numbers(scores):
        raise ValueError(f"the score {scores[0]!r} is not a number; let the function return one.")
    if not np.isfinite(scores).all():
        point = points[np.argmin(np.isfinite(scores))].tolist()
        raise ValueError(
            f"the score at {point} is not a finite number; train the model at a smaller rate."
        )
    return scores


@dataclass
class DecisionBoundary:
    """The result of `decision_boundary`: the scores and the drawing.

    >>> boundary = decision_boundary(lambda p: p[0], [[1, 0], [-1, 0]], [1, -1], resolution=5)
    >>> bool((boundary.response == boundary.xx0).all())
    True
    """

    xx0: Array
    """The first coordinate of the grid points, (resolution, resolution)."""
    xx1: Array
    """Their second coordinate."""
    response: Array
    """Their score."""
    X: Array
    """The points that are shown."""
    y: Array
    """Their classes."""
    ax_: "Axes | None" = None
    """The axes drawn on."""
    figure_: "Figure | None" = None
    """The axes' figure, to be written to a file with `liftgrad.plot.save`."""

    def plot(
        self,
        ax: "Axes | None" = None,
        *,
        title: str = "",
        size: tuple[float, float] = (6.4, 3.6),
    ) -> Self:
        """Draw; the arguments are those of `decision_boundary`.

        >>> boundary = decision_boundary(lambda p: p[0], [[1, 0], [-1, 0]], [1, -1], resolution=5)
        >>> boundary.plot(title="Again").ax_.get_title()
        'Again'
        """
        from matplotlib.figure import Figure

        if ax is None:
            ax = Figure(size, layout="constrained").add_subplot()
        self.ax_, self.figure_ = ax, ax.get_figure(root=True)
        ax.set(xlabel="$x_0$", ylabel="$x_1$")
        self._draw_shading(ax)
        self._draw_points(ax)
        self._draw_lines(ax)
        show_plane(ax, self.xx0, self.xx1)
        rows = 1 if ax.figure.bbox.width / ax.figure.dpi >= 5.0 else 2
        ax.legend(
            loc="lower center",
            bbox_to_anchor=(0.5, 1.0),
            ncols=4 // rows,
            frameon=False,
            fontsize="small",
            handletextpad=0.4,
            columnspacing=1.5,
        )
        set_title(ax, title, pad=12.0 + 14.0 * rows)  # above the legend
        return self

    def _draw_shading(self, ax: "Axes") -> None:
        from matplotlib.colors import LinearSegmentedColormap, ListedColormap, Normalize

        sides = [LinearSegmentedColormap.from_list("", c) for c in (_NEGATIVE_SIDE, _POSITIVE_SIDE)]
        shades = ListedColormap(np.vstack([side(np.linspace(0.0, 1.0, 128)) for side in sides]))
        # Scores grow without bound away from the points; the shades are for those nearby.
        limit = max(2.0, float(np.ceil(np.quantile(np.abs(self.response), 0.75))))
        image = ax.imshow(
            self.response,
            cmap=shades,
            norm=Normalize(-limit, limit),
            extent=extent_of(self.xx0, self.xx1),
            origin="lower",
            interpolation="bilinear",
            interpolation_stage="data",
        )
        beside = ax.inset_axes((1.03, 0.0, 0.03, 1.0))
        ax.figure.colorbar(image, cax=beside, extend="both", extendfrac=0.03, label="score")

    def _draw_lines(self, ax: "Axes") -> None:
        for levels, label, width, style in (
            ((0.0,), "score = 0", 2.2, "solid"),
            ((-1.0, 1.0), "score = ±1", 1.0, "dashed"),
        ):
            crossed = [c for c in levels if self.response.min() < c < self.response.max()]
            if crossed:
                ax.contour(
                    *(self.xx0, self.xx1, self.response),
                    crossed,
                    colors="black",
                    linewidths=width,
                    linestyles=style,
                )
            ax.plot([], [], color="black", linewidth=width, linestyle=style, label=label)

    def _draw_points(self, ax: "Axes") -> None:
        for label, style in _POINTS.items():
            points = self.X[self.y == label]
            ax.scatter(*points.T, **style, linewidth=0.7, zorder=3, label=f"$y = {label:+.0f}$")
