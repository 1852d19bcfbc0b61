"""Scans of which one step is recorded: numbers and gradients are those of the loop."""

import math
import random

import numpy as np
import pytest
from both_ways import BACKENDS, same_as_eager, values
from stages import rolled

from liftgrad import Value, grad, hessian, lift, scan, vmap
from liftgrad.errors import TraceError
from liftgrad.functional import (
    dot,
    exp,
    logsumexp,
    maximum,
    mean,
    sin,
    softmax,
    take,
    tanh,
    total,
    uniform,
    where,
)
from liftgrad.lift.ir.groups import views


def numbers(*shape):
    """Return an array of numbers between -1 and 1."""
    return np.sin(1.7 * np.arange(math.prod(shape))).reshape(shape)


def last_of_a_pair(w, n):
    """Two numbers, of which each depends on both."""
    (x, y), _ = scan(
        lambda s, _: ((s[0] - 0.1 * w[0] * s[1], s[1] + 0.1 * s[0]), None), (1.0, w[1]), length=n
    )
    return x + 2.0 * y


def loss_of_results(w, n):
    """A total and a mean of results, and some of them."""

    def step(x, _):
        following = sin(w[0] * x) + 0.5
        return following, (following * x, [x, w[1] * x])

    _, (products, pairs) = scan(step, w[1], length=n)
    return total(products) + mean(products[1:3]) + pairs[-1][1] + total(p[0] for p in pairs[::2])


def recurrent(w, X):
    """A layer that is given a row of an array in each step, with a vector as its state."""

    def step(h, x):
        return [tanh(dot(w, x, start=h[i] * w[i] + h[i - 1])) for i in range(len(h))], None

    h, _ = scan(step, [0.0] * len(w), X)
    return total(a * a for a in h)


def of_structures(w, X, y):
    """Several sequences in a tuple and a dict; a state in a dict."""

    def step(state, given):
        (x, row), d = given["xs"], given["d"]
        h = {"a": state["a"] * w[0] + x * row[1], "b": {"c": state["b"]["c"] + d * state["a"]}}
        return h, {"error": (h["a"] - d) ** 2}

    given = {"xs": (y, X), "d": [0.5 * v for v in y]}
    state, ys = scan(step, {"a": w[1], "b": {"c": 0.0}}, given)
    return total(ys["error"]) + state["b"]["c"]


def of_values(w):
    """A sequence of parameters, and of numbers computed of them."""
    s, _ = scan(lambda s, x: (s * x[0] + x[1], None), 0.0, (w, [v * v + 1.0 for v in w]))
    return s


