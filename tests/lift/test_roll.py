"""Roll: single operations on a tape become groups of operations that are alike."""

import numpy as np
from stages import rolled, values

from liftgrad import ops
from liftgrad.functional import relu, take, total
from liftgrad.lift.ir.text import text_of_groups
from liftgrad.lift.stand_ins.vmap import vmap


def groups(function, *arguments):
    """A line for each group of a function, and one for its results."""
    return text_of_groups(rolled(function, *arguments)).splitlines()


def test_a_layer_over_samples():
    """Products, sums and activations of all samples are a group each."""

    def layer(p, X):
        return [relu(p[0] * x[0] + p[1] * x[1] + p[2]) for x in X]

    assert groups(layer, values(3), np.ones((3, 2))) == [
        "p = parameter[3]",
        "X = input[6]",
        "t2[6] = multiply(p[0 1 0 1 0 1], X[0 1 2 3 4 5])",
        "t3[3] = sum(p[2 | 2 | 2], t2[0 1 | 2 3 | 4 5])",
        "t4[3] = relu(t3[0 1 2])",
        "return t4[0], t4[1], t4[2]",
    ]


def test_rows_of_different_length_are_alike():
    """How many terms a sum has is no part of its class."""
    assert groups(lambda p: [total(p[: i + 1]) for i in range(4)], values(4)) == [
        "p = parameter[4]",
        "t1[4] = sum(p[0 | 0 1 | 0 1 2 | 0 1 2 3])",
        "return t1[0], t1[1], t1[2], t1[3]",
    ]


def test_a_chain_of_additions_is_one_sum():
    """Pythons's sum() starts with a zero, which is dropped."""
    expected = ["p = parameter[4]", "t1[1] = sum(p[0 1 2 3])", "return t1[0]"]
    assert groups(lambda p: p[0] + p[1] + p[2] + p[3], values(4)) == expected
    assert groups(lambda p: (p[0] + p[1]) + (p[2] + p[3]), values(4)) == expected
    assert groups(lambda p: total([*p]), values(4)) == expected
    with_zero = groups(lambda p: sum(p), values(4))  # noqa: PLW0108, has a name p
    assert with_zero[-2:] == ["t2[1] = sum(p[0 1 2 3])", "return t2[0]"]


def test_a_partial_sum_that_is_used_twice_stays():
    def shared(p):
        s = p[0] + p[1]
        return [s + p[2], s * p[3]]

    assert groups(shared, values(4)) == [
        "p = parameter[4]",
        "t1[1] = add(p[0], p[1])",
        "t2[1] = add(t1[0], p[2])",
        "t3[1] = multiply(t1[0], p[3])",
        "return t2[0], t3[0]",
    ]


def test_equal_operations_are_one():
    assert groups(lambda p: [p[0] * p[1], p[0] * p[1], p[1] * p[0]], values(2))[1:] == [
        "t1[2] = multiply(p[0 1], p[1 0])",
        "return t1[0], t1[0], t1[1]",
    ]


def test_what_no_result_needs_is_not_computed():
    def wasteful(p):
        _ = [x.exp() for x in p]
        return p[0] * 2.0

    assert not any("exp" in line for line in groups(wasteful, values(3)))


def test_the_largest_of_numbers_of_several_kinds():
    assert groups(lambda p: ops.largest(p[0], p[1] * 2.0, p[2]), values(3))[-2:] == [
        "t3[1] = max(p[0 2], t2[0])",
        "return t3[0]",
    ]


def test_a_read_at_a_run_time_index_names_all_its_candidates():
    def embed(p, k):
        return [e for t in k for e in take([p[:2], p[2:4], p[4:]], t)]

    assert groups(embed, values(6), np.array([2, 0])) == [
        "p = parameter[6]",
        "k = index[2]",
        "t2[4] = take(p[0 2 4 | 1 3 5 | 0 2 4 | 1 3 5] at k[0 0 1 1])",
        "return t2[0], t2[1], t2[2], t2[3]",
    ]


def test_a_table_of_numbers_of_several_kinds_is_copied_into_one():
    k = np.array([1])
    assert groups(lambda p, k: take([p[0], p[0] * 2.0, p[1]], k[0]), values(2), k)[2:] == [
        "t2[1] = multiply(p[0], c1[0])",
        "k = index[1]",
        "t4[3] = sum(p[0 |  | 1], t2[ | 0 | ])",
        "t5[1] = take(t4[0 1 2] at k[0])",
        "return t5[0]",
    ]


def test_a_total_of_one_term_within_a_sum_is_not_lost():
    assert groups(lambda p: total([p[0]]) + p[1], values(2)) == [
        "p = parameter[2]",
        "t1[1] = sum(p[0 1])",
        "return t1[0]",
    ]


def test_a_mapped_function_is_rolled_up_once_for_all_samples():
    def loss(p, X):
        return total(vmap(lambda x: p[0] * x[0] + p[1] * x[1])(X))

    assert groups(loss, values(2), np.ones((100, 2))) == [
        "p = parameter[2]",
        "X = input[2, samples]",
        "t2[2, samples] = multiply(p[0 1], X[0 1])",
        "t3[1, samples] = add(t2[0], t2[1])",
        "t4[1] = sum(t3[0])",
        "return t4[0]",
    ]


def test_the_batch_of_two_moons_is_a_handful_of_groups():
    """How many there are does not depend on how many samples are unrolled."""

    def scores(w, X):
        hidden = [[relu(sum(a * b for a, b in zip(row, x, strict=True))) for row in w] for x in X]
        return sum(h for hs in hidden for h in hs)

    w = [values(2) for _ in range(5)]
    few = rolled(scores, w, np.ones((2, 2)))
    many = rolled(scores, w, np.ones((60, 2)))
    assert len(few.groups) == len(many.groups) == 7


def test_a_tape_of_any_depth_is_rolled():
    """Nothing recurses over it."""

    def long(p):
        x = p[0]
        for _ in range(3000):
            x = x * 0.5 + p[1]
        return x

    assert len(rolled(long, values(2), loops=False).groups) == 2 + 2 * 3000
