"""Operations that a program defines for itself: they do all that those of the table do."""

import contextlib
import copy
import math
import pickle
import random
from pathlib import Path

import numpy as np
import pytest

from liftgrad import (
    Trainer,
    Value,
    functional,
    grad,
    gradcheck,
    hessian,
    hvp,
    jacobian,
    lift,
    nn,
    operation,
    optim,
    recording,
    value_and_grad,
    vmap,
)
from liftgrad.errors import GradcheckError, LiftError, NonFiniteLossError, TraceError
from liftgrad.functional import mean, sqrt, where
from liftgrad.ops import Operation

NATIVE_AND_NUMPY = pytest.mark.parametrize("backend", ["native", "numpy"])
MODES = pytest.mark.parametrize("mode", [contextlib.nullcontext, recording])


@operation(derivative=lambda y, x: 1 / (1 + abs(x)) ** 2)
def softsign(x):
    """Return x / (1 + |x|)."""
    return x / (1 + abs(x))


hypotenuse = operation(
    lambda a, b: sqrt(a * a + b * b),
    derivative=lambda y, a, b: (a / y, b / y),
    name="hypotenuse",
)
twice = operation(lambda x: 2 * x, derivative=lambda y, x: 20.0, name="twice")
"""Its derivative is wrong on purpose, so that it can be told from that of the forward."""


def plain_softsign(x):
    return x / (1 + abs(x))


def plain_hypotenuse(a, b):
    return (a * a + b * b).sqrt()


def mixed(softsign, hypotenuse):
    """Return a function of three numbers that uses both, the results of each other, and twice."""

    def function(x):
        a, b, c = x
        h = hypotenuse(softsign(a * 3.0), b + 1.0)
        return softsign(h) * c + hypotenuse(h, h * c - 2.0)

    return function


OURS, PLAIN = mixed(softsign, hypotenuse), mixed(plain_softsign, plain_hypotenuse)
POINT = [0.5, -2.25, 1.5]


# --- eager -----------------------------------------------------------------------------------


def test_on_floats_and_values():
    """A float of floats, a Value where there is one among the operands."""
    assert (softsign(1.0), type(softsign(1))) == (0.5, float)
    assert hypotenuse(3.0, 4.0) == 5.0
    for a, b in ((Value(3.0), 4.0), (3, Value(4.0)), (Value(3.0), Value(4.0))):
        assert hypotenuse(a, b).data == 5.0
    x = Value(1.0)
    y = softsign(x)
    y.backward()
    assert (y.data, x.grad, y._op) == (0.5, 0.25, "softsign")


@MODES
def test_the_derivative_is_the_one_that_was_given(mode):
    """Not that of the forward, eagerly and in recording mode, of first and higher order."""
    with mode():
        x = Value(3.0)
        (twice(x) * x).backward()
        assert x.grad == 6.0 + 20.0 * 3.0
    assert grad(twice)(3.0) == 20.0


@MODES
def test_it_is_like_a_function_of_known_operations(mode):
    """Among these, in the gradient of all operands."""
    outcomes = []
    for function in (OURS, PLAIN):
        with mode():
            x = [Value(v) for v in POINT]
            y = function(x)
            y.backward()
            outcomes.append([y.data, *[v.grad for v in x]])
    assert outcomes[0] == pytest.approx(outcomes[1], rel=1e-12)


def test_derivatives_of_all_orders():
    """By grad and its like, and by create_graph."""
    for derivative in (grad, jacobian, hessian, value_and_grad):
        ours, plain = derivative(OURS)(POINT), derivative(PLAIN)(POINT)
        assert np.ravel(ours[-1]) == pytest.approx(np.ravel(plain[-1]), rel=1e-10)
    assert hvp(OURS, (POINT,), ([1.0, 2.0, 3.0],)) == pytest.approx(
        hvp(PLAIN, (POINT,), ([1.0, 2.0, 3.0],)), rel=1e-10
    )
    third = grad(grad(grad(softsign)))(0.5)
    assert third == pytest.approx(6 / 1.5**4)
    x = Value(0.5)
    softsign(x).backward(create_graph=True)
    first = x.grad
    x.grad = 0.0
    first.backward()
    assert x.grad == pytest.approx(-2 / 1.5**3)


