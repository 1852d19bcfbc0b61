"""What a reader of the package is shown: by help(), dir(), editors and examples."""

import importlib
import inspect
import pickle
import pydoc
import subprocess
import sys

import liftgrad
from liftgrad import lift


def test_help_on_the_decorator():
    """Its signature and an example, not the package that has its name."""
    shown = pydoc.plain(pydoc.render_doc(liftgrad.lift))
    assert "function liftgrad.lift in liftgrad" in shown.splitlines()[0]
    assert "dtype: Literal['float64', 'float32'] = 'float64'" in shown
    assert ">>> @lift" in shown
    assert "PACKAGE CONTENTS" not in shown
    assert {"function", "dtype", "backend"} <= {*inspect.signature(lift).parameters}
    assert inspect.getsourcefile(lift).endswith("api.py")


def test_the_decorator_is_the_package_too():
    """Whatever is imported first, and however."""
    programs = [
        "import liftgrad.lift.twister; from liftgrad import lift",
        "from liftgrad.lift import twister; import liftgrad; lift = liftgrad.lift",
        "from liftgrad.lift.api import lift; import liftgrad.lift.twister as twister",
        "from liftgrad import lift; from liftgrad.lift import twister",
        "import liftgrad; __import__('liftgrad.lift.twister'); lift = liftgrad.lift",
        "from liftgrad.lift import lift",
    ]
    check = (
        "; import liftgrad.lift.api; assert lift is liftgrad.lift is liftgrad.lift.api.lift"
        "; assert lift(lambda x: x + 1.0)(2.0).data == 3.0"
    )
    for program in programs:
        subprocess.run([sys.executable, "-c", program + check], check=True)
    assert importlib.import_module("liftgrad.lift") is lift
    assert pickle.loads(pickle.dumps(lift)) is lift


def test_dir_has_every_public_name():
    """Before any of them was asked for, and without loading NumPy."""
    program = (
        "import sys, liftgrad; assert {*liftgrad.__all__, '__version__'} <= {*dir(liftgrad)}; "
        "assert 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
