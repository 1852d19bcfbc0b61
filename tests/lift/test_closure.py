"""No stale data: if something that a lifted function depends on changes, the next call sees it."""

import importlib
import sys
import textwrap
import threading
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from liftgrad import Value, lift, nn
from liftgrad.functional import relu, tanh

SCALE = 2.0
WEIGHTS = [Value(1.0), Value(2.0)]
SETTINGS = {"rate": 3.0, "shifts": [1.0, 2.0]}
TABLE = np.array([1.0, 2.0])
MODE = "plain"


def changes(function, *arguments):
    """Return a function that asserts that the lifted one gives what the eager one gives.

    Twice, since a second call goes another way than the first.
    """
    lifted = lift(function)

    def check():
        for _ in range(2):
            leaves = [x for x in arguments if isinstance(x, Value)]
            for x in leaves:
                x.grad = 0.0
            result = lifted(*arguments)
            result.backward()
            got = [result.data, *[x.grad for x in leaves]]
            for x in leaves:
                x.grad = 0.0
            expected = function(*arguments) + 0.0
            expected.backward()
            assert got == pytest.approx([expected.data, *[x.grad for x in leaves]], rel=1e-12)

    check()
    return check


# Arguments.


def test_a_parameter_replaced_by_another_value():
    """Even a Value with an equal number is another parameter, which gets the gradient."""
    neuron = nn.Neuron(3, nonlin=False)
    f = lift(lambda model, x: model(x))
    x = np.array([1.0, 2.0, 3.0])
    for _ in range(3):
        old, neuron.w[1] = neuron.w[1], Value(neuron.w[1].data)
        old.grad = 0.0
        for _ in range(2):
            f(neuron, x).backward()
        assert (neuron.w[1].grad, old.grad) == (4.0, 0.0)
    assert f.stats.traces == 1


def test_parameters_that_are_swapped():
    """Two equal parameters that are swapped within a list are told apart."""
    f = lift(lambda ws: ws[0] * 2.0 + ws[1] * 3.0)
    a, b = Value(1.0), Value(1.0)
    ws = [a, b]
    for _ in range(2):
        f(ws).backward()
    ws.reverse()
    f(ws).backward()
    assert (a.grad, b.grad) == (2.0 + 2.0 + 3.0, 3.0 + 3.0 + 2.0)


def test_a_models_structure():
    """A layer more or less, another activation or attribute changes the result."""
    model = nn.MLP(2, [3, 2, 1])
    check = changes(lambda m, x: m(x), model, [1.0, 2.0])
    model.layers.insert(1, nn.Layer(3, 3))
    check()
    model.layers[0].neurons[1].activation = "tanh"
    check()
    model.layers[0].neurons[0].nonlin = False
    check()
    del model.layers[1]
    check()


def test_static_attributes_of_all_kinds():
    """Floats, booleans, lists, sets and arrays among attributes may be changed in place."""

    class Model(nn.Module):
        def __init__(self):
            self.w = [Value(1.0), Value(2.0), Value(3.0)]
            self.scale, self.on = 2.0, True
            self.list, self.set = [1.0, 2.0, 3.0], {0, 1}
            self.array = np.array([1.0, 2.0, 3.0])
            self.mask = np.array([True, False, True])

        def __call__(self):
            terms = [
                w * a * b
                for i, (w, a, b, m) in enumerate(
                    zip(self.w, self.list, self.array, self.mask, strict=True)
                )
                if m and (self.on or i) and i in self.set
            ]
            return sum(terms) * self.scale

    model = Model()
    check = changes(lambda m: m(), model)
    model.scale = 3.0
    check()
    model.list[0] = 5.0
    check()
    model.set.add(2)
    check()
    model.array[2] = 7.0
    check()
    model.mask[1] = True
    check()
    model.on = False
    check()
    model.array = model.array[::-1]
    check()


def test_lists_of_floats_changed_in_place():
    """Nested lists of floats, beside models, are inputs, and each call sees their numbers."""
    x = [[1.0, 2.0], [3.0]]
    check = changes(lambda w, x: w * x[0][1] + sum(x[1]), Value(2.0), x)
    x[0][1] = 5.0
    check()
    x[1].append(6.0)
    check()


def test_arrays_changed_in_place():
    """So are arrays, their slices and transposes."""
    X = np.arange(6.0).reshape(2, 3)
    check = changes(lambda w, a, b: w * a[1][2] + b[2][1], Value(2.0), X, X.T)
    X *= 2.0
    check()
    X[1, 2] = -1.0
    check()


