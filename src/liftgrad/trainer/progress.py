"""Progress: a line on the terminal while a fit runs."""

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from liftgrad.trainer.history import EpochState

if TYPE_CHECKING:
    from rich.console import Console

Show = Callable[[EpochState], None]


def bar_console() -> "tuple[Console, bool]":
    """Return a console for a progress bar, and whether to show one: only on a terminal."""
    from rich.console import Console  # noqa: PLC0415, takes long to import

    console = Console(highlight=False)
    # An environment may call a pipe a terminal, and IDLE's window is none.
    on_terminal = console.is_terminal and console.file.isatty()
    if not on_terminal:
        console.is_interactive = True  # else Rich before 14.3 ends a hidden bar with an empty line
    return console, on_terminal


@contextlib.contextmanager
def shown(wanted: bool, epochs: int, rows: int | None) -> Iterator[Show]:
    """Yield a function to call after each epoch: it shows loss, rate and time left on a terminal.

    Args:
        wanted: whether to show anything.
        epochs: how many there will be.
        rows: how many samples an epoch sees, for the rate; None: count the steps.

    """
    if not wanted:
        yield lambda state: None
        return
    from rich.progress import (  # noqa: PLC0415, takes long to import
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.table import Column  # noqa: PLC0415

    console, on_terminal = bar_console()
    bar = Progress(
        # A narrow terminal cuts the last column, not the others.
        TextColumn("Epoch", table_column=Column(no_wrap=True)),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True)),
        TextColumn("left, {task.description}", table_column=Column(ratio=1, no_wrap=True)),
        expand=True,
        console=console,
        disable=not on_terminal,
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=epochs)
        seen = 0

        def show(state: EpochState) -> None:
            nonlocal seen
            seen += 1
            # Without batches an epoch is one step.
            rate = (rows or 1) / max(state.seconds, 1e-9)
            text = f"loss {state.loss:.4g}"
            if state.validation_loss is not None:
                text += f", validation {state.validation_loss:.4g}"
            for name, number in state.metrics.items():
                text += f", {name} {number:.4g}"
            text += f", {rate:,.0f} {'steps' if rows is None else 'samples'}/s, lr {state.lr:.3g}"
            bar.update(task, completed=seen, description=text)

        yield show
