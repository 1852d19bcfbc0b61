"""Which results on all samples follow from those on portions of them."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from liftgrad import Value, functional, lift, nn, ops, vmap
from liftgrad.functional import mean, sqrt, take, total, uniform, where
from liftgrad.lift.train.separable import combination
from liftgrad.numbers import plain

TABLE = np.linspace(1.0, 2.0, 12)


def squares(model, X, y):
    return vmap(lambda x, yi: (model(x) - yi) ** 2)(X, y)


def penalty(model):
    return 0.1 * total([p * p for p in model.parameters()])


def unrolled(model, X, y):
    return mean([(model(x) - yi) ** 2 for x, yi in zip(X, y, strict=True)])


def centred(model, X, y):
    centre = mean(vmap(model)(X))
    return mean(vmap(lambda x, yi: (model(x) - centre - yi) ** 2)(X, y))


def of_those_that_count(model, X, y):
    counts = total(vmap(lambda yi: where(yi > 0.0, 1.0, 0.0))(y))
    return total(vmap(lambda x, yi: where(yi > 0.0, model(x), 0.0))(X, y)) / counts


def normalised(model, X, y):
    return total(vmap(lambda x, yi: (model(x) - yi) ** 2 / len(X))(X, y))


def noisy(model, X, y):
    return mean(vmap(lambda x, yi: model(x) * uniform(yi))(X, y))


def also_whole(model, X, y):
    return mean(vmap(model)(X)) * y[0]


def picky(model, X, y):
    assert len(X) == 12
    return mean(squares(model, X, y))


def after_a_while(model, x, h):
    for _ in range(70):
        h = (model.w[0] * h + x).tanh()
    return h


def in_time(model, X, y):
    return mean(vmap(lambda x, yi: (after_a_while(model, x[0], 0.5) - yi) ** 2)(X, y))


def the_same_in_time(model, X, y):
    h = after_a_while(model, model.b, 0.5)
    return mean(vmap(lambda x, yi: (h * x[0] - yi) ** 2)(X, y))


def from_the_mean_in_time(model, X, y):
    return after_a_while(model, model.b, mean(vmap(lambda x, yi: x[0] * yi)(X, y)))


CASES = {
    "in time": (in_time, "mean"),
    "the same in time": (the_same_in_time, "mean"),
    "from the mean in time": (from_the_mean_in_time, None),
    "mean": (lambda m, X, y: mean(squares(m, X, y)), "mean"),
    "mean and penalty": (lambda m, X, y: mean(squares(m, X, y)) + penalty(m), "mean"),
    "penalty and mean": (lambda m, X, y: penalty(m) - 2.0 * mean(squares(m, X, y)), "mean"),
    "means": (lambda m, X, y: mean(squares(m, X, y)) + mean(vmap(m)(X)) / m.w[0], "mean"),
    "of one sum": (lambda m, X, y: sum([mean(squares(m, X, y)), penalty(m)]), "mean"),
    "detached": (lambda m, X, y: -mean(squares(m, X, y)).data, "mean"),
    "constant": (lambda m, X, y: mean(vmap(lambda x, yi: m.w[0])(X, y)) + y_free(X), "mean"),
    "total": (lambda m, X, y: 3.0 * total(squares(m, X, y)), "total"),
    "total and count": (lambda m, X, y: total(vmap(lambda x: m(x) + 1.0)(X)) + ones(y), "total"),
    "total and penalty": (lambda m, X, y: total(squares(m, X, y)) + penalty(m), None),
    "total and mean": (lambda m, X, y: total(squares(m, X, y)) + mean(vmap(m)(X)), None),
    "root": (lambda m, X, y: sqrt(mean(squares(m, X, y))), None),
    "product": (lambda m, X, y: mean(squares(m, X, y)) * mean(vmap(m)(X)), None),
    "total by mean": (lambda m, X, y: total(squares(m, X, y)) * mean(vmap(m)(X)), None),
    "total of one mean": (lambda m, X, y: total_of(mean(vmap(m)(X)), X), "total"),
    "quotient": (lambda m, X, y: m.w[0] / mean(squares(m, X, y)), None),
    "by length": (lambda m, X, y: total(squares(m, X, y)) / len(X), None),
    "by size": (lambda m, X, y: mean(squares(m, X, y)) * (1.0 if len(X) > 1000 else 2.0), None),
    "larger": (lambda m, X, y: functional.maximum(mean(squares(m, X, y)), 0.1), None),
    "two numbers": (lambda m, X, y: [mean(squares(m, X, y))], None),
    "each": (squares, None),
    "unrolled": (unrolled, None),
    "centred": (centred, None),
    "of those that count": (of_those_that_count, None),
    "normalised": (normalised, None),
    "noisy": (noisy, None),
    "also whole": (also_whole, None),
    "picky": (picky, None),
    "captured": (lambda m, X, y: mean(vmap(lambda x, t: m(x) * t)(X, TABLE)), None),
}


def y_free(X):
    return mean(vmap(lambda x: x[0])(X))


def total_of(number, X):
    return total(vmap(lambda x: number)(X))


def ones(y):
    return total(vmap(lambda yi: 1.0)(y))


def make():
    rng = np.random.default_rng(4)
    model = nn.Neuron(2)
    for i, p in enumerate(model.parameters()):
        p.data = 0.4 * i + 0.3
    return model, rng.normal(size=(12, 2)), rng.normal(size=12)


@pytest.mark.parametrize("case", CASES)
def test_what_is_known_of_a_result(case):
    """A mean, a total, or nothing."""
    function, expected = CASES[case]
    model, X, y = make()
    lifted = lift(function)
    arguments = lifted.source.arguments((model, X, y), {})
    assert combination(lifted.source, arguments, {"X", "y"}, {5, 7}) == expected


@pytest.mark.parametrize("function", [in_time, the_same_in_time, from_the_mean_in_time])
def test_that_is_known_of_loops_over_time_too(function):
    """The cases above have one."""
    lifted = lift(function)
    lifted(*make())
    assert "for t < " in str(lifted.program)


@pytest.mark.parametrize("case", [name for name, (_, how) in CASES.items() if how])
def test_portions_make_up_the_whole(case):
    """By a weighted mean or a total of what the eager function gives."""
    function, how = CASES[case]
    model, X, y = make()
    parts = [function(model, X[part], y[part]) for part in (slice(5), slice(5, 12))]
    a, b = (plain(part) for part in parts)
    whole = (5 * a + 7 * b) / 12 if how == "mean" else a + b
    assert plain(function(model, X, y)) == pytest.approx(whole, rel=1e-12)


def test_a_table_looked_up_at_each_sample():
    """Is the same for all; an array with a row for each sample that is not mapped over is not."""
    words = np.arange(12) % 4
    table = [Value(float(i)) for i in range(4)]
    lifted = lift(lambda table, X: mean(vmap(lambda i: take(table, i))(X)))
    arguments = lifted.source.arguments((table, words), {})
    assert combination(lifted.source, arguments, {"X"}, {6}) == "mean"
    weights = np.linspace(0.0, 1.0, 12)
    by_row = lift(lambda w, X: mean(vmap(lambda i: take([*w], i))(X)))
    arguments = by_row.source.arguments((weights, words), {})
    assert combination(by_row.source, arguments, {"w", "X"}, {6}) is None
    assert combination(by_row.source, arguments, {"X"}, {6}) == "mean"


def test_flags_of_each_sample_are_a_part_of_the_program():
    """An array of bools is static."""
    lifted = lift(lambda m, X, flags: mean(vmap(m)(X)) * (2.0 if flags[0] else 1.0))
    model, X, _ = make()
    arguments = lifted.source.arguments((model, X, np.arange(12) < 5), {})
    assert combination(lifted.source, arguments, {"X", "flags"}, {6}) is None


LEAVES = {
    "parameter": lambda w, X: w[0],
    "zero": lambda w, X: 0.0,
    "mean": lambda w, X: mean(vmap(lambda x: w[0] * x[0] + x[1])(X)),
    "total": lambda w, X: total(vmap(lambda x: x[0] * x[1] + w[1])(X)),
    "count": lambda w, X: total(vmap(lambda x: 1.0)(X)),
    "total of one number": lambda w, X: total(vmap(lambda x: w[1])(X)),
}
NODES = {
    "sum": lambda w, X, a, b: a + b,
    "difference": lambda w, X, a, b: a - b,
    "product": lambda w, X, a, b: a * b,
    "quotient": lambda w, X, a, b: ops.divide(a, b),
    "sum of three": lambda w, X, a, b: total([a, b, a]),
    "scaled": lambda w, X, a, b: (0.5 * a - b) / w[1],
    "larger": lambda w, X, a, b: functional.maximum(a, b),
    "mean around": lambda w, X, a, b: mean(vmap(lambda x: (x[0] - a) * x[1] + b)(X)),
    "total of multiples": lambda w, X, a, b: total(vmap(lambda x: x[0] * a)(X)) + b,
}
programs = st.recursive(
    st.sampled_from(list(LEAVES)),
    lambda inner: st.tuples(st.sampled_from(list(NODES)), inner, inner),
    max_leaves=6,
)


def run(program, w, X):
    if isinstance(program, str):
        return LEAVES[program](w, X)
    name, *operands = program
    return NODES[name](w, X, *[run(operand, w, X) for operand in operands])


@given(programs)
def test_what_is_said_to_follow_from_portions_does(program):
    """Of any function of totals and means."""
    w = [Value(0.4), Value(-0.8)]
    X = np.random.default_rng(1).normal(size=(12, 2))
    lifted = lift(lambda w, X: run(program, w, X))
    how = combination(lifted.source, lifted.source.arguments((w, X), {}), {"X"}, {5, 7})
    whole, *parts = (plain(run(program, w, rows)) for rows in (X, X[:5], X[5:]))
    assume(all(map(math.isfinite, [whole, *parts])))
    largest = max(map(abs, [1.0, whole, *parts]))
    if how == "mean":
        assert whole == pytest.approx((5 * parts[0] + 7 * parts[1]) / 12, abs=1e-9 * largest)
    if how == "total":
        assert whole == pytest.approx(parts[0] + parts[1], abs=1e-9 * largest)
