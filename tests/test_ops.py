"""The table of operations: every test loops over it, so a new entry is tested by being there."""

import copy
import itertools
import math
import pickle
from functools import partial

import mpmath
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from liftgrad import Value, ops
from liftgrad.functional import where
from liftgrad.ops import OPERATIONS, Operation, power_constant

INF, NAN = math.inf, math.nan
EXPONENTS = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0, 2.5)
ENTRIES = [*OPERATIONS.values(), *map(power_constant, EXPONENTS)]
SMOOTH = [entry for entry in ENTRIES if entry is not ops.largest]
EXTREMES = (
    *(0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, 3.0, 745.2, -745.2, 1000.0, -1000.0),
    *(1e300, -1e300, 1e-300, -1e-300, 5e-324, -5e-324, INF, -INF, NAN),
)


def exact(entry: Operation):
    """Return what an operation means for numbers of 60 digits, as its entry says."""
    if entry.parameter is not None:
        return lambda a: a ** mpmath.mpf(entry.parameter)
    if isinstance(entry.exact, str):
        return getattr(mpmath, entry.exact)
    return partial(entry.exact, mpmath)


def arity(entry: Operation) -> int:
    return 5 if entry.arity is None else entry.arity


def domain(entry: Operation) -> tuple[tuple[float, float], ...]:
    return entry.domain * arity(entry) if entry.arity is None else entry.domain


def operands_of(entry: Operation):
    return st.tuples(*[st.floats(low, high) for low, high in domain(entry)])


def name(entry: Operation) -> str:
    return entry.name if entry.parameter is None else f"{entry.name}({entry.parameter:g})"


def derivatives(entry: Operation, operands: tuple[float, ...]) -> list[float]:
    """Partial derivatives by 5-point differences of the exact function, good to 30 digits."""
    function = exact(entry)
    with mpmath.workdps(60):
        h = mpmath.mpf(10) ** -9
        result = []
        for i in range(len(operands)):

            def moved(steps, i=i):
                return function(
                    *[mpmath.mpf(x) + (steps * h if j == i else 0) for j, x in enumerate(operands)]
                )

            difference = 8 * (moved(1) - moved(-1)) - (moved(2) - moved(-2))
            result.append(float(difference / (12 * h)))
        return result


def gradients(entry: Operation, operands: tuple[float, ...]) -> list[float]:
    values = [Value(x) for x in operands]
    entry(*values).backward()
    return [value.grad for value in values]


entries = pytest.mark.parametrize("entry", ENTRIES, ids=name)
smooth_entries = pytest.mark.parametrize("entry", SMOOTH, ids=name)


@entries
@given(data=st.data())
def test_the_result_is_the_exact_one_rounded(entry, data):
    """Within its domain, an operation is right to a few units in the last place."""
    operands = data.draw(operands_of(entry))
    with mpmath.workdps(60):
        expected = exact(entry)(*map(mpmath.mpf, operands))
        scale = max(1.0, *map(abs, operands)) if arity(entry) > 1 else 0.0
    tolerance = 4 * 2**-52 * max(abs(float(expected)), scale)
    assert abs(entry.forward(*operands) - expected) <= max(tolerance, 5e-324)


@smooth_entries
@given(data=st.data())
def test_the_derivative_rule_agrees_with_differences(entry, data):
    """Within its domain, a rule agrees with differences of the exact function to 1e-12."""
    operands = data.draw(operands_of(entry))
    for got, expected in zip(gradients(entry, operands), derivatives(entry, operands), strict=True):
        assert got == pytest.approx(expected, rel=1e-12, abs=1e-13)


@smooth_entries
@given(data=st.data())
def test_the_rule_of_the_rule_agrees_with_differences(entry, data):
    """Second derivatives, by create_graph, agree with central differences of the first."""
    operands = data.draw(operands_of(entry))
    values = [Value(x) for x in operands]
    for i, value in enumerate(values):
        entry(*values).backward(create_graph=True)
        first = value.grad
        for other in values:
            other.grad = 0.0
        first.backward()
        seconds = [other.grad for other in values]
        for j in range(len(values)):
            h = 1e-5
            above, below = list(operands), list(operands)
            above[j] += h
            below[j] -= h
            change = gradients(entry, tuple(above))[i] - gradients(entry, tuple(below))[i]
            numeric = change / (above[j] - below[j])
            assert seconds[j] == pytest.approx(numeric, rel=1e-5, abs=1e-5)
        for other in values:
            other.grad = 0.0


