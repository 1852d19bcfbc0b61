"""Saving pictures whole or not at all."""

import contextlib
import io
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save(figure: "Figure", path: str | os.PathLike[str], *, dpi: float = 150.0) -> None:
    """Write a figure to a file, in the format that its name ends in.

    A file that is there stays as it is until the new one is complete.

    Raises:
        ValueError: as `check_path`.
        OSError: if the file cannot be written.

    """
    target = Path(os.path.realpath(path))
    extension = _checked_extension(target)
    picture = io.BytesIO()
    figure.savefig(picture, format=extension, dpi=dpi)
    with _beside(target) as temporary:
        temporary.write_bytes(picture.getvalue())
        temporary.replace(target)


def check_path(path: str | os.PathLike[str]) -> None:
    """Raise now what `save` would raise after all the work.

    Raises:
        ValueError: if the name does not end in a format's extension, such as .png.
        OSError: if the file cannot be written.

    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(f"'{path}' is a directory; name a file in it.")
    _checked_extension(target)
    if not target.parent.is_dir():
        raise FileNotFoundError(f"there is no directory '{target.parent}'; make it first.")
    try:
        if target.exists():
            target.open("ab").close()
        with _beside(target) as temporary:
            temporary.touch()
    except OSError as error:
        raise OSError(
            f"'{path}' cannot be written ({error.strerror}); choose another place."
        ) from None


def _checked_extension(target: Path) -> str:
    from matplotlib.backend_bases import FigureCanvasBase

    extension = target.suffix.removeprefix(".").lower()
    if extension not in FigureCanvasBase.get_supported_filetypes():
        raise ValueError(
            f"the name '{target.name}' does not say what kind of picture to write; "
            "let it end in .png, .pdf or .svg."
        )
    return extension


@contextlib.contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """Yield a new name in the target's directory, at which nothing remains in the end."""
    temporary = target.with_name(f".{secrets.token_hex(8)}{target.suffix}")
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
