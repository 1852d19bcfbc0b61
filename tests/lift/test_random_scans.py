"""Random programs with scans have the numbers and gradients of their loops."""

import os

import numpy as np
import pytest
from both_ways import BACKENDS, gradients
from random_scans import program, program_of_samples

from liftgrad import Value, lift

SEEDS = range(20000 if "LIFTGRAD_SOAK" in os.environ else 60)


def compare(function, seed, steps, backend):
    """Assert that a function's value and gradient are eager's; return how it was traced."""
    generator = np.random.default_rng(seed)
    X, k = generator.normal(size=(steps, 3)), generator.integers(3, size=steps)
    eager, lifted = ([Value(x) for x in generator.normal(size=4)] for _ in range(2))
    for a, b in zip(eager, lifted, strict=True):
        b.data = a.data
    expected = function(eager, X, k)
    f = lift(backend=backend, check=False)(function)
    result = f(lifted, X, k)
    assert result.data == pytest.approx(expected.data, rel=1e-10, abs=1e-12)
    expected.backward()
    result.backward()
    assert gradients(lifted) == pytest.approx(gradients(eager), rel=1e-8, abs=1e-10)
    return f.stats


@pytest.mark.thorough
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("seed", SEEDS)
def test_random_scans_are_their_loops(seed, backend):
    """Of states and results of any structure, one after another, with any number of steps."""
    compare(program(seed), seed, (4, 5, 9, 30)[seed % 4], backend)


@pytest.mark.thorough
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("seed", SEEDS[::4])
def test_random_scans_of_samples_are_their_loops(seed, backend):
    """Within a vmap."""
    compare(program_of_samples(seed), seed, (1, 2, 7)[seed % 3], backend)
