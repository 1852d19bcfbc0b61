"""One program for each structure of arguments."""

import itertools
import random
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from both_ways import BACKENDS, gradients, values

from liftgrad import Value, lift, nn, vmap
from liftgrad.functional import log_softmax, mean, take, tanh, total


def loss(model, X, y):
    return mean([(model(x) - yi) ** 2 for x, yi in zip(X, y, strict=True)])


def data(n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 2)), rng.normal(size=n)


@pytest.mark.parametrize("backend", BACKENDS)
def test_other_numbers_of_the_same_structure_share_a_program(backend):
    """Another model of the same shape, other data, other floats; each with the right numbers."""
    f = lift(backend=backend)(lambda model, X, y, rate: loss(model, X, y) * rate)
    random.seed(1)
    models = [nn.MLP(2, [3, 1]) for _ in range(3)]
    for i in range(9):
        model, (X, y), rate = models[i % 3], data(5, seed=i), 0.5 + i
        if i % 2:
            X, y = X.tolist(), y.tolist()
        result = f(model, X, y, rate)
        result.backward()
        got = gradients(model.parameters())
        model.zero_grad()
        expected = loss(model, X, y) * rate
        expected.backward()
        assert result.data == pytest.approx(expected.data, rel=1e-12)
        assert got == pytest.approx(gradients(model.parameters()), rel=1e-12, abs=1e-15)
        model.zero_grad()
    assert (f.stats.traces, f.stats.cache_hits) == (2, 7)


@pytest.mark.parametrize("backend", BACKENDS)
def test_other_indices_share_a_program(backend):
    """Integer arrays are read at run time; 0-d ones, too."""

    @lift(backend=backend)
    def score(table, tokens, last):
        rows = [take(table, i) for i in tokens]
        return sum(a * b for a, b in zip(rows[0], rows[1], strict=True)) * take(rows[2], last)

    table = [values(i, i + 0.5) for i in range(6)]
    for tokens in ([0, 1, 2], [5, 5, 5], [3, 0, 4]):
        got = score(table, np.array(tokens), np.array(tokens[0] % 2))
        a, b, c = (table[i] for i in tokens)
        assert got.data == ((a[0] * b[0] + a[1] * b[1]) * c[tokens[0] % 2]).data
    assert score.stats.traces == 1


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("wrong", [-1, 6, 2**62])
def test_an_index_out_of_range_is_an_index_error(backend, wrong):
    """Before anything is read; the next call is unharmed."""
    f = lift(backend=backend)(lambda table, tokens: sum(take(table, i) for i in tokens))
    table = values(*range(6))
    f(table, np.array([1, 2]))
    with pytest.raises(IndexError, match=rf"take\(\) at index {wrong} of a table of 6"):
        f(table, np.array([1, wrong]))
    assert f(table, np.array([1, 2])).data == 3.0


def test_static_arguments_make_programs_of_their_own():
    """Integers, strings and booleans, which Python may branch on; alike ones are told apart."""

    def f(x, n, act, flag):
        y = sum(x**k for k in range(n))
        y = y.tanh() if act == "tanh" else y
        return -y if flag is True else y

    lifted = lift(f)
    x = Value(0.5)
    choices = [(2, "tanh", True), (3, "tanh", True), (3, "none", True), (3, "none", False)]
    choices += [(3, "none", "True"), (3, "none", 1), (3, "none", np.True_), (3, "none", 1.0)]
    for _ in range(2):
        for choice in choices:
            expected = f(x, *choice[:2], bool(choice[2]) if choice[2] is np.True_ else choice[2])
            assert lifted(x, *choice).data == pytest.approx(expected.data, rel=1e-12)
    assert lifted.stats.traces == len(choices) - 1  # np.True_ is True


def test_opaque_arguments_are_told_apart_by_equality():
    """A range like another is the same; a function is another than any other."""
    f = lift(lambda x, r, h: sum(h(x) * i for i in r))
    x = Value(1.0)
    for _ in range(3):
        assert f(x, range(4), tanh).data == pytest.approx(6 * np.tanh(1.0), rel=1e-12)
        assert f(x, range(3), abs).data == 3.0
    assert f.stats.traces == 2


@pytest.mark.parametrize("backend", BACKENDS)
def test_batches_of_any_size_share_a_program(backend):
    """Mapped over with vmap; a single sample, and none, are batches too."""
    f = lift(backend=backend)(lambda w, X: mean(vmap(lambda x: (w * x[0] - x[1]) ** 2)(X)))
    w = Value(2.0)
    for n in (1, 2, 7, 64, 3):
        X, _ = data(n, seed=n)
        w.grad = 0.0
        result = f(w, X)
        result.backward()
        assert result.data == pytest.approx(np.mean((2.0 * X[:, 0] - X[:, 1]) ** 2), rel=1e-12)
        slope = np.mean(2.0 * (2.0 * X[:, 0] - X[:, 1]) * X[:, 0])
        assert w.grad == pytest.approx(slope, rel=1e-12)
    assert f.stats.traces == 1


