"""Imports go one way, as `[tool.importlinter]` in pyproject.toml says; a machine checks it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import liftgrad

ROOT = Path(__file__).parents[1]


def lint_imports(source: Path) -> subprocess.CompletedProcess[str]:
    """Check the contracts on a package folder."""
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run(
        [sys.executable, "-c", program, "--config", str(ROOT / "pyproject.toml"), "--no-cache"],
        env={**os.environ, "PYTHONPATH": str(source)},
        cwd=source,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the package to plant violations in."""
    package = Path(liftgrad.__file__).parent
    ignore = shutil.ignore_patterns("__pycache__")
    copy = Path(shutil.copytree(package, tmp_path / "liftgrad", ignore=ignore))
    (copy / "lift" / "__init__.py").touch()
    return copy


@pytest.mark.process
def test_imports_go_one_way():
    """No module imports from a layer above its own."""
    result = lint_imports(Path(liftgrad.__file__).parents[1])
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("module", "statement"),
    [
        ("ops.py", "from liftgrad import engine"),
        ("numbers.py", "import liftgrad.nn"),
        ("nn/linear.py", "def late():\n    from liftgrad.lift.stand_ins import values"),
    ],
)
@pytest.mark.process
def test_a_planted_violation_is_caught(copied, module, statement):
    """An upward import is named, even inside a function."""
    with (copied / module).open("a") as file:
        file.write(f"\n{statement}\n")
    result = lint_imports(copied.parent)
    assert result.returncode == 1
    assert "Imports go one way BROKEN" in result.stdout
    assert f"liftgrad.{module.removesuffix('.py').replace('/', '.')} -> liftgrad" in result.stdout


@pytest.mark.process
def test_a_module_without_a_layer_is_caught(copied):
    """Every new module is given its place."""
    (copied / "stray.py").write_text('"""Belongs nowhere."""\n')
    result = lint_imports(copied.parent)
    assert result.returncode == 1
    assert "liftgrad.stray" in result.stdout
