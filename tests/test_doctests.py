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
        and module.name != "liftgrad.lift"  # the function of liftgrad.lift.api
    ),
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name, tmp_path, monkeypatch):
    """Every example in the module's docstrings gives the output beside it."""
    monkeypatch.chdir(tmp_path)  # some write files
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0