@pytest.mark.parametrize("size", [len, lambda X: X.shape[0]], ids=["len", "shape"])
@pytest.mark.parametrize("within", [False, True])
def test_a_batch_whose_size_is_asked_for_is_traced_anew(size, within):
    """The number that Python got is part of the program: no other size may use it."""
    if within:
        f = lift(lambda w, X: total(vmap(lambda x: w * x[0] / size(X))(X)))
    else:
        f = lift(lambda w, X: total(vmap(lambda x: w * x[0])(X)) / size(X))
    w = Value(1.0)
    for n in (4, 2, 4, 8):
        assert f(w, np.ones((n, 2))).data == pytest.approx(1.0)
    assert f.stats.traces == 3


def test_a_batch_of_which_one_samples_size_is_asked_for_is_traced_once():
    """How many numbers a sample has is the same for batches of all sizes."""
    f = lift(lambda w, X: total(vmap(lambda x: w * x[0] / len(x[:2]))(X)))
    for n in (4, 2, 8):
        assert f(Value(1.0), np.ones((n, 3))).data == pytest.approx(n / 2)
    assert f.stats.traces == 1


def few_structures(f, calls):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for call in calls:
            f(*call)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    return str(caught[0].message)


def test_many_structures_are_warned_of_once():
    """At the seventeenth, by name, with what differs and what to do."""
    x = Value(1.0)
    message = few_structures(lift(lambda x, n: x * n), [(x, n) for n in range(20)])
    assert message == (
        "<lambda> was built for 17 structures of arguments; of the last two, one has 15 and the "
        "other 16 in n. If it is a number that varies, pass it as a float or in an array."
    )


VARYING = {
    "shapes": lambda n: np.ones((n + 1, 2)),
    "lengths": lambda n: [1.0] * (n + 1),
    "attributes": lambda n: SimpleNamespace(scale=float(n)),
    "kinds": lambda n: {f"key {i}": 1.0 for i in range(n + 1)},
}
SENTENCES = {
    "shapes": "one has an array of shape (16, 2) and the other an array of shape (17, 2) in x. "
    "Map over arrays that vary in length with vmap, or pad them.",
    "lengths": "one has a list of length 16 and the other a list of length 17 in x. "
    "Pad what varies in length or kind.",
    "attributes": "one has 15.0 and the other 16.0 in x. "
    "Attributes are static: pass a number that varies as an argument, or as a Value.",
    "kinds": "one has a dict of 16 and the other a dict of 17 in x. "
    "Pad what varies in length or kind.",
}


@pytest.mark.parametrize("what", VARYING)
def test_the_warning_says_what_differs(what):
    """In words, with the advice for it."""
    f = lift(lambda w, x: w * 2.0)
    message = few_structures(f, [(Value(1.0), VARYING[what](n)) for n in range(17)])
    assert message.endswith(SENTENCES[what])


def surprise(table, tokens):
    """Of a text under a bigram model, its tokens looked up as liftgrad looks them up."""
    pairs = list(itertools.pairwise(tokens))
    return -total([take(log_softmax(take(table, a)), b) for a, b in pairs])


@pytest.mark.parametrize("lengths", [[5], [5, 6]])
def test_texts_in_lists_are_warned_of_early(lengths):
    """At the fourth program, in one sentence whose advice makes one program of all texts."""
    random.seed(1)
    table = [[Value(random.gauss(0, 1)) for _ in range(7)] for _ in range(7)]
    texts = [[random.randrange(7) for _ in range(lengths[k % len(lengths)])] for k in range(9)]
    bigram = lift(surprise)
    told_at = 0
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for text in texts:
            bigram(table, text)
            told_at = told_at or (bigram.stats.traces if caught else 0)
    assert told_at == 4
    (message,) = [str(w.message) for w in caught]
    assert message.endswith(
        "in tokens. Integers in lists are part of the program: pass them as an integer array, "
        "padded to one length, and look rows up with take(table, i)."
    )
    advised = lift(surprise)
    for text in texts:
        if len(text) == 5:
            assert advised(table, np.array(text)).data == pytest.approx(surprise(table, text).data)
    assert advised.stats.traces == 1


def test_stats_say_what_was_done():
    """Traces, calls served, operations before and after, kernels, seconds for each stage."""
    f = lift(loss)
    model = nn.MLP(2, [4, 1])
    for seed in range(3):
        f(model, *data(6, seed))
    stats = f.stats
    assert (stats.traces, stats.cache_hits) == (1, 2)
    assert stats.scalar_operations > 6 * 17
    assert 0 < stats.kernels <= stats.tensor_operations < 40
    assert set(stats.seconds) == {"trace", "roll", "adjoint", "schedule", "compile"}
    assert all(seconds > 0.0 for seconds in stats.seconds.values())
