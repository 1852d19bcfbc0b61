"""The suite itself."""

import os
import subprocess
import sys

import pytest


@pytest.mark.process
def test_tests_have_the_same_names_in_every_process(request):
    """So that what shares them out among processes, such as pytest-xdist, knows them again."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", *request.config.args],
        cwd=request.config.invocation_params.dir,
        env={**os.environ, "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    here = [item.nodeid for item in request.session.items]
    there = done.stdout.splitlines()
    assert [name for name in there if name in {*here}] == here
