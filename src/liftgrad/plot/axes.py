"""Axes to draw on: those given, or those of a new figure."""

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
    """Return one axes for each thing to draw.

    Args:
        ax: the user's axes, a sequence of them, or None for those of a new figure.
        what: the things' names.
        size: of the new figure, width and height in inches.
        layout: how the new figure's axes lie, as for `Figure.subplots`.

    Raises:
        ValueError: if there are not as many axes as things to draw.

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
    """Write a title above axes, in lines that are not wider than they are; "" is none."""
    if title:
        letters = letters_across(ax, "large")
        lines = [textwrap.fill(line, letters) for line in title.split("\n")]
        ax.set_title("\n".join(lines), pad=pad)


def letters_across(ax: "Axes", size: str) -> int:
    """Return how many letters of a size have room in a line as wide as axes."""
    per_inch = {"medium": 13.5, "large": 11.0}[size]
    return max(16, int(per_inch * ax.get_window_extent().width / ax.figure.dpi))


def make_room_for_legend(ax: "Axes") -> None:
    """Widen the figure of axes so that a legend beside them takes nothing from them.

    A legend above them does not.
    """
    figure, legend = ax.get_figure(root=True), ax.get_legend()
    assert figure is not None
    assert legend is not None
    if legend.get_window_extent().x0 < ax.get_window_extent().x1:
        return
    width, height = figure.get_size_inches()
    figure.set_size_inches(width + legend.get_window_extent().width / figure.dpi, height)
    figure.draw_without_rendering()
    # Axes of equal units may not have filled the width that they had.
    figure.set_size_inches(max(width, figure.get_tightbbox().width + 0.3), height)
    figure.draw_without_rendering()
