"""Functions of scalars and of sequences, on floats and on Values, at all magnitudes."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liftgrad import Value, gradcheck
from liftgrad import functional as F  # noqa: N812

INF, NAN = math.inf, math.nan
SCALAR = [
    *("relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid", "softplus"),
    *("exp", "expm1", "log", "log1p", "sqrt", "sin", "cos", "erf"),
]
sequences = st.lists(st.floats(-50.0, 50.0), min_size=1, max_size=6)


@pytest.mark.parametrize("name", SCALAR)
@pytest.mark.parametrize("x", [0.7, 2, True, np.float64(0.7), np.float32(0.5), np.array(0.25)])
def test_a_function_takes_any_number_and_gives_a_float(name, x):
    """Python's and NumPy's numbers give a float, the same as the Value's."""
    result = getattr(F, name)(x)
    assert type(result) is float
    assert result == getattr(F, name)(Value(x)).data == getattr(Value(x), name)().data


@pytest.mark.parametrize("name", SCALAR)
@pytest.mark.parametrize("x", ["1", None, 1j, [1.0], np.zeros(2)], ids=str)
def test_a_function_refuses_what_is_no_number_in_one_sentence(name, x):
    """Text, complex numbers, lists and arrays give a TypeError that says what to do."""
    with pytest.raises(TypeError, match=r"^a Value is [^\n]*; [^\n]*\.$"):
        getattr(F, name)(x)


@pytest.mark.parametrize(
    ("function", "x", "expected"),
    [
        (F.tanh, 1000.0, 1.0),
        (F.tanh, -1000.0, -1.0),
        (F.sigmoid, 1000.0, 1.0),
        (F.sigmoid, -1000.0, 0.0),
        (F.sigmoid, -700.0, math.exp(-700.0)),
        (F.softplus, 1000.0, 1000.0),
        (F.softplus, -700.0, math.exp(-700.0)),
        (F.softplus, -1000.0, 0.0),
        (F.exp, 1000.0, INF),
        (F.expm1, 1e-20, 1e-20),
        (F.log1p, 1e-20, 1e-20),
        (F.elu, 1000.0, 1000.0),
        (F.elu, -1000.0, -1.0),
        (F.elu, -1e-20, -1e-20),
        (F.gelu, 1000.0, 1000.0),
        (F.gelu, -1000.0, 0.0),
        (F.silu, 1000.0, 1000.0),
        (F.silu, -1000.0, 0.0),
        (F.leaky_relu, -1e308, -1e306),
        (F.relu, NAN, NAN),
        (F.leaky_relu, NAN, NAN),
        (F.elu, NAN, NAN),
    ],
)
def test_results_are_right_far_out(function, x, expected):
    """Saturated, overflowing and tiny arguments keep their meaning, with a finite gradient."""
    assert function(x) == pytest.approx(expected, rel=1e-15, abs=0.0, nan_ok=True)
    value = Value(x)
    function(value).backward()
    assert math.isfinite(value.grad) or not math.isfinite(expected)


@pytest.mark.parametrize(
    ("function", "slope"),
    [
        (F.relu, 0.0),
        (F.leaky_relu, 0.01),
        (F.elu, 1.0),
        (F.gelu, 0.5),
        (F.silu, 0.5),
        (lambda x: F.leaky_relu(x, negative_slope=0.2), 0.2),
        (lambda x: F.elu(x, alpha=0.5), 0.5),
    ],
)
def test_slopes_at_zero_follow_pytorch(function, slope):
    """At its kink, an activation takes the left slope."""
    x = Value(0.0)
    function(x).backward()
    assert x.grad == slope


@pytest.mark.parametrize("function", [F.leaky_relu, F.elu, F.gelu, F.silu])
@given(x=st.floats(-6.0, 6.0).filter(lambda x: abs(x) > 1e-3))
def test_expressions_have_right_derivatives_of_both_orders(function, x):
    """Activations that are expressions pass gradcheck, once and twice differentiated."""
    assert gradcheck(function, x, order=2)


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        ([1e308, 1e308], 1e308),
        ([-1e308, 1e308], 1e308),
        ([-1e308, -1e308], -1e308),
        ([1000.0, 1000.0], 1000.0 + math.log(2.0)),
        ([-1000.0, -1000.0], -1000.0 + math.log(2.0)),
        ([INF, 0.0], INF),
        ([INF, INF], INF),
        ([-INF, 3.0], 3.0),
        ([-INF, -INF], -INF),
        ([NAN, 0.0], NAN),
        ([0.0, NAN], NAN),
        ([7.0], 7.0),
        (np.array([1e308, -1e308]), 1e308),
    ],
)
def test_logsumexp_never_overflows(x, expected):
    """Huge, tiny and infinite terms give the exact result, on floats and on Values."""
    assert F.logsumexp(x) == pytest.approx(expected, rel=1e-15, nan_ok=True)
    assert F.logsumexp(list(map(Value, x))).data == pytest.approx(expected, rel=1e-15, nan_ok=True)


