"""Taped: a long program in which nothing repeats runs on the machine before it is compiled."""

import random

import numpy as np
import pytest

from liftgrad import Value, functional, lift, recording, vmap
from liftgrad.functional import mean, take, tanh, uniform
from liftgrad.lift.machine.tapes import tape_nodes
from liftgrad.lift.run import taped
from liftgrad.lift.run.taped import Taped

OPERATIONS = (
    *("{a} + {b} * {c}", "tanh({a} * {b} - {c})", "{c} * {a}", "{a} / ({b} * {b} + 1.5)"),
    *("exp(-{a} * {a})", "-{a}", "({a} * {a} + {c}) ** 1.7", "({a} * {a} + 1.0) ** -0.5"),
    *(
        "log({a} * {a} + {c})",
        "softplus({b})",
        "sum([{a}, {b}, {a}])",
        "relu({a} - {c})",
    ),
)


def written(length, seed, results="sum([{left}]) * 0.1", operations=OPERATIONS):
    """Return a function of a list of five numbers and an array of three, written by chance."""
    draw = random.Random(seed)
    lines = ["def written(x, data):", *[f"    v{i} = x[{i}]" for i in range(5)]]
    lines += [f"    v{i + 5} = data[{i}]" for i in range(3)]
    for i in range(8, 8 + length):
        a, b = (f"v{draw.randrange(max(i - 40, 0), i)}" for _ in range(2))
        c = round(draw.uniform(0.1, 0.9), 2)
        lines.append(f"    v{i} = {draw.choice(operations).format(a=a, b=b, c=c)}")
    left = ", ".join(f"v{i}" for i in range(length - 32, 8 + length))
    lines.append("    return " + results.format(left=left, last=f"v{7 + length}"))
    namespace = {name: getattr(functional, name) for name in dir(functional)}
    exec("\n".join(lines), namespace)
    return namespace["written"]


def values():
    return [Value(0.1 * i - 0.2) for i in range(5)]


DATA = np.array([0.5, -0.25, 0.75])


