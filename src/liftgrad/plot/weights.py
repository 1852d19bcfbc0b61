"""A model's weights by layer, as heat maps or as images."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from liftgrad.nn import Module
from liftgrad.numbers import plain
from liftgrad.plot.axes import axes_of
from liftgrad.plot.layers import parameter_arrays

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]
_SIGNED = ["#12305f", "#6f94c6", "#ffffff", "#fdb863", "#d95f02"]
"""The negative end is darker than the positive one, so that they differ in grey copies."""


def weights(
    model: Any,
    ax: "Axes | Sequence[Axes] | None" = None,
    *,
    layer: str | None = None,
    image_shape: tuple[int, int] | None = None,
    title: str = "",
    size: tuple[float, float] | None = None,
) -> "Weights":
    """Draw arrays of weights: neurons are rows, inputs are columns, white is 0.

    Args:
        model: a Module, whose parameters in arrays of two or more dimensions are drawn; or one
            array of numbers or Values, (neurons, inputs).
        ax: where to draw: an axes for each array; by default, a new figure.
        layer: draw only the arrays of this layer, such as "layers.0".
        image_shape: (height, width) of images; neurons with height·width inputs are drawn as images
            of their weights, and other arrays are left out.
        title: above the picture.
        size: of a new figure, width and height in inches.

    Raises:
        ValueError: if there are no such weights.

    >>> weights([[1.0, -2.0], [0.5, 0.0]]).arrays["weights"].shape
    (2, 2)

    """
    if isinstance(model, Module):
        found = {name: array for name, array in parameter_arrays(model).items() if array.ndim >= 2}
    else:
        found = {"weights": np.asarray(model, dtype=object)}
        if found["weights"].ndim < 2 or not found["weights"].size:
            raise ValueError(
                f"weights of shape {found['weights'].shape}; pass a model or (neurons, inputs)."
            )
    names = list(found)
    if layer is not None:
        names = [name for name in found if f"{name}.".startswith(f"{layer}.")]
        if not names:
            raise ValueError(
                f"there are no weights called {layer!r}; choose from {', '.join(found)}."
            )
    arrays = {name: _matrix(found[name]) for name in names}
    if image_shape is not None:
        pixels = image_shape[0] * image_shape[1]
        arrays = {name: array for name, array in arrays.items() if array.shape[1] == pixels}
    if not arrays:
        what = "weights in rows" if image_shape is None else f"neurons with {pixels} inputs"
        raise ValueError(f"there are no {what} to draw; choose another model, layer or shape.")
    return Weights(arrays, image_shape).plot(ax, title=title, size=size)


def _matrix(array: NDArray[Any]) -> Array:
    """Return an array's numbers with a row for each neuron."""
    numbers = np.array([plain(x) for x in array.ravel()]).reshape(len(array), -1)
    if not np.isfinite(numbers).all():
        raise ValueError("there are weights that are not finite; train at a smaller rate.")
    return numbers


@dataclass
class Weights:
    """The result of `weights`: the arrays and the drawing.

    >>> shown = weights([[1.0, -2.0], [0.5, 0.0]])
    >>> shown.arrays["weights"].tolist(), len(shown.axes_)
    ([[1.0, -2.0], [0.5, 0.0]], 1)
    """

    arrays: dict[str, Array]
    """The weights, (neurons, inputs), by name."""
    image_shape: tuple[int, int] | None
    """The height and width of the images; None: heat maps."""
    axes_: "list[Axes]" = field(default_factory=list)
    """The axes drawn on, one for each array."""
    figure_: "Figure | None" = None
    """The axes' figure, to be written to a file with `liftgrad.plot.save`."""

    @property
    def ax_(self) -> "Axes":
        """The first of the axes.

        >>> shown = weights([[1.0, -2.0], [0.5, 0.0]])
        >>> shown.ax_ is shown.axes_[0]
        True
        """
        return self.axes_[0]

    def plot(
        self,
        ax: "Axes | Sequence[Axes] | None" = None,
        *,
        title: str = "",
        size: tuple[float, float] | None = None,
    ) -> Self:
        """Draw; the arguments are those of `weights`.

        >>> weights([[1.0, -2.0], [0.5, 0.0]]).plot(title="Again").ax_.get_title()
        'Again'
        """
        columns = min(len(self.arrays), 3)
        rows = -(-len(self.arrays) // columns)
        size = size or (1.2 + 3.2 * columns, 0.4 + 2.8 * rows)
        self.axes_ = axes_of(ax, list(self.arrays), size, nrows=rows, ncols=columns)
        self.figure_ = self.axes_[0].get_figure(root=True)
        for (name, array), axes in zip(self.arrays.items(), self.axes_, strict=True):
            self._draw(axes, name, array)
        if title:
            if len(self.axes_) > 1 and ax is None and self.figure_ is not None:
                self.figure_.suptitle(title)
            else:
                self.axes_[0].set_title(title)
        return self

    def _draw(self, ax: "Axes", name: str, array: Array) -> None:
        from matplotlib.colors import LinearSegmentedColormap

        limit = float(np.abs(array).max()) or 1.0
        shown = array if self.image_shape is None else tiles(array, self.image_shape)
        colours = LinearSegmentedColormap.from_list("", _SIGNED)
        image = ax.imshow(
            shown,
            cmap=colours.with_extremes(bad="#b5b5b5"),  # between images
            vmin=-limit,
            vmax=limit,
            interpolation="nearest",
            aspect="auto" if self.image_shape is None else "equal",
        )
        ax.set_title(name, fontsize="medium")
        if self.image_shape is None:
            ax.set(xlabel="input", ylabel="neuron")
            room = ax.bbox.width / ax.figure.dpi
            ax.locator_params(axis="x", integer=True, nbins=max(1, min(6, int(3.0 * room))))
            ax.locator_params(axis="y", integer=True, nbins=6, min_n_ticks=1)
        else:
            ax.set_axis_off()
        flat = 1.0 if self.image_shape is None else min(1.0, shown.shape[0] / shown.shape[1])
        ax.figure.colorbar(image, ax=ax, shrink=flat)


def tiles(array: Array, shape: tuple[int, int]) -> Array:
    """Return rows (n, height·width) as images in a grid, separated by nan."""
    height, width = shape
    about = int(np.ceil(np.sqrt(len(array) * height / width)))
    columns = min(range(about, about + 4), key=lambda columns: -len(array) % columns)
    lines = -(-len(array) // columns)
    grid = np.full((lines * (height + 1) - 1, columns * (width + 1) - 1), np.nan)
    for i, row in enumerate(array):
        top, left = (i // columns) * (height + 1), (i % columns) * (width + 1)
        grid[top : top + height, left : left + width] = row.reshape(shape)
    return grid
