"""The README: its programs run, and its commands are the ones that CI runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("program", re.findall(r"```python\n(.*?)```", README, re.DOTALL))
def test_its_programs_run(program, tmp_path):
    """As they stand, without a word of complaint."""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_its_files_are_there():
    """Links and pictures point to files in the repository, the table to modules."""
    for link in re.findall(r"\]\(([^)]+)\)", README):
        assert link.startswith("https://") or (ROOT / link).is_file(), link
    modules = re.findall(r"`([\w/]+(?:\.py|/))`", README)
    assert len(modules) > 10
    for name in modules:
        assert (ROOT / "src" / "liftgrad" / name).exists() or (ROOT / name).exists(), name


def test_its_two_commands_make_their_own_environment():
    """And need only Python; CI finds them by these patterns."""
    commands = re.findall(r"^python3 -m venv .*$", README, re.MULTILINE)
    assert commands[0].endswith("/liftgrad moons")
    assert commands[1].endswith("/python -m pytest -q")
