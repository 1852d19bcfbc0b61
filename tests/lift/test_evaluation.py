"""A tape means the same numbers in every arithmetic, and what the eager engine computes."""

import numpy as np
import pytest

from liftgrad import Value, lift, vmap
from liftgrad.functional import dot, log_softmax, mean, softplus, take, total, where
from liftgrad.lift.compare.eager_arithmetic import (
    computed_eagerly,
    leaf_numbers,
    on_floats,
    on_values,
)
from liftgrad.lift.run.array_arithmetic import ArrayArithmetic
from liftgrad.lift.trace.evaluation import evaluate, leaf_arrays
from liftgrad.lift.trace.nodes import TABLE
from liftgrad.lift.trace.tape import Tape

X = np.random.default_rng(0).normal(size=(5, 3))
CHOICES = np.array([2, 0, 1, 1, 2])


def mapped(w, X, choices):
    def of_sample(x, choice):
        picked = take([x[0], w[1], 3.0], choice) + take(w, choice)
        return where(x[1] > 0.0, picked, softplus(x[2])) ** 2

    return mean(vmap(of_sample)(X, choices)) + total(w)


def unrolled(w, X, choices):
    rows = [dot(w, x) + log_softmax(x)[0] for x in X]
    return total([take(rows, i) * w[0] for i in choices])


def taped(function, w):
    """Return the tape of a function of these parameters."""
    source = lift(function).source
    arguments, flat = source.flatten((w, X, CHOICES), {})
    tape = Tape(flat.groups)
    source.build(arguments, flat, tape)
    return tape


def parameters():
    return [Value(0.5), Value(-1.5), Value(2.0)]


@pytest.mark.parametrize("function", [mapped, unrolled])
def test_arrays_of_all_samples_hold_what_floats_come_to_one_by_one(function):
    """Node by node, in the same order of samples."""
    tape = taped(function, parameters())
    one_by_one = computed_eagerly(tape, leaf_numbers(tape), on_floats)
    at_once = evaluate(tape, leaf_arrays(tape), ArrayArithmetic("float64"))
    assert bool(tape.batched) == (function is mapped)
    for node, a, b in zip(tape.nodes, one_by_one, at_once, strict=True):
        if node[0] is not TABLE:
            assert a == pytest.approx(b.tolist(), rel=1e-12)


def test_floats_and_values_give_the_eager_result():
    """To the bit, and Values its gradient, too."""
    w = parameters()
    tape = taped(unrolled, w)
    eager = unrolled(w, X.tolist(), CHOICES)
    eager.backward()
    (result,) = tape.outputs
    leaves = leaf_numbers(tape)
    assert computed_eagerly(tape, leaves, on_floats)[result] == eager.data
    leaves[0] = parameters()
    value = computed_eagerly(tape, leaves, on_values)[result]
    value.backward()
    assert value.data == eager.data
    assert [p.grad for p in leaves[0]] == pytest.approx([p.grad for p in w])
