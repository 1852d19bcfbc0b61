"""Lifted functions as their callers see them: what they take, what they return, their gradients."""

import copy
import ctypes
import gc
import itertools
import math
import pickle
import random
import re
import threading
import warnings
from collections import OrderedDict, defaultdict, namedtuple
from dataclasses import dataclass
from enum import Enum
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from liftgrad import Value, functional, grad, lift, nn, ops, vmap
from liftgrad.errors import LiftError, TraceError
from liftgrad.functional import log, log_softmax, mean, take, tanh, total

BACKENDS = ["native", "numpy"]
Point = namedtuple("Point", "x y")  # noqa: PYI024, the kind without types


class Colour(Enum):
    """Something that is no number."""

    RED = "red"
    BLUE = "blue"


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


# What they take.


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (2.0, 3.0),
        (np.float64(2.0), np.float32(3.0)),
        (2, np.int64(3)),
        (True, np.True_),
        (np.array(2.0), np.array(3)),
    ],
)
def test_numbers(x, y):
    """Python's and NumPy's, 0-d arrays too, may be arguments and stand anywhere in arithmetic."""
    same_as_eager(lambda w, x, y: w * x + y / (w + 5.0), Value(1.5), x, y)


@pytest.mark.parametrize("kind", [list, tuple, np.array, values], ids=lambda k: k.__name__)
def test_sequences_of_numbers(kind):
    """Lists, tuples, arrays and lists of Values are one and the same to a scalar program."""
    x = values(1.0, 2.0, 3.0) if kind is values else kind([1.0, 2.0, 3.0])
    assert same_as_eager(lambda w, x: sum(w * xi for xi in x), Value(2.0), x) == 12.0


@pytest.mark.parametrize(
    "matrix",
    [
        [[1.0, 2.0], [3.0, 4.0]],
        np.array([[1.0, 2.0], [3.0, 4.0]]),
        [np.array([1.0, 2.0]), (3.0, 4.0)],
        [values(1.0, 2.0), values(3.0, 4.0)],
    ],
    ids=["lists", "array", "mixed", "Values"],
)
def test_matrices(matrix):
    """Nested in any way."""

    def f(w, m):
        return sum(m[i][j] * w ** (i + j) for i in (0, 1) for j in (0, 1))

    same_as_eager(f, Value(2.0), matrix)


def test_arrays_are_sliced_and_indexed_like_arrays():
    """By integers, tuples, slices, negative steps and ellipses."""
    X = np.arange(12.0).reshape(3, 4)

    def f(w, X):
        return w * X[1, 2] + sum(X[0]) + X[-1][0] * w + sum(X[:, 1]) + sum(X[..., ::-2][2]) * w

    same_as_eager(f, Value(2.0), X)


def test_containers_of_values():
    """As microgpt keeps its matrices: in a dict of lists of lists."""
    state = {"wte": [values(1.0, 2.0), values(3.0, 4.0)], "head": [values(0.5, -0.5)]}

    def f(state):
        (head,) = state["head"]
        return sum(tanh(a * b) for row in state["wte"] for a, b in zip(row, head, strict=True))

    same_as_eager(f, state)


def test_named_tuples_keep_their_names():
    """And are handed on as what they are."""
    p, q = Point(Value(1.0), 2.0), Point(3.0, Value(4.0))
    same_as_eager(lambda p, q: p.x * q.y + p.y * q.x, p, q)


@pytest.mark.parametrize("kind", [OrderedDict, partial(defaultdict, list)])
def test_other_dicts_keep_their_kind(kind):
    """With what they can do beyond a dict."""
    unseen = threading.local()  # which the lift does not look into

    @lift
    def f(d):
        unseen.kind = type(d)
        return d["a"] * d["b"]

    d = kind(a=Value(2.0), b=3.0)
    assert f(d).data == 6.0
    assert unseen.kind is type(d)


