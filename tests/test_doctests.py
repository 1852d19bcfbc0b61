"""The examples in docstrings run and print what they say."""

import doctest
import importlib
import pkgutil

import pytest

import liftgrad

MODULES = [
    "liftgrad",
    *(
        module.name
        for module in pkgutil.walk_packages(liftgrad.__path__, "liftgrad.")
        if not module.name.endswith("__main__")
    ),
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name, tmp_path, monkeypatch):
    """Every example in the module's docstrings gives the output beside it."""
    monkeypatch.chdir(tmp_path)  # some write files
    runner = doctest.DocTestRunner()
    for test in doctest.DocTestFinder().find(importlib.import_module(name)):
        runner.run(test)
    assert runner.failures == 0
