"""Lifted functions as functions."""

import copy
import gc
import math
import pickle

import pytest
from both_ways import BACKENDS, gradients, same_as_eager, values

from liftgrad import Value, functional, grad, lift, ops
from liftgrad.functional import log


def at_module_level(x):
    """Return x·x."""
    return x * x


lifted_at_module_level = lift(at_module_level)


@lift
def pickled(x):
    return x * 2.0


def test_a_lifted_function_looks_like_the_function():
    """Its name, its documentation, its module."""
    assert lifted_at_module_level.__name__ == "at_module_level"
    assert lifted_at_module_level.__doc__ == "Return x·x."
    assert lifted_at_module_level.__wrapped__ is at_module_level


def test_a_lifted_function_is_copied_and_pickled_by_name():
    """As functions are, also after it was called."""
    assert pickled(Value(2.0)).data == 4.0
    assert copy.deepcopy(pickled) is pickled
    assert pickle.loads(pickle.dumps(pickled)) is pickled


def test_an_exception_within_is_the_users_own():
    """And leaves the function as it was."""
    f = lift(lambda x, n: 1 / n * x)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            f(Value(1.0), 0)
        assert f(Value(1.0), 2).data == 0.5


@pytest.mark.parametrize(
    "function",
    [
        lambda p: log(log(log(p[0]))) ** 0 + p[0],
        lambda p: ops.largest(log(-0.5 - p[0] * 0.0) / p[0], p[0]) * 2.0 + p[0] * 3.0,
    ],
)
def test_zeros_and_constants_are_passed_down_as_eager_does(function):
    """A rule's zero meets infinite derivatives further down; a constant has no gradient at all."""
    (p,) = values(0.25)
    function([p]).backward()
    for backend in BACKENDS:
        (q,) = values(0.25)
        lift(backend=backend)(function)([q]).backward()
        assert q.grad == pytest.approx(p.grad, nan_ok=True)
    assert grad(lambda x: function([x]))(0.25) == pytest.approx(p.grad, nan_ok=True)


def test_dot_products_of_one_element_are_products():
    """As in the first row of causal attention."""
    xs = values(2.0, -3.0)
    same_as_eager(lambda xs: functional.dot(xs[:1], xs[1:]) + functional.dot(xs[:1], [4.0]), xs)
    assert gradients(xs) == [1.0, 2.0]


@pytest.fixture
def nothing_is_frozen():
    """What conftest.py froze thaws, and freezes again."""
    gc.unfreeze()
    yield
    gc.freeze()


@pytest.mark.usefixtures("nothing_is_frozen")
def test_tracing_leaves_frozen_objects_to_the_user():
    """It moves its own past the collector's young generations, by means that would thaw them."""
    many = values(*map(float, range(4000)))
    lift(lambda xs: sum(x * x for x in xs))(many)
    assert gc.get_freeze_count() == 0
    gc.freeze()
    frozen = gc.get_freeze_count()
    try:
        lift(lambda xs: sum(x * x for x in xs))(many)
        assert gc.get_freeze_count() == pytest.approx(frozen, rel=0.01)  # some of them have died
    finally:
        gc.unfreeze()
    assert gc.isenabled()


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_a_power_of_zero_does_not_depend_on_its_base(backend):
    """Whatever the base is, when the exponent is known at run time only."""
    power = lift(backend=backend)(lambda v, e: v**e)
    for base in (1e-310, -1e-310, 0.0, math.inf, math.nan, 2.0):
        x = Value(base)
        power(x, 0.0).backward()
        assert x.grad == 0.0