def test_keywords_defaults_and_any_number_of_arguments():
    """Python's whole calling convention."""

    def f(a, /, b, *rest, scale=2.0, **others):
        return a * b + scale * sum(rest) + others.get("shift", 0.0)

    x = Value(3.0)
    same_as_eager(f, x, 2.0)
    same_as_eager(f, x, b=2.0)
    same_as_eager(f, x, 2.0, Value(4.0), 5.0, scale=x, shift=Value(1.0))


def test_a_call_that_does_not_fit_is_refused_by_name():
    """As Python would."""
    f = lift(lambda a, b: a * b)
    with pytest.raises(TypeError, match=r"<lambda>\(\): missing a required argument: 'b'"):
        f(1.0)


@dataclass
class Scaled:
    """A model that is no Module."""

    inner: object
    scale: float = 2.0

    def __call__(self, x):
        """Return the inner model's result, scaled."""
        return self.scale * self.inner(x)


@dataclass(slots=True, frozen=True)
class Slim:
    """A model whose attributes are slots, never to be set again."""

    weight: Value
    scale: float

    def __call__(self, x):
        """Return the product."""
        return self.weight * self.scale * x


class Loop(nn.Module):
    """A model that knows itself."""

    def __init__(self):
        self.w = Value(2.0)
        self.itself = self
        self.twice = [self, self]

    def __call__(self, x):
        """Return the product, the long way round."""
        return self.twice[1].itself.w * x


@pytest.mark.parametrize(
    "model",
    [
        nn.MLP(2, [3, 1]),
        Scaled(nn.MLP(2, [3, 1])),
        Scaled(Scaled(nn.Neuron(2))),
        SimpleNamespace(w=values(1.0, 2.0), b=Value(3.0)),
    ],
    ids=["Module", "object", "objects", "namespace"],
)
def test_models(model):
    """Modules, and other objects with attributes, however deep."""

    def f(model, x):
        if isinstance(model, SimpleNamespace):
            return model.w[0] * x[0] + model.w[1] * x[1] + model.b
        return model(x)

    same_as_eager(f, model, [0.5, -1.0])


def test_objects_with_slots_and_objects_in_circles():
    """Frozen ones, too."""
    same_as_eager(lambda m, x: m(x), Slim(Value(3.0), 2.0), 5.0)
    loop = Loop()
    same_as_eager(lambda m, x, w: m(x) * w, loop, 5.0, loop.w)


def test_a_value_in_two_places_is_one_parameter():
    """Its gradient is the sum over both."""
    shared = Value(3.0)
    x = lift(lambda a, b: a[0] * b["x"] * a[1])([shared, 2.0], {"x": shared})
    x.backward()
    assert (x.data, shared.grad) == (18.0, 12.0)


class Tied(nn.Module):
    """Two names for a list, for a Value, for a module, for a dict and for a tuple."""

    def __init__(self):
        self.embedding = [Value(1.0), Value(2.0)]
        self.head = self.embedding
        self.scale = self.gain = Value(3.0)
        self.layers = [nn.Linear(1, 1), nn.Linear(1, 1)]
        self.last = self.layers[1]
        self.named = {"a": self.scale, "b": Value(4.0)}
        self.again = self.named
        self.pair = self.other = (Value(5.0), self.head)


def is_once(a: Tied, b: Tied, scale: Value, head: list[Value]) -> float:
    """Return how many of what has several names is one object under all of them."""
    same = [
        *(a is b, a.embedding is a.head, a.head is head, a.scale is a.gain, a.scale is scale),
        *(a.layers[1] is a.last, a.named is a.again, a.named["a"] is scale, a.pair is a.other),
        *(a.embedding[0] is head[0], a.pair[1] is head, b.head[1] is a.embedding[1]),
    ]
    return float(sum(same))


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_what_has_several_names_is_one_object(backend):
    """Within a model, in several arguments, and captured: parameters count once."""
    captured = Tied()

    def penalty(a, b, scale, head):
        parameters = [*a.parameters(), *captured.parameters()]
        return total([p * p for p in parameters]) * is_once(a, b, scale, head) * len(parameters)

    def outcome(function, a):
        models = (a, captured)
        for p in [p for model in models for p in model.parameters()]:
            p.grad = 0.0
        y = function(a, a, a.scale, a.head)
        y.backward()
        return [y.data, *[p.grad for model in models for p in model.parameters()]]

    f = lift(backend=backend)(penalty)
    for a in (Tied(), Tied(), captured):
        assert is_once(a, a, a.scale, a.head) == 12.0
        for _ in range(2):
            assert outcome(f, a) == pytest.approx(outcome(penalty, a), rel=1e-14)


