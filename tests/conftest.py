"""Hypothesis profiles (`LIFTGRAD_SOAK=1` searches longer), checks of each pass, and Ctrl-C."""

import os
import signal
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ["LIFTGRAD_VERIFY"] = "1"  # before liftgrad is imported: each pass's result is checked

settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=100)
settings.register_profile(
    "soak", deadline=None, max_examples=5000, suppress_health_check=list(HealthCheck)
)
settings.load_profile("soak" if os.environ.get("LIFTGRAD_SOAK") else "repeatable")


@pytest.fixture
def folder_of_all():
    """A folder that another user can reach and write to, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


@pytest.fixture
def python_hears_ctrl_c():
    """Let SIGINT through, which the shell of a background job makes its processes ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def press_ctrl_c(python_hears_ctrl_c):  # noqa: ARG001, asked for by its name
    """Return a function that presses Ctrl-C, some time after the next call of a function."""
    timers = []

    def arm(name, seconds=0.0):
        def watch(frame, event, _argument):
            if event != "call" or frame.f_code.co_name != name:
                return
            sys.setprofile(None)
            if not seconds:
                signal.raise_signal(signal.SIGINT)
            timers.append(threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT)))
            timers[0].start()

        sys.setprofile(watch)

    yield arm
    sys.setprofile(None)
    for timer in timers:
        timer.cancel()
        timer.join()
