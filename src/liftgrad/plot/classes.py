"""The style of classes: a colour, a lightness and a marker each, the same in every picture."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Petroff, "Accessible color sequences for data visualization", 2021: colour-blind readers can
# distinguish them. In grey, markers and the lightness of regions differ.
_COLOURS = (
    *("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6"),
    *("#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"),
)
_MARKERS = ("o", "^", "s", "D", "v", "P", "X", "p", "<", ">")
_MOST_CLASSES = len(_COLOURS) * len(_MARKERS)
_LUMINANCE = np.array([0.299, 0.587, 0.114])


def class_styles(count: int) -> list[dict[str, Any]]:
    """Return the colour, edge and marker of each class, as `scatter` takes them.

    From the eleventh class on, colours repeat with other markers.
    """
    from matplotlib.colors import to_rgb

    styles = []
    for i in range(count):
        colour = _COLOURS[i % len(_COLOURS)]
        marker = _MARKERS[(i + i // len(_COLOURS)) % len(_MARKERS)]
        edge = "black" if np.array(to_rgb(colour)) @ _LUMINANCE > 0.5 else "white"
        styles.append({"color": colour, "edgecolor": edge, "marker": marker})
    return styles


def region_colours(count: int) -> NDArray[np.float64]:
    """Return the pale colours (count, 3) of regions, evenly spaced in lightness."""
    from matplotlib.colors import to_rgb

    colours = np.array([to_rgb(style["color"]) for style in class_styles(count)])
    luminance = colours @ _LUMINANCE
    wanted = np.empty(count)
    wanted[np.argsort(luminance, kind="stable")] = np.linspace(
        max(0.7, 0.8 - 0.01 * count), 0.95, count
    )
    white = np.clip((wanted - luminance) / (1.0 - luminance), 0.0, 1.0)[:, None]
    return np.asarray(colours + white * (1.0 - colours))


def draw_points(ax: "Axes", X: NDArray[Any], y: NDArray[Any], names: Sequence[str]) -> bool:
    """Draw points (n, 2), each with the marker of its class, and a legend of all classes.

    Args:
        ax: where to draw.
        X: points, (n, 2).
        y: the index of each point's class, (n,).
        names: of the classes.

    Returns:
        whether the legend is above the picture; a long one is beside it.

    """
    from matplotlib.collections import PathCollection

    size = float(np.clip(420.0 / np.sqrt(max(len(X), 1)), 9.0, 30.0))
    groups = []
    for i, (name, style) in enumerate(zip(names, class_styles(len(names)), strict=True)):
        x0, x1 = X[y == i].T
        look = {**style, "s": size, "linewidth": size / 45.0, "zorder": 3}
        groups.append(ax.scatter(x0, x1, **look, label=name))
    layout: dict[str, Any]
    above = sum(len(name) + 6 for name in names) <= 45
    if above:
        layout = {
            "loc": "lower center",
            "bbox_to_anchor": (0.5, 1.0),
            "ncols": len(names),
        }
    else:
        columns = -(-len(names) // 12)
        layout = {
            "loc": "center left",
            "bbox_to_anchor": (1.0, 0.5),
            "ncols": columns,
        }
    layout |= {"frameon": False, "fontsize": "small", "handletextpad": 0.3, "columnspacing": 1.2}
    # Set later, since a legend leaves out names that begin with an underscore.
    legend = ax.legend(groups, [str(i) for i in range(len(groups))], **layout)
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(name)
    for handle in legend.legend_handles:
        if isinstance(handle, PathCollection):
            handle.set_sizes([26.0])
    return above


def class_labels(y: NDArray[Any], class_names: Sequence[str] | None = None) -> NDArray[Any]:
    """Return the distinct labels in `y`, sorted; or 0, 1, ..., one for each name.

    Raises:
        ValueError: if the numbers of names and labels differ, or there are too many to draw.

    """
    found = np.unique(y)
    if len(found) > _MOST_CLASSES:
        raise ValueError(
            f"there are {len(found):,} different labels, which is too many to draw; pass classes, "
            f"{_MOST_CLASSES} at most."
        )
    if class_names is None or len(class_names) == len(found):
        return found
    numbers = np.arange(len(class_names))
    if are_numbers(found) and np.isin(found, numbers).all():
        return numbers
    raise ValueError(
        f"{len(class_names)} class names for {len(found)} classes; pass one for each of them."
    )


def are_numbers(labels: NDArray[Any]) -> bool:
    """Return whether labels are numbers, or True and False."""
    return bool(np.issubdtype(labels.dtype, np.number) or labels.dtype == bool)


def label_text(label: Any) -> str:
    """Return a class label as text: 1.0 is written 1."""
    number = isinstance(label, float) and float(label).is_integer()
    return str(int(label)) if number else plain_text(str(label))


def plain_text(text: str) -> str:
    """Return text that is drawn literally, without formulas between dollar signs."""
    return text.replace("$", r"\$")
