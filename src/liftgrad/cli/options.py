"""Types and checks of options, each refusing bad values in one sentence."""

import contextlib
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from liftgrad import files, plot

_MOST_PIXELS = 10_000
_MOST_PARAMETERS = 2_000_000
"""A scalar program has an operation for each, which takes some microseconds to trace."""


class Finite(click.FloatRange):
    """A finite number in a range."""

    name = "number"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


def layer_sizes(_context: click.Context, _option: click.Parameter, text: str) -> list[int]:
    """Return the sizes of layers, as in 16,32."""
    sizes = [int(size) if size.strip().isdecimal() else 0 for size in text.split(",")]
    if not all(sizes):
        raise click.BadParameter(f"{text!r} is not a list of layer sizes, such as 16,32.")
    return sizes


def picture_path(_context: click.Context, _option: click.Parameter, text: str) -> Path:
    """Return the path of a picture, if it can be written."""
    try:
        plot.check_path(text)
    except (OSError, ValueError) as error:
        raise click.BadParameter(str(error)) from None
    return Path(text)


def file_path(_context: click.Context, _option: click.Parameter, text: str) -> Path:
    """Return the path of a file, if it can be written."""
    try:
        files.check_writable(text)
    except OSError as error:
        raise click.BadParameter(str(error)) from None
    return Path(text)


@contextlib.contextmanager
def writes(path: Path) -> Iterator[None]:
    """Turn a failure to write a file, such as a full disk, into one sentence."""
    try:
        yield
    except OSError as error:
        if error.strerror is None:  # a sentence already
            raise click.ClickException(str(error)) from None
        raise click.ClickException(
            f"'{path}' cannot be written ({error.strerror}); choose another place."
        ) from None


def check_outputs(read: Mapping[str, Path], written: Mapping[str, Path | None]) -> None:
    """Refuse to overwrite a file that is read, or to write two outputs to one file.

    Args:
        read: files, by their names on the command line.
        written: likewise; None: not written.

    Raises:
        click.UsageError: if two are one file.

    """
    names = {files.identity(path): name for name, path in read.items()}
    for name, path in written.items():
        # Devices and pipes may be written more than once.
        if path is not None and (path.is_file() or not path.exists()):
            other = names.setdefault(files.identity(path), name)
            if other != name:
                raise click.UsageError(
                    f"{other} and {name} are the same file, '{path}'; choose another for {name}."
                )


def check_parameters(inputs: int, hidden: Sequence[int], outputs: int) -> None:
    """Refuse networks that would take minutes to trace, or too much memory.

    Raises:
        click.UsageError: if there are too many parameters.

    """
    count = sum((n + 1) * m for n, m in itertools.pairwise((inputs, *hidden, outputs)))
    if count > _MOST_PARAMETERS:
        raise click.UsageError(
            f"A network of {count:,} parameters is too large; choose --hidden for at most "
            f"{_MOST_PARAMETERS:,}."
        )


def check_pixels(size: tuple[float, float], dpi: int) -> None:
    """Refuse pictures that would not fit into memory.

    Raises:
        click.UsageError: if there are too many pixels.

    """
    width, height = (round(inches * dpi) for inches in size)
    if max(width, height) > _MOST_PIXELS:
        raise click.UsageError(
            f"A picture of {width} by {height} pixels is too large; choose --size and --dpi for "
            f"at most {_MOST_PIXELS} either way."
        )