@pytest.mark.parametrize("entry", [entry for entry in ENTRIES if entry.kinks], ids=name)
def test_all_sides_of_every_kink_agree_with_differences(entry):
    """A little beside a kink, in every direction, the derivative is that side's."""
    for kink in entry.kinks:
        for signs in itertools.product((-1, 1), repeat=len(kink)):
            beside = tuple(
                x + sign * i * 1e-3 for i, (x, sign) in enumerate(zip(kink, signs, strict=True), 1)
            )
            if not math.isnan(entry(*beside)):
                expected = derivatives(entry, beside)
                assert gradients(entry, beside) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("function", "operands", "expected"),
    [
        # As torch 2 gives them; jax differs at absolute (1).
        (ops.relu, (0.0,), (0.0,)),
        (ops.relu, (-0.0,), (0.0,)),
        (ops.relu, (NAN,), (1.0,)),
        (ops.relu, (INF,), (1.0,)),
        (ops.absolute, (0.0,), (0.0,)),
        (ops.absolute, (-0.0,), (0.0,)),
        (ops.maximum, (1.0, 1.0), (0.5, 0.5)),
        (ops.maximum, (0.0, -0.0), (0.5, 0.5)),
        (ops.maximum, (INF, INF), (0.5, 0.5)),
        (ops.maximum, (2.0, 1.0), (1.0, 0.0)),
        (ops.maximum, (NAN, 1.0), (1.0, 1.0)),
        (ops.minimum, (1.0, 1.0), (0.5, 0.5)),
        (ops.minimum, (2.0, 1.0), (0.0, 1.0)),
        (ops.minimum, (1.0, NAN), (1.0, 1.0)),
        (ops.power, (0.0, 0.0), (0.0, 0.0)),
        (ops.power, (2.0, 0.0), (0.0, math.log(2.0))),
        (ops.power, (1e-310, 0.0), (0.0, math.log(1e-310))),
        (ops.power, (-1e-310, 0.0), (0.0, NAN)),
        (ops.power, (5e-324, -0.0), (0.0, math.log(5e-324))),
        (ops.power, (NAN, 0.0), (0.0, NAN)),
        (ops.power, (INF, 0.0), (0.0, INF)),
        (ops.power, (2.0, NAN), (NAN, NAN)),
        (ops.power, (0.0, 2.0), (0.0, 0.0)),
        (ops.power, (0.0, 1.0), (1.0, 0.0)),
        (ops.power, (-2.0, 2.0), (-4.0, NAN)),
        (power_constant(0.0), (0.0,), (0.0,)),
        (power_constant(0.0), (NAN,), (0.0,)),
        (power_constant(1.0), (0.0,), (1.0,)),
        (power_constant(2.0), (0.0,), (0.0,)),
        (power_constant(0.5), (0.0,), (INF,)),
        (power_constant(-1.0), (0.0,), (-INF,)),
        (ops.sqrt, (0.0,), (INF,)),
        (ops.log, (0.0,), (INF,)),
        (ops.sigmoid, (-1000.0,), (0.0,)),
        (ops.tanh, (1000.0,), (0.0,)),
        (ops.softplus, (-1000.0,), (0.0,)),
        (ops.softplus, (1000.0,), (1.0,)),
        (ops.largest, (1.0, 2.0), (0.0, 0.0)),
    ],
    ids=str,
)
def test_derivatives_at_kinks_and_limits_follow_pytorch(function, operands, expected):
    """Where mathematics leaves the derivative open, PyTorch's convention holds."""
    assert gradients(function, operands) == pytest.approx(expected, nan_ok=True)


@entries
def test_no_operands_raise_and_gradients_are_floats(entry):
    """Infinities, nan, zeros of both signs, huge and tiny numbers give IEEE results."""
    rest = arity(entry) - 1
    for first in EXTREMES:
        for second in EXTREMES if rest else (0.0,):
            operands = (first, *[second] * rest)
            assert isinstance(entry(*operands), float)
            assert all(isinstance(grad, float) for grad in gradients(entry, operands))


