"""What lifted functions take."""

import re
import threading
from collections import OrderedDict, defaultdict, namedtuple
from dataclasses import dataclass
from enum import Enum
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from both_ways import same_as_eager, values

from liftgrad import Value, lift, nn
from liftgrad.errors import LiftError
from liftgrad.functional import mean, tanh, total

Point = namedtuple("Point", "x y")  # noqa: PYI024, the kind without types


class Colour(Enum):
    """Something that is no number."""

    RED = "red"
    BLUE = "blue"


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