@pytest.mark.parametrize("x", [[1e308, -1e308], [1000.0, 999.0, -1e5], [-INF, 0.0, 1.0]])
def test_softmax_never_overflows(x):
    """Probabilities sum to one at any magnitude, and their gradients are finite."""
    values = list(map(Value, x))
    probabilities = F.softmax(values)
    assert sum(p.data for p in probabilities) == pytest.approx(1.0)
    probabilities[0].backward()
    assert all(math.isfinite(value.grad) for value in values)


def test_log_softmax_is_exact_where_softmax_rounds():
    """The logarithm of a probability too small for a float is there all the same."""
    assert F.log_softmax([0.0, -1000.0]) == [0.0, -1000.0]
    x = [Value(0.0), Value(-1000.0)]
    F.log_softmax(x)[1].backward()
    assert [v.grad for v in x] == [-1.0, 1.0]


@pytest.mark.parametrize("offset", [1e6, -1e6, 1e15])
def test_log_softmax_is_exact_for_large_scores(offset):
    """What all scores have in common changes nothing, though floats lie far apart there."""
    expected = F.log_softmax([0.0, 1.5, -2.0])
    assert F.log_softmax([offset, offset + 1.5, offset - 2.0]) == expected


@given(sequences)
def test_functions_over_sequences_mean_what_mathematics_says(x):
    """softmax, log_softmax and logsumexp agree with 50 digits, from floats and Values alike."""
    with mpmath.workdps(50):
        exps = [mpmath.exp(v) for v in x]
        total = sum(exps)
        assert F.logsumexp(x) == pytest.approx(float(mpmath.log(total)), rel=1e-13, abs=1e-13)
        expected = [float(e / total) for e in exps]
        logarithms = [float(mpmath.log(e / total)) for e in exps]
    assert F.softmax(x) == pytest.approx(expected, rel=1e-13)
    assert F.log_softmax(x) == pytest.approx(logarithms, rel=1e-13, abs=1e-13)
    assert F.mean(x) == pytest.approx(math.fsum(x) / len(x), abs=1e-12)
    values = list(map(Value, x))
    assert [p.data for p in F.softmax(values)] == F.softmax(x)
    assert F.mean(values).data == F.mean(x)


@given(x=st.lists(st.floats(-3.0, 3.0), min_size=1, max_size=4))
def test_functions_over_sequences_have_right_derivatives_of_both_orders(x):
    """softmax, log_softmax, logsumexp, mean, total and dot pass gradcheck twice."""

    def all_of_them(v):
        return [
            *(F.softmax(v), F.log_softmax(v), F.logsumexp(v), F.mean(v), F.total(v)),
            F.dot(v, [a * 2.0 for a in v], start=v[0]),
        ]

    assert gradcheck(all_of_them, x, order=2)


def test_softmax_gradients_sum_to_zero_at_a_tie():
    """Two largest terms are no kink: softmax is smooth there, and so is our shift."""
    x = [Value(1.0), Value(1.0), Value(0.0)]
    F.logsumexp(x).backward()
    assert [v.grad for v in x] == pytest.approx(F.softmax([1.0, 1.0, 0.0]))


def test_sequences_may_be_any_iterables():
    """Generators, tuples, arrays, and mixtures of numbers and Values are taken."""
    assert F.total(float(i) for i in range(4)) == 6.0
    assert F.dot((1.0, 2.0), np.array([3.0, 4.0])) == 11.0
    assert F.mean([Value(1.0), 2, np.float64(6.0)]).data == 3.0
    assert F.total([]) == 0.0
    assert F.dot([], [], start=2.0) == 2.0


@pytest.mark.parametrize("function", [F.mean, F.softmax, F.log_softmax, F.logsumexp])
def test_no_numbers_at_all_are_refused(function):
    """The mean of nothing is an error in one sentence."""
    with pytest.raises(ValueError, match=r"of no numbers is undefined; pass at least one\.$"):
        function([])


def test_dot_of_different_lengths_is_refused():
    """A dot product names both lengths."""
    with pytest.raises(ValueError, match="got 2 and 3 numbers"):
        F.dot([1.0, 2.0], [1.0, 2.0, 3.0])


def test_dot_and_total_round_as_the_chain_of_operators_does():
    """They are the sum from left to right, to the last bit, so that published runs repeat."""
    a = [0.1 * i for i in range(1, 30)]
    b = [math.sin(i) for i in range(1, 30)]
    chain = Value(0.7)
    for x, y in zip(a, b, strict=True):
        chain = chain + x * Value(y)
    assert F.dot(a, b, start=0.7) == chain.data


def test_every_public_name_exists():
    """`__all__` is what the module has."""
    assert all(hasattr(F, name) for name in F.__all__)