@entries
@given(data=st.data())
def test_any_floats_at_all_are_taken(entry, data):
    """No float64 whatever makes an operation or its rule raise."""
    operands = tuple(data.draw(st.floats()) for _ in range(arity(entry)))
    assert isinstance(entry(*operands), float)
    gradients(entry, operands)


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (ops.divide(1.0, 0.0), INF),
        (ops.divide(1.0, -0.0), -INF),
        (ops.divide(-1.0, 0.0), -INF),
        (ops.divide(0.0, 0.0), NAN),
        (ops.divide(NAN, 0.0), NAN),
        (ops.divide(INF, 0.0), INF),
        (ops.log(0.0), -INF),
        (ops.log(-0.0), -INF),
        (ops.log(-1.0), NAN),
        (ops.log1p(-1.0), -INF),
        (ops.log1p(-2.0), NAN),
        (ops.exp(1000.0), INF),
        (ops.expm1(1000.0), INF),
        (ops.exp(-INF), 0.0),
        (ops.sqrt(-1.0), NAN),
        (ops.sqrt(-0.0), -0.0),
        (ops.sin(INF), NAN),
        (ops.cos(-INF), NAN),
        (ops.power(0.0, -1.0), INF),
        (ops.power(-0.0, -1.0), -INF),
        (ops.power(-0.0, -2.0), INF),
        (ops.power(-8.0, 1.0 / 3.0), NAN),
        (ops.power(-1e200, 3.0), -INF),
        (ops.power(-1e200, 2.0), INF),
        (ops.power(NAN, 0.0), 1.0),
        (ops.maximum(NAN, 1.0), NAN),
        (ops.maximum(1.0, NAN), NAN),
        (ops.minimum(NAN, 1.0), NAN),
        (ops.minimum(1.0, NAN), NAN),
        (ops.largest(1.0, NAN, 2.0), NAN),
        (ops.relu(NAN), NAN),
        (ops.relu(-0.0), 0.0),
        (ops.relu(-INF), 0.0),
        (ops.negate(0.0), -0.0),
        (ops.absolute(-0.0), 0.0),
        (ops.softplus(INF), INF),
        (ops.softplus(-INF), 0.0),
        (ops.softplus(NAN), NAN),
        (ops.sigmoid(-INF), 0.0),
        (ops.sigmoid(INF), 1.0),
        (ops.total(), 0.0),
        (ops.total(INF, -INF), NAN),
    ],
)
def test_results_are_those_of_ieee_754(result, expected):
    """Where Python's math raises, the result is IEEE's; the sign of zero counts."""
    assert str(result) == str(expected)


@entries
def test_an_operation_on_values_is_the_one_on_floats(entry):
    """Applied to Values, to a mixture, or to floats, an operation gives the same number."""
    operands = tuple((low + high) / 2 for low, high in domain(entry))
    values = tuple(map(Value, operands))
    mixed = (*values[:1], *operands[1:])
    assert entry(*values).data == entry(*mixed).data == entry(*operands)


@entries
def test_an_operation_is_one_object_in_every_process(entry):
    """Pickling and copying an operation give the very same object."""
    assert pickle.loads(pickle.dumps(entry)) is entry
    assert copy.deepcopy(entry) is entry


def test_an_operation_outside_the_table_says_why_it_cannot_be_pickled():
    """An operation is found again by name; one of your own must be in the table for that."""
    mine = Operation("mine", lambda a: a, lambda g, y, a: (g,), "mine({0})", "mine")
    with pytest.raises(pickle.PicklingError, match="add it there"):
        pickle.dumps(mine)


def test_the_exponent_prints_as_it_was_written():
    """A constant exponent keeps its digits, and whole numbers print without a point."""
    assert power_constant(2.0).symbol == "**2"
    assert power_constant(-0.123456789).symbol == "**-0.123456789"


def test_where_keeps_the_branch_not_taken_out_of_the_gradient():
    """A nan or infinity in the branch not taken does not reach the gradient."""
    x = Value(0.0)
    where(x > 0.0, x.log(), x * 2.0).backward()
    assert x.grad == 2.0


@pytest.mark.parametrize("condition", [True, False])
def test_where_of_a_value_and_a_number_is_a_value(condition):
    """Whichever is chosen, the result has data and grad."""
    assert isinstance(where(condition, Value(1.0), 1.0), Value)
    assert isinstance(where(condition, 1.0, Value(1.0)), Value)


@given(x=st.floats(-700, 700))
@example(x=0.0)
def test_sigmoid_and_softplus_are_accurate_in_relation_to_their_size(x):
    """Their tails keep all digits: sigmoid(-700) is 1e-304, not 0."""
    with mpmath.workdps(400):
        for entry in (ops.sigmoid, ops.softplus):
            assert entry(x) == pytest.approx(float(exact(entry)(mpmath.mpf(x))), rel=1e-14)
