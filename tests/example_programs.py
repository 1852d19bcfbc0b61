"""What the tests of the programs in examples/ share: how to import and run them, and an oracle."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from liftgrad import lift, nn
from liftgrad.lift.function import LiftedFunction

EXAMPLES = Path(__file__).parents[1] / "examples"


def example(name: str) -> ModuleType:
    """Return an example as a module."""
    sys.path.append(str(EXAMPLES))  # as for a program that is run, for what examples share
    specification = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    try:
        specification.loader.exec_module(module)
    finally:
        sys.path.remove(str(EXAMPLES))
    return module


def run(name: str, *arguments: str) -> subprocess.CompletedProcess:
    """Return what an example does when it is started from a shell."""
    return subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / f"{name}.py", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def eager_gradient(loss: LiftedFunction, model: nn.Module, *data: Any) -> tuple[float, list[float]]:
    """Return a loss and its gradient from the eager engine."""
    model.zero_grad()
    result = loss.function(model, *data)
    result.backward()
    return result.data, [p.grad for p in model.parameters()]


def lifted_gradient(
    loss: LiftedFunction, model: nn.Module, *data: Any
) -> tuple[float, list[float]]:
    """Return the same from the lifted program, in float64."""
    model.zero_grad()
    result = lift(loss.function)(model, *data)
    result.backward()
    return result.data, [p.grad for p in model.parameters()]


def assert_agree(loss: LiftedFunction, model: nn.Module, *data: Any) -> None:
    """Assert that a lifted loss of arrays has eager's number and gradient."""
    expected = eager_gradient(loss, model, *[x.tolist() for x in data])
    found = lifted_gradient(loss, model, *data)
    assert found[0] == pytest.approx(expected[0], rel=1e-12)
    largest = max(map(abs, expected[1]))
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-10, atol=1e-12 * largest)
