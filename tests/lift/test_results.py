"""What lifted functions return, and its gradients."""

import ctypes
from collections import namedtuple
from types import SimpleNamespace

import numpy as np
import pytest
from both_ways import BACKENDS, gradients, values

from liftgrad import Value, grad, lift, nn, vmap
from liftgrad.errors import LiftError, TraceError
from liftgrad.functional import total

Point = namedtuple("Point", "x y")  # noqa: PYI024, the kind without types


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
    """A list of Values hides none of them; a model would."""
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