def test_gradcheck():
    """It holds for a right derivative, also of second order, and tells a wrong one."""
    assert gradcheck(softsign, 0.5, order=2)
    assert gradcheck(hypotenuse, 0.5, -1.5, order=2)
    with pytest.raises(GradcheckError):
        gradcheck(twice, 0.5)


def test_results_are_those_of_ieee_754():
    """Where Python raises or leaves the real numbers, as for the operations of the table."""
    inverse = operation(lambda x: 1 / x, lambda y, x: -1 / (x * x), name="inverse")
    root = operation(lambda x: x**0.5, lambda y, x: 0.5 / y, name="root")
    assert (inverse(0.0), inverse(-0.0)) == (math.inf, -math.inf)
    assert math.isnan(root(-1.0))
    x = Value(0.0)
    root(x).backward()
    assert x.grad == math.inf
    x = Value(0.0)
    inverse(x).backward()
    assert x.grad == -math.inf


def test_what_python_computes_but_nobody_can_compile():
    """Any functions of floats will do for eager programs."""
    gamma = operation(math.gamma, lambda y, x: math.gamma(x) * 0.5, name="gamma")
    x = Value(5.0)
    gamma(x).backward()
    assert (gamma(5.0), x.grad) == (24.0, 12.0)
    with pytest.raises(ValueError, match="math domain error"):
        gamma(-1.0)


# --- lifted ----------------------------------------------------------------------------------


@NATIVE_AND_NUMPY
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_lifted(backend, dtype):
    """One operation of the program, with the numbers of the eager one, and its derivative."""
    function = lift(OURS, backend=backend, dtype=dtype)
    x, expected = [Value(v) for v in POINT], [Value(v) for v in POINT]
    y, z = function(x), OURS(expected)
    y.backward()
    z.backward()
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    found = [y.data, *[v.grad for v in x]]
    assert found == pytest.approx([z.data, *[v.grad for v in expected]], rel=tolerance)


@NATIVE_AND_NUMPY
def test_the_derivative_of_a_lifted_one_is_the_one_that_was_given(backend):
    """By backward(), inside of the lifted function and of second order."""
    x = Value(3.0)
    lift(lambda x: twice(x) * x, backend=backend)(x).backward()
    assert x.grad == 66.0
    for f, x, slope in ((twice, 3.0, 20.0), (softsign, 1.0, 0.25)):
        assert lift(lambda x, f=f: grad(f)(x), backend=backend)(x).data == slope
    assert hessian(lift(OURS, backend=backend))(POINT) == [
        pytest.approx(row, rel=1e-10) for row in hessian(PLAIN)(POINT)
    ]


@NATIVE_AND_NUMPY
def test_with_vmap_and_many_samples(backend):
    """One loop over all rows, whatever their number."""

    @lift(backend=backend)
    def loss(w, X, y):
        return mean(vmap(lambda x, t: (softsign(w[0] * x[0] + w[1] * x[1]) - t) ** 2)(X, y))

    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(37, 2)), rng.normal(size=37)
    w, v = [Value(0.5), Value(-0.25)], [Value(0.5), Value(-0.25)]
    found = loss(w, X, y)
    found.backward()
    expected = mean(
        [(softsign(v[0] * a + v[1] * b) - t) ** 2 for (a, b), t in zip(X, y, strict=True)]
    )
    expected.backward()
    assert found.data == pytest.approx(expected.data, rel=1e-12)
    assert [p.grad for p in w] == pytest.approx([p.grad for p in v], rel=1e-12)


