"""Loading: what Ctrl-C does before the command line runs.

In the middle of an import, libraries raise errors of any kind, and the traceback helps nobody.
"""

import os
import signal
import sys
from types import FrameType


def is_command() -> bool:
    """Return whether this process runs our command line, and not a program that imports us."""
    if sys.argv[:1] == ["-m"]:  # while Python looks for the module
        return sys.orig_argv[sys.orig_argv.index("-m") :][1:2] == ["liftgrad"]
    started = sys.argv[0] if sys.argv else ""
    name = os.path.basename(started)  # noqa: PTH119, Path itself takes its time to load
    return name.removesuffix(".exe") == "liftgrad"


def begin() -> None:
    """Let Ctrl-C end the process with status 130 and one word, unless it has another handler."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        try:
            signal.signal(signal.SIGINT, _end_process)
        except ValueError:  # not in the main thread, which alone receives signals
            return


def end() -> None:
    """Let Ctrl-C raise KeyboardInterrupt again."""
    if signal.getsignal(signal.SIGINT) is _end_process:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end_process(_number: int, _frame: FrameType | None) -> None:
    sys.stderr.write("Interrupted.\n")
    sys.stderr.flush()
    os._exit(130)