def test_integers_in_arrays_changed_in_place():
    """Integers that are used as numbers are read at each call."""
    counts = np.array([1, 2, 3])
    check = changes(lambda w, n: w * n[0] + n[2], Value(2.0), counts)
    counts[0] = 10
    check()


def test_slots_changed_in_place():
    """Attributes in slots are seen like others."""

    @dataclass(slots=True)
    class Model:
        weight: Value
        scale: float

    model = Model(Value(3.0), 2.0)
    check = changes(lambda m: m.weight * m.scale, model)
    model.scale = 5.0
    check()
    model.weight = Value(1.0)
    check()


def test_default_arguments_changed_in_place():
    """A mutable default is an argument like others."""

    def f(x, factors=[1.0, 2.0]):  # noqa: B006, that is the point
        return x * factors[0] + factors[1]

    check = changes(f, Value(2.0))
    f.__defaults__[0][0] = 5.0
    check()


# Closures and globals.


def test_captured_variables_that_are_rebound():
    """A captured number, list, model, array or string may be replaced."""
    number, numbers, model, array, mode = 2.0, [1.0, 2.0], nn.Neuron(2), np.array([1.0, 2.0]), "a"

    def f(x):
        y = model(x) * number + numbers[-1] * array[0]
        return y * 2.0 if mode == "a" else y.tanh()

    check = changes(f, [1.0, 2.0])
    number = 3.0
    check()
    numbers = [5.0]
    check()
    numbers[0] = 6.0
    check()
    model = nn.Neuron(2, activation="tanh")
    check()
    model.w[0] = Value(5.0)
    check()
    array = np.array([3.0, 4.0, 5.0])
    check()
    array[0] = 7.0
    check()
    mode = "b"
    check()


def test_gradients_of_captured_values():
    """Captured Values are parameters; the gradient goes to those that are bound now."""
    w = Value(2.0)
    f = lift(lambda x: w * x)
    f(3.0).backward()
    assert w.grad == 3.0
    old, w = w, Value(5.0)
    for _ in range(2):
        f(3.0).backward()
    assert (w.grad, old.grad) == (6.0, 3.0)


def test_globals_that_are_rebound(monkeypatch):
    """Globals may be rebound or changed in place, also those of helpers in the same module."""
    module = sys.modules[__name__]

    def f(x):
        return helper(x) * SCALE + WEIGHTS[0] * SETTINGS["rate"] + TABLE[1]

    check = changes(f, Value(2.0))
    monkeypatch.setattr(module, "SCALE", 5.0)
    check()
    monkeypatch.setattr(module, "WEIGHTS", [Value(7.0)])
    check()
    monkeypatch.setitem(SETTINGS, "rate", 11.0)
    check()
    monkeypatch.setattr(module, "TABLE", np.array([3.0, 4.0]))
    check()
    monkeypatch.setattr(module, "MODE", "negative")
    check()


def helper(x, shifts=(1.0, [2.0])):
    y = sum(inner_helper(x + shift) for shift in SETTINGS["shifts"]) + shifts[1][0]
    return -y if MODE == "negative" else y


def inner_helper(x):
    return x * WEIGHTS[-1] * SCALE


def test_numbers_that_vary_need_no_new_program(monkeypatch):
    """Captured floats, lists and arrays of one shape are inputs, as arguments are."""
    f = lift(helper)
    x = Value(2.0)
    f(x)
    monkeypatch.setattr(sys.modules[__name__], "SCALE", 7.0)
    monkeypatch.setitem(SETTINGS, "shifts", [3.0, 4.0])
    assert f(x).data == helper(x).data
    assert f.stats.traces == 1


def test_helpers_defined_later(monkeypatch):
    """A function may be lifted before the helpers that it calls are defined."""
    module = sys.modules[__name__]
    f = lift(lambda x: defined_later(x))  # noqa: F821, PLW0108
    monkeypatch.setattr(module, "defined_later", lambda x: x * SCALE, raising=False)
    x = Value(3.0)
    assert f(x).data == 6.0
    monkeypatch.setattr(module, "SCALE", 5.0)
    assert f(x).data == 15.0


def test_helpers_that_are_redefined(monkeypatch):
    """A redefined helper, as in a notebook, is used, and so is the old one when it comes back."""
    module, old = sys.modules[__name__], inner_helper
    check = changes(lambda x: helper(x), Value(2.0))  # noqa: PLW0108
    monkeypatch.setattr(module, "inner_helper", lambda x: x + SCALE)
    check()
    monkeypatch.setattr(module, "SCALE", 9.0)
    check()
    monkeypatch.setattr(module, "inner_helper", old)
    check()


