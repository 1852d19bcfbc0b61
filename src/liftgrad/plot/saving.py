"""Saving pictures, completely or not at all."""

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

from liftgrad import files

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save(figure: "Figure | None", path: str | os.PathLike[str], *, dpi: float = 150.0) -> None:
    """Write a figure to a file, in the format of the name's extension.

    An existing file is left as it is until the new one is complete.

    >>> from liftgrad import plot
    >>> plot.save(plot.confusion_matrix([0, 1, 1], [0, 1, 0]).figure_, "matrix.png")

    Raises:
        ValueError: as for `check_path`, or if there is no figure, since nothing has been drawn.
        OSError: if the file cannot be written.

    """
    if figure is None:
        raise ValueError("there is no figure to save yet; call plot() of the picture first.")
    extension = _checked_extension(path)
    picture = io.BytesIO()
    figure.savefig(picture, format=extension, dpi=dpi)
    files.write(path, picture.getvalue())


def check_path(path: str | os.PathLike[str]) -> None:
    """Raise at once the error that `save` would raise after all the work.

    >>> check_path("picture.png")
    >>> try:
    ...     check_path("picture")
    ... except ValueError as error:
    ...     print(str(error).partition("; ")[2])
    let it end in .png, .pdf or .svg.

    Raises:
        ValueError: if the name does not end in a format's extension, such as .png.
        OSError: if the file cannot be written.

    """
    files.check_writable(path)
    _checked_extension(path)


def _checked_extension(path: str | os.PathLike[str]) -> str:
    from matplotlib.backend_bases import FigureCanvasBase

    target = Path(os.path.realpath(path))
    extension = target.suffix.removeprefix(".").lower()
    if extension not in FigureCanvasBase.get_supported_filetypes():
        raise ValueError(
            f"the name '{target.name}' does not say what kind of picture to write; "
            "let it end in .png, .pdf or .svg."
        )
    return extension