def test_a_weight_that_is_tied_later_makes_another_program():
    """Untied again, it is the first one's turn."""
    net = Tied()
    penalty = lift(lambda net: total([p * p for p in net.parameters()]))
    eager, own = penalty.function, net.head
    for head in (own, [Value(1.0), Value(2.0)], own):
        net.head = head
        assert penalty(net).data == pytest.approx(eager(net).data, rel=1e-14)
    assert penalty.stats.traces == 2


def test_rows_of_data_that_are_drawn_twice_make_no_other_program():
    """As a batch drawn with replacement has them."""
    f = lift(lambda w, xs: total([w * x * i for i, row in enumerate(xs) for x in row]))
    data = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
    for batch in ((0, 1), (1, 1), (2, 2), (2, 0)):
        xs = [data[i] for i in batch]
        assert f(Value(2.0), xs).data == pytest.approx(f.function(Value(2.0), xs).data)
    assert f.stats.traces == 1


def test_what_is_no_number_is_handed_on():
    """Strings, ranges, sets, enumerations, functions, classes, None."""
    unseen = threading.local()

    @lift
    def f(x, *rest):
        unseen.rest = rest
        return x * 1.0

    rest = ("text", b"bytes", range(3), {1, 2}, Colour.RED, tanh, mean, Point, None, ...)
    f(Value(1.0), *rest)
    assert unseen.rest == rest


def test_a_partial_function_is_taken_apart():
    """The numbers that it holds are inputs like others."""

    def scaled(k, x, shift=0.0):
        return k * x + shift

    f = lift(lambda x, h: h(x))
    assert f(Value(2.0), partial(scaled, 3.0)).data == 6.0
    assert f(Value(2.0), partial(scaled, 4.0)).data == 8.0
    assert f(Value(2.0), partial(scaled, Value(5.0), shift=1.0)).data == 11.0


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        (np.array([1j]), "x is an array of complex128; a lifted function takes arrays of floats"),
        (np.array([iter([1.0])], object), "x.0 is a list_iterator, and"),
        (np.ma.array([1.0], mask=[True]), "x is a MaskedArray, and would be used as a plain array"),
        ((x for x in [1.0]), "x is a generator, and a lifted function could not see it change"),
        ([bytearray(b"a")], "x.0 is a bytearray, and"),
    ],
)
def test_what_could_not_be_right_is_refused(argument, sentence):
    """In one sentence that says what to pass instead."""
    with pytest.raises(LiftError, match=re.escape(sentence)):
        lift(lambda x: x[0] * 1.0)(argument)


def test_a_list_that_holds_itself_is_refused():
    """Rather than walked through for ever."""
    x = [Value(1.0)]
    x.append(x)
    with pytest.raises(LiftError, match="x is nested too deeply, or a list in it holds itself"):
        lift(lambda x: x[0])(x)


@pytest.mark.parametrize("argument", [nn.Neuron(2), nn.Neuron(2).parameters, partial(tanh), np.sin])
def test_only_functions_are_lifted(argument):
    """What else can be called is called by one, as the sentence says."""
    with pytest.raises(LiftError, match=r"lift\(\) takes a function, and this is .*; \w+"):
        lift(argument)


@pytest.mark.parametrize("options", [{"dtype": "float16"}, {"backend": "gpu"}])
def test_unknown_options_are_refused(options):
    """With the choices there are."""
    with pytest.raises(LiftError, match=r"choose '.*' or '.*'"):
        lift(**options)