def test_a_function_in_a_variable_that_is_rebound():
    """A function may be replaced in its variable, be it the user's or a library's."""
    activation = relu
    check = changes(lambda x: activation(x) + 1.0, Value(-2.0))
    activation = tanh
    check()
    activation = abs
    check()
    activation = relu
    check()


def test_defaults_and_attributes_of_helpers():
    """Defaults and attributes of helpers may be changed in place, or replaced."""

    def inner(x, factors=[1.0], *, shift=0.0):  # noqa: B006, that is the point
        return x * factors[0] * inner.scale + shift

    inner.scale = 2.0
    check = changes(lambda x: inner(x), Value(3.0))  # noqa: PLW0108
    inner.__defaults__[0][0] = 5.0
    check()
    inner.scale = 7.0
    check()
    inner.__kwdefaults__["shift"] = 1.0
    check()


def test_a_variable_bound_late():
    """A variable may be bound to None at first, then to a number, then to another."""
    f = lift(lambda x: x * (1.0 if late is None else late))
    late = None
    assert f(Value(2.0)).data == 2.0
    late = 3.0
    assert f(Value(2.0)).data == 6.0
    late = 4.0
    assert f(Value(2.0)).data == 8.0


def test_captured_objects():
    """Captured objects of the user's classes, and namespaces, are looked into."""

    @dataclass
    class Settings:
        scale: float
        shifts: list

    settings, space = Settings(2.0, [1.0]), SimpleNamespace(rate=3.0)
    check = changes(lambda x: x * settings.scale + settings.shifts[0] * space.rate, Value(2.0))
    settings.scale = 5.0
    check()
    settings.shifts.insert(0, 7.0)
    check()
    space.rate = 11.0
    check()
    settings = Settings(13.0, [17.0])
    check()


# Methods and classes.


class Base(nn.Module):
    """A model that knows numbers that nobody hands to it."""

    factor = 2.0
    table = {"a": [1.0, 2.0]}  # noqa: RUF012, changed on purpose

    def __init__(self):
        self.w = [Value(1.0), Value(2.0)]

    def __call__(self):
        """Return a number made of a global, class attributes, a property and a helper."""
        return (
            sum(self.w) * SCALE * self.factor + self.table["a"][1] * self.rate + self.shift(SCALE)
        )

    @property
    def rate(self):
        """A setting's."""
        return SETTINGS["rate"]

    @staticmethod
    def shift(x):
        """Twice a helper's."""
        return x * MORE.scale

    def __repr__(self):
        return "Base()"


MORE = SimpleNamespace(scale=1.5)


class Derived(Base):
    """One that inherits them."""


@pytest.mark.parametrize("kind", [Base, Derived])
def test_globals_and_class_attributes_of_methods(kind, monkeypatch):
    """Globals and class attributes in methods are static: another number makes another program."""
    module = sys.modules[__name__]
    check = changes(lambda m: m(), kind())
    monkeypatch.setattr(module, "SCALE", 5.0)
    check()
    monkeypatch.setattr(Base, "factor", 7.0)
    check()
    monkeypatch.setitem(Base.table, "a", [1.0, 11.0])
    check()
    Base.table["a"][1] = 12.0
    check()
    monkeypatch.setitem(SETTINGS, "rate", 13.0)
    check()
    monkeypatch.setattr(MORE, "scale", 17.0)
    check()
    monkeypatch.setattr(Base, "shift", staticmethod(lambda x: x * 19.0))
    check()
    monkeypatch.setattr(Base, "__call__", lambda self: sum(self.w) * 23.0)
    check()


# Other modules.


@pytest.fixture
def other(tmp_path, monkeypatch):
    """A module of the user's, on disk."""
    text = """
    FACTOR = 2.0
    OTHERS = {"shift": [1.0]}

    def scaled(x):
        return _inner(x) + OTHERS["shift"][0]

    def _inner(x):
        return x * FACTOR
    """
    (tmp_path / "settings_of_mine.py").write_text(textwrap.dedent(text))
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("settings_of_mine")
    del sys.modules["settings_of_mine"]


