"""What a reader of the package is shown: by help(), dir(), editors and examples."""

import doctest
import importlib
import inspect
import pickle
import pydoc
import subprocess
import sys

import pytest

import liftgrad
from liftgrad import lift, ops
from liftgrad.ops import Operation
from test_doctests import MODULES

DOCUMENTED = [
    "liftgrad",
    *(
        f"liftgrad.{name}"
        for name in (
            *("functional", "losses", "nn", "init", "optim", "data", "plot", "gpt"),
            *("gradcheck", "trainer", "estimators", "errors"),
        )
    ),
]


def names_in(module):
    """Return what a module has for its users."""
    if hasattr(module, "__all__"):
        return module.__all__
    own = [
        name for name, x in vars(module).items() if getattr(x, "__module__", "") == module.__name__
    ]
    return [name for name in own if not name.startswith("_")]


def public():
    """Yield the name and the object of all that has a docstring for users."""
    seen = set()
    for module in map(importlib.import_module, DOCUMENTED):
        for name in names_in(module):
            x = getattr(module, name)
            inner = {name: x}
            if inspect.isclass(x):
                inner |= {f"{name}.{key}": inspect.getattr_static(x, key) for key in dir(x)}
            for path, member in inner.items():
                found = getattr(member, "__func__", getattr(member, "fget", member))
                ours = (getattr(found, "__module__", None) or "").startswith("liftgrad")
                callable_ = inspect.isroutine(found) or inspect.isclass(found)
                documented = inspect.ismodule(found) or type(found) is Operation
                private = "._" in path or path.endswith(".forward")  # as the class's example shows
                if not private and (documented or (ours and callable_)) and id(found) not in seen:
                    seen.add(id(found))
                    yield f"{module.__name__}.{path}", found


PUBLIC = dict(public())


def test_help_on_the_decorator():
    """Its signature and an example, not the package that has its name."""
    shown = pydoc.plain(pydoc.render_doc(liftgrad.lift))
    assert "function liftgrad.lift in liftgrad" in shown.splitlines()[0]
    assert "dtype: Literal['float64', 'float32'] = 'float64'" in shown
    assert ">>> @lift" in shown
    assert "PACKAGE CONTENTS" not in shown
    assert {"function", "dtype", "backend"} <= {*inspect.signature(lift).parameters}
    assert "def lift(" in inspect.getsource(lift)


def test_what_lifted_functions_and_operations_look_like():
    """Their names and signatures, and nothing of how they are made."""

    @lift
    def loss(model, x: float, *, rate=0.1):
        """Return the loss."""

    assert repr(loss) == "<lifted function loss(model, x: float, *, rate=0.1)>"
    shown = pydoc.plain(pydoc.render_doc(loss))
    assert "loss(model, x: float, *, rate=0.1)" in shown
    assert "Return the loss." in shown
    assert repr(ops.exp) == "<operation exp>"
    assert repr((liftgrad.Value(2.0) ** 3)._operation) == "<operation power_constant, 3.0>"


@pytest.mark.process
def test_the_decorator_is_the_package_too():
    """Whatever is imported first, and however."""
    programs = [
        "import liftgrad.lift.kernels.tiling; from liftgrad import lift",
        "from liftgrad.lift.kernels import tiling; import liftgrad; lift = liftgrad.lift",
        "from liftgrad.lift.function import lift; import liftgrad.lift.kernels.tiling as tiling",
        "from liftgrad import lift; from liftgrad.lift.kernels import tiling",
        "import liftgrad; __import__('liftgrad.lift.kernels.tiling'); lift = liftgrad.lift",
        "from liftgrad.lift import lift",
    ]
    check = (
        "; from liftgrad.lift import function; import liftgrad"
        "; assert lift is liftgrad.lift is function.lift"
        "; assert lift(lambda x: x + 1.0)(2.0).data == 3.0"
    )
    for program in programs:
        subprocess.run([sys.executable, "-c", program + check], check=True)
    assert importlib.import_module("liftgrad.lift") is lift
    assert pickle.loads(pickle.dumps(lift)) is lift


@pytest.mark.process
def test_threads_may_import_it_at_once():
    """Each another module of the package: none waits for a lock that waits for it."""
    program = """
import importlib, sys, threading
import liftgrad

def load(name):
    start.wait()
    importlib.import_module(name)
    results.append(liftgrad.lift(lambda x: x + 1.0)(1.0).data)

modules = ("lift", "lift.kernels.tiling", "lift.function", "trainer")
names = 2 * [f"liftgrad.{name}" for name in modules]
results, start = [], threading.Barrier(len(names))
sys.setswitchinterval(1e-6)
threads = [threading.Thread(target=load, args=(name,)) for name in names]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert results == [2.0] * len(names)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.process
def test_importing_the_package_is_quick():
    """Under 0.15 s of the processor's time, the best of some."""
    program = (
        "import time; s = time.process_time(); import liftgrad; print(time.process_time() - s)"
    )
    times = [subprocess.check_output([sys.executable, "-c", program]) for _ in range(3)]
    assert min(map(float, times)) < 0.15


@pytest.mark.process
def test_dir_has_every_public_name():
    """Before any of them was asked for, and without loading NumPy."""
    program = (
        "import sys, liftgrad; assert {*liftgrad.__all__, '__version__'} <= {*dir(liftgrad)}; "
        "assert 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_all_that_is_public_has_an_example():
    """Every function, class, method and property that users are told of, and every module."""
    assert len(PUBLIC) > 250
    assert {"liftgrad.lift", "liftgrad.Value.backward", "liftgrad.nn.Linear"} <= {*PUBLIC}
    assert "liftgrad.functional.exp" in PUBLIC
    assert "liftgrad.Trainer.fit" in PUBLIC
    assert [name for name, x in PUBLIC.items() if ">>>" not in (x.__doc__ or "")] == []


def test_the_examples_are_run():
    """doctest finds each of them in its module, of operations as below."""
    finder = doctest.DocTestFinder()
    ran = {x.docstring for name in MODULES for x in finder.find(importlib.import_module(name))}
    left = {name: x for name, x in PUBLIC.items() if x.__doc__ not in ran}
    assert [name for name, x in left.items() if type(x) is not Operation] == []


@pytest.mark.parametrize("name", [name for name, x in PUBLIC.items() if type(x) is Operation])
def test_examples_of_operations(name):
    """Those are objects, at which doctest does not look."""
    operation = PUBLIC[name]
    found = doctest.DocTestFinder().find(operation, name, globs={operation.name: operation})
    runner = doctest.DocTestRunner()
    assert sum(runner.run(test).attempted for test in found) == 1
    assert runner.failures == 0
    assert operation.name in pydoc.plain(pydoc.render_doc(operation))


def test_an_operation_that_is_no_function_of_the_table():
    """Its docstring says what it is, all the same, and the class has one of its own."""
    assert "any number of" in ops.dot.__doc__
    assert "where(x, y, z)" in ops.select.__doc__
    assert Operation.__doc__.startswith("One operation on numbers")
