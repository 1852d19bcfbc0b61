"""The loss around a solution, along two random directions of parameter space."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from liftgrad.nn import Module
from liftgrad.numbers import plain
from liftgrad.plot.axes import axes_of
from liftgrad.plot.layers import parameter_arrays

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]
_SIZE = (5.2, 4.2)


def loss_landscape(
    loss: Callable[..., Any],
    model: Module,
    *args: Any,
    ax: "Axes | None" = None,
    span: float = 1.0,
    resolution: int = 41,
    seed: int = 0,
    title: str = "",
    size: tuple[float, float] = _SIZE,
) -> "LossLandscape":
    """Draw `loss(model, *args)` at the model's parameters + a·d₁ + b·d₂.

    The directions are random and filter-normalised (Li et al., "Visualizing the Loss Landscape of
    Neural Nets", 2018): for each neuron, a direction has the norm of its weights, so that
    landscapes of different networks are comparable. Biases do not change, and the parameters are
    restored afterwards. The picture is white where the loss is not finite.

    >>> from liftgrad import nn
    >>> model = nn.Linear(2, 1)
    >>> landscape = loss_landscape(lambda model: model([1.0, 2.0])[0] ** 2, model, resolution=5)
    >>> landscape.response.shape
    (5, 5)

    Args:
        loss: a function that returns one number; lifted ones are fast.
        model: its first argument.
        args: its other arguments, such as X and y.
        ax: where to draw; by default, a new figure.
        span: the largest a and b, in either direction.
        resolution: the number of grid points along each axis; if odd, the solution is one.
        seed: of the directions.
        title: above the picture.
        size: of a new figure, width and height in inches.

    Raises:
        ValueError: if an argument is invalid, or the loss is finite nowhere.

    """
    if resolution < 2:
        raise ValueError(f"a grid has at least 2 points either way; got resolution={resolution}.")
    if not 0.0 < span < np.inf:
        raise ValueError(f"span={span}: pass how far to go, a positive number such as 1.0.")
    parameters, directions = filter_normalised(model, seed)
    solution = [parameter.data for parameter in parameters]
    start = np.array(solution)
    steps = np.linspace(-span, span, resolution)
    xx0, xx1 = np.meshgrid(steps, steps)
    response = np.empty(xx0.shape)
    try:
        centre = plain(loss(model, *args))
        for at, _ in np.ndenumerate(response):
            moved = start + xx0[at] * directions[0] + xx1[at] * directions[1]
            for parameter, number in zip(parameters, moved.tolist(), strict=True):
                parameter.data = number
            response[at] = plain(loss(model, *args))
    finally:
        for parameter, number in zip(parameters, solution, strict=True):
            parameter.data = number
    if not np.isfinite(response).any():
        raise ValueError("the loss is not finite anywhere here; pass a smaller span.")
    return LossLandscape(xx0, xx1, response, centre, directions).plot(ax, title=title, size=size)


def filter_normalised(model: Module, seed: int) -> tuple[list[Any], Array]:
    """Return a model's parameters (n) and two random directions (2, n).

    For each row of weights, a direction has the row's norm; for other parameters it is 0.

    Raises:
        ValueError: if there are no rows of weights.

    """
    arrays = list(parameter_arrays(model).values())
    shown = [array for array in arrays if array.ndim >= 2] or [a for a in arrays if a.ndim == 1]
    if not shown:
        raise ValueError("the model has no weights to vary; pass one that has.")
    random = np.random.default_rng(seed)
    parameters: list[Any] = []
    of_arrays: list[Array] = []
    for array in shown:
        rows = array.reshape(len(array) if array.ndim >= 2 else 1, -1)
        numbers = np.array([[parameter.data for parameter in row] for row in rows])
        drawn = random.normal(size=(2, *numbers.shape))
        norms = np.linalg.norm(drawn, axis=2, keepdims=True)
        of_arrays.append(
            (drawn / norms * np.linalg.norm(numbers, axis=1, keepdims=True)).reshape(2, -1)
        )
        parameters += rows.ravel().tolist()
    return parameters, np.concatenate(of_arrays, axis=1)


@dataclass
class LossLandscape:
    """The result of `loss_landscape`: the losses and the drawing.

    >>> from liftgrad import nn
    >>> model = nn.Linear(2, 1)
    >>> landscape = loss_landscape(lambda model: model([1.0, 2.0])[0] ** 2, model, resolution=5)
    >>> bool(landscape.response[2, 2] == landscape.centre)
    True
    """

    xx0: Array
    """a at the grid points, (resolution, resolution)."""
    xx1: Array
    """b at the grid points."""
    response: Array
    """The loss at the grid points."""
    centre: float
    """The loss at the solution."""
    directions: Array
    """d₁ and d₂, (2, n), for the n weights."""
    ax_: "Axes | None" = None
    """The axes drawn on."""
    figure_: "Figure | None" = None
    """The axes' figure, to be written to a file with `liftgrad.plot.save`."""

    def plot(
        self,
        ax: "Axes | None" = None,
        *,
        title: str = "",
        size: tuple[float, float] = _SIZE,
    ) -> Self:
        """Draw; the arguments are those of `loss_landscape`.

        >>> from liftgrad import nn
        >>> model = nn.Linear(2, 1)
        >>> landscape = loss_landscape(lambda model: model([1.0, 2.0])[0] ** 2, model, resolution=5)
        >>> landscape.plot(title="Again").ax_.get_title()
        'Again'
        """
        (ax,) = axes_of(ax, ["a landscape"], size)
        self.ax_, self.figure_ = ax, ax.get_figure(root=True)
        levels, norm = self._levels()
        shown = np.ma.masked_invalid(self.response)
        filled = ax.contourf(*(self.xx0, self.xx1, shown), levels, cmap="viridis", norm=norm)
        lines = ax.contour(
            *(self.xx0, self.xx1, shown), levels[::2], colors="black", linewidths=0.6, norm=norm
        )
        if levels[0] < levels[-1]:
            ax.clabel(lines, fontsize="x-small", fmt="%.2g")
        ax.plot(
            *(0.0, 0.0, "*"),
            markersize=13.0,
            color="white",
            markeredgecolor="black",
            label=f"solution, loss {self.centre:.3g}",
        )
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False, fontsize="small")
        ax.set(aspect="equal", ylabel="direction 2")
        ax.set_xlabel("direction 1\nboth filter-normalised")
        ax.locator_params(nbins=5)
        ax.figure.colorbar(filled, ax=ax, label="loss", format="%.2g", shrink=0.9)
        if title:
            ax.set_title(title, pad=24.0)  # above the legend
        return self

    def _levels(self) -> tuple[Array, Any]:
        """Return contour levels and the colour scale: logarithmic over a decade or more."""
        from matplotlib.colors import LogNorm, Normalize

        finite = self.response[np.isfinite(self.response)]
        low, high = float(finite.min()), float(finite.max())
        if low == high:
            return np.array([low, np.nextafter(low, np.inf)]), None
        if low > 0.0 and high > 10.0 * low:
            return np.geomspace(low, high, 18), LogNorm(low, high)
        return np.linspace(low, high, 18), Normalize(low, high)