def test_functions_of_other_modules(other):
    """Numbers in the globals of functions of other modules are static."""
    scaled = other.scaled
    check = changes(lambda x: scaled(x), Value(3.0))  # noqa: PLW0108
    other.FACTOR = 5.0
    check()
    other.OTHERS["shift"][0] = 7.0
    check()
    other._inner = lambda x: x * 11.0
    check()


def test_numbers_in_other_modules(other):
    """A number that is mentioned as module.name is seen."""
    check = changes(lambda x: x * other.FACTOR + other.scaled(x), Value(3.0))
    other.FACTOR = 5.0
    check()
    other.OTHERS["shift"].insert(0, 7.0)
    check()


def test_libraries_are_not_looked_into():
    """A function that uses NumPy, math and liftgrad captures nothing of theirs."""
    import math  # noqa: PLC0415

    f = lift(
        lambda x: tanh(x) * math.pi + np.float64(2.0) + nn.Neuron.__call__.__code__.co_argcount
    )
    assert f(Value(0.0)).data == 4.0
    assert set(f.source.arguments((Value(0.0),), {})) == {"x"}


def test_attributes_of_objects_of_libraries():
    """Attributes of library objects, such as a scaler that is fitted again, are seen."""
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415, it takes a second

    scaler, own = StandardScaler().fit([[1.0], [3.0]]), threading.local()
    own.factor = 1.0

    class Scaled(nn.Module):
        def __init__(self):
            self.w = Value(2.0)

        def __call__(self, x):
            return (x - scaler.mean_[0]) * self.w * own.factor

    check = changes(lambda x: x * scaler.mean_[0] + own.factor, Value(3.0))
    check_method = changes(lambda m, x: m(x), Scaled(), Value(3.0))
    for data in ([[5.0], [7.0]], [[1.0], [3.0]]):
        scaler.fit(data)
        own.factor += 1.0
        check()
        check_method()


def test_a_method_that_overrides_an_inherited_one_later_is_seen():
    """A class may get a method of its own after the program was made."""

    class Base(nn.Module):
        def __init__(self):
            self.w = Value(2.0)

        def __call__(self, x):
            return self.w * x

    class Derived(Base):
        pass

    f = lift(lambda module, x: module(x[0]))
    module, x = Derived(), np.array([3.0])
    assert f(module, x).data == 6.0
    Derived.__call__ = lambda self, x: self.w * x * 10.0
    assert f(module, x).data == 60.0
    del Derived.__call__
    assert f(module, x).data == 6.0


# Functions that are handed over.


def scaled(x):
    """Use a global number."""
    return x * SCALE


class _Scaling:
    """A method that uses a global number."""

    @staticmethod
    def apply(x):
        return x * SCALE


@pytest.mark.parametrize(
    ("f", "make"),
    [
        (lambda x, f: f(x), lambda: scaled),
        (lambda x, f: f[0](x), lambda: [scaled]),
        (lambda x, f: f["f"](x), lambda: {"f": scaled}),
        (lambda x, f: f.f(x), lambda: SimpleNamespace(f=scaled)),
        (lambda x, f: f(x), lambda: partial(scaled)),
        (lambda x, f: f(x), lambda: lift(scaled)),
        (lambda x, f: f(x), lambda: _Scaling().apply),
        (lambda x, f: f.apply(x), lambda: _Scaling),
        (lambda x, f: f()(x), lambda: lambda: scaled),
    ],
)
def test_what_functions_among_the_arguments_read_is_seen(f, make, monkeypatch):
    """A number that a passed function reads may differ at a later call."""
    argument, lifted = make(), lift(f)
    for number in (2.0, 3.0, 2.0):
        monkeypatch.setattr(sys.modules[__name__], "SCALE", number)
        for _ in range(2):
            assert lifted(Value(5.0), argument).data == 5.0 * number


def test_numbers_in_packages_are_seen(tmp_path, monkeypatch):
    """A number that is mentioned as package.module.name is seen, also in a function there."""
    folder = tmp_path / "a_package"
    folder.mkdir()
    folder.joinpath("__init__.py").write_text("from . import inner\n")
    folder.joinpath("inner.py").write_text("FACTOR = 2.0\ndef scaled(x): return x * FACTOR\n")
    monkeypatch.syspath_prepend(tmp_path)
    package = importlib.import_module("a_package")
    f = lift(lambda x: package.inner.scaled(x) + package.inner.FACTOR)
    for factor in (2.0, 3.0):
        package.inner.FACTOR = factor
        for _ in range(2):
            assert f(Value(5.0)).data == 6.0 * factor
