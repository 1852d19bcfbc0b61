"""A program's first results are compared with the eager engine's; differing ones are refused."""

import importlib
import math
import re

import numpy as np
import pytest

from liftgrad import Trainer, Value, nn, optim
from liftgrad.errors import LiftError
from liftgrad.functional import mean, softmax, uniform
from liftgrad.lift import function as function_module
from liftgrad.lift.compare import eager_run, policy
from liftgrad.lift.function import lift
from liftgrad.lift.stand_ins.vmap import vmap


class Gate:
    """A method, which the lift does not copy, decides by what no stand-in can answer."""

    def __call__(self, v, x):  # noqa: D102
        if type(x) is float:
            v = v * 2.0
        return v + x


def by_method(v, x):
    return Gate()(v, x)


def by_identity(v, x):
    return v * 2.0 if (x > 0.0) is True else v


def by_class(v, x):
    return v * (2.0 if x.__class__ is float else 3.0)


@pytest.mark.parametrize("function", [by_method, by_identity])
@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_a_program_that_differs_from_the_function_is_refused(function, backend):
    """Each call is refused, with both results and the line after which they diverge."""
    lifted = lift(function, backend=backend)
    for _ in range(2):
        with pytest.raises(LiftError, match=rf"{function.__name__} gives \d+, and \d+ when") as e:
            lifted(Value(3.0), 2.0)
        assert re.search(r"test_compare\.py:\d+", str(e.value))
    unchecked = lift(function, backend=backend, check=False)
    assert unchecked(Value(3.0), 2.0).data != function(Value(3.0), 2.0).data


def test_the_line_is_that_of_the_branch():
    """The line is that of the branch that was taken differently."""
    with pytest.raises(LiftError) as caught:
        lift(by_method)(Value(3.0), 2.0)
    first = Gate.__call__.__code__.co_firstlineno
    assert f"diverge after {__file__}:{first + 1}" in str(caught.value)


def test_a_program_of_the_first_numbers_is_refused_when_others_come():
    """Results that were right by chance are compared again with the first other numbers."""

    def clipped(v, xs):
        return v * sum(1.0 for x in xs if (x > 0.0) is not np.False_)

    lifted = lift(clipped)
    v = Value(2.0)
    for _ in range(3):
        assert lifted(v, np.array([1.0, 2.0])).data == 4.0
    with pytest.raises(LiftError, match=r"clipped gives 2, and 4 when it is lifted"):
        lifted(v, np.array([1.0, -2.0]))


def test_two_calls_of_different_numbers_are_compared_and_no_more():
    """Two calls with different numbers are compared, and later ones cost nothing."""
    lifted = lift(lambda v, x: v * v * x)
    v = Value(2.0)
    for x in (1.0, 1.0, 1.0):
        lifted(v, x)
        assert lifted._last.seen is not None
    lifted(v, 3.0)
    assert lifted._last.seen is None


def test_large_programs_are_compared_only_if_asked(monkeypatch):
    """Above the limit, check=True compares."""
    monkeypatch.setattr(policy, "_MOST_OPERATIONS", -1)
    assert lift(by_identity)(Value(3.0), 2.0).data == 3.0
    with pytest.raises(LiftError, match="when it is lifted"):
        lift(by_identity, check=True)(Value(3.0), 2.0)


@pytest.mark.parametrize("said", ["0", "1", "yes"])
def test_the_environment_decides_for_functions_that_do_not(said, monkeypatch):
    """LIFTGRAD_CHECK decides for functions without a check option."""
    monkeypatch.setenv("LIFTGRAD_CHECK", said)
    monkeypatch.setattr(policy, "_MOST_OPERATIONS", -1)
    if said == "0":
        assert lift(by_identity)(Value(3.0), 2.0).data == 3.0
    else:
        match = "LIFTGRAD_CHECK='yes': set it to 1" if said == "yes" else "when it is lifted"
        with pytest.raises(LiftError, match=match):
            lift(by_identity)(Value(3.0), 2.0)


