"""Hypothesis profiles: repeatable by default, `LIFTGRAD_SOAK=1` searches longer and anew."""

import os

from hypothesis import HealthCheck, settings

settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=100)
settings.register_profile(
    "soak", deadline=None, max_examples=5000, suppress_health_check=list(HealthCheck)
)
settings.load_profile("soak" if os.environ.get("LIFTGRAD_SOAK") else "repeatable")