def test_methods_are_lifted_too():
    """In the class, where `self` is an argument like others."""

    class Model(nn.Module):
        def __init__(self):
            self.w = Value(2.0)

        @lift
        def loss(self, x):
            return self.w * x

    model = Model()
    model.loss(3.0).backward()
    assert model.w.grad == 3.0
    assert Model.loss(model, 4.0).data == 8.0


# What they return.


@pytest.mark.parametrize("backend", BACKENDS)
def test_results_keep_their_structure(backend):
    """Nested lists, tuples, dicts and named tuples of Values; what depends on nothing stays."""

    @lift(backend=backend)
    def f(x, y):
        return {"sum": x + y, "rest": [(x * y, 1.5), Point(x / y, "text")], "none": None, "n": 3}

    result = f(Value(6.0), Value(2.0))
    assert list(result) == ["sum", "rest", "none", "n"]
    assert isinstance(result["sum"], Value)
    assert result["rest"][1] == Point(3.0, "text")
    assert result == {"sum": 8.0, "rest": [(12.0, 1.5), (3.0, "text")], "none": None, "n": 3}


@pytest.mark.parametrize("backend", BACKENDS)
def test_arguments_may_be_results(backend):
    """A parameter, an input, a row of an array, one number several times."""

    @lift(backend=backend)
    def f(w, x, X):
        return [w, x, X[1], w]

    w = Value(2.0)
    result = f(w, 3.0, np.array([[1.0, 2.0], [3.0, 4.0]]))
    assert result == [2.0, 3.0, [3.0, 4.0], 2.0]
    (result[0] + 5.0 * result[3]).backward()
    assert w.grad == 6.0


def test_a_function_may_return_nothing_that_it_computes():
    """Then that is what it returns."""
    assert lift(lambda x: 3.0)(Value(1.0)) == 3.0
    assert lift(lambda x: [None, "a"])(Value(1.0)) == [None, "a"]
    assert lift(lambda: 2.0)() == 2.0


@pytest.mark.parametrize("backend", BACKENDS)
def test_comparisons_are_ones_and_zeros(backend):
    """As results; in between they are for where()."""

    @lift(backend=backend)
    def f(x, y):
        return [x < y, x >= y, (x > 0.0) & (y > 0.0)]

    assert f(Value(1.0), 2.0) == [1.0, 0.0, 1.0]


@pytest.mark.parametrize("backend", BACKENDS)
def test_results_for_each_sample_are_arrays(backend):
    """One number for each; in the structure that the mapped function returned."""
    X = np.arange(6.0).reshape(3, 2)

    @lift(backend=backend)
    def f(w, X):
        results = vmap(lambda x: {"dot": w * x[0] + x[1], "same": w * 2.0, "one": 1.0})(X)
        return results, total(results["dot"])

    w = Value(10.0)
    results, summed = f(w, X)
    assert {name: x.tolist() for name, x in results.items()} == {
        "dot": [1.0, 23.0, 45.0],
        "same": [20.0, 20.0, 20.0],
        "one": [1.0, 1.0, 1.0],
    }
    summed.backward()
    assert (summed.data, w.grad) == (69.0, 6.0)


@pytest.mark.parametrize(
    "function",
    [lambda m: m, lambda m: [m.w], lambda m: SimpleNamespace(x=m.b * 2.0)],
    ids=["model", "list", "namespace"],
)
def test_a_result_that_would_hide_traced_values_is_refused(function):
    """A list of Values is none; a model is."""
    model = nn.Neuron(2)
    if function(model) == [model.w]:
        assert lift(function)(model) == [[w.data for w in model.w]]
        return
    with pytest.raises(LiftError, match="return Values, numbers, or lists, tuples and dicts"):
        lift(function)(model)


