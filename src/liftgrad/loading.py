"""Loading: what Ctrl-C does before the command line runs.

Libraries that are half imported raise what they like then, and where Python was helps nobody.
"""

import os
import signal
import sys
from types import FrameType


def is_command() -> bool:
    """Tell whether this process is there for the command line, and not for somebody's program."""
    if sys.argv[:1] == ["-m"]:  # while Python looks for the module
        return sys.orig_argv[sys.orig_argv.index("-m") :][1:2] == ["liftgrad"]
    started = sys.argv[0] if sys.argv else ""
    name = os.path.basename(started)  # noqa: PTH119, Path itself takes its time to load
    return name.removesuffix(".exe") == "liftgrad"


def begin() -> None:
    """Let Ctrl-C end the process with status 130 and one word, unless somebody else hears it."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        try:
            signal.signal(signal.SIGINT, _end_process)
        except ValueError:  # in another thread than the first, which does not hear it
            return


def end() -> None:
    """Let Ctrl-C raise KeyboardInterrupt, as always."""
    if signal.getsignal(signal.SIGINT) is _end_process:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end_process(_number: int, _frame: FrameType | None) -> None:
    sys.stderr.write("Interrupted.\n")
    sys.stderr.flush()
    os._exit(130)
