"""Changes are seen in code that comes with data, under names found by text, in late imports."""

import importlib
import sys
from functools import partial
from operator import mul

import pytest

from liftgrad import Value, lift, nn

MODULE = """
from functools import partial
import numpy as np
from liftgrad import nn

class Scale(nn.Module):
    def __init__(self):
        self.factor = 2.0
    def apply(self, x):
        return x * self.factor

class Default:
    factor = 2.0
    def __get__(self, instance, owner=None):
        return self.factor

class Meta(type):
    factor = 2.0

class WithMeta(metaclass=Meta):
    @classmethod
    def apply(cls, x):
        return x * cls.factor

scale, default, factor, factors = Scale(), Default(), 2.0, [2.0]
default.factor = 2.0
scale_method, methods, by_name = scale.apply, [scale.apply], {"apply": scale.apply}
with_factors = partial(lambda factors, x: x * factors[0], factors)
objects, several = np.array([scale], dtype=object), frozenset([scale])

class WithDefault:
    factor = default
    def apply(self, x):
        return x * self.factor

def through_method(x): return scale_method(x)
def through_list(x): return methods[0](x)
def through_dict(x): return by_name["apply"](x)
def through_module(x): return x * scale.factor
def through_partial(x): return with_factors(x)
def through_array(x): return x * objects[0].factor
def through_set(x): return sum(x * each.factor for each in several)
def through_descriptor(x): return WithDefault().apply(x)
def through_metaclass(x): return WithMeta.apply(x)
def through_globals(x): return x * globals()["factor"]

def change(number):
    global factor
    scale.factor = default.factor = factor = Meta.factor = factors[0] = number
"""
WAYS = (
    *("method", "list", "dict", "module", "partial", "array", "set", "descriptor", "metaclass"),
    "globals",
)


@pytest.fixture
def other(tmp_path, monkeypatch):
    """Return a module of the user's that holds numbers in many ways."""
    tmp_path.joinpath("holding.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("holding")
    del sys.modules["holding"]


def check_changes(function, change):
    """Assert that calls give what the number makes of 5, whatever it is changed to."""
    lifted = lift(check=False)(function)
    for number in (2.0, 3.0, 2.0, 4.0):
        change(number)
        for _ in range(2):
            assert lifted(Value(5.0)).data == function(Value(5.0)).data == 5.0 * number


@pytest.mark.parametrize("way", WAYS)
def test_numbers_that_another_module_holds_are_seen(other, way):
    """Functions of another module may use its numbers."""
    check_changes(getattr(other, f"through_{way}"), other.change)
    function = getattr(other, f"through_{way}")
    check_changes(lambda x: function(x) * 1.0, other.change)


def test_methods_of_one_object_that_are_captured_see_its_numbers(other):
    """Bound methods may be captured, in containers, or passed."""
    method, methods, parts = other.scale.apply, [other.scale.apply], partial(mul, 3.0)
    check_changes(lambda x: method(x) * 1.0, other.change)
    check_changes(lambda x: methods[0](x) * 1.0, other.change)
    check_changes(lambda x: parts(x) * method(1.0) / 3.0, other.change)
    lifted = lift(check=False)(lambda x, f: f(x))
    for number in (2.0, 3.0):
        other.change(number)
        assert lifted(Value(5.0), other.scale.apply).data == 5.0 * number


def test_methods_of_a_model_have_its_parameters():
    """The gradients of a bound method, captured or passed, are its model's."""

    class Net(nn.Module):
        def __init__(self):
            self.w = [Value(2.0), Value(3.0)]
            self.activation = self.squared

        def squared(self, x):
            return self.w[1] * x * x

        def __call__(self, x):
            return self.activation(self.w[0] * x)

    net = Net()
    forward = net.__call__
    ways = (
        (lambda x: forward(x) * 1.0, ()),
        (lambda x, f: f(x), (forward,)),
        (lambda x, f: f(x), (net.activation,)),
        (lambda x, f: f(x), (net,)),
    )
    for function, arguments in ways:
        for _ in range(2):
            gradients = []
            for call in (function, lift(function)):
                net.zero_grad()
                call(5.0, *arguments).backward()
                gradients.append([p.grad for p in net.parameters()])
            assert gradients[0] == pytest.approx(gradients[1])


def test_a_function_with_its_parameters_as_an_attribute():
    """Parameters that are a function's attribute are not mistaken for leftovers of tracing."""

    def dense(count):
        weights = [Value(0.5 * i) for i in range(count)]

        def forward(x):
            return sum(w * w * x for w in weights)

        forward.weights = weights
        return forward

    layer = dense(3)
    lift(lambda x: layer(x) + 1.0)(2.0).backward()
    assert [w.grad for w in layer.weights] == [0.0, 2.0, 4.0]


def test_sets_of_objects_see_their_numbers(other):
    """A changed number of an object in a set that is an argument is seen."""
    several = {other.scale}
    lifted = lift(check=False)(lambda x, several: sum(x * each.factor for each in several))
    for number in (2.0, 3.0):
        other.change(number)
        for _ in range(2):
            assert lifted(Value(5.0), several).data == 5.0 * number


def test_names_that_are_found_by_text_are_seen(other):
    """getattr may find a name by a text in the function."""
    check_changes(lambda x: x * getattr(other, "factor"), other.change)  # noqa: B009


def test_what_is_imported_within_the_function_is_seen(tmp_path, monkeypatch):
    """An import in the function may be of a module or a name, and the first one of either."""
    monkeypatch.syspath_prepend(tmp_path)
    for number, line in enumerate(("import {0}", "from {0} import factor", "import {0} as other")):
        name = f"late_{number}"
        tmp_path.joinpath(f"{name}.py").write_text("factor = 2.0\n")
        source = (f"{name}.factor", "factor", "other.factor")[number]
        space = {"__name__": "user"}
        exec(f"def f(x):\n    {line.format(name)}\n    return x * {source}\n", space)
        lifted = lift(check=False)(space["f"])
        assert lifted(Value(5.0)).data == 10.0
        check_changes(space["f"], partial(setattr, sys.modules[name], "factor"))
        sys.modules[name].factor = 3.0
        assert lifted(Value(5.0)).data == 15.0
