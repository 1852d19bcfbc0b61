"""The suite itself: what it runs, and what its tests are called."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def programs(folder):
    """The names of a folder's programs, without those that are only imported."""
    found = (ROOT / folder).glob("*.py")
    return {path.stem for path in found if "__main__" in path.read_text(encoding="utf-8")}


def test_every_example_is_run():
    """By `test_examples.py` or `test_examples_over_time.py`, at a small size."""
    files = (ROOT / "tests").glob("test_examples*.py")
    tests = "".join(path.read_text(encoding="utf-8") for path in files)
    assert {name for name in programs("examples") if f'run("{name}"' not in tests} == set()


def test_every_benchmark_is_run():
    """By CI, itself or as one of the sections of `report.py`."""
    commands = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    sections = (ROOT / "benchmarks" / "report.py").read_text(encoding="utf-8")
    missing = {
        name
        for name in programs("benchmarks")
        if f"benchmarks/{name}.py" not in commands and f'    "{name}": [' not in sections
    }
    assert missing == set()


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
