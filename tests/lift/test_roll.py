"""Roll: single operations on a tape become groups of operations that are alike."""

import numpy as np
from text import rolled, text_of_groups, values

from liftgrad import ops
from liftgrad.functional import relu, take, total
from liftgrad.lift.stand_ins.vmap import vmap


def test_a_layer_over_samples():
    """Products, sums and activations of all samples are a group each."""

    def layer(p, X):
        return [relu(p[0] * x[0] + p[1] * x[1] + p[2]) for x in X]

    assert text_of_groups(rolled(layer, values(3), np.ones((3, 2)))) == [
        "0: p[3]",
        "1: X[6]",
        "2: multiply 0[0 1 0 1 0 1] 1[0 1 2 3 4 5]",
        "3: sum 0[2 | 2 | 2] 2[0 1 | 2 3 | 4 5]",
        "4: relu 3[0 1 2]",
        "return 4[0] 4[1] 4[2]",
    ]


def test_rows_of_different_length_are_alike():
    """How many terms a sum has is no part of its class."""
    program = rolled(lambda p: [total(p[: i + 1]) for i in range(4)], values(4))
    assert text_of_groups(program) == [
        "0: p[4]",
        "1: sum 0[0 | 0 1 | 0 1 2 | 0 1 2 3]",
        "return 1[0] 1[1] 1[2] 1[3]",
    ]


def test_a_chain_of_additions_is_one_sum():
    """Pythons's sum() starts with a zero, which is dropped."""
    expected = ["0: p[4]", "1: sum 0[0 1 2 3]", "return 1[0]"]
    assert text_of_groups(rolled(lambda p: p[0] + p[1] + p[2] + p[3], values(4))) == expected
    assert text_of_groups(rolled(lambda p: (p[0] + p[1]) + (p[2] + p[3]), values(4))) == expected
    assert text_of_groups(rolled(total, values(4)))[1:] == expected[1:]
    with_zero = text_of_groups(rolled(lambda p: sum(p), values(4)))  # noqa: PLW0108, has a name p
    assert with_zero[-2:] == ["2: sum 0[0 1 2 3]", "return 2[0]"]


def test_a_partial_sum_that_is_used_twice_stays():
    def shared(p):
        s = p[0] + p[1]
        return [s + p[2], s * p[3]]

    assert text_of_groups(rolled(shared, values(4))) == [
        "0: p[4]",
        "1: add 0[0] 0[1]",
        "2: add 1[0] 0[2]",
        "3: multiply 1[0] 0[3]",
        "return 2[0] 3[0]",
    ]


def test_equal_operations_are_one():
    program = rolled(lambda p: [p[0] * p[1], p[0] * p[1], p[1] * p[0]], values(2))
    assert text_of_groups(program)[1:] == ["1: multiply 0[0 1] 0[1 0]", "return 1[0] 1[0] 1[1]"]


def test_what_no_result_needs_is_not_computed():
    def wasteful(p):
        _ = [x.exp() for x in p]
        return p[0] * 2.0

    assert not any("exp" in line for line in text_of_groups(rolled(wasteful, values(3))))


def test_the_largest_of_numbers_of_several_kinds():
    program = rolled(lambda p: ops.largest(p[0], p[1] * 2.0, p[2]), values(3))
    assert text_of_groups(program)[-2:] == ["3: largest 0[0 2] 2[0]", "return 3[0]"]


def test_a_read_at_a_run_time_index_names_all_its_candidates():
    def embed(p, k):
        return [e for t in k for e in take([p[:2], p[2:4], p[4:]], t)]

    assert text_of_groups(rolled(embed, values(6), np.array([2, 0]))) == [
        "0: p[6]",
        "1: k[2]",
        "2: take 0[0 2 4 | 1 3 5 | 0 2 4 | 1 3 5] at 1[0 0 1 1]",
        "return 2[0] 2[1] 2[2] 2[3]",
    ]


def test_a_table_of_numbers_of_several_kinds_is_copied_into_one():
    program = rolled(lambda p, k: take([p[0], p[0] * 2.0, p[1]], k[0]), values(2), np.array([1]))
    assert text_of_groups(program)[2:] == [
        "2: multiply 0[0] 1[0]",
        "3: k[1]",
        "4: sum 0[0 |  | 1] 2[ | 0 | ]",
        "5: take 4[0 1 2] at 3[0]",
        "return 5[0]",
    ]


def test_a_total_of_one_term_within_a_sum_is_not_lost():
    assert text_of_groups(rolled(lambda p: total([p[0]]) + p[1], values(2))) == [
        "0: p[2]",
        "1: sum 0[0 1]",
        "return 1[0]",
    ]


def test_a_mapped_function_is_rolled_up_once_for_all_samples():
    def loss(p, X):
        return total(vmap(lambda x: p[0] * x[0] + p[1] * x[1])(X))

    assert text_of_groups(rolled(loss, values(2), np.ones((100, 2)))) == [
        "0: p[2]",
        "1: X[2] for each sample",
        "2: multiply 0[0 1] 1[0 1] for each sample",
        "3: add 2[0] 2[1] for each sample",
        "4: sum 3[0]",
        "return 4[0]",
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

    assert len(rolled(long, values(2)).groups) == 2 + 2 * 3000