def of_mixed_numbers(w):
    """A sequence of parameters and of numbers that are known."""
    mixed = [w[i // 2] if i % 2 else 0.1 * i for i in range(9)]
    s, _ = scan(lambda s, x: (s * 0.5 + x * x, None), w[0], mixed)
    return s


def of_known_numbers(w, n):
    """Sequences of numbers that the program writes down."""
    table = numbers(n, 2)
    s, _ = scan(
        lambda s, x: (s * w[0] + x[0] * x[1][1] + x[1][0], None),
        w[1],
        ([0.1 * i for i in range(n)], table),
    )
    return s


def one_after_another(w, n):
    """Results as the sequence of another scan, in another order."""
    s, ys = scan(lambda x, _: (x * w[0] + 0.1, [x * x, x]), w[1], length=n)
    r, zs = scan(lambda r, y: (0.3 * r * y[0] + y[1], r), s, ys[::-1])
    return r + total(zs)


def exchanged(w, n):
    """Two numbers of the state are exchanged in each step, and one is what it was before."""
    (a, b, c), _ = scan(lambda s, _: ((s[1], w[0] * s[0], s[0]), None), (w[0], w[1], 2.0), length=n)
    return a + 2.0 * b * c


def only_exchanged(w, n):
    """There is nothing to compute in the steps."""
    (a, b), ys = scan(lambda s, _: ((s[1], s[0]), s[0]), (w[0], w[1]), length=n)
    return a + 2.0 * b + total(ys)


def lagging(w, X):
    """What was given a step before."""
    (s, _), _ = scan(lambda s, x: ((s[0] * w[0] + x * s[1], x), None), (w[1], 0.5), X)
    return s


def carried_along(w, n):
    """Numbers of the state that no step changes."""

    def step(s, _):
        x, (a, b) = s
        return (x * a + b * 0.1, (a, b)), b

    (x, (a, _)), ys = scan(step, (w[0], (w[1], 0.25)), length=n)
    return x * a + total(ys)


def accumulated(w, n):
    """Numbers to which the steps only add: they are totals."""

    def step(s, _):
        x, loss, sums, count = s
        x = 0.9 * x + w[0]
        return (x, 0.5 + loss + x * x, dot([x, x], w, start=sums), count + 1), None

    (x, loss, sums, count), _ = scan(step, (w[1], 0.0, w[0], 0), length=n)
    return (loss + sums * x) / count


def accumulated_and_read(w, n):
    """Sums that the steps read, too."""
    (_, s), ys = scan(
        lambda s, _: ((0.5 * s[0] + w[0], s[1] + s[0]), s[1] * s[1]), (w[1], 0.0), length=n
    )
    return s + total(ys)


def branching(w, X):
    """Conditions on the state and on what is given."""

    def step(s, x):
        s = where(s > 0.3, s - x, where(x > 0.0, s * w[0], s + w[1]))
        return s, maximum(s, x)

    s, ys = scan(step, 0.1, X)
    return s * w[0] + total(ys)


def stopped(w, n):
    """A gradient that is stopped on its way through time."""
    s, _ = scan(lambda s, _: (s.data * 0.5 + s * w[0], None), w[1] * 1.0, length=n)
    return s


def forward_algorithm(w, X):
    """Vectors of logarithms, and sums of their exponentials."""

    def step(a, x):
        return [logsumexp([a[i] + w[abs(i - j)] for i in range(3)]) + x * j for j in range(3)], None

    a, _ = scan(step, [0.0, w[0], w[1]], X)
    return logsumexp(a)


def attending(w, X):
    """A softmax in each step."""

    def step(h, x):
        weights = softmax([a * x[0] for a in h])
        return [a * b + x[1] for a, b in zip(h, weights, strict=True)], None

    h, _ = scan(step, [w[0], w[1], 0.5], X)
    return total(h)


def letters(w, k):
    """Rows of a table, by indices that are known at run time."""
    table = [[w[0], 1.0], [w[1], w[0]], [0.5, w[1]]]

    def step(h, i):
        a, b = take(table, i)
        return tanh(h * a + b), take([h, a, b], i)

    h, ys = scan(step, 0.2, k)
    return h + total(ys)


def heat(w, n):
    """Neighbours, and borders that are different."""

    def step(u, _):
        inner = [u[i] + w[0] * (u[i - 1] - 2.0 * u[i] + u[i + 1]) for i in range(1, len(u) - 1)]
        return [0.0, *inner, u[-1]], None

    u, _ = scan(step, [0.0, 1.0, w[1], 0.25, 1.0], length=n)
    return total(a * a for a in u)


def constant_results(w, n):
    """Results that are the same in all steps."""
    _, (a, b) = scan(lambda s, _: (s * w[0], (w[1] * w[0], 2.0)), 1.0, length=n)
    return total(a) + a[1] * total(b)


def without_state(w, X):
    """Only results, of each step by itself."""
    _, ys = scan(lambda _, x: (None, exp(w[0] * x) - w[1]), None, X)
    return total(ys)


def of_a_derivative(w, n):
    """Steps in which a derivative is taken."""

    def step(x, _):
        return x - 0.1 * grad(lambda x: sin(w[0] * x) * x)(x), None

    return scan(step, w[1], length=n)[0]


ONCE = {
    "a pair": (last_of_a_pair, 2, (12,)),
    "results": (loss_of_results, 2, (9,)),
    "a recurrent layer": (recurrent, 3, (numbers(7, 3),)),
    "structures": (of_structures, 2, (numbers(6, 2), numbers(6))),
    "parameters": (of_values, 7, ()),
    "mixed numbers": (of_mixed_numbers, 5, ()),
    "known numbers": (of_known_numbers, 2, (8,)),
    "one after another": (one_after_another, 2, (6,)),
    "exchanged": (exchanged, 2, (7,)),
    "only exchanged": (only_exchanged, 2, (7,)),
    "lagging": (lagging, 2, (numbers(6),)),
    "carried along": (carried_along, 2, (5,)),
    "accumulated": (accumulated, 2, (6,)),
    "accumulated and read": (accumulated_and_read, 2, (6,)),
    "branching": (branching, 2, (numbers(11),)),
    "stopped": (stopped, 2, (5,)),
    "the forward algorithm": (forward_algorithm, 3, (numbers(6),)),
    "attending": (attending, 2, (numbers(5, 2),)),
    "letters": (letters, 2, (np.array([0, 2, 1, 1, 2, 0, 0]),)),
    "heat": (heat, 2, (6,)),
    "constant results": (constant_results, 2, (5,)),
    "no state": (without_state, 2, (numbers(5),)),
    "a derivative": (of_a_derivative, 2, (5,)),
}


@pytest.mark.parametrize("name", ONCE)
def test_one_step_stands_for_all(name):
    """Numbers and gradients are the loop's, and of more steps there are as many groups."""
    function, count, arguments = ONCE[name]
    w = [Value(0.3 + 0.2 * i) for i in range(count)]
    same_as_eager(function, w, *arguments)
    groups = rolled(function, w, *arguments).groups
    longer = [
        3 * x if isinstance(x, int) else np.tile(x, (3,) + (1,) * (x.ndim - 1)) for x in arguments
    ]
    if arguments:
        assert len(rolled(function, w, *longer).groups) == len(groups)
        same_as_eager(function, w, *longer)


def test_the_state_may_become_a_number_of_numpys():
    """Of a step that is given one."""

    def f(w, X):
        return scan(lambda s, x: (s * x + 1.0, None), 0.0, X)[0] * w

    X, w = numbers(8).astype(np.float32), Value(0.5)
    assert len(rolled(f, w, X).groups) == len(rolled(f, w, np.tile(X, 2)).groups)
    assert lift(f)(w, X).data == pytest.approx(f(w, X).data, rel=1e-6)


def test_numbers_of_a_short_step_stay_apart():
    """A vector's numbers are one group, since vectors compute them at once."""
    of_pair = rolled(last_of_a_pair, values(0.5, 0.3), 12).loops[0]
    assert {offsets[1] for offsets in of_pair.offsets} == {1}
    of_vector = rolled(recurrent, values(0.5, 0.3, 0.1), numbers(7, 3)).loops[0]
    assert {offsets[1] for offsets in of_vector.offsets} >= {3}


def looped_within(w, X):
    """A shorter scan within each step."""

    def step(h, x):
        h, ys = scan(lambda h, a: (0.5 * h + a * w[0], h), h, x)
        return sin(h), total(ys)

    h, ys = scan(step, w[1], X)
    return h + total(ys)


def looped_within_for_longer(w, n):
    """A longer scan within each step."""

    def step(h, _):
        h, ys = scan(lambda h, _: (0.5 * h + w[0], h), h, length=3 * n)
        return sin(h), total(ys)

    h, ys = scan(step, w[1], length=n)
    return h + total(ys)


def counting(w, n):
    """A step that is another each time."""
    calls = 0

    def step(s, _):
        nonlocal calls
        calls += 1
        return s * w[0] + calls, None

    return scan(step, w[1], length=n)[0]


def remembering(w, X):
    """A step that keeps something by itself."""
    before = w[0]

    def step(s, x):
        nonlocal before
        s = s * w[1] + x * before
        before = x
        return s, None

    return scan(step, 1.0, X)[0] * before


def collecting(w, n):
    """Steps whose numbers are collected in passing."""
    history = []

    def step(s, _):
        s = s * w[0] + 0.1
        history.append(s)
        return s, None

    scan(step, w[1], length=n)
    return total(history) + len(history)


def indexing(w, n):
    """A whole number in the state, by which something is looked up."""

    def step(s, _):
        i, x = s
        return (i + 1, x * w[i % 2] + 0.1), None

    return scan(step, (0, w[0]), length=n)[0][1]


def growing_power(w, n):
    """A number of Python's in the sequence, which decides what is computed."""
    return scan(lambda s, i: (s * 0.5 + w[0] ** i, None), w[1], range(n))[0]


def conditional_state(w, X):
    """A condition in the state."""

    def step(s, x):
        h, alive = s
        h = where(alive, h * w[0] + x, h)
        return (h, alive & (h < 0.9)), None

    h, alive = scan(step, (w[1], w[0] < 1.0), X)[0]
    return where(alive, h, 2.0 * h)


def within_a_derivative(w, n):
    """A derivative through all steps."""

    def loss(a):
        return scan(lambda s, _: (sin(s * a[0]) + a[1], None), 0.5, length=n)[0]

    return total(grad(loss)(w)) + total(row[0] for row in hessian(loss)(w))


IN_ALL_STEPS = {
    "looped within": (looped_within, 2, (numbers(5, 4),)),
    "looped within for longer": (looped_within_for_longer, 2, (5,)),
    "counting": (counting, 2, (6,)),
    "remembering": (remembering, 2, (numbers(6),)),
    "collecting": (collecting, 2, (6,)),
    "indexing": (indexing, 2, (7,)),
    "a growing power": (growing_power, 2, (6,)),
    "conditions": (conditional_state, 2, (numbers(9),)),
    "a derivative of all": (within_a_derivative, 2, (4,)),
}


@pytest.mark.parametrize("name", IN_ALL_STEPS)
def test_where_one_step_does_not_stand_for_all_they_are_all_recorded(name):
    """The numbers and gradients are still the loop's."""
    function, count, arguments = IN_ALL_STEPS[name]
    same_as_eager(function, [Value(0.3 + 0.2 * i) for i in range(count)], *arguments)


def trajectory(w, x):
    """The last state of a scan that starts from a sample's numbers."""
    (h, steps), ys = scan(
        lambda s, a: ((tanh(s[0] * w[0] + a * w[1]), s[1] + 1.0), s[0] * a), (x[0], 0.0), x
    )
    return h * steps + total(ys)


def of_samples(w, X):
    """A scan for each sample."""
    return mean(vmap(lambda x: trajectory(w, x))(X))


def samples_of_steps(w, X):
    """All samples in each step."""

    def step(a, _):
        return a - 0.1 * mean(vmap(lambda x: (x[0] * a - x[1]) * x[0])(X)), None

    return scan(step, w[0], length=5)[0] * w[1]


def of_shared_sequence(w, X):
    """A scan for each sample over a sequence that all of them share."""

    def last(x):
        return scan(lambda s, a: (s * a + x[1], None), x[0], w)[0]

    return total(vmap(last)(X))


@pytest.mark.parametrize("function", [of_samples, samples_of_steps, of_shared_sequence])
def test_samples_and_steps(function):
    """Scans within vmap and vmap within scans."""
    same_as_eager(function, values(0.5, -0.4, 0.3, 0.8, 0.2), numbers(6, 5))


def test_samples_may_be_more_or_fewer_in_the_next_call():
    """Their number stays open."""
    w = values(0.5, -0.4)
    f = lift(of_samples)
    for samples in (3, 8, 1):
        X = numbers(samples, 5)
        assert f(w, X).data == pytest.approx(of_samples(w, X).data, rel=1e-13)
    assert f.stats.traces == 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_random_numbers_are_drawn_in_each_step(backend):
    """The same as eagerly, by the same seed."""

    def walk(w, n):
        return scan(lambda s, _: (s + w * uniform(s), s), w, length=n)[0]

    w = Value(0.5)
    random.seed(3)
    expected = walk(w, 9)
    random.seed(3)
    assert lift(backend=backend)(walk)(w, 9).data == pytest.approx(expected.data, rel=1e-13)


@pytest.mark.parametrize("backend", BACKENDS)
def test_results_are_returned_as_lists(backend):
    """As eagerly, in the structure of what a step returns."""

    def f(w, n):
        return scan(lambda s, _: (s * w, (s, {"both": [s, w]})), w, length=n)

    w = Value(0.5)
    expected, result = f(w, 5), lift(backend=backend)(f)(w, 5)
    assert repr(result) == repr(expected)


def test_known_numbers_stay_known():
    """A scan that has nothing to do with the arguments is computed while recording."""

    def f(w):
        factorial, ys = scan(lambda s, i: (s * i, s), 1.0, [1.0, 2.0, 3.0, 4.0, 5.0])
        return w * factorial if factorial > 100.0 else w + ys[0]

    assert lift(f)(Value(2.0)).data == 240.0


def test_a_list_of_results_is_not_changed():
    """It stands for a list only; a copy of it can be changed."""

    def f(w, copied):
        _, ys = scan(lambda s, _: (s * w, s), w, length=6)
        ys = [*ys] if copied else ys
        ys.append(w)
        return total(ys)

    with pytest.raises(TraceError, match=r"make a list of them first, as in \[\*ys\]"):
        lift(f)(Value(0.5), False)
    assert lift(f)(Value(0.5), True).data == f(Value(0.5), True).data


def test_errors_of_a_step_are_the_steps():
    """They are raised as the loop raises them."""

    def f(w, n):
        return scan(lambda s, _: (s * w[7], None), w[0], length=n)[0]

    with pytest.raises(IndexError):
        lift(f)(values(1.0, 2.0), 6)
    with pytest.raises(TraceError, match="a Python branch"):
        lift(lambda w: scan(lambda s, _: (s if s > 0.0 else w, None), w, length=6)[0])(Value(1.0))


def gated(w, X, checkpoint):
    """Functions that are not quick to compute twice."""

    def step(h, x):
        gate = exp(-(tanh(h[0] * w[0] + x) ** 2))
        return [gate * h[0] + (1.0 - gate) * sin(x * h[1]), tanh(h[1] * w[1] - h[0])], gate

    h, gates = scan(step, [w[0], 0.5], X, checkpoint=checkpoint)
    return h[0] * h[1] + total(gates)


def test_a_checkpoint_keeps_the_states_alone():
    """The gradient is the same, and computed with less memory."""
    X, parameters = numbers(50), values(0.4, -0.7)
    same_as_eager(gated, parameters, X, True)
    of_checkpoint = kept(rolled(gated, parameters, X, True, gradient=True))
    of_all = kept(rolled(gated, parameters, X, False, gradient=True))
    assert of_checkpoint == 3  # the numbers of the state as the steps leave it, and the results
    assert of_all > 5


def kept(program):
    """Return how many groups of the first loop but its heads are read outside of it."""
    loop = program.loops[0]
    inside = range(loop.first, loop.stop)
    outside = [group for i, group in enumerate(program.groups) if i not in inside]
    read = {view.group for group in outside for view in views(group)}
    return len(read.intersection(inside[loop.heads :]))