def test_a_traced_value_that_escaped_is_refused():
    """Where it is used next: as an argument, or within another function."""
    unseen = ctypes.py_object(None)
    lift(lambda x: setattr(unseen, "value", x * 2.0) or x * 1.0, check=False)(Value(1.0))
    with pytest.raises(TraceError, match=r"xs\.0 holds a traced value of an earlier call"):
        lift(lambda xs: xs[0] * 2.0)([unseen.value])
    with pytest.raises(TraceError, match="of an earlier call"):
        lift(lambda x: x * unseen.value)(Value(1.0))


# Gradients.


def squares(xs):
    return sum(x * x for x in xs)


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_accumulate_until_they_are_set_to_zero(backend):
    """Over calls and over backward(); as in the engine."""
    f = lift(backend=backend)(squares)
    xs = values(1.0, 2.0)
    first = f(xs)
    first.backward()
    first.backward()
    f(xs).backward()
    assert gradients(xs) == [6.0, 12.0]
    for x in xs:
        x.grad = 0.0
    f(xs).backward()
    squares(xs).backward()
    assert gradients(xs) == [4.0, 8.0]


@pytest.mark.parametrize("backend", BACKENDS)
def test_each_of_several_results_has_its_gradient(backend):
    """Also after the others had theirs, and all together in eager arithmetic."""

    @lift(backend=backend)
    def f(xs):
        return {"sum": xs[0] + xs[1], "product": xs[0] * xs[1]}

    xs = values(3.0, 5.0)
    result = f(xs)
    result["product"].backward()
    assert gradients(xs) == [5.0, 3.0]
    result["sum"].backward()
    assert gradients(xs) == [6.0, 4.0]
    (result["sum"] * 10.0 + result["product"] * result["product"]).backward()
    assert gradients(xs) == [6.0 + 10.0 + 2 * 15.0 * 5.0, 4.0 + 10.0 + 2 * 15.0 * 3.0]


