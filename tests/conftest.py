"""Hypothesis profiles, repeatable by default (`LIFTGRAD_SOAK=1` searches longer), and Ctrl-C."""

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=100)
settings.register_profile(
    "soak", deadline=None, max_examples=5000, suppress_health_check=list(HealthCheck)
)
settings.load_profile("soak" if os.environ.get("LIFTGRAD_SOAK") else "repeatable")


@pytest.fixture
def python_hears_ctrl_c():
    """Let SIGINT through, which the shell of a background job makes its processes ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
