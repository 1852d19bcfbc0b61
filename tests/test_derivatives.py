"""grad, value_and_grad, jacobian, hessian and hvp: on floats, on Values and while tracing."""

import gc
import inspect
import math
import random
import threading
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from liftgrad import Value, grad, hessian, hvp, jacobian, nn, value_and_grad
from liftgrad import functional as F  # noqa: N812
from liftgrad.errors import LiftError, TraceError
from liftgrad.functional import cos, dot, exp, log, maximum, sin, softmax, tanh, total, where
from liftgrad.lift.function import lift
from liftgrad.lift.stand_ins.arrays import TracedArray
from liftgrad.lift.stand_ins.indices import TracedIndex
from liftgrad.lift.stand_ins.scalars import TracedScalar
from liftgrad.lift.stand_ins.values import TracedValue
from liftgrad.lift.stand_ins.vmap import vmap
from liftgrad.lift.trace.nodes import CONSTANT, LEAF, TABLE, TAKE, number_of
from liftgrad.lift.trace.tape import Tape
from liftgrad.numbers import plain
from liftgrad.ops import OPERATIONS, Operation, power_constant

numbers = st.floats(-2.0, 2.0)


class Point(NamedTuple):
    """A structure with names."""

    x: Any
    y: Any


ENTRIES = [
    entry
    for entry in (*OPERATIONS.values(), *map(power_constant, (-1.0, 0.0, 0.5, 1.0, 2.0, 3.0)))
    if entry.name != "largest"
]


def operands(entry: Operation):
    domain = entry.domain * 5 if entry.arity is None else entry.domain
    return st.tuples(*[st.floats(low, high) for low, high in domain]).map(list)


def entry_name(entry: Operation) -> str:
    return entry.name if entry.parameter is None else f"{entry.name}({entry.parameter:g})"


def evaluate(tape: Tape, *leaves: list[float]) -> list:
    """Run a tape: the numbers of all its nodes; `leaves` are the groups' numbers."""
    results: list = []
    for operation, *arguments in tape.nodes:
        if operation is LEAF:
            group, position = arguments
            results.append(leaves[group][position])
        elif operation is CONSTANT:
            results.append(number_of(*arguments))
        elif operation is TABLE:
            results.append([results[i] for i in arguments])
        elif operation is TAKE:
            results.append(results[arguments[1]][results[arguments[0]]])
        else:
            results.append(operation.forward(*[results[i] for i in arguments]))
    return results


def traced(fn, *x: float):
    """What `fn` of a list gives when it is recorded and the tape is run at x."""
    tape = Tape()
    result = fn([TracedValue(tape, tape.leaf(0, i)) for i in range(len(x))])
    run = evaluate(tape, list(x))

    def number(node):
        if isinstance(node, list):
            return [number(item) for item in node]
        return run[node._index] if isinstance(node, TracedScalar) else node

    return number(result)


def as_floats(x):
    """What a lifted function returned, as nested lists of floats."""
    return [as_floats(item) for item in x] if isinstance(x, list) else plain(x)


def difference(fn, x: float, step: float = 1e-5) -> float:
    return (fn(x + step) - fn(x - step)) / (2.0 * step)


def same(a, b) -> bool:
    """Whether two nested lists of numbers agree to 1e-12."""
    if isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == pytest.approx(b, rel=1e-12, abs=1e-12, nan_ok=True)


# --- derivatives are right -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fn", "derivatives"),
    [
        (sin, (cos, lambda x: -sin(x), lambda x: -cos(x))),
        (exp, (exp, exp, exp)),
        (lambda x: x**3, (lambda x: 3 * x**2, lambda x: 6 * x, lambda x: 6.0)),
        (lambda x: 1 / (x + 3), (lambda x: -1 / (x + 3) ** 2, lambda x: 2 / (x + 3) ** 3,
                                 lambda x: -6 / (x + 3) ** 4)),
        (tanh, (lambda x: 1 - tanh(x) ** 2, lambda x: -2 * tanh(x) * (1 - tanh(x) ** 2),
                lambda x: (1 - tanh(x) ** 2) * (6 * tanh(x) ** 2 - 2))),
        (lambda x: x * log(x + 3), (lambda x: log(x + 3) + x / (x + 3),
                                    lambda x: 1 / (x + 3) + 3 / (x + 3) ** 2,
                                    lambda x: -1 / (x + 3) ** 2 - 6 / (x + 3) ** 3)),
    ],
)  # fmt: skip
@given(x=numbers)
def test_derivatives_up_to_the_third_are_those_of_the_textbook(fn, derivatives, x):
    """grad, grad of grad and grad of grad of grad, on floats, Values and traced values."""
    function = fn
    for derivative in derivatives:
        function = grad(function)
        result = function(x)
        assert type(result) is float
        assert result == pytest.approx(derivative(x), rel=1e-9, abs=1e-12)
        assert same(function(Value(x)).data, result)
        assert same(traced(lambda v, function=function: function(v[0]), x), result)