def is_taped(lifted):
    return isinstance(lifted._last, Taped)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Programs of a few hundred operations count as long."""
    monkeypatch.setattr(taped, "_LEAST_GROUPS", 200)


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5, 7])
def test_numbers_are_the_eager_engines(seed):
    """And to the last digit those of a recording, which the same machine computes."""
    function = written(400, seed)
    lifted = lift(function)
    for step in range(3):
        x, y, z = values(), values(), values()
        for v in (*x, *y, *z):
            v.data += 0.1 * step
        result, expected = lifted(x, DATA * step), function(y, DATA * step)
        result.backward()
        expected.backward()
        assert is_taped(lifted)
        assert result.data == pytest.approx(expected.data, rel=1e-10)
        assert [v.grad for v in x] == pytest.approx([w.grad for w in y], rel=1e-9)
        with recording():
            recorded = function(z, DATA * step)
            recorded.backward()
            assert result.data == recorded.data
            assert [v.grad for v in x] == pytest.approx([w.grad for w in z], rel=1e-13)
    assert lifted.stats.traces == 1


def test_several_results_are_differentiated_one_by_one():
    """And together: adjoints of all of them go back at once."""
    function = written(400, 1, results="[{last}, sum([{left}]), x[0] * 2.0]")
    lifted = lift(function)
    for chosen in ([0], [1], [2], [0, 1, 2], [1, 1]):
        x, y = values(), values()
        results, expected = lifted(x, DATA), function(y, DATA)
        assert [r.data for r in results] == pytest.approx([e.data for e in expected])
        sum(results[i] * (1.0 + i) for i in chosen).backward()
        sum(expected[i] * (1.0 + i) for i in chosen).backward()
        assert [v.grad for v in x] == pytest.approx([w.grad for w in y], rel=1e-12)
    assert is_taped(lifted)


def test_a_result_is_differentiated_after_later_calls_and_other_numbers():
    """With the numbers that it was computed from."""
    function = written(400, 2)
    lifted, x, y = lift(function), values(), values()
    first, expected = lifted(x, DATA), function(y, DATA)
    lifted(x, DATA * 2.0)
    x[0].data = 3.0
    lifted(x, DATA)
    first.backward()
    expected.backward()
    assert [v.grad for v in x] == pytest.approx([w.grad for w in y], rel=1e-12)


def test_it_is_compiled_after_many_calls(monkeypatch):
    """And goes on with the same numbers, but for rounding."""
    monkeypatch.setattr(taped, "_MOST_CALLS", 5)
    function = written(400, 3)
    lifted, seen = lift(function), []
    for _ in range(8):
        x, y = values(), values()
        result, expected = lifted(x, DATA), function(y, DATA)
        result.backward()
        expected.backward()
        assert result.data == pytest.approx(expected.data, rel=1e-12)
        assert [v.grad for v in x] == pytest.approx([w.grad for w in y], rel=1e-9)
        seen.append(is_taped(lifted))
    assert seen == [True] * 5 + [False] * 3
    assert lifted.stats.traces == 1


def test_its_listing_is_that_of_the_compiled_program():
    """It is compiled for that."""
    lifted = lift(written(400, 4))
    lifted(values(), DATA)
    assert is_taped(lifted)
    text = str(lifted.program)
    assert "gradient:" in text
    assert lifted.stats.tensor_operations > 300


@pytest.mark.parametrize(
    "operation",
    [
        "where({a} < {b}, {a}, {b} * {c})",
        "logsumexp([{a}, {b}, {c}])",
        "where(({a} < {b}) & ({a} <= {c}) | ({b} == {c}), log({a} * {a}), {b})",
        "where({a} > 0.0, sqrt({a}), 0.1 * {b})",
        "where({a} > 0.0, log({a}), {b} * 0.5)",
        "({a} * {b} if {c} > 2.0 else {a} - {c})",
    ],
)
def test_of_branches_only_those_that_are_taken_have_derivatives(operation):
    """Which would be infinite or nan elsewhere; Python's own are nothing to the machine."""
    function = written(400, 5, operations=(*OPERATIONS, operation))
    lifted, x, y = lift(function), values(), values()
    result, expected = lifted(x, DATA), function(y, DATA)
    result.backward()
    expected.backward()
    assert result.data == pytest.approx(expected.data, rel=1e-10, nan_ok=True)
    assert [v.grad for v in x] == pytest.approx([w.grad for w in y], rel=1e-9, nan_ok=True)
    assert is_taped(lifted)


def test_what_the_machine_lacks_is_compiled():
    """A read at an index that is known at run time, a mean over samples, random numbers."""
    function, table = written(400, 5), np.arange(6.0).reshape(3, 2)
    for more in (
        lambda x, k, _: take(x, k[1]),
        lambda x, _, rows: mean(vmap(lambda row: x[0] * row[1])(rows)),
        lambda x, *_: uniform(x[0]),
    ):
        lifted = lift(lambda x, data, k, rows, more=more: function(x, data) + more(x, k, rows))
        lifted(values(), DATA, np.array([1, 3]), table)
        assert not is_taped(lifted)


def test_float32_and_numpy_do_not_run_on_the_machine():
    """It computes in float64, in machine code."""
    function = written(400, 6)
    for options in ({"dtype": "float32"}, {"backend": "numpy"}):
        lifted = lift(function, **options)
        assert lifted(values(), DATA).data == pytest.approx(function(values(), DATA).data, rel=1e-3)
        assert not is_taped(lifted)


def test_what_repeats_is_compiled():
    """A loop over time, and rows that are alike."""
    lifted = lift(lambda x, n: sum(tanh(x[i % 5] * (0.1 * i)) for i in range(n)))
    lifted(values(), 900)
    assert not is_taped(lifted)


def test_tapes_that_are_too_long_for_the_machine_are_none(monkeypatch):
    """Its nodes have fields of 23 bits."""
    tape = [("leaf", 0, i) for i in range(10)]
    assert tape_nodes(tape, [3]) is not None
    monkeypatch.setattr("liftgrad.lift.machine.tapes.LIMIT", 9)
    assert tape_nodes(tape, [3]) is None
