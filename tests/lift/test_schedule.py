"""Schedule: groups become loop nests over memory."""

import numpy as np
import pytest
from agreement import compare, eager_outcome, stage_outcomes
from stages import scheduled, values
from strategies import Program

from liftgrad import Value, optim
from liftgrad.functional import exp, relu, softmax, take, total, where
from liftgrad.lift.function import lift
from liftgrad.lift.ir.text import text_of_nest, text_of_nests
from liftgrad.lift.stand_ins.vmap import vmap
from liftgrad.trainer import Trainer


def nests(function, *arguments, gradient=False):
    """A line for each nest."""
    program = scheduled(function, *arguments, gradient=gradient)
    return [text_of_nest(nest, program) for nest in program.nests]


def test_a_layer_is_one_nest():
    """Products, sum, bias and activation: rows are read with strides 0 and 2."""

    def layer(p, X):
        return [relu(p[0] * x[0] + p[1] * x[1] + p[2]) for x in X]

    assert nests(layer, values(3), np.ones((3, 2))) == [
        "for i<3: t4[i] = relu(add(p[2], sum[k<2](multiply(p[k], X[2i+k]))))"
    ]


def test_the_samples_of_an_unrolled_batch_lie_next_to_each_other():
    """Activations and data have stride 1 along the four samples."""

    def loss(p, X):
        return total(
            [relu(sum(w * u for w, u in zip(row, x, strict=True))) for x in X for row in p]
        )

    assert nests(loss, [values(5) for _ in range(3)], np.ones((4, 5)), gradient=True) == [
        "for i<4, j<3: t5[i+4j] = relu(sum[k<5](multiply(p[5j+k], X[i+4k])))",
        "t6[0] = sum[k<4, q<3](t5[k+4q])",
        "for i<4, j<3: t11[i+4j] = select(less_equal(t5[i+4j], 0), 0, 1)",
        "for i<3, j<5: t14[5i+j] = sum[k<4](multiply(t11[4i+k], X[4j+k]))",
    ]


def test_rows_of_different_length_are_nests_of_their_own():
    def triangle(p):
        return [total([p[i] * p[j] for j in range(i + 1)]) for i in range(3)]

    assert nests(triangle, values(3)) == [
        "t2[0] = sum[k<1](multiply(p[0], p[0]))",
        "t2[1] = sum[k<2](multiply(p[1], p[k]))",
        "t2[2] = sum[k<3](multiply(p[2], p[k]))",
    ]


def test_an_expression_is_cut_for_its_own_size():
    """However long the way to its operands: thirty steps through memory are thirty nests."""

    def steps(x):
        for _ in range(30):
            x = [exp(-(u * u)) for u in x]
        return x

    assert len(nests(steps, values(2))) == 30


def test_what_is_used_several_times_is_kept():
    """The largest, the exponentials and their sums; what is used once is not."""
    assert nests(lambda p: [e for i in (0, 3) for e in softmax(p[i : i + 3])], values(6)) == [
        "for i<2: t1[i] = max[k<3](p[3i+k])",
        "for i<2: t5[i] = select(less(absolute(t1[i]), inf), t1[i], 0)",
        "for i<2, j<3: t7[3i+j] = exp(subtract(p[3i+j], t5[i]))",
        "for i<2: t8[i] = sum[k<3](t7[3i+k])",
        "for i<2, j<3: t9[3i+j] = divide(t7[3i+j], t8[i])",
    ]


def test_what_is_not_affine_is_looked_up_in_a_table():
    program = scheduled(lambda p: [p[(3 * i * i) % 7] * 2.0 for i in range(4)], values(7))
    assert text_of_nests(program).splitlines()[-3:] == [
        "table0 = 0 3 5 6",
        "for i<4: t2[i] = multiply(p[table0[i]], 2)",
        "return t2",
    ]


def test_a_run_time_index_moves_an_access():
    k = np.array([1, 2])
    assert nests(lambda p, k: [take(p[:3], t) * 2.0 for t in k], values(4), k) == [
        "for i<2: t4[i] = multiply(p[k[i] of 3], 2)"
    ]


def test_a_sum_over_samples_is_added_to_what_is_there():
    """So that samples may come in portions."""
    assert nests(lambda p, X: total(vmap(lambda x: exp(p[0] * x))(X)), values(1), np.ones(9)) == [
        "t4[0] = 0",
        "t4[0] += sum[samples](exp(multiply(p[0], X[0])))",
    ]


def test_a_sum_of_very_many_kinds_of_numbers_is_done_in_steps():
    """No expression grows beyond bounds, in depth or in length."""

    def run(p):
        x = p[0]
        for _ in range(400):
            x = x * 0.9 + p[1]
        return x

    assert max(map(len, nests(run, values(2), gradient=True))) < 1000


def test_conditions_made_of_conditions_are_kept_before_they_explode():
    """As 1 and 0, where each is used twice by the next."""

    def chained(p):
        condition = p[0] > 0.1
        for t in range(40):
            condition = (condition & (p[1] > 0.1 * t)) | (condition & (p[2] < 0.1 * t))
        return where(condition, p[0], p[1])

    assert sum(map(len, nests(chained, values(3)))) < 20_000
    for numbers in ([0.4, 0.9, 0.2], [0.0, 0.9, 0.2], [0.4, 9.0, 0.2]):
        p = [Value(x) for x in numbers]
        assert lift(chained)(p).data == chained(p).data


def test_memory_is_laid_out_before_it_is_used():
    """A later nest that liked another order better made earlier ones write to wrong places."""
    program = Program(
        "products = [p[i] * p[j] for i in range(8) for j in range(8)]\nreturn products[:40]",
        *([0.25, 0.25, 0.0, -0.5, -1.5, 0.25, -0.5, -1.5], [2.0], -1.0, [0], [[-1.0]], [0]),
        weights=[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0],
    )
    compare(program, eager_outcome(program), stage_outcomes(program))


@pytest.mark.parametrize("count", [2, 3, 20])
@pytest.mark.parametrize(
    "optimizer",
    [
        lambda p: optim.SGD(p, lr=0.1),
        lambda p: optim.SGD(p, lr=0.1, momentum=0.9),
        lambda p: optim.Adam(p, lr=0.1),
    ],
)
def test_an_update_in_place_does_not_read_what_it_has_moved(count, optimizer):
    """The gradient by each parameter is its neighbour, which may have moved already."""

    def loss(w):
        return sum(w[i] * w[count - 1 - i] for i in range(count))

    stepped, trained = values(count), values(count)
    by_hand = optimizer(stepped)
    for _ in range(3):
        by_hand.zero_grad()
        loss(stepped).backward()
        by_hand.step()
    Trainer(lift(loss), optimizer(trained)).run(3, trained)
    assert [w.data for w in trained] == pytest.approx([w.data for w in stepped], rel=1e-12)
