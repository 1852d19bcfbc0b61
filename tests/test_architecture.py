"""Imports go one way, as `[tool.importlinter]` in pyproject.toml says, and never in a circle."""

import copy
import graphlib
import itertools
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import grimp
import pytest

import liftgrad

ROOT = Path(__file__).parents[1]
PACKAGE = Path(liftgrad.__file__).parent
FOLDERS = [
    ".".join(("liftgrad", *path.parent.relative_to(PACKAGE).parts))
    for path in sorted(PACKAGE.rglob("__init__.py"))
]
OPENED_LATE = ("liftgrad.lift", "liftgrad.lift.function")
"""The decorator `lift` imports what it needs when it is first called."""


@pytest.fixture(scope="module")
def graph():
    """Every import between modules of the package, those for type checkers among them."""
    graph = grimp.build_graph("liftgrad", cache_dir=None)
    importer, imported = OPENED_LATE
    graph.remove_import(importer=importer, imported=imported)
    return graph


def circle(graph):
    """Return the modules of a circle of imports; none, if there is no circle."""
    imports = {x: graph.find_modules_directly_imported_by(x) for x in graph.modules}
    try:
        graphlib.TopologicalSorter(imports).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


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


def layers_of(container: str) -> list[list[str]]:
    """Return the modules of each layer of a package, highest first."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    contract = next(c for c in config["contracts"] if c["containers"] == [container])
    return [[name.strip(" ()") for name in layer.split("|")] for layer in contract["layers"]]


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the package to plant violations in."""
    ignore = shutil.ignore_patterns("__pycache__")
    return Path(shutil.copytree(PACKAGE, tmp_path / "liftgrad", ignore=ignore))


@pytest.mark.process
def test_imports_go_one_way():
    """No module imports from a layer above its own."""
    result = lint_imports(PACKAGE.parent)
    assert result.returncode == 0, result.stdout


def test_no_imports_go_in_a_circle(graph):
    """Whatever a module imports, directly or not, it is not itself."""
    assert circle(graph) == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_planted_circle_is_caught_in_each_folder(graph, folder):
    """Two modules of one folder may not import each other."""
    planted = copy.deepcopy(graph)
    one, other = sorted(planted.find_children(folder))[:2]
    planted.add_import(importer=one, imported=other)
    planted.add_import(importer=other, imported=one)
    assert set(circle(planted)) >= {one, other}


@pytest.mark.parametrize(
    ("module", "statement"),
    [
        ("ops.py", "from liftgrad import derivatives"),
        ("numbers.py", "import liftgrad.nn"),
        ("errors.py", "TYPE_CHECKING = False\nif TYPE_CHECKING:\n    import liftgrad.trainer"),
        ("nn/linear.py", "def late():\n    from liftgrad.lift.stand_ins import values"),
    ],
)
@pytest.mark.process
def test_a_planted_violation_is_caught(copied, module, statement):
    """An upward import is named, even inside a function or for type checkers alone."""
    with (copied / module).open("a") as file:
        file.write(f"\n{statement}\n")
    result = lint_imports(copied.parent)
    assert result.returncode == 1
    assert "Imports go one way BROKEN" in result.stdout
    assert f"liftgrad.{module.removesuffix('.py').replace('/', '.')} -> liftgrad" in result.stdout


@pytest.mark.process
def test_an_upward_import_is_caught_in_each_folder_of_the_lift(copied):
    """Planted in all of them at once, each is named; for type checkers alone, in this case."""
    floors = layers_of("liftgrad.lift")
    planted = []
    for above, floor in itertools.pairwise(floors):
        for folder in floor:
            target = f"liftgrad.lift.{above[0]}"
            module = copied / "lift" / folder / "planted.py"
            if module.parent.is_dir():
                module.write_text(
                    f"from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    import {target}\n"
                )
                planted.append(f"liftgrad.lift.{folder}.planted -> {target}")
    result = lint_imports(copied.parent)
    assert result.returncode == 1
    assert [x for x in planted if x not in result.stdout] == []
    assert len(planted) == 17  # all folders but train, above which there is nothing


@pytest.mark.process
def test_an_emitter_that_knows_its_writer_is_caught(copied):
    """What decides how a nest runs imports nothing of what writes LLVM IR or C."""
    with (copied / "lift/kernels/loops.py").open("a") as file:
        file.write("\nfrom liftgrad.lift.kernels.llvm import writer\n")
    result = lint_imports(copied.parent)
    assert result.returncode == 1
    assert "liftgrad.lift.kernels.loops -> liftgrad.lift.kernels.llvm.writer" in result.stdout


@pytest.mark.process
def test_a_module_without_a_layer_is_caught(copied):
    """Every new module belongs to a layer."""
    (copied / "stray.py").write_text('"""Belongs to no layer."""\n')
    result = lint_imports(copied.parent)
    assert result.returncode == 1
    assert "liftgrad.stray" in result.stdout