def test_it_prints_by_its_name():
    """As one operation, and its derivative as what it is composed of."""

    @lift
    def f(x):
        return sum(softsign(v) * hypotenuse(v, 2.0) for v in x)

    x = [Value(0.5), Value(1.5)]
    f(x).backward()
    text = str(f.program)
    assert "= softsign(x[i]) " in text
    assert "= hypotenuse(x[i], 2) " in text
    assert "from 2 × softsign" in text
    assert "1 / (1 + |x[i]|)²" in text
    assert repr(softsign) == "<operation softsign>"
    assert softsign.__doc__ == "Return x / (1 + |x|)."


@NATIVE_AND_NUMPY
def test_a_branch_is_written_with_where(backend):
    """In the forward and in the derivative; conditions may be combined."""
    clamp = operation(
        lambda x: where((x > -1.0) & (x < 1.0), x, where(x < 0.0, -1.0, 1.0)),
        lambda y, x: where(abs(x) < 1.0, 1.0, 0.0),
        name="clamp",
    )
    numbers = [-2.0, -0.5, 0.0, 0.5, 2.0]
    x = [Value(v) for v in numbers]
    results = lift(lambda x: [clamp(v) for v in x], backend=backend)(x)
    sum(results).backward()
    assert [y.data for y in results] == [clamp(v) for v in numbers] == [-1.0, -0.5, 0.0, 0.5, 1.0]
    assert [v.grad for v in x] == [0.0, 1.0, 1.0, 1.0, 0.0]


@NATIVE_AND_NUMPY
def test_one_that_is_composed_of_others(backend):
    """Of operations of the program's own, of sums, dot products and maxima."""
    composed = operation(
        lambda a, b: softsign(functional.logsumexp([a, b])) + functional.dot([a, b], [b, 2.0]),
        lambda y, a, b: (b + 0.0 * a, a + 2.0 + 0.0 * b),
        name="composed",
    )
    a, b = Value(0.25), Value(1.5)
    y = lift(lambda a, b: composed(a, b) * 1.0, backend=backend)(a, b)
    y.backward()
    assert y.data == pytest.approx(composed(0.25, 1.5), rel=1e-14)
    assert (a.grad, b.grad) == (1.5, 2.25)


@NATIVE_AND_NUMPY
def test_instructions_of_ones_own(backend):
    """An LLVM template takes the place of the forward, which may then be any function of floats."""
    floor = operation(
        lambda x: float(math.floor(x)),
        lambda y, x: 0.0,
        name="floor",
        llvm="call {T} @llvm.floor.{t}({T} {0})",
    )
    scaled = operation(
        lambda a, b: 0.5 * a - math.exp(b),
        lambda y, a, b: (0.5, y - 0.5 * a),
        name="scaled",
        llvm=(
            "fmul {T} {0}, {0.5}",
            "call {T} @{exp}({T} {1})",
            "fsub {T} {-2}, {-1}",
        ),
    )
    x = [Value(-1.5), Value(2.75), Value(0.1)]
    results = lift(lambda x: [scaled(floor(v), v) for v in x], backend=backend)(x)
    expected = [scaled(floor(v.data), v.data) for v in x]
    assert [y.data for y in results] == pytest.approx(expected, rel=1e-14)
    sum(results).backward()
    assert [v.grad for v in x] == pytest.approx([-math.exp(v.data) for v in x], rel=1e-14)


def test_instructions_that_llvm_does_not_know():
    """Instructions that LLVM does not take are refused in a sentence that shows the line."""
    f = operation(math.atan, lambda y, x: 1 / (1 + x * x), llvm="call {T} @llvm.no.{t}({T} {0})")
    said = r"\(unknown intrinsic 'llvm.no.f64': .*call double @llvm.no.f64.*\); correct its"
    with pytest.raises(LiftError, match=said):
        lift(lambda x: f(x) * 2.0)(Value(0.5))


class Layer(nn.Module):
    """A neuron whose activation is an operation of the program's own."""

    def __init__(self):
        self.w = [Value(0.5), Value(-0.25)]
        self.activation = softsign

    def forward(self, x):
        """Return the activation."""
        return self.activation(functional.dot(self.w, x))


