"""The command line, `liftgrad`."""

import os
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process.

    The status is 0, or 1 for a failure, 2 for impossible options and 130 for an interruption,
    each with a sentence on standard error, or one for each thing that is wrong with a table.
    """
    ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if ours:
        # Libraries that are half imported raise what they like.
        signal.signal(signal.SIGINT, _end)
    from liftgrad.cli.commands import run  # noqa: PLC0415, takes a third of a second

    if ours:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run(arguments)


def _end(_number: int, _frame: FrameType | None) -> None:
    """End the process at once; nothing has begun that would have to be ended in order."""
    sys.stderr.write("Interrupted.\n")
    sys.stderr.flush()
    os._exit(130)