def test_a_trainers_program_is_compared_too():
    """A training step is compared at its first run."""
    w = Value(3.0)
    trainer = Trainer(lift(lambda w, x: by_identity(w, x) * w), optim.SGD([w], lr=0.1))
    with pytest.raises(LiftError, match="when it is lifted"):
        trainer.run(1, w, 2.0)
    assert w.data == 3.0
    fine = Trainer(lift(lambda w, x: w * w * x), optim.SGD([w], lr=0.1))
    fine.run(1, w, 2.0)
    assert w.data == pytest.approx(1.8)


def test_comparing_leaves_no_trace(capsys):
    """The eager run leaves no gradient, no attribute and no printed text."""

    class Net(nn.Module):
        def __init__(self):
            self.w = [Value(1.0), Value(2.0)]

        def __call__(self, x):
            print("called")  # noqa: T201
            self.out = sum(w * x for w in self.w)
            return self.out

    net = Net()
    result = lift(lambda net, x: net(x))(net, 3.0)
    assert result.data == 9.0
    assert not hasattr(net, "out")
    assert [w.grad for w in net.w] == [0.0, 0.0]
    assert capsys.readouterr().out == "called\n"


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_rounding_is_not_refused(dtype, backend):
    """Another order of a sum, cancellation, overflow and nan are not refused."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=200) * 10.0 ** rng.integers(-8, 9, 200)
    programs = (
        lambda w, x: sum(w * a for a in x) - sum(a * w for a in reversed(list(x))),
        lambda w, x: sum((w * a) ** 2 for a in x) / sum(w * a for a in x),
        lambda w, x: 1.0 / (sum(w * a for a in x) - sum(w * a for a in reversed(list(x)))),
        lambda w, x: sum(w * 1e308 * a for a in x),
        lambda w, x: (w - w) / (w - w) + x[0],
    )
    for program in programs:
        lift(program, dtype=dtype, backend=backend, check=True)(Value(1.1), x)


@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_gradient_that_cancels_is_not_refused(dtype, backend):
    """The terms of softmax's gradient cancel, whatever the parameter is."""
    for count, width in ((13, 3), (14, 3), (9, 5), (13, 5), (7, 7), (13, 7)):
        program = lift(
            lambda w, n=count, m=width: sum([-softmax([-w] * m)[i % m] for i in range(n)]),
            dtype=dtype,
            backend=backend,
            check=True,
        )
        assert program(Value(0.25)).data == pytest.approx(-count / width, rel=1e-5)


def test_a_wrong_gradient_is_distinguished_from_rounding(monkeypatch):
    """A planted error in the sixth digit of the gradient is reported as liftgrad's fault."""
    gradients_of = function_module.gradients_of
    monkeypatch.setattr(
        function_module,
        "gradients_of",
        lambda result: {i: [x * 1.00001 for x in g] for i, g in gradients_of(result).items()},
    )
    with pytest.raises(LiftError, match=r"gives the gradient .* machine code is not"):
        lift(lambda w, x: w * w * x)(Value(3.0), 2.0)


@pytest.mark.parametrize("number", [0.3, 1.0, 2.0])
def test_a_gradient_that_is_nothing_but_rounding_is_not_refused(number):
    """Softmax of equal numbers: all terms of the gradient cancel, differently on either side."""

    def loss(p):
        shares = softmax([p * 0.875] * 3)
        return sum([-shares[i % 3] for i in range(5)])

    p = Value(number)
    lift(loss, check=True)(p).backward()
    assert abs(p.grad) < 1e-15


def test_wrong_machine_code_is_distinguished_from_rounding(monkeypatch):
    """A planted error in the sixth digit is reported as liftgrad's fault."""
    numbers_in = eager_run.numbers_in
    monkeypatch.setattr(
        function_module, "numbers_in", lambda result: [x * 1.000001 for x in numbers_in(result)]
    )
    with pytest.raises(LiftError, match="machine code is not, which is a fault of liftgrad's"):
        lift(lambda w, x: w * x)(Value(3.0), 2.0)