@pytest.mark.parametrize("backend", BACKENDS)
def test_results_go_on_in_eager_arithmetic(backend):
    """Together with the parameters themselves; the result's own gradient is set, too."""
    f = lift(backend=backend)(squares)
    xs = values(1.0, 2.0)
    inner = f(xs)
    outer = (inner * inner + xs[0]).tanh() + inner
    eager = values(1.0, 2.0)
    expected = squares(eager)
    whole = (expected * expected + eager[0]).tanh() + expected
    outer.backward()
    whole.backward()
    assert gradients([*xs, inner]) == pytest.approx(gradients([*eager, expected]), rel=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_go_through_arguments_that_were_computed(backend):
    """By eager arithmetic, or by another lifted function."""
    double = lift(backend=backend)(lambda xs: [2.0 * x for x in xs])
    f = lift(backend=backend)(squares)
    xs = values(1.0, 2.0)
    f(double(xs)).backward()
    assert gradients(xs) == [8.0, 16.0]
    y = xs[0] * 3.0
    for _ in range(2):
        f([y, xs[0]]).backward()
    assert gradients(xs) == [8.0 + 2 * (18.0 + 2.0), 16.0]
    assert y.grad == 6.0  # fresh at each backward, like that of every inner Value


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_result_can_be_differentiated_after_another_call(backend):
    """With the numbers that its own call had."""
    f = lift(backend=backend)(lambda x, k: x * x * k)
    x = Value(3.0)
    results = [f(x, float(k)) for k in range(4)]
    for k, result in enumerate(results):
        x.grad = 0.0
        result.backward()
        assert x.grad == 6.0 * k


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_of_several_results_cannot_after_another_call(backend):
    """Their numbers are gone, and that is said."""
    f = lift(backend=backend)(lambda x: [x * x, x * 2.0])
    x = Value(3.0)
    result, _ = f(x)
    again, _ = f(x)
    with pytest.raises(LiftError, match=r"call backward\(\) before calling the function again"):
        result.backward()
    again.backward()
    assert x.grad == 6.0


def test_without_parameters_there_is_nothing_to_differentiate():
    """The result is a Value all the same, and backward() its own affair."""
    result = lift(squares)([1.0, 2.0])
    result.backward()
    assert (result.data, result.grad, result._prev) == (5.0, 1.0, ())


@pytest.mark.parametrize("use", [lambda y: y, lambda y: y * 2.0], ids=["alone", "in arithmetic"])
def test_a_graph_of_gradients_is_refused(use):
    """Second derivatives are taken inside of the lifted function; it says how."""
    with pytest.raises(LiftError, match=r"take derivatives inside of it, with grad\(grad\(f\)\)"):
        use(lift(squares)(values(1.0))).backward(create_graph=True)


@pytest.mark.parametrize("backend", BACKENDS)
def test_derivatives_within(backend):
    """grad, and grad of grad, are recorded like everything else."""
    f = lift(backend=backend)(lambda x: grad(grad(lambda z: z**3 * x))(x))
    x = Value(2.0)
    result = f(x)
    result.backward()
    assert (result.data, x.grad) == (24.0, 24.0)


def test_a_lifted_function_within_another_is_the_plain_one():
    """Also one that captures Values, one lifted twice, and in what grad() differentiates."""
    scale = Value(10.0)
    inner = lift(lambda x: x * x * scale)
    outer = lift(lambda x: inner(x) + lift(lift(squares))([x]))
    x = Value(3.0)
    result = outer(x)
    result.backward()
    assert (result.data, x.grad, scale.grad) == (99.0, 66.0, 9.0)
    assert grad(lift(lambda x: x**3))(2.0) == 12.0
    assert grad(grad(lift(lambda x: x**3)))(2.0) == 12.0


def test_infinities_and_nan_come_out_as_in_the_engine():
    """IEEE results, no exceptions."""
    f = lift(lambda a, b: [a.log(), a / b, (a / b) * a, (a + 1000.0).exp()])
    a, b = Value(0.0), 0.0
    out = [x.data for x in f(a, b)]
    assert out == pytest.approx([-np.inf, np.nan, np.nan, np.inf], nan_ok=True)


# One program for each structure.


def loss(model, X, y):
    return mean([(model(x) - yi) ** 2 for x, yi in zip(X, y, strict=True)])


def data(n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 2)), rng.normal(size=n)


@pytest.mark.parametrize("backend", BACKENDS)
def test_other_numbers_of_the_same_structure_share_a_program(backend):
    """Another model of the same shape, other data, other floats; each with the right numbers."""
    f = lift(backend=backend)(lambda model, X, y, rate: loss(model, X, y) * rate)
    random.seed(1)
    models = [nn.MLP(2, [3, 1]) for _ in range(3)]
    for i in range(9):
        model, (X, y), rate = models[i % 3], data(5, seed=i), 0.5 + i
        if i % 2:
            X, y = X.tolist(), y.tolist()
        result = f(model, X, y, rate)
        result.backward()
        got = gradients(model.parameters())
        model.zero_grad()
        expected = loss(model, X, y) * rate
        expected.backward()
        assert result.data == pytest.approx(expected.data, rel=1e-12)
        assert got == pytest.approx(gradients(model.parameters()), rel=1e-12, abs=1e-15)
        model.zero_grad()
    assert (f.stats.traces, f.stats.cache_hits) == (2, 7)


@pytest.mark.parametrize("backend", BACKENDS)
def test_other_indices_share_a_program(backend):
    """Integer arrays are read at run time; 0-d ones, too."""

    @lift(backend=backend)
    def score(table, tokens, last):
        rows = [take(table, i) for i in tokens]
        return sum(a * b for a, b in zip(rows[0], rows[1], strict=True)) * take(rows[2], last)

    table = [values(i, i + 0.5) for i in range(6)]
    for tokens in ([0, 1, 2], [5, 5, 5], [3, 0, 4]):
        got = score(table, np.array(tokens), np.array(tokens[0] % 2))
        a, b, c = (table[i] for i in tokens)
        assert got.data == ((a[0] * b[0] + a[1] * b[1]) * c[tokens[0] % 2]).data
    assert score.stats.traces == 1


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("wrong", [-1, 6, 2**62])
def test_an_index_out_of_range_is_an_index_error(backend, wrong):
    """Before anything is read; the next call is unharmed."""
    f = lift(backend=backend)(lambda table, tokens: sum(take(table, i) for i in tokens))
    table = values(*range(6))
    f(table, np.array([1, 2]))
    with pytest.raises(IndexError, match=rf"take\(\) at index {wrong} of a table of 6"):
        f(table, np.array([1, wrong]))
    assert f(table, np.array([1, 2])).data == 3.0


