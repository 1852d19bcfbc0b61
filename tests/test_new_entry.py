"""A new operation of the table: its entry and its export are all that there is to write."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import liftgrad

pytestmark = pytest.mark.process
TESTS = Path(__file__).parent
CONTRIBUTING = TESTS.parent / "CONTRIBUTING.md"

PROGRAM = """
import math
import numpy as np
from liftgrad import Trainer, Value, grad, gradcheck, hessian, lift, optim, recording, vmap
from liftgrad.errors import NonFiniteLossError
from liftgrad.functional import mean, softsign

def close(a, b):
    assert np.allclose(a, b, rtol=1e-6), (a, b)

close([softsign(1.0), Value(1.0).softsign().data, grad(softsign)(1.0)], [0.5, 0.5, 0.25])
close(hessian(softsign)(1.0), -0.25)
assert gradcheck(softsign, 0.5, order=2)
with recording():
    x = Value(1.0)
    y = softsign(x * 1.0)
    y.backward()
    assert type(y).__name__ == "Recorded"
close([y.data, x.grad], [0.5, 0.25])

def loss(w, X):
    return mean(vmap(lambda x: softsign(w * x) ** 2)(X))

X = np.linspace(-1.0, 1.0, 11)
for backend in ("native", "numpy"):
    for dtype in ("float64", "float32"):
        w, v = Value(0.5), Value(0.5)
        lifted = lift(loss, backend=backend, dtype=dtype)
        for found, x in ((lifted(w, X), w), (mean([softsign(v * x) ** 2 for x in X]), v)):
            found.backward()
            close(found.data, float(np.mean((0.5 * X / (1 + abs(0.5 * X))) ** 2)))
        close(w.grad, v.grad)
        assert "= softsign(z1[s]) " in str(lifted.program)
        w = Value(math.inf)
        trainer = Trainer(lift(lambda w, X: softsign(w), backend=backend), optim.SGD([w], lr=0.1))
        try:
            trainer.fit(1, w, X)
        except NonFiniteLossError as error:
            assert "inf to begin with" in str(error), error
"""


def contributed() -> str:
    """Return the entry that CONTRIBUTING.md shows."""
    found = re.search(r"```python\n(.*?)```", CONTRIBUTING.read_text(), re.DOTALL)
    return textwrap.dedent(found[1].rstrip(" "))


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """Return a folder with a copy of the package, to which softsign was added as told there."""
    package = tmp_path_factory.mktemp("contributor") / "liftgrad"
    shutil.copytree(Path(liftgrad.__file__).parent, package)
    edit(package / "ops.py", "# --- over sequences", f"{contributed()}\n# --- over sequences")
    edit(package / "ops.py", "softplus, relu),", "softplus, relu, softsign),")
    edit(package / "functional.py", "    softplus,\n", "    softplus,\n    softsign,\n")
    edit(package / "functional.py", '    "softplus",\n', '    "softplus",\n    "softsign",\n')
    edit(package / "functional.py", "= softplus = relu", "= softplus = softsign = relu")
    return package.parent


def edit(path, before, after):
    text = path.read_text()
    assert text.count(before) == 1, before
    path.write_text(text.replace(before, after))


def run(folder, *arguments):
    """Run Python with the package in a folder."""
    environment = os.environ | {"PYTHONPATH": str(folder)}
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_does_all_that_others_do(copied):
    """Eagerly, recorded, on both backends, printed, checked, differentiated twice."""
    result = run(copied, "-c", PROGRAM)
    assert not result.returncode, result.stderr


def test_the_tests_of_the_table_test_it(copied):
    """They take it from the table, and nobody has told them anything else."""
    files = ("test_ops.py", "lift/test_targets.py", "lift/test_recording.py", "test_help.py")
    paths = [str(TESTS / name) for name in (*files, "test_engine.py")]
    chosen = "softsign or methods"
    result = run(copied, "-m", "pytest", "-q", "-k", chosen, "-p", "no:cacheprovider", *paths)
    assert not result.returncode, result.stdout
    assert int(re.search(r"(\d+) passed", result.stdout)[1]) >= 15, result.stdout


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("    exact=", "    noun=", "entry of the operation 'softsign' lacks `exact`, with which"),
        ('"softsign({0})"', '"softsign"', "has the notation 'softsign'; show each operand once"),
        (
            '"softsign({0})",\n    "softsign",',
            '"softsign({0}, {1})",\n    "softsign",\n    2,',
            "has 1 intervals in `domain`; give one",
        ),
        ("/ (1.0 + abs(a)),\n", "* math.inf,\n", "has a forward that gives inf at 1.6, in"),
        ('    "softsign",\n', '    "soft sign",\n', "'soft sign' has a name that is not an"),
        (
            "    exact=",
            '    llvm=("fadd {T} {0}, {1}",),\n    exact=',
            r"has {1} in its LLVM template, which is not an operand, an earlier result, a number",
        ),
        (
            "    exact=",
            '    llvm=("call {T} @{sinh}({T} {0})",),\n    exact=',
            "the entry of the operation 'softsign' calls @{sinh}, which is no function of vector",
        ),
        (
            "    exact=",
            '    numpy="softsign",\n    exact=',
            "names numpy.softsign, which NumPy does",
        ),
        (
            "lambda a: a / (1.0 + abs(a)),",
            "lambda a: math.tanh(a),",
            "the operation 'softsign' cannot be compiled: there is float(), int() or a function",
        ),
    ],
)
def test_what_an_entry_lacks_is_said_at_import(copied, tmp_path, before, after, said):
    """By the operation's name, in one sentence, before anything is computed."""
    shutil.copytree(copied / "liftgrad", tmp_path / "liftgrad")
    entry = contributed()
    assert before in entry, entry
    edit(tmp_path / "liftgrad" / "ops.py", entry, entry.replace(before, after, 1))
    result = run(tmp_path, "-c", "import liftgrad.lift.pipeline, liftgrad.lift.run.numpy_executor")
    assert result.returncode
    assert said in result.stderr.splitlines()[-1], result.stderr
