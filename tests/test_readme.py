"""The README: its programs run, and its commands are the ones that CI runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("program", PROGRAMS)
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


def test_its_programs_are_typed(tmp_path):
    """mypy --strict accepts them, and knows what lifted functions take and return."""
    pytest.importorskip("mypy")
    more = [TYPED, *PROGRAMS]
    files = [tmp_path / f"program{i}.py" for i in range(len(more))]
    for file, program in zip(files, more, strict=True):
        file.write_text(program, encoding="utf-8")
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", *map(str, files)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.findall(r"program(\d+)\.py:(\d+): (?:error: )?(.*)", checked.stdout)
    wrong = [TYPED.splitlines()[int(line) - 1] for number, line, _ in found if number == "0"]
    assert [line for line in TYPED.splitlines() if "wrong" in line] == wrong, checked.stdout
    assert len(found) == len(wrong), checked.stdout


TYPED = """
from liftgrad import Value, functional, grad, lift, nn

@lift
def f(x: Value, n: int = 2) -> Value:
    return x**n

@lift(dtype="float32")
def two(xs: list[Value]) -> tuple[Value, float]:
    return functional.total(xs), functional.mean([1.0, 2.0])

class Model(nn.Module):
    @lift
    def loss(self, x: float) -> Value:
        return functional.mean([p * x for p in self.parameters()])

result: Value = f(Value(3.0), n=3)
f("three")  # wrong
wrong: str = f(Value(3.0))
pair: tuple[Value, float] = two([Value(1.0)])
loss: Value = Model().loss(2.0)
Model().loss("wrong")
slope: float = grad(lambda x: x**2)(3.0)
"""


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