def squares(model, X, y):
    return mean(vmap(lambda x, t: (model(x) - t) ** 2)(X, y))


@NATIVE_AND_NUMPY
def test_trained_as_a_part_of_a_layer(backend):
    """By a Trainer, whose steps give the numbers of an eager loop."""
    X = np.random.default_rng(1).normal(size=(8, 2))
    y = X[:, 0] * 0.5
    model, eager = Layer(), Layer()
    Trainer(lift(squares, backend=backend), optim.SGD(model.parameters(), lr=0.1)).run(
        5, model, X, y
    )
    optimizer = optim.SGD(eager.parameters(), lr=0.1)
    for _ in range(5):
        optimizer.zero_grad()
        mean([(eager(x) - t) ** 2 for x, t in zip(X, y, strict=True)]).backward()
        optimizer.step()
    expected = [p.data for p in eager.parameters()]
    assert [p.data for p in model.parameters()] == pytest.approx(expected, rel=1e-10)


def stretched(model, X, _y):
    return mean(vmap(lambda x: stretch(model(x)))(X))  # the culprit


stretch = operation(lambda x: 1 / (x - x), lambda y, x: y * y, name="stretch")
slope = operation(lambda x: x * 0.0, lambda y, x: 1 / (x - x), name="slope")


def steep(model, X, _y):
    return mean(vmap(lambda x: slope(model(x)))(X))


@NATIVE_AND_NUMPY
@pytest.mark.parametrize(
    ("loss", "said"), [(stretched, "stretch("), (steep, "the derivative of slope(")]
)
def test_it_is_named_where_a_loss_is_not_finite(backend, loss, said):
    """By its name, its operand and its line."""
    random.seed(0)
    model, X = Layer(), np.ones((4, 2))
    trainer = Trainer(lift(loss, backend=backend), optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(NonFiniteLossError) as caught:
        trainer.fit(3, model, X, np.ones(4))
    assert said in str(caught.value)
    assert __file__ in str(caught.value)


# --- copies ----------------------------------------------------------------------------------


def test_copied_and_pickled():
    """It is found again by its name in its module, with graphs and layers that hold it."""
    for made in (softsign, hypotenuse):
        assert copy.deepcopy(made) is pickle.loads(pickle.dumps(made)) is made
    y = pickle.loads(pickle.dumps(softsign(Value(1.0))))
    y.backward()
    assert y._prev[0].grad == 0.25
    assert pickle.loads(pickle.dumps(Layer())).activation is softsign
    inner = operation(lambda x: x, lambda y, x: 1.0, name="inner")
    with pytest.raises(pickle.PicklingError, match=r"'inner' would be found again as .*\.inner"):
        pickle.dumps(inner)


def test_it_may_be_made_anew():
    """As when a notebook's cell is run again: the later one counts where it is used."""
    for factor in (2.0, 3.0):
        scale = operation(lambda x, f=factor: x * f, lambda y, x, f=factor: f, name="scale")
        x = Value(5.0)
        y = lift(lambda x: scale(x) * 1.0)(x)  # noqa: B023, called here
        y.backward()
        assert (y.data, x.grad, scale(5.0)) == (5.0 * factor, factor, 5.0 * factor)


# --- what does not fit -----------------------------------------------------------------------


def one(_y, _x):
    return 1.0


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: operation(lambda x: x, one), ValueError, "this function has none; pass name="),
        (
            lambda: operation(lambda x: x, one, name="2x"),
            ValueError,
            "'2x' cannot be the name",
        ),
        (
            lambda: operation(lambda x: x, one, name="if"),
            ValueError,
            "'if' cannot be the name",
        ),
        (lambda: operation(lambda x: x, one, name="exp"), ValueError, "has an operation 'exp'"),
        (lambda: operation(3, one), TypeError, "a function of numbers, and this is an int"),
        (lambda: operation(lambda x: x, 1.0), TypeError, "as its derivative, and this is a float"),
        (lambda: operation(lambda x: x), TypeError, "as its derivative, and this is None; pass d"),
        (lambda: operation(lambda *x: x[0], one, name="f"), TypeError, "say how many numbers it"),
        (
            lambda: operation(lambda a, b: a, one, name="f"),
            TypeError,
            r"takes the result and each operand; write it as lambda y, a, b: \.\.\.",
        ),
        (
            lambda: operation(lambda a, b: a, lambda y, a, b: 1.0, name="f"),
            TypeError,
            "derivative of the operation 'f' gives 1 number for 2 operands; return one for each",
        ),
        (
            lambda: operation(lambda a: a, lambda y, a: (a, a), name="f"),
            TypeError,
            "the derivative of the operation 'f' gives 2 numbers; return one\\.",
        ),
        (
            lambda: operation(lambda x: x, one, name="f", llvm="fadd {T} {0}, {1}"),
            ValueError,
            r"the operation 'f' has \{1\} in its LLVM template, which is not an operand",
        ),
    ],
)
def test_what_does_not_fit_is_said_when_it_is_made(make, error, said):
    """In one sentence, which says what to do."""
    with pytest.raises(error, match=said):
        make()


