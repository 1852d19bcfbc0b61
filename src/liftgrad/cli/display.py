"""Output of the commands: lines, progress bars, errors and durations."""

import re
import sys
from collections.abc import Callable

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from liftgrad.errors import NonFiniteLossError
from liftgrad.legible import legible, visible
from liftgrad.trainer.progress import bar_console


def say(text: str, *, err: bool = False) -> None:
    """Print a line of text, control characters escaped, on standard output or standard error."""
    click.echo(terminal(text, err=err), err=err)


def terminal(text: str, *, err: bool = False) -> str:
    r"""Return text as a terminal can show it: control characters escaped, in its encoding.

    >>> terminal("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    encoding = getattr(sys.stderr if err else sys.stdout, "encoding", None)
    return legible(visible(text), encoding)


def progress_bar() -> Progress:
    """Return a progress bar that is shown only on a terminal, and vanishes at the end."""
    console, on_terminal = bar_console()
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not on_terminal,
        transient=True,
    )


def failure(error: NonFiniteLossError) -> str:
    """Return what became nan or infinite and when, ending in the option that helps.

    The line of code is left out, since it is not the user's.
    """
    sentence = str(error).split("; the model is")[0]
    sentence = re.sub(r" \([^()]*:\d+(, iteration [^()]*)?\)", "", sentence)
    return f"{sentence[0].upper()}{sentence[1:]}; try a smaller --rate."


def lines_above(bar: Progress, *, quiet: bool) -> Callable[[str], None]:
    """Return a function that prints a line above a progress bar, unless `quiet`."""

    def line(text: str) -> None:
        if not quiet:
            bar.console.out(terminal(text))

    return line


def duration(seconds: float) -> str:
    """Return a time as text, in the unit that suits it."""
    if seconds < 1e-3:
        return f"{seconds * 1e6:.1f} µs"
    return f"{seconds * 1e3:.1f} ms" if seconds < 1.0 else f"{seconds:.1f} s"
