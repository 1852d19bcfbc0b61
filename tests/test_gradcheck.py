"""gradcheck: passes what is right, and reports what is wrong by a thousandth."""

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liftgrad import Value, gradcheck, ops
from liftgrad import functional as F  # noqa: N812
from liftgrad.errors import GradcheckError, LiftgradError
from liftgrad.nn import MLP
from liftgrad.ops import Operation


def scaled_rule(operation: Operation, factor: float) -> Operation:
    """The same operation with a derivative rule that is wrong by a factor."""

    def pullback(g, y, *operands):
        return tuple([x * factor for x in operation.pullback(g, y, *operands)])

    return Operation(operation.name, operation.forward, pullback, "wrong({0})", "wrong")


def report_of(*args, **kwargs) -> str:
    with pytest.raises(GradcheckError) as raised:
        gradcheck(*args, **kwargs)
    return str(raised.value)


@pytest.mark.parametrize("name", ["exp", "tanh", "sin", "sigmoid", "sqrt", "log", "softplus"])
@given(x=st.floats(0.5, 1.0))
def test_a_rule_wrong_by_a_thousandth_fails(name, x):
    """With the default tolerances, at every input."""
    wrong = scaled_rule(ops.OPERATIONS[name], 1.001)
    assert gradcheck(ops.OPERATIONS[name], x)
    assert "1 of 1 derivatives disagree" in report_of(wrong, x)


def test_a_second_derivative_wrong_by_a_thousandth_fails_at_order_two():
    """A rule with the right number whose own derivative is wrong passes order 1 alone."""

    def pullback(g, y, a):
        return (g * (y + (a - getattr(a, "data", a)) * 0.001 * y),)

    wrong = Operation("exp", math.exp, pullback, "wrong({0})", "wrong")
    assert gradcheck(wrong, 1.0)
    assert "derivatives of order 2 disagree" in report_of(wrong, 1.0, order=2)


def test_the_report_is_a_table_of_what_disagrees():
    """Which result, by which input, both derivatives, their difference and what was allowed."""
    wrong = scaled_rule(ops.exp, 1.5)
    weight = Value(0.0, label="weight")
    report = report_of(lambda x, w: [x[0] * 2.0, wrong(w) + x[0]], [1.0], weight)
    sentence, *table = report.splitlines()
    assert sentence.startswith("1 of 4 derivatives disagree; look at the rules of the operations")
    assert table == [
        "",
        "of         by      backward()  differences  disagree by  tolerance",
        "result[1]  weight  1.5         1            0.5          0.00011",
    ]


def test_a_long_report_is_cut():
    """After twenty lines the report counts the rest."""
    wrong = scaled_rule(ops.exp, 2.0)
    report = report_of(lambda x: [wrong(v) for v in x], [0.0] * 25)
    assert "25 of 625 derivatives disagree" in report
    assert "result[19]  inputs[0][19]" in report
    assert report.endswith("and 5 more")


def test_a_gradient_lost_on_the_way_is_found():
    """Going through .data cuts the graph: the differences see the rest."""
    assert "2           4.71828183" in report_of(lambda x: x * 2.0 + math.exp(x.data), 1.0)
    assert "0           6" in report_of(lambda x: x.data**2, 3.0)


def test_a_nan_is_a_disagreement():
    """A nan agrees with nothing, not even with itself."""
    assert "nan" in report_of(lambda x: x.sqrt(), -1.0)


def test_a_kink_is_a_disagreement():
    """Differences across a kink average both sides, which no convention is."""
    assert "0.5" in report_of(lambda x: x.relu(), 0.0)


def test_the_error_is_one_of_ours():
    """GradcheckError belongs to the family that `except LiftgradError` catches."""
    assert issubclass(GradcheckError, LiftgradError)


def test_inputs_may_be_nested_and_of_any_number_type():
    """Floats, NumPy numbers, Values, lists and tuples of them, to any depth."""
    assert gradcheck(
        lambda a, b, c: (F.dot(a[0], a[1]) * b).tanh() + c,
        [[1.0, np.float64(0.5)], (Value(0.1), 2)],
        np.float32(0.5),
        True,
    )


def test_parameters_of_a_model_are_checked_in_place_and_put_back():
    """A function may refer to the Values otherwise; their numbers and gradients stay as before."""
    random.seed(3)
    model = MLP(2, [4, 1], activation="tanh")
    before = [parameter.data for parameter in model.parameters()]
    for parameter in model.parameters():
        parameter.grad = 7.0
    assert gradcheck(lambda _: model([0.3, -0.8]), model.parameters(), order=2)
    assert [parameter.data for parameter in model.parameters()] == before
    assert {parameter.grad for parameter in model.parameters()} == {7.0}


def test_inputs_are_put_back_after_a_failure():
    """Whatever goes wrong inside, the Values have their numbers again."""
    x = Value(1.5)
    with pytest.raises(GradcheckError):
        gradcheck(scaled_rule(ops.exp, 2.0), x)
    with pytest.raises(TypeError, match="a Value is a number"):
        gradcheck(lambda _: "text", x)
    assert (x.data, x.grad) == (1.5, 0.0)


def test_inner_values_are_checked_as_inputs_of_their_own():
    """An input that was computed is taken by its number; its history is left alone."""
    x = Value(2.0)
    assert gradcheck(lambda v: v * v, x * 3.0)
    assert x.grad == 0.0


def test_large_and_small_inputs_move_in_proportion():
    """The step grows with the input, so that the derivative of a large one is seen."""
    assert gradcheck(lambda x: x * 3.0, 1e18)
    assert gradcheck(lambda x: x * 3.0, -1e-18)


def test_functions_of_nothing_and_to_nothing_pass():
    """No inputs or no results leave nothing to disagree."""
    assert gradcheck(lambda: Value(1.0))
    assert gradcheck(lambda x: [], 1.0)


def test_an_impossible_order_is_refused():
    """Order 0 asks for nothing."""
    with pytest.raises(ValueError, match="no derivative of order 0"):
        gradcheck(lambda x: x, 1.0, order=0)