@given(x=st.lists(numbers, min_size=3, max_size=3))
def test_gradients_are_what_differences_say(x):
    """A function of several numbers with shared parts and every kind of node."""

    def f(v):
        a, b, c = v
        shared = tanh(a * b)
        p = softmax([a, shared, c])
        return dot(p, [c, a, 2.0], start=shared) + total([shared, exp(b), 1.0]) / (1.5 + a * a)

    for i in range(3):
        moved = difference(lambda t, i=i: f([t if j == i else x[j] for j in range(3)]), x[i])
        assert grad(f)(x)[i] == pytest.approx(moved, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("entry", ENTRIES, ids=entry_name)
@given(data=st.data())
def test_every_operation_has_the_derivatives_that_backward_gives(entry, data):
    """First and second derivatives, eager and traced, are exactly those of the engine."""
    x = data.draw(operands(entry))

    def f(v):
        return entry(*v)

    values = [Value(number) for number in x]
    f(values).backward()
    assert grad(f)(x) == [v.grad for v in values]
    assert same(traced(grad(f), *x), [v.grad for v in values])
    assert same(traced(hessian(f), *x), hessian(f)(x))


@pytest.mark.parametrize("entry", [e for e in ENTRIES if e.kinks], ids=entry_name)
def test_kinks_follow_the_table(entry):
    """At a kink the derivative is the engine's, eager and traced."""
    for x in entry.kinks:
        values = [Value(number) for number in x]
        entry(*values).backward()
        expected = [v.grad for v in values]
        assert grad(lambda v: entry(*v))(list(x)) == expected
        assert traced(grad(lambda v: entry(*v)), *x) == expected


@pytest.mark.parametrize("x", [0.0, 2.0])
def test_x_to_the_power_of_zero_is_constant(x):
    """x**0 has derivatives 0, and so has x to a Value of 0."""
    assert grad(lambda x: x**0)(x) == 0.0
    assert grad(lambda x: x ** Value(0.0))(x).data == 0.0
    assert traced(lambda v: grad(lambda x: x ** v[0])(x), 0.0) == 0.0


@pytest.mark.parametrize("x", [-1.0, 0.0, 2.0])
def test_where_selects_adjoints(x):
    """`where` on a condition of the variable has the derivatives of the chosen branch."""

    def f(v):
        return where(v[0] > 0.0, v[0] ** 3, v[0] * exp(v[0])) * v[0]

    first, second = (4 * x**3, 12 * x**2) if x > 0 else (
        (x * x + 2 * x) * exp(x), (x * x + 4 * x + 2) * exp(x))  # fmt: skip
    for function, expected in ((grad(f), [first]), (hessian(f), [[second]])):
        assert same(function([x]), expected)
        assert same(traced(function, x), expected)


def test_a_nan_in_the_branch_not_taken_stays_there():
    """On numbers the other branch has no part in the derivative at all."""
    assert grad(lambda x: where(x > 0.0, log(x), x * x))(-1.0) == -2.0


def two_branches(x, y):
    return where(x > 0.0, log(y), where(x < -5.0, log(-y), x))


def elsewhere_too(x, y):
    return where(x > 0.0, log(y), y) + y * y


UNTAKEN = {
    "logarithm": lambda x: where(x > 0.0, log(x), x * x),
    "root": lambda x: where(x > 0.0, x**0.5, x * x),
    "the other branch": lambda x: where(x <= 0.0, x * x, (x**0.5) * 3.0),
    "deep in the branch": lambda x: where(x > 0.0, exp(log(x) * 2.0) + 1.0 / x, x * x),
    "a branch in a branch": lambda x: where(
        x > 0.0, where(x > 1.0, log(x), (x**0.5) * x), where(x < -1.0, x * x, x**3)
    ),
    "used by two branches": lambda x: two_branches(x, x * 2.0),
    "taken elsewhere, too": lambda x: elsewhere_too(x, x * 2.0),
}


@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize("case", UNTAKEN)
def test_an_infinite_derivative_in_a_branch_not_taken_has_no_part_when_lifted(case, backend):
    """Values, first, second and third derivatives are those that plain numbers give."""
    f = UNTAKEN[case]
    for derivative in (grad(f), grad(grad(f)), grad(grad(grad(f)))):
        lifted = lift(backend=backend)(lambda x, derivative=derivative: derivative(x))
        for x in (-2.0, -1.0, 0.0, 0.5, 2.0):
            assert lifted(x).data == pytest.approx(derivative(x), rel=1e-12, abs=1e-12)
            value, eager = Value(x), Value(x)
            lift(backend=backend)(lambda p, derivative=derivative: derivative(p[0]))(
                [value]
            ).backward()
            derivative(eager).backward()
            assert value.grad == pytest.approx(eager.grad, rel=1e-12, abs=1e-12)


def test_rows_that_are_not_taken_have_no_part_when_lifted():
    """Made with an infinite derivative, and read by an index that is known at run time."""

    def f(x, i):
        return F.take([x * x, x**0.5, log(x) * x], i)

    lifted = lift(lambda x, i: grad(f)(x, i))  # noqa: PLW0108, grad(f) is a wrapper of f
    for x, i in ((-3.0, 0), (0.0, 0), (4.0, 1), (2.0, 2)):
        assert lifted(x, np.array(i)).data == pytest.approx(grad(f)(x, i), rel=1e-12)


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_branches_that_only_some_samples_take(backend):
    """What all samples share is taken if one of them takes it; else its rule has no part."""

    def f(a, x, mean):
        root = a**0.5
        return mean(lambda x: where(x > 0.0, root * x, a * x), x)

    def lifted(a, x):
        return grad(lambda a: f(a, x, mean_over_samples))(a)

    for a in (4.0, 0.0):
        for x in ([-1.0, -2.0], [-1.0, 2.0] if a else [-3.0, -2.0], [1.0, 2.0] if a else [-1.0]):
            expected = grad(lambda a, x=x: f(a, x, mean_of_loop))(a)
            found = lift(backend=backend)(lifted)(a, np.array(x))
            assert found.data == pytest.approx(expected, rel=1e-12)


# --- nesting ---------------------------------------------------------------------------------


def test_a_constant_argument_is_not_the_same_constant_in_the_function():
    """Perturbing an argument of 1.0 leaves other ones alone."""
    assert grad(lambda y: y * 1.0)(1.0) == 1.0
    assert grad(lambda x: x * grad(lambda y: y * 1.0)(1.0))(3.0) == 1.0
    assert traced(lambda v: v[0] * grad(lambda y: y * 1.0)(1.0), 3.0) == 3.0
    assert traced(lambda v: grad(lambda y: y * v[0] * v[0])(v[0]), 3.0) == 9.0


NESTED = {
    "x·∂(x·y)/∂y": (lambda x: x * grad(lambda y: x * y)(x), lambda x: 2 * x),
    "x·∂(x + y)/∂y": (lambda x: x * grad(lambda y: x + y)(1.0), lambda x: 1.0),
    "∂(x·y)/∂y at a constant": (lambda x: grad(lambda y: x * y)(1.0), lambda x: 1.0),
    "∂(x²·y³)/∂y at x": (lambda x: grad(lambda y: x * x * y**3)(x), lambda x: 12 * x**3),
    "the argument again": (lambda x: grad(lambda x: x * x)(x) * x, lambda x: 4 * x),
    "independent": (lambda x: grad(lambda y: x * x)(x), lambda x: 0.0),
    "linear": (grad(lambda y: 3 * y), lambda x: 0.0),
    "three deep": (
        lambda x: grad(lambda y: grad(lambda z: x * y * z * z)(x * y))(x),
        lambda x: 12 * x * x,
    ),
}


@pytest.mark.parametrize("case", NESTED)
@pytest.mark.parametrize("x", [-1.5, 1.0, 2.0])
def test_derivatives_of_functions_that_take_derivatives(case, x):
    """Inner and outer variables are told apart: on floats, on Values and while tracing."""
    function, expected = NESTED[case]
    assert same(grad(function)(x), expected(x))
    assert same(traced(lambda v: grad(function)(v[0]), x), expected(x))
    leaf = Value(x)
    (function(leaf) + leaf).backward()
    assert same(leaf.grad, expected(x) + 1.0)


def test_data_stops_the_gradient_of_all_derivatives_around():
    """`.data` is a constant to the inner and to the outer derivative, eager and traced."""

    def function(x):
        return grad(lambda y: y.data * y * x)(x)  # x·x, of which the first came by .data

    assert grad(function)(3.0) == 3.0
    assert traced(lambda v: grad(function)(v[0]), 3.0) == 3.0
    assert grad(lambda x: x.data * x)(Value(3.0)).data == 3.0


def test_a_kept_inner_variable_is_a_constant_outside():
    """What an inner function stored by mistake has no part in a later derivative."""
    kept = []
    grad(lambda y: kept.append(y) or y * y)(2.0)
    assert grad(lambda x: x * kept[0])(5.0) == 2.0


def test_mixed_conditions_compare_numbers():
    """Comparisons between variables of different levels, Values and floats are those of numbers."""
    seen = []

    def outer(x):
        def inner(y):
            seen.append((x < y, y < x, x <= y, y >= x, x == y, x != y, Value(2.0) < y, y < 5))
            return maximum(x, y) if y > x else y

        return grad(inner)(3.0) * x

    assert grad(outer)(2.0) == 1.0
    assert seen == [(True, False, True, True, False, True, True, True)]


def test_conditions_between_levels_while_tracing():
    """An inner variable, an outer one, a traced value and a number meet in `where` and compare."""

    def f(v):
        def outer(x):
            def inner(y):
                product = where(y > x, x * y, where(v[1] < y, y * y, v[1]))
                return product + where((x <= v[1]) & (y == y), y, x)

            return grad(inner)(v[0])

        return grad(outer)(v[0])

    # y = x: the product is y² where v1 < y, else v1; then y where x <= v1, else x.
    assert traced(f, 3.0, 2.0) == 0.0
    assert traced(f, 1.0, 2.0) == 0.0
    assert traced(lambda v: grad(lambda y: where(v[1] < y, y * y, v[1]))(v[0]), 3.0, 2.0) == 6.0
    assert traced(lambda v: grad(lambda y: where(v[1] > y, y * y, v[1]))(v[0]), 3.0, 2.0) == 0.0


# --- structure -------------------------------------------------------------------------------


def test_the_result_has_the_structure_of_the_argument():
    """Lists, tuples, named tuples and dicts come back with derivatives in place of numbers."""
    argument = {"a": [1.0, (2, 3.0)], "b": Point(4.0, [5.0]), "c": []}

    def f(p):
        return p["a"][0] * p["a"][1][0] + p["a"][1][1] ** 2 + p["b"].x * p["b"].y[0]

    assert grad(f)(argument) == {"a": [2.0, (1.0, 6.0)], "b": Point(5.0, [4.0]), "c": []}
    assert type(grad(f)(argument)["b"]) is Point


def test_argnums_chooses_arguments():
    """A position gives that argument's structure; several, a tuple; negative ones count back."""

    def f(x, y, name, z=1.0):
        assert name == "name"
        return x * y[0] * y[1] * z

    arguments = (2.0, [3.0, 4.0], "name")
    assert grad(f)(*arguments) == 12.0
    assert grad(f, argnums=1)(*arguments, z=10.0) == [80.0, 60.0]
    assert grad(f, argnums=(1, 0))(*arguments) == ([8.0, 6.0], 12.0)
    assert grad(f, argnums=[0])(*arguments) == (12.0,)
    assert grad(f, argnums=-2)(*arguments) == [8.0, 6.0]
    assert value_and_grad(f, argnums=(0,))(*arguments) == (24.0, (12.0,))


def test_jacobian_has_the_structure_of_the_result_and_then_of_the_argument():
    """Each number of the result becomes the structure of the argument."""

    def f(p, q):
        return {"sum": p["x"] + q, "products": [p["x"] * p["y"], (2.0, p["y"] * q)]}

    p = {"x": 2.0, "y": 3.0}
    assert jacobian(f)(p, 5.0) == {
        "sum": {"x": 1.0, "y": 0.0},
        "products": [{"x": 3.0, "y": 2.0}, ({"x": 0.0, "y": 0.0}, {"x": 0.0, "y": 5.0})],
    }
    assert jacobian(f, argnums=(1, 0))(p, 5.0)["sum"] == (1.0, {"x": 1.0, "y": 0.0})


def test_hessian_by_several_arguments_is_made_of_blocks():
    """The argument's structure twice; for several argnums, that of their tuple."""

    def f(x, y):
        return x[0] ** 2 * x[1] * y

    assert hessian(f)([3.0, 4.0], 2.0) == [[16.0, 12.0], [12.0, 0.0]]
    assert hessian(f, argnums=(0, 1))([3.0, 4.0], 2.0) == (
        [([16.0, 12.0], 24.0), ([12.0, 0.0], 9.0)],
        ([24.0, 9.0], 0.0),
    )


@given(x=st.lists(numbers, min_size=2, max_size=4), seed=st.integers(0, 100))
@example(x=[0.0, 0.0], seed=0)
def test_hvp_is_the_hessian_times_the_vector(x, seed):
    """On floats and while tracing."""
    v = [random.Random(seed + i).gauss(0, 1) for i in range(len(x))]

    def f(z):
        return sin(total(z)) * exp(z[0] * z[-1]) + dot(z, z)

    expected = [F.dot(row, v) for row in hessian(f)(x)]
    assert hvp(f, (x,), (v,)) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert hvp(f, x, v) == hvp(f, (x,), (v,))
    assert same(traced(lambda z: hvp(f, (z,), (v,)), *x), hvp(f, x, v))


def test_hvp_of_several_arguments_moves_the_first_gradient_in_all_of_them():
    """As jax.jvp(jax.grad(f), primals, tangents)[1] does."""
    assert hvp(lambda x, y: x * x * y**3, (2.0, 3.0), (1.0, 0.0)) == 54.0
    assert hvp(lambda x, y: x * x * y**3, (2.0, 3.0), (0.0, 1.0)) == 108.0
    assert hvp(lambda x: 3 * x, (2.0,), (1.0,)) == 0.0


@pytest.mark.parametrize("x", [3, True, np.float32(3), np.int64(3), np.array(3.0)], ids=repr)
def test_every_number_is_differentiated_by_as_a_float(x):
    """Python's and NumPy's numbers, integers too, give floats."""
    value, gradient = value_and_grad(lambda x: x * x)(x)
    assert (type(value), type(gradient)) == (float, float)
    assert (value, gradient) == (float(x) ** 2, 2.0 * float(x))


def test_arrays_are_nested_lists():
    """NumPy arrays and array arguments of lifted functions are taken as lists of their rows."""

    def f(m):
        return m[0][0] * m[1][1] - m[0][1] * m[1][0]

    array = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert grad(f)(array) == [[4.0, -3.0], [-2.0, 1.0]]
    tape = Tape()
    rows = grad(f)(TracedArray(tape, 0, (2, 2), np.dtype(float)))
    run = evaluate(tape, array.reshape(-1).tolist())
    assert [[run[x._index] for x in row] for row in rows] == [[4.0, -3.0], [-2.0, 1.0]]


def test_the_signature_and_name_stay():
    """The derivative is called like the function, and tools see it."""

    def energy(x, *, scale=1.0):
        """Return x²·scale."""
        return x * x * scale

    for derivative in (grad(energy), value_and_grad(energy), jacobian(energy), hessian(energy)):
        assert derivative.__name__ == "energy"
        assert list(inspect.signature(derivative).parameters) == ["x", "scale"]


# --- Values ----------------------------------------------------------------------------------


@given(x=numbers, y=numbers)
def test_derivatives_by_values_have_a_graph(x, y):
    """backward() goes on through the derivative; no gradient is touched by taking it."""
    a, b = Value(x), Value(y)
    value, (by_a, by_b) = value_and_grad(lambda a, b: a * a * sin(b), argnums=(0, 1))(a, b)
    assert all(isinstance(v, Value) for v in (value, by_a, by_b))
    assert (a.grad, b.grad) == (0.0, 0.0)
    assert same(
        [value.data, by_a.data, by_b.data], [x * x * sin(y), 2 * x * sin(y), x * x * cos(y)]
    )
    (by_a * 3.0 + by_b).backward()
    assert same(a.grad, 6.0 * sin(y) + 2.0 * x * cos(y))
    assert same(b.grad, 6.0 * x * cos(y) - x * x * sin(y))


def test_constant_derivatives_by_values_are_values_too():
    """Where the derivative is a constant, one may still call backward() on it."""
    x = Value(2.0)
    for f in (lambda x: 3 * x, lambda x: 5.0, lambda x: x + Value(1.0)):
        derivative = grad(f)(x)
        assert isinstance(derivative, Value)
        derivative.backward()
    assert x.grad == 0.0
    assert isinstance(grad(grad(lambda x: x * x))(x), Value)


def test_a_captured_value_gives_its_derivative_a_graph():
    """The derivative by a float is a Value where it depends on one."""
    w = Value(3.0)
    derivative = grad(lambda x: w * x * x)(2.0)
    derivative.backward()
    assert (derivative.data, w.grad) == (12.0, 4.0)


def test_a_network_learns_from_its_own_derivative():
    """A loss of the model's slope by its input has the right gradient by the parameters."""
    random.seed(1)
    model = nn.MLP(1, [4, 1], activation="tanh")
    points = [-0.5, 0.25, 1.0]

    def residual(x):  # of u' = -u
        u, slope = value_and_grad(lambda x: model([x]))(x)
        curvature = grad(grad(lambda x: model([x])))(x)
        return (slope + u) ** 2 + curvature * 0.1

    total([residual(x) for x in points]).backward()
    for p in model.parameters():
        centre = p.data

        def loss(number, p=p):
            p.data = number
            return total([residual(x) for x in points]).data

        differences = difference(loss, centre)
        p.data = centre
        assert p.grad == pytest.approx(differences, rel=1e-6, abs=1e-8)


def test_a_module_may_be_an_argument():
    """Arguments that are not differentiated are passed as they are."""
    model = nn.MLP(2, [3, 1])
    gradient = grad(lambda model, x: model(x), argnums=1)(model, [0.3, -0.7])
    x = [Value(0.3), Value(-0.7)]
    model(x).backward()
    assert [g.data for g in gradient] == [v.grad for v in x]


# --- while tracing ---------------------------------------------------------------------------


def test_traced_derivatives_are_recorded():
    """The reverse pass adds nodes to the tape; constants give constants; all run as eager does."""
    tape = Tape()
    x = TracedValue(tape, tape.leaf(0, 0))
    derivative = grad(lambda x: x.sin() * x)(x)
    assert isinstance(derivative, TracedValue)
    assert evaluate(tape, [0.5])[derivative._index] == grad(lambda x: sin(x) * x)(0.5)
    assert isinstance(grad(lambda x: 3 * x)(x), TracedValue)
    assert grad(lambda y: y * y)(2.0) == 4.0
    assert isinstance(grad(lambda y: x * y)(2.0), TracedValue)


def test_the_forward_part_is_recorded_once():
    """The value and the gradient share the nodes of one evaluation."""
    tape = Tape()
    x = TracedValue(tape, tape.leaf(0, 0))
    value_and_grad(exp)(x)
    exp(x)
    assert sum(operation is OPERATIONS["exp"] for operation, *_ in tape.nodes) == 1


@given(weights=st.lists(numbers, min_size=9, max_size=9))
def test_a_traced_network_has_the_eager_gradients(weights):
    """dot, relu, softmax and losses: gradients and Hessian-vector products."""

    def f(w):
        hidden = [F.relu(dot(w[2 * i : 2 * i + 2], [0.5, -1.5], start=w[6 + i])) for i in range(3)]
        return -F.log_softmax(hidden)[1] + F.gelu(hidden[0]) * 0.1

    assert same(traced(grad(f), *weights), grad(f)(weights))
    ones = [1.0] * 9
    assert same(traced(lambda w: hvp(f, (w,), (ones,)), *weights), hvp(f, weights, ones))


@pytest.mark.parametrize("row", [0, 2])
def test_take_has_a_derivative(row):
    """Only the row that is taken has a gradient, to second order, whichever it is at run time."""

    def f(rows, index):
        return F.take(rows, index) ** 3 * rows[1]

    table = [2.0, 3.0, 5.0]
    for derivative in (grad(f), hessian(f)):
        tape = Tape()
        x = [TracedValue(tape, tape.leaf(0, i)) for i in range(3)]
        result = derivative(x, TracedIndex(tape, 1, 0))
        run = evaluate(tape, table, [row])

        def number(x, run=run):
            return [number(item) for item in x] if isinstance(x, list) else run[x._index]

        assert number(result) == derivative(table, row)
    assert tape.bounds == {(1, 0): 3}


def test_an_index_as_a_number():
    """A run-time index is differentiated by as the number it stands for."""
    tape = Tape()
    index = TracedIndex(tape, 0, 0)
    first, second = grad(lambda i: i * i + i)(index), grad(lambda i: 3 * i)(index)
    run = evaluate(tape, [4])
    assert (run[first._index], run[second._index]) == (9.0, 3.0)


def mean_over_samples(one, *arrays):
    return F.mean(vmap(one, (0,) * len(arrays))(*arrays))


def mean_of_loop(one, *arrays):
    return F.mean([one(*[float(x) for x in row]) for row in zip(*arrays, strict=True)])


def error(w, x, y, mean):
    """A small network's, with a penalty that is the same for all samples."""
    return mean(lambda x, y: (w[2] * tanh(w[0] * x + w[1]) + w[3] - y) ** 2 + 0.1 * w[3], x, y)


MAPPED = {
    "gradient": lambda w, x, y, mean: grad(lambda w: error(w, x, y, mean))(w),
    "Hessian": lambda w, x, y, mean: hessian(lambda w: error(w, x, y, mean))(w),
    "Hessian times vector": lambda w, x, y, mean: hvp(
        lambda w: error(w, x, y, mean), w, [1.0, -2.0, 0.5, 3.0]
    ),
    "a function the same for all": lambda w, x, y, mean: grad(
        lambda a: mean(lambda x: a * w[0], x) * a
    )(w[1]),
    "a constant argument": lambda w, x, y, mean: grad(
        lambda a: mean(lambda x: where(x > 0.0, a * x * w[0] * a, a), x) * a
    )(3.0),
    "a slope for each sample": lambda w, x, y, mean: grad(
        lambda a: mean(lambda x: grad(lambda t: sin(t * x * a) * a + t * w[0])(0.5) * a, x)
    )(w[1]),
    "second derivative of slopes": lambda w, x, y, mean: grad(
        grad(lambda a: mean(lambda x: grad(lambda t: sin(t * a) * a)(x) * a, x))
    )(w[1]),
    "inputs' derivatives": lambda w, x, y, mean: mean(
        lambda x: grad(grad(lambda x: tanh(w[0] * x) * x))(x) ** 2, x
    ),
}


@pytest.mark.parametrize("case", MAPPED)
def test_derivatives_around_and_within_vmap_are_those_of_a_loop(case):
    """What all samples share gets the total of their parts; within vmap there is one sample."""
    w, x = [0.5, -0.3, 1.2, 0.1], np.linspace(-1.0, 1.0, 7)
    y = np.sin(x)
    lifted = lift(lambda w, x, y: MAPPED[case](w, x, y, mean_over_samples), backend="numpy")
    assert same(as_floats(lifted(w, x, y)), MAPPED[case](w, x, y, mean_of_loop))


def test_take_within_vmap_within_grad():
    """The rows of an embedding hear from all samples that take them."""
    index = np.array([2, 0, 2, 1, 2])

    def f(table, index):
        return grad(lambda table: total(vmap(lambda i: F.take(table, i) ** 2)(index)))(table)

    table = [1.0, 10.0, 100.0, 1000.0]
    assert as_floats(lift(f, backend="numpy")(table, index)) == [2.0, 20.0, 600.0, 0.0]


def test_a_lifted_loss_of_slopes_trains_the_same():
    """The network that learns from its own derivative, lifted: value and gradients as eager."""
    random.seed(1)
    model = nn.MLP(1, [3, 1], activation="tanh")

    def loss(model, points):
        def residual(x):
            u, slope = value_and_grad(lambda x: model([x]))(x)
            return (slope + u) ** 2

        return total([residual(x) for x in points])

    points = [-0.5, 0.25, 1.0]
    eager = loss(model, points)
    eager.backward()
    expected = [p.grad for p in model.parameters()]
    model.zero_grad()
    result = lift(loss, backend="numpy")(model, points)
    result.backward()
    assert same(result.data, eager.data)
    assert same([p.grad for p in model.parameters()], expected)


def test_a_variable_that_escapes_is_refused_by_the_tape():
    """The refusal says to return it instead."""
    kept = []
    tape = Tape()
    grad(lambda y: kept.append(y) or y * y)(TracedValue(tape, tape.leaf(0, 0)))
    with pytest.raises(LiftError, match=r"return it from that function"):
        tape.index_of(kept[0])


def test_a_branch_on_a_traced_variable_is_refused():
    """The refusal is the tracer's own, however deep the derivatives."""
    with pytest.raises(TraceError, match="Python branch"):
        traced(lambda v: grad(grad(lambda x: x if x > 0.0 else -x))(v[0]), 1.0)
    with pytest.raises(TraceError, match=r"float\(\)"):
        traced(lambda v: grad(float)(v[0]), 1.0)


# --- refusals and limits ---------------------------------------------------------------------


@pytest.mark.parametrize("result", [[1.0], {"a": 1.0}, None, "text", np.zeros(2)], ids=repr)
def test_grad_refuses_what_is_not_one_number(result):
    """One sentence, which names jacobian."""
    with pytest.raises(TypeError, match=r"^grad\(\) [^\n]* return one number[^\n]*jacobian\(\)\.$"):
        grad(lambda _: result)(1.0)


@pytest.mark.parametrize("argnums", [1, -2, (0, 1)])
def test_argnums_out_of_range_is_refused(argnums):
    """The sentence says how many arguments there are."""
    with pytest.raises(ValueError, match=r"^argnums .* with 1 positional arguments; [^\n]*\.$"):
        grad(lambda x: x, argnums=argnums)(1.0)


def test_argnums_must_be_positions_named_once():
    """Text and repetitions are refused."""
    with pytest.raises(TypeError):
        grad(lambda x: x, argnums=0.5)(1.0)
    with pytest.raises(ValueError, match=r"twice; name each once\.$"):
        grad(lambda x, y: x, argnums=(0, -2))(1.0, 2.0)


@pytest.mark.parametrize("x", ["text", None, [1.0, None], {"a": "b"}, 1j], ids=repr)
def test_only_numbers_are_differentiated_by(x):
    """Anything else in the argument, or in a Jacobian's result, is named in one sentence."""
    with pytest.raises(
        TypeError, match=r"^an argument .* has (an? \w+|None); pass its numbers instead\.$"
    ):
        grad(lambda _: 1.0)(x)
    with pytest.raises(
        TypeError, match=r"^a result .* has (an? \w+|None); pass its numbers instead\.$"
    ):
        jacobian(lambda _: x)(1.0)


def test_hvp_refuses_a_vector_of_another_structure():
    """A vector of another length or shape cannot be multiplied with."""
    for vector in ([1.0], [1.0, [2.0]], 1.0):
        with pytest.raises(ValueError, match=r"another structure .*\.$"):
            hvp(lambda x: x[0] * x[1], ([1.0, 2.0],), (vector,))


def test_an_operation_without_a_rule_is_refused():
    """As backward() refuses it."""
    step = Operation("step", lambda a: float(a > 0.0), None, "step({0})", "step")
    with pytest.raises(TypeError, match="'step' has no derivative rule"):
        grad(step)(1.0)


def test_long_chains_need_no_recursion():
    """A hundred thousand operations in a row, and their second derivative over a few thousand."""

    def f(x, n):
        y = x
        for _ in range(n):
            y = y * 0.9999 + x
        return y

    assert grad(f)(1.0, 100_000) == pytest.approx(10_000, rel=1e-3)
    assert grad(grad(lambda x: f(x, 5000) ** 2))(1.0) > 0.0


def test_no_garbage_is_left():
    """Memory is freed without the garbage collector."""
    gc.collect()
    gc.disable()
    try:
        grad(grad(lambda x: sin(x) * exp(x)))(1.0)
        hvp(lambda x: sin(x) * exp(x), (1.0,), (1.0,))
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_threads_take_derivatives_at_once():
    """Levels of different threads do not meet."""
    results = []

    def work(x):
        f = grad(lambda x: x * grad(lambda y: x * y * y)(x))
        results.append(all(f(x) == 6 * x * x for _ in range(200)))

    threads = [threading.Thread(target=work, args=(float(i),)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 4


def test_a_variable_prints_its_number():
    """In user code that prints on the way."""
    seen = []
    grad(lambda x: seen.append((repr(x), f"{x:.2f}", f"{x}", bool(x), x.data)) or x)(2.0)
    assert seen == [("Variable(2.0)", "2.00", "Variable(2.0)", True, 2.0)]


def test_equality_and_truth_are_those_of_values():
    """Within a derivative, too: by identity, numbers by data; what loses a gradient is refused."""

    def f(x, y):
        assert x == x
        assert x != y
        assert x == 0.0
        assert x not in [y, x * 1.0]
        assert x
        for lossy in (float, int, math.exp):
            with pytest.raises(TypeError, match=r"write \.data for the number"):
                lossy(x)
        return maximum(x, y) * x

    assert grad(f, (0, 1))(0.0, 0.0) == (0.0, 0.0)
    assert grad(maximum, (0, 1))(Value(2.0), Value(2.0)) == (0.5, 0.5)
