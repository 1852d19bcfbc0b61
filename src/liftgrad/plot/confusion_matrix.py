"""Confusion matrices: counts, and shares of each true class."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from liftgrad.plot.axes import axes_of, set_title
from liftgrad.plot.classes import are_numbers, class_labels, label_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def confusion_matrix(
    y_true: Any,
    y_pred: Any,
    ax: "Axes | None" = None,
    *,
    class_names: Sequence[str] | None = None,
    title: str = "",
    size: tuple[float, float] | None = None,
) -> "ConfusionMatrix":
    """Draw how often each class (row) was predicted as each class (column).

    Cells show counts and, if there is room for both, the share of their row in per cent; they are
    shaded by that share.

    Args:
        y_true: the true classes, (n,), integers or other labels.
        y_pred: the predicted ones, (n,).
        ax: where to draw; by default, a new figure.
        class_names: in the order of the classes, 0, 1, ... or the labels sorted.
        title: above the picture.
        size: of a new figure, width and height in inches.

    Raises:
        ValueError: if an argument is invalid.

    >>> confusion_matrix([0, 0, 1, 1], [0, 1, 1, 1]).counts
    array([[1, 1],
           [0, 2]])

    """
    true, predicted = np.asarray(y_true), np.asarray(y_pred)
    if true.ndim != 1 or not len(true) or predicted.shape != true.shape:
        raise ValueError(
            "a confusion matrix needs true and predicted classes of one shape (n,); "
            f"got {true.shape} and {predicted.shape}."
        )
    if are_numbers(true) != are_numbers(predicted):
        raise ValueError(
            f"{true[0]!r} and {predicted[0]!r} are not labels of one kind; "
            "give both arrays the same labels."
        )
    classes = class_labels(np.concatenate([true, predicted]), class_names)
    counts = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(counts, (np.searchsorted(classes, true), np.searchsorted(classes, predicted)), 1)
    names = [label_text(x) for x in classes.tolist()] if class_names is None else list(class_names)
    return ConfusionMatrix(counts, classes, names).plot(ax, title=title, size=size)


@dataclass
class ConfusionMatrix:
    """The result of `confusion_matrix`: the counts and the drawing.

    >>> matrix = confusion_matrix(["cat", "dog", "dog"], ["cat", "dog", "cat"])
    >>> matrix.counts.tolist(), list(matrix.class_names)
    ([[1, 0], [1, 1]], ['cat', 'dog'])
    """

    counts: NDArray[np.int64]
    """(c, c): counts[i, j] points of class i were predicted as class j."""
    classes: NDArray[Any]
    """The labels of the classes, (c,)."""
    class_names: Sequence[str]
    """Their names in the picture."""
    ax_: "Axes | None" = None
    """The axes drawn on."""
    figure_: "Figure | None" = None
    """The axes' figure, to be written to a file with `liftgrad.plot.save`."""

    @property
    def shares(self) -> NDArray[np.float64]:
        """Each count's share of its row, (c, c); 0 in the row of a class that does not occur.

        >>> confusion_matrix([0, 1, 1], [0, 1, 0]).shares.tolist()
        [[1.0, 0.0], [0.5, 0.5]]
        """
        return np.asarray(self.counts / np.maximum(self.counts.sum(axis=1, keepdims=True), 1))

    @property
    def accuracy(self) -> float:
        """The share of points whose class was predicted.

        >>> confusion_matrix([0, 1, 1, 1], [0, 1, 0, 1]).accuracy
        0.75
        """
        return float(np.trace(self.counts) / self.counts.sum())

    def plot(
        self,
        ax: "Axes | None" = None,
        *,
        title: str = "",
        size: tuple[float, float] | None = None,
    ) -> Self:
        """Draw; the arguments are those of `confusion_matrix`.

        >>> matrix = confusion_matrix([0, 1, 1], [0, 1, 0]).plot(title="Three points")
        >>> matrix.ax_.get_title()
        'Three points'
        """
        count = len(self.classes)
        side = min(3.0 + 0.3 * count, 8.5)
        (ax,) = axes_of(ax, ["a matrix"], size or (side, side))
        self.ax_, self.figure_ = ax, ax.get_figure(root=True)
        ax.imshow(self.shares, cmap="Blues", vmin=0.0, vmax=1.0)
        turned = 60 if count > 2 and max(len(name) for name in self.class_names) > 3 else 0
        # A rotated name ends below its column.
        end: dict[str, Any] = {"ha": "right", "rotation_mode": "anchor"} if turned else {}
        ax.set_xticks(range(count), self.class_names, rotation=turned, fontsize="small", **end)
        ax.set_yticks(range(count), self.class_names, fontsize="small")
        ax.tick_params(length=0.0)
        right, total = int(np.trace(self.counts)), int(self.counts.sum())
        accuracy = f"accuracy {self.accuracy:.1%}: {right:,} of {total:,}"
        ax.set(xlabel=f"predicted class\n{accuracy}", ylabel="true class")
        ax.set_xticks(np.arange(count - 1) + 0.5, minor=True)
        ax.set_yticks(np.arange(count - 1) + 0.5, minor=True)
        ax.grid(which="minor", color="white", linewidth=1.0)
        ax.tick_params(which="minor", length=0.0)
        ax.spines[:].set_visible(False)
        self._write(ax)
        set_title(ax, title)
        return self

    def _write(self, ax: "Axes") -> None:
        count = len(self.classes)
        # A cell's width in points, without the labels around the matrix.
        width = 72.0 * (ax.bbox.width / ax.figure.dpi - 0.3) / count
        digits = len(f"{self.counts.max():,}")
        shares = width >= 30.0
        font = float(np.clip(width / (0.75 * max(digits, 3.4 if shares else 1.0)), 3.5, 12.0))
        for (i, j), times in np.ndenumerate(self.counts):
            share = float(self.shares[i, j])
            text = f"{times:,}" + (f"\n{_per_cent(share)}" if shares and times else "")
            colour = "white" if share > 0.55 else "black" if times else "#9a9a9a"
            ax.text(j, i, text, ha="center", va="center", color=colour, fontsize=font)


def _per_cent(share: float) -> str:
    """Return a share as text: 0% and 100% mean exactly none and all."""
    if 0.0 < share < 0.005:
        return "<1%"
    return ">99%" if 0.995 <= share < 1.0 else f"{share:.0%}"
