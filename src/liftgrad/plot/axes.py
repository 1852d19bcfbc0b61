"""Axes to draw on: the user's, or those of a new figure."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def axes_of(
    ax: "Axes | Sequence[Axes] | None",
    what: Sequence[str],
    size: tuple[float, float],
    **layout: Any,
) -> "list[Axes]":
    """Return an axes for each drawing.

    Args:
        ax: the user's axes, a sequence of them, or None for a new figure.
        what: the names of the drawings.
        size: of the new figure, width and height in inches.
        layout: of the new figure's axes, as for `Figure.subplots`.

    Raises:
        ValueError: if the numbers of axes and drawings differ.

    """
    from matplotlib.figure import Figure

    if ax is None:
        made = Figure(size, layout="constrained").subplots(squeeze=False, **layout).ravel().tolist()
        for spare in made[len(what) :]:
            spare.remove()
        return list(made[: len(what)])
    given: list[Axes] = np.ravel(np.array(ax, dtype=object)).tolist()
    if len(given) != len(what):
        raise ValueError(
            f"there is {', '.join(what)} to draw, on {len(given)} axes; pass an axes for each."
        )
    return given


def set_title(ax: "Axes", title: str, pad: float | None = None) -> None:
    """Write a title above axes, broken into lines of their width; "" for none."""
    if title:
        letters = letters_across(ax, "large")
        lines = [textwrap.fill(line, letters) for line in title.split("\n")]
        ax.set_title("\n".join(lines), pad=pad)


def letters_across(ax: "Axes", size: str) -> int:
    """Return how many letters of a size fit into a line of the axes' width."""
    per_inch = {"medium": 13.5, "large": 11.0}[size]
    return max(16, int(per_inch * ax.get_window_extent().width / ax.figure.dpi))


def make_room_for_legend(ax: "Axes") -> None:
    """Widen the figure if the legend is beside the axes, so that these keep their size."""
    figure, legend = ax.get_figure(root=True), ax.get_legend()
    assert figure is not None
    assert legend is not None
    if legend.get_window_extent().x0 < ax.get_window_extent().x1:
        return
    width, height = figure.get_size_inches()
    figure.set_size_inches(width + legend.get_window_extent().width / figure.dpi, height)
    figure.draw_without_rendering()
    # Axes with equal units may not have filled their width.
    figure.set_size_inches(max(width, figure.get_tightbbox().width + 0.3), height)
    figure.draw_without_rendering()
