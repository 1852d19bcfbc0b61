"""Calls a function both ways, eagerly and lifted."""

import pytest

from liftgrad import Value, lift, nn

BACKENDS = ["native", "numpy"]


def values(*numbers):
    return [Value(x) for x in numbers]


def gradients(parameters):
    return [p.grad for p in parameters]


def same_as_eager(function, *args, **kwargs):
    """Call the function lifted and eagerly; assert that numbers and gradients agree; return one."""
    parameters = [x for x in leaves((args, kwargs)) if isinstance(x, Value)]
    for p in parameters:
        p.grad = 0.0
    expected = function(*args, **kwargs)
    expected.backward()
    wanted = gradients(parameters)
    for backend in BACKENDS:
        for p in parameters:
            p.grad = 0.0
        result = lift(backend=backend)(function)(*args, **kwargs)
        assert result.data == pytest.approx(expected.data, rel=1e-12)
        result.backward()
        assert gradients(parameters) == pytest.approx(wanted, rel=1e-12)
    return expected.data


def leaves(x):
    if isinstance(x, dict):
        x = list(x.values())
    if isinstance(x, nn.MLP | nn.Neuron):
        return x.parameters()
    if isinstance(x, list | tuple):
        return [leaf for item in x for leaf in leaves(item)]
    return [x]
