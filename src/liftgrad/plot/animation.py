"""Decision regions while a classifier is trained, as an animated GIF."""

import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from liftgrad import files
from liftgrad.plot.axes import axes_of, make_room_for_legend
from liftgrad.plot.decision_regions import DecisionRegions, compute_regions

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from PIL.Image import Image

_LAST = 1.5
"""How many seconds the last frame stays before the animation repeats."""


class BoundaryAnimation:
    """Captures frames of a classifier's decision regions and makes a GIF of them.

    Pass it as a callback, which is called after each epoch, or call `capture`:

    >>> def score(point):
    ...     return point[0] - threshold
    >>> film = BoundaryAnimation(score, [[0.0, 0.0], [1.0, 1.0]], [-1, 1], resolution=5)
    >>> for threshold in (0.1, 0.3, 0.5):
    ...     film.capture(f"threshold {threshold}")
    >>> [text for text, _ in film.frames]
    ['threshold 0.1', 'threshold 0.3', 'threshold 0.5']

    Args:
        predictor: as for `decision_regions`; it is called again for each frame.
        X: points, (n, d).
        y: their classes, (n,).
        ax: where to draw; by default, a new figure.
        features: as for `decision_regions`.
        class_names: as for `decision_regions`.
        feature_names: as for `decision_regions`.
        resolution: the number of grid points along each axis.
        size: of a new figure, width and height in inches.

    """

    def __init__(
        self,
        predictor: Any,
        X: Any,
        y: Any,
        ax: "Axes | None" = None,
        *,
        features: tuple[int, int] | None = None,
        class_names: Sequence[str] | None = None,
        feature_names: Sequence[str] | None = None,
        resolution: int = 60,
        size: tuple[float, float] = (4.8, 3.6),
    ) -> None:
        self._arguments = (predictor, X, y, features, class_names, feature_names, resolution)
        self._ax, self._size = ax, size
        self.frames: list[tuple[str, DecisionRegions]] = []
        """The text above each frame, and its regions."""
        self.ax_: Axes | None = None
        """The axes drawn on, after `save`."""
        self.figure_: Figure | None = None
        """The axes' figure."""

    def __call__(self, *_: Any) -> None:
        """Capture the frame after an epoch, numbered from 1."""
        self.capture(f"epoch {len(self.frames) + 1}")

    def capture(self, text: str = "") -> None:
        """Capture a frame of the classifier's present regions, with a text above.

        >>> X, y = [[1.0, 0.0], [-1.0, 0.0]], [1, -1]
        >>> film = BoundaryAnimation(lambda point: point[0], X, y, resolution=5)
        >>> film.capture("at first")
        >>> [text for text, _ in film.frames]
        ['at first']

        Raises:
            ValueError: as for `decision_regions`.
            TypeError: as for `decision_regions`.

        """
        self.frames.append((text, compute_regions(*self._arguments)))

    def save(
        self, path: str | os.PathLike[str], *, frames_per_second: int = 10, dpi: float = 100.0
    ) -> None:
        """Write the frames to a GIF, which repeats forever; each frame clears the axes.

        An existing file is left as it is until the new one is complete.

        >>> X, y = [[1.0, 0.0], [-1.0, 0.0]], [1, -1]
        >>> film = BoundaryAnimation(lambda point: point[0], X, y, resolution=5)
        >>> film.capture("at first")
        >>> film.save("film.gif", dpi=50.0)

        Raises:
            ValueError: if there are no frames, or the name does not end in .gif.
            OSError: if the file cannot be written.

        """
        if not self.frames:
            raise ValueError("the animation has no frames; call it while training, then save it.")
        if Path(path).suffix.lower() != ".gif":
            raise ValueError(f"the name '{Path(path).name}' is not that of a GIF; end it in .gif.")
        if not 1 <= frames_per_second <= 50:
            raise ValueError(f"frames_per_second={frames_per_second}; pass a rate from 1 to 50.")
        files.check_writable(path)
        (ax,) = axes_of(self._ax, ["regions"], self._size)
        figure = ax.get_figure(root=True)
        assert figure is not None
        self.ax_, self.figure_ = ax, figure
        pictures = self._pictures(ax, figure, dpi)
        each = 1000 // frames_per_second
        durations = [each] * len(pictures)
        durations[-1] += round(_LAST * frames_per_second) * each
        film = io.BytesIO()
        pictures[0].save(
            *(film, "gif"), save_all=True, append_images=pictures[1:], duration=durations, loop=0
        )
        files.write(path, film.getvalue())

    def _pictures(self, ax: "Axes", figure: "Figure", dpi: float) -> "list[Image]":
        """Return the frames as pictures, each drawn once; `savefig` would draw it twice."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from PIL.Image import fromarray

        dpi_before, canvas_before = figure.get_dpi(), figure.canvas
        # Replaces the figure's canvas, so that no window is resized with the dpi.
        canvas: Any = FigureCanvasAgg(figure)
        try:
            figure.set_dpi(dpi)
            pictures = []
            for _ in self._drawn(ax):
                canvas.draw()
                pictures.append(fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB"))
                if self._ax is None:  # all frames have the first one's layout
                    figure.set_layout_engine("none")
        finally:
            figure.set_dpi(dpi_before)
            figure.set_canvas(canvas_before)
        return pictures

    def _drawn(self, ax: "Axes") -> Iterator[None]:
        """Draw one frame after another, and yield after each."""
        shown: DecisionRegions | None = None
        for text, regions in self.frames:
            if shown is None or not np.array_equal(shown.classes, regions.classes):
                ax.clear()
                regions.plot(ax, title=text or " ")
                if self._ax is None:
                    make_room_for_legend(ax)
            else:
                for artist in shown.artists_:
                    artist.remove()
                regions.draw_regions(ax)
                ax.title.set_text(text)
            yield
            shown = regions
