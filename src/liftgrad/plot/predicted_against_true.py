"""Predicted numbers against true ones."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from liftgrad.plot.axes import axes_of, set_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]
_SIZE = (5.0, 4.6)
_EMPTY = 0.05
"""The margin on each side, as a fraction of the range."""


def predicted_against_true(
    y_true: Any,
    y_pred: Any,
    ax: "Axes | None" = None,
    *,
    name: str = "",
    title: str = "",
    size: tuple[float, float] = _SIZE,
) -> "PredictedAgainstTrue":
    """Draw predicted against true numbers, a point for each row.

    On the diagonal they are equal. Both axes have the same range, that of all numbers.

    Args:
        y_true: the true numbers, (n,).
        y_pred: what was predicted for them, (n,).
        ax: where to draw; by default, a new figure.
        name: of the predicted quantity, for the axes.
        title: above the picture.
        size: of a new figure, width and height in inches.

    Raises:
        ValueError: if an argument is invalid, or a number is not finite.

    >>> drawn = predicted_against_true([1, 2, 3], [1.1, 1.9, 3.3])
    >>> round(drawn.rmse, 3), drawn.ax_.get_xlabel()
    (0.191, 'true')

    """
    true, predicted = np.asarray(y_true, np.float64), np.asarray(y_pred, np.float64)
    if true.ndim != 1 or not len(true) or predicted.shape != true.shape:
        raise ValueError(
            "a picture of predictions needs true and predicted numbers of one shape (n,); "
            f"got {true.shape} and {predicted.shape}."
        )
    if not (np.isfinite(true).all() and np.isfinite(predicted).all()):
        raise ValueError("there are numbers that are not finite; drop their rows.")
    return PredictedAgainstTrue(true, predicted, name).plot(ax, title=title, size=size)


@dataclass
class PredictedAgainstTrue:
    """The result of `predicted_against_true`: the numbers and the drawing.

    >>> drawn = predicted_against_true([1, 2, 3], [1.1, 1.9, 3.3])
    >>> drawn.y_true.tolist(), drawn.y_pred.tolist()
    ([1.0, 2.0, 3.0], [1.1, 1.9, 3.3])
    """

    y_true: Array
    """The true numbers, (n,)."""
    y_pred: Array
    """The predicted ones, (n,)."""
    name: str = ""
    """The predicted quantity."""
    ax_: "Axes | None" = None
    """The axes drawn on."""
    figure_: "Figure | None" = None
    """The axes' figure, to be written to a file with `liftgrad.plot.save`."""

    @property
    def rmse(self) -> float:
        """The root of the mean squared error, in the numbers' unit.

        >>> predicted_against_true([1.0, 2.0], [2.0, 3.0]).rmse
        1.0
        """
        return float(np.sqrt(np.mean((self.y_pred - self.y_true) ** 2)))

    def plot(
        self,
        ax: "Axes | None" = None,
        *,
        title: str = "",
        size: tuple[float, float] = _SIZE,
    ) -> Self:
        """Draw; the arguments are those of `predicted_against_true`.

        >>> predicted_against_true([1, 2, 3], [1.1, 1.9, 3.3]).plot(title="Again").ax_.get_title()
        'Again'
        """
        (ax,) = axes_of(ax, ["predictions"], size)
        self.ax_, self.figure_ = ax, ax.get_figure(root=True)
        every = np.concatenate([self.y_true, self.y_pred])
        extent = float(np.ptp(every)) or 1.0
        low, high = every.min() - _EMPTY * extent, every.max() + _EMPTY * extent
        # Transparent, so that overlapping points are darker.
        count = len(self.y_true)
        ax.scatter(
            *(self.y_true, self.y_pred),
            s=float(np.clip(420.0 / np.sqrt(count), 6.0, 30.0)),
            color="#2a5ea8",
            alpha=float(np.clip(16.0 / np.sqrt(count), 0.25, 0.75)),
            edgecolor="none",
            rasterized=count > 5000,
            zorder=2,
        )
        ax.plot([low, high], [low, high], color="black", linewidth=1.0, zorder=3)
        ax.set(xlim=(low, high), ylim=(low, high), aspect="equal")
        ax.locator_params(nbins=6)
        of = f" {self.name}" if self.name else ""
        ax.set(xlabel=f"true{of}", ylabel=f"predicted{of}")
        ax.grid(color="#e4e4e4", linewidth=0.7)
        ax.set_axisbelow(True)
        set_title(ax, title)
        return self
