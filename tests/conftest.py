"""Hypothesis profiles, checks of each pass, what the markers promise, Ctrl-C, the command line."""

import gc
import os
import signal
import sys
import tempfile
import threading
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, settings

os.environ["LIFTGRAD_VERIFY"] = "1"  # before liftgrad is imported: each pass's result is checked

from liftgrad.cli import main

# Repeatable by default; LIFTGRAD_SOAK=1 searches longer, and anew.
settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=100)
settings.register_profile(
    "soak", deadline=None, max_examples=5000, suppress_health_check=list(HealthCheck)
)
settings.load_profile("soak" if os.environ.get("LIFTGRAD_SOAK") else "repeatable")


STARTING = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system"}
"""What Python tells audit hooks when a process is started."""
started: list[str] = []


def _notice(event, _arguments):
    if event in STARTING and not _is_importing():
        started.append(event)


def _is_importing():
    """Whether a module is being imported, such as NumPy 1.26's tools, which run lscpu."""
    frame = sys._getframe()
    while frame is not None and frame.f_code.co_filename != "<frozen importlib._bootstrap>":
        frame = frame.f_back
    return frame is not None


sys.addaudithook(_notice)


def pytest_collection_finish():
    """Hide the tests themselves from the garbage collector, and from searches among its objects.

    It takes a third of the time of many tests to go through them.
    """
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Fail a test that starts a process and is not marked so."""
    started.clear()
    result = yield
    if started and not item.get_closest_marker("process"):
        pytest.fail("it starts a process: mark it with @pytest.mark.process", pytrace=False)
    return result


class Ended(NamedTuple):
    """How a call of the command line ended, with the names that subprocess uses."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def call(tmp_path, monkeypatch, capsysbinary):
    """Return a function that calls the command line, not as a process, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def called(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([*arguments])
        said = capsysbinary.readouterr()
        return Ended(ended.value.code or 0, said.out.decode(), said.err.decode())

    return called


@pytest.fixture
def folder_of_all():
    """A folder that another user can reach and write to, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_is_heard():
    """SIGINT reaches the tests and what they start, though nohup and shells' `&` ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def press_ctrl_c():
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
