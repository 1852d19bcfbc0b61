"""Training curves: the loss and other quantities by step or by epoch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from liftgrad.numbers import plain
from liftgrad.plot.axes import axes_of, set_title
from liftgrad.trainer.history import is_rate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]
_LONG = 200
"""From this many steps on a curve is drawn smoothed, over the pale original."""
_VALIDATION = "validation_"
_TRAINING_STYLE: dict[str, Any] = {"color": "#12305f", "linewidth": 1.6}
_VALIDATION_STYLE: dict[str, Any] = {"color": "#e07000", "linewidth": 1.6, "linestyle": (0, (5, 2))}
_PALE: dict[str, Any] = {"color": "#afc3de", "linewidth": 0.7}


def training_curves(
    history: Any,
    ax: "Axes | Sequence[Axes] | None" = None,
    *,
    quantities: Sequence[str] | None = None,
    title: str = "",
    size: tuple[float, float] | None = None,
) -> "TrainingCurves":
    """Draw the quantities of a history, each on its own axes.

    The scale is logarithmic where a quantity is positive and spans more than two decades. Curves of
    validation data are dashed. A long curve is drawn smoothed, by an exponential moving average
    over about 1/50 of it, on top of the original.

    Args:
        history: the result of `Trainer.fit` or `Trainer.run`; any other object with `loss`, the
            loss before each step, and perhaps a method `table` that returns arrays by epoch:
            "epoch", "step", "loss", "validation_loss", and other quantities; such a mapping; or
            just the losses.
        ax: where to draw: one axes, or one for each quantity; by default, a new figure.
        quantities: what to draw, such as ("loss", "accuracy", "lr"); by default, the loss if one
            axes is given, otherwise everything but learning rates: "lr" and those of groups of
            parameters, "lr_0", "lr_1", ...
        title: above the picture.
        size: of a new figure, width and height in inches.

    Raises:
        ValueError: if there is nothing to draw, or a quantity is unknown.

    >>> curves = training_curves([1.0, 0.5, 0.25], title="Three steps")
    >>> curves.curves["loss"][1].tolist()
    [1.0, 0.5, 0.25]

    """
    curves, unit = _curves(history)
    known = [name for name in curves if not name.startswith(_VALIDATION)]
    if quantities is None:
        alone = ax is not None and np.ndim(np.array(ax, dtype=object)) == 0
        quantities = known[:1] if alone else [name for name in known if not is_rate(name)]
    for name in quantities:
        if name not in known:
            raise ValueError(f"the history holds no {name!r}; choose from {', '.join(known)}.")
    chosen = {
        name: curves[name] for q in quantities for name in (q, _VALIDATION + q) if name in curves
    }
    if not any(len(values) for _, values in chosen.values()):
        raise ValueError("the history is empty; train for a step or more first.")
    return TrainingCurves(chosen, unit).plot(ax, title=title, size=size)


def _curves(history: Any) -> tuple[dict[str, tuple[Array, Array]], str]:
    """Return abscissae and ordinates by name, the loss first, and the unit of the abscissae."""
    losses = getattr(history, "loss", None)
    table = history.table() if hasattr(history, "table") else history
    measured = isinstance(table, Mapping) and any(len(column) for column in table.values())
    if isinstance(table, Mapping) and (measured or losses is None):
        if not measured:
            raise ValueError("the history is empty; train for an epoch or more first.")
        columns = {name: _numbers(column) for name, column in table.items()}
        epochs = columns.pop("epoch", np.arange(1.0, 1.0 + len(next(iter(columns.values())))))
        columns.pop("step", None)
        ordered = sorted(columns, key=lambda name: not name.endswith("loss"))
        return {name: (epochs, columns[name]) for name in ordered}, "epoch"
    numbers = _numbers(history if losses is None else losses)
    if numbers.ndim != 1:
        raise ValueError(
            f"losses of shape {numbers.shape}; pass one for each step, or a Trainer's history."
        )
    return {"loss": (np.arange(float(len(numbers))), numbers)}, "step"


def _numbers(column: Any) -> Array:
    """Return numbers, or Values such as the results of a lifted loss, as an array of floats."""
    array = np.asarray(column)
    if array.dtype == object and array.size:
        array = np.vectorize(plain)(array)
    return array.astype(np.float64)


def smoothed(values: Array) -> Array:
    """Return an exponential moving average over about 1/50 of the values, (n,).

    Its bias is corrected as in Kingma & Ba (2015), so that it starts as a plain mean.
    """
    keep = 1.0 - min(1.0, 50.0 / max(len(values), 1))
    averages = np.empty(len(values))
    total = weight = 0.0
    for i, value in enumerate(values.tolist()):
        if np.isfinite(value):
            total, weight = keep * total + (1.0 - keep) * value, keep * weight + (1.0 - keep)
        averages[i] = total / weight if weight else np.nan
    return averages


@dataclass
class TrainingCurves:
    """The result of `training_curves`: the curves and the drawing.

    >>> curves = training_curves([1.0, 0.5, 0.25])
    >>> curves.unit, list(curves.curves)
    ('step', ['loss'])
    """

    curves: dict[str, tuple[Array, Array]]
    """Steps or epochs, and values, by the quantity's name."""
    unit: str
    """The unit of the first array of each pair: "step" or "epoch"."""
    axes_: "list[Axes]" = field(default_factory=list)
    """The axes drawn on, one for each quantity."""
    figure_: "Figure | None" = None
    """The axes' figure, to be written to a file with `liftgrad.plot.save`."""

    @property
    def ax_(self) -> "Axes":
        """The first of the axes, that of the loss.

        >>> training_curves([1.0, 0.5, 0.25]).ax_.get_ylabel()
        'loss'
        """
        return self.axes_[0]

    def plot(
        self,
        ax: "Axes | Sequence[Axes] | None" = None,
        *,
        title: str = "",
        size: tuple[float, float] | None = None,
    ) -> Self:
        """Draw; the arguments are those of `training_curves`.

        >>> training_curves([1.0, 0.5, 0.25]).plot(title="Again").ax_.get_title()
        'Again'
        """
        names = [name for name in self.curves if not name.startswith(_VALIDATION)]
        size = size or (5.6, 1.2 + 2.0 * len(names))
        self.axes_ = axes_of(ax, names, size, nrows=len(names), sharex=True)
        self.figure_ = self.axes_[0].get_figure(root=True)
        for name, axes in zip(names, self.axes_, strict=True):
            self._draw(axes, name)
        self.axes_[-1].set_xlabel(self.unit)
        self.axes_[-1].locator_params(axis="x", integer=True)
        set_title(self.axes_[0], title)
        return self

    def _draw(self, ax: "Axes", name: str) -> None:
        steps, values = self.curves[name]
        validation = self.curves.get(_VALIDATION + name)
        # Few epochs have markers; of many, the line suffices.
        marker = "o" if self.unit == "epoch" and len(steps) <= 30 else ""
        if len(values) >= _LONG:
            ax.plot(steps, values, **_PALE, label="each " + self.unit)
            ax.plot(steps, smoothed(values), **_TRAINING_STYLE, label="smoothed")
        else:
            label = "training" if validation else name
            ax.plot(steps, values, **_TRAINING_STYLE, marker=marker, markersize=3.5, label=label)
        if validation:
            ax.plot(
                *validation, **_VALIDATION_STYLE, marker=marker, markersize=3.5, label="validation"
            )
        shown = values if validation is None else np.concatenate([values, validation[1]])
        shown = shown[np.isfinite(shown)]
        if len(shown) and shown.min() > 0.0 and shown.max() > 100.0 * shown.min():
            ax.set_yscale("log")
        ax.set_ylabel(name.replace("_", " "))
        ax.grid(color="#e4e4e4", linewidth=0.6)
        ax.set_axisbelow(True)
        if len(ax.get_lines()) > 1:
            ax.legend(frameon=False, fontsize="small")