def test_static_arguments_make_programs_of_their_own():
    """Integers, strings and booleans, which Python may branch on; alike ones are told apart."""

    def f(x, n, act, flag):
        y = sum(x**k for k in range(n))
        y = y.tanh() if act == "tanh" else y
        return -y if flag is True else y

    lifted = lift(f)
    x = Value(0.5)
    choices = [(2, "tanh", True), (3, "tanh", True), (3, "none", True), (3, "none", False)]
    choices += [(3, "none", "True"), (3, "none", 1), (3, "none", np.True_), (3, "none", 1.0)]
    for _ in range(2):
        for choice in choices:
            expected = f(x, *choice[:2], bool(choice[2]) if choice[2] is np.True_ else choice[2])
            assert lifted(x, *choice).data == pytest.approx(expected.data, rel=1e-12)
    assert lifted.stats.traces == len(choices) - 1  # np.True_ is True


def test_opaque_arguments_are_told_apart_by_equality():
    """A range like another is the same; a function is another than any other."""
    f = lift(lambda x, r, h: sum(h(x) * i for i in r))
    x = Value(1.0)
    for _ in range(3):
        assert f(x, range(4), tanh).data == pytest.approx(6 * np.tanh(1.0), rel=1e-12)
        assert f(x, range(3), abs).data == 3.0
    assert f.stats.traces == 2


@pytest.mark.parametrize("backend", BACKENDS)
def test_batches_of_any_size_share_a_program(backend):
    """Mapped over with vmap; a single sample, and none, are batches too."""
    f = lift(backend=backend)(lambda w, X: mean(vmap(lambda x: (w * x[0] - x[1]) ** 2)(X)))
    w = Value(2.0)
    for n in (1, 2, 7, 64, 3):
        X, _ = data(n, seed=n)
        w.grad = 0.0
        result = f(w, X)
        result.backward()
        assert result.data == pytest.approx(np.mean((2.0 * X[:, 0] - X[:, 1]) ** 2), rel=1e-12)
        slope = np.mean(2.0 * (2.0 * X[:, 0] - X[:, 1]) * X[:, 0])
        assert w.grad == pytest.approx(slope, rel=1e-12)
    assert f.stats.traces == 1


@pytest.mark.parametrize("size", [len, lambda X: X.shape[0]], ids=["len", "shape"])
@pytest.mark.parametrize("within", [False, True])
def test_a_batch_whose_size_is_asked_for_is_traced_anew(size, within):
    """The number that Python got is part of the program: no other size may use it."""
    if within:
        f = lift(lambda w, X: total(vmap(lambda x: w * x[0] / size(X))(X)))
    else:
        f = lift(lambda w, X: total(vmap(lambda x: w * x[0])(X)) / size(X))
    w = Value(1.0)
    for n in (4, 2, 4, 8):
        assert f(w, np.ones((n, 2))).data == pytest.approx(1.0)
    assert f.stats.traces == 3


def test_a_batch_of_which_one_samples_size_is_asked_for_is_traced_once():
    """How many numbers a sample has is the same for batches of all sizes."""
    f = lift(lambda w, X: total(vmap(lambda x: w * x[0] / len(x[:2]))(X)))
    for n in (4, 2, 8):
        assert f(Value(1.0), np.ones((n, 3))).data == pytest.approx(n / 2)
    assert f.stats.traces == 1


