"""Axes to draw on: those given, or those of a new figure."""

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