def test_everything_that_a_function_returns_is_compared():
    """Nested results, results for samples and constant ones are compared."""
    X = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    fine = lift(lambda v, X: {"a": [v, v * 2.0], "b": (3.0, "text", None)}, check=True)
    assert fine(Value(1.0), X)["b"] == (3.0, "text", None)
    rows = lift(lambda v, X: vmap(lambda x: v * x[0] - x[1])(X), check=True)
    assert rows(Value(2.0), X).tolist() == [0.0, 2.0, 4.0]
    assert rows(Value(2.0), X[:2]).tolist() == [0.0, 2.0]
    total = lift(lambda v, X: mean(vmap(lambda x: v * x[0] - x[1])(X)), check=True)
    assert total(Value(2.0), X).data == 2.0
    with pytest.raises(LiftError, match="when it is lifted"):
        lift(lambda v, x: [v * 1.0, 1.0 if (x > 0.0) is True else 2.0])(Value(1.0), 2.0)


def test_random_numbers_are_not_drawn_for_it():
    """Programs that draw random numbers are not compared."""
    lifted = lift(lambda v: v * uniform(v), check=True)
    assert lifted(Value(1.0)).data != lifted(Value(1.0)).data


def test_what_python_cannot_compute_and_ieee_754_can_is_not_refused():
    """Where Python's floats raise, Values and lifted programs give infinity."""
    lifted = lift(lambda v, x: v + 1.0 / x)
    assert lifted(Value(1.0), 0.0).data == math.inf


FROZEN = set()


@pytest.mark.parametrize(
    ("told_apart", "keep"),
    [
        (lambda w, kept: sum(p for p in w if p not in kept), lambda w: {w[0]}),
        (lambda w, kept: sum(p for p in w if p not in kept), lambda w: frozenset(w[1:])),
        (lambda w, kept: sum(p * kept.get(p, 2.0) for p in w), lambda w: {w[1]: 5.0}),
        (
            lambda w, kept: sum(p * kept.get((p, "rate"), 2.0) for p in w),
            lambda w: {(w[2], "rate"): 3.0},
        ),
        (lambda w, kept: sum(p for p in w if p in kept["some"]), lambda w: {"some": {w[0]}}),
        (lambda w, kept: sum(p for p in w if p not in FROZEN), lambda w: FROZEN.add(w[0])),
    ],
)
def test_values_in_sets_and_as_keys_have_stand_ins(told_apart, keep):
    """A set of Values, passed or captured, has their stand-ins."""
    w = [Value(1.0), Value(2.0), Value(4.0)]
    FROZEN.clear()
    kept = keep(w)
    lifted = lift(told_apart, check=False)
    results = []
    for call in (told_apart, lift(told_apart), lifted, lifted):
        for p in w:
            p.grad = 0.0
        result = call(w, kept)
        result.backward()
        results.append([result.data, *[p.grad for p in w]])
    assert results[1:] == [results[0]] * 3


def test_values_told_apart_in_ways_that_stand_ins_evade(tmp_path, monkeypatch):
    """By id(), or in a set of another module, the function is refused if results differ."""
    tmp_path.joinpath("freezing.py").write_text(
        "FROZEN = set()\ndef free(w): return sum(p for p in w if p not in FROZEN)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    freezing = importlib.import_module("freezing")
    w = [Value(1.0), Value(2.0)]
    numbers = {id(w[0])}
    freezing.FROZEN = {w[0]}
    for function in (
        lambda w: freezing.free(w) * 1.0,
        lambda w: sum(p for p in w if id(p) not in numbers),
    ):
        with pytest.raises(LiftError, match="tells Values apart by id\\(\\) or by a set"):
            lift(function)(w)
    assert lift(lambda w: sum({id(p): p for p in [*w, *w]}.values()))(w).data == 3.0
    freezing.FROZEN = {Value(1.0)}
    assert lift(lambda w: freezing.free(w) * 1.0)(w).data == 3.0