@pytest.mark.parametrize(
    ("forward", "derivative", "said"),
    [
        (lambda x: None, one, "the operation 'f' gives None; return a number"),
        (lambda x: (x, x), one, "the operation 'f' gives 2 numbers; return one"),
        (lambda x: x, lambda y, x: "1", "the derivative of the operation 'f' gives a str; return"),
    ],
)
def test_what_is_no_number(forward, derivative, said):
    """Is said of the operation that gives it, at its use."""
    with pytest.raises(TypeError, match=said):
        operation(forward, derivative, name="f")(Value(1.0)).backward()


def test_another_derivative_for_a_known_operation():
    """Its operands are those of the known one."""
    straight = operation(functional.relu, lambda y, x: 1.0, name="straight")
    for function in (straight, lift(lambda x: straight(x) * 1.0)):
        x = Value(-2.0)
        y = function(x)
        y.backward()
        assert (y.data, x.grad) == (0.0, 1.0)


def test_a_wrong_number_of_derivatives_that_shows_late():
    """A derivative that cannot be tried on symbols is counted at its use."""
    wrong = operation(lambda a, b: a * b, lambda y, a, b: math.sin(a), name="wrong")
    with pytest.raises(TypeError, match="'wrong' gives 1 number for 2 operands"):
        wrong(Value(1.0), Value(2.0)).backward()


@operation(derivative=lambda y, x: math.cos(x))
def sine(x):
    if x > 1000.0:
        return 0.0
    return math.sin(x)


half_known = operation(
    lambda x: x * x,
    lambda y, x: 2 * x if x > 0.0 else x * 2,  # a branch
    name="half_known",
)


@NATIVE_AND_NUMPY
def test_what_cannot_be_compiled_is_refused_with_its_line(backend):
    """The forward's, for which instructions help, or the derivative's; eagerly both work."""
    assert sine(0.5) == math.sin(0.5)
    source = Path(__file__).read_text().splitlines()
    branch = next(i for i, line in enumerate(source, 1) if "if x > 1000.0" in line)
    said = rf"{__file__}:{branch}: the operation 'sine' cannot be compiled: there is a .*as llvm="
    with pytest.raises(TraceError, match=said):
        lift(lambda x: sine(x) * 1.0, backend=backend)(0.5)
    branch = next(i for i, line in enumerate(source, 1) if line.endswith("# a branch"))
    x = Value(0.5)
    y = lift(lambda x: half_known(x) * 1.0, backend=backend)
    said = (
        rf"{__file__}:{branch}: the derivative of the operation 'half_known' cannot be compiled: "
        r".*; compose it of operators and functions of liftgrad.functional\.$"
    )
    with pytest.raises(TraceError, match=said):
        y(x).backward()


def test_it_is_an_operation():
    """The same class as those of the table, so that all that reads an entry reads it."""
    assert type(softsign) is type(functional.exp) is Operation