def few_structures(f, calls):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for call in calls:
            f(*call)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    return str(caught[0].message)


def test_many_structures_are_warned_of_once():
    """At the seventeenth, by name, with what differs and what to do."""
    x = Value(1.0)
    message = few_structures(lift(lambda x, n: x * n), [(x, n) for n in range(20)])
    assert message == (
        "<lambda> was built for 17 structures of arguments; of the last two, one has 15 and the "
        "other 16 in n. If it is a number that varies, pass it as a float or in an array."
    )


VARYING = {
    "shapes": lambda n: np.ones((n + 1, 2)),
    "lengths": lambda n: [1.0] * (n + 1),
    "attributes": lambda n: SimpleNamespace(scale=float(n)),
    "kinds": lambda n: {f"key {i}": 1.0 for i in range(n + 1)},
}
SENTENCES = {
    "shapes": "one has an array of shape (16, 2) and the other an array of shape (17, 2) in x. "
    "Map over arrays that vary in length with vmap, or pad them.",
    "lengths": "one has a list of length 16 and the other a list of length 17 in x. "
    "Pad what varies in length or kind.",
    "attributes": "one has 15.0 and the other 16.0 in x. "
    "Attributes are static: pass a number that varies as an argument, or as a Value.",
    "kinds": "one has a dict of 16 and the other a dict of 17 in x. "
    "Pad what varies in length or kind.",
}


@pytest.mark.parametrize("what", VARYING)
def test_the_warning_says_what_differs(what):
    """In words, with the advice for it."""
    f = lift(lambda w, x: w * 2.0)
    message = few_structures(f, [(Value(1.0), VARYING[what](n)) for n in range(17)])
    assert message.endswith(SENTENCES[what])


def surprise(table, tokens):
    """Of a text under a bigram model, its tokens looked up as liftgrad looks them up."""
    pairs = list(itertools.pairwise(tokens))
    return -total([take(log_softmax(take(table, a)), b) for a, b in pairs])


@pytest.mark.parametrize("lengths", [[5], [5, 6]])
def test_texts_in_lists_are_warned_of_early(lengths):
    """At the fourth program, in one sentence whose advice makes one program of all texts."""
    random.seed(1)
    table = [[Value(random.gauss(0, 1)) for _ in range(7)] for _ in range(7)]
    texts = [[random.randrange(7) for _ in range(lengths[k % len(lengths)])] for k in range(9)]
    bigram = lift(surprise)
    told_at = 0
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for text in texts:
            bigram(table, text)
            told_at = told_at or (bigram.stats.traces if caught else 0)
    assert told_at == 4
    (message,) = [str(w.message) for w in caught]
    assert message.endswith(
        "in tokens. Integers in lists are part of the program: pass them as an integer array, "
        "padded to one length, and look rows up with take(table, i)."
    )
    advised = lift(surprise)
    for text in texts:
        if len(text) == 5:
            assert advised(table, np.array(text)).data == pytest.approx(surprise(table, text).data)
    assert advised.stats.traces == 1


def test_stats_say_what_was_done():
    """Traces, calls served, operations before and after, kernels, seconds for each stage."""
    f = lift(loss)
    model = nn.MLP(2, [4, 1])
    for seed in range(3):
        f(model, *data(6, seed))
    stats = f.stats
    assert (stats.traces, stats.cache_hits) == (1, 2)
    assert stats.scalar_operations > 6 * 17
    assert 0 < stats.kernels <= stats.tensor_operations < 40
    assert set(stats.seconds) == {"trace", "roll", "adjoint", "schedule", "compile"}
    assert all(seconds > 0.0 for seconds in stats.seconds.values())


# As functions.


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


def test_tracing_leaves_frozen_objects_to_the_user():
    """It moves its own past the collector's young generations, by means that would thaw them."""
    many = values(*map(float, range(4000)))
    gc.unfreeze()  # the tests that were collected
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
