"""Loops of gradients that compute again what they would have to load."""

from dataclasses import replace

import numpy as np
import pytest
from looped_programs import looped_program
from stages import rolled

from liftgrad import Value, scan
from liftgrad.functional import total
from liftgrad.lift.ir.check import check_groups
from liftgrad.lift.ir.text import text_of_groups
from liftgrad.lift.loops.recomputed import recomputed
from liftgrad.lift.passes.adjoint import adjoint
from liftgrad.lift.run.numpy_executor import execute

EXPECTED = """\
w = parameter[1]
c1[2] = 2 4
t2[1] = multiply(w[0], c1[0])
t3[1] = multiply(t2[0], c1[0])
t4[1] = subtract(c1[0], t3[0])
t5[1] = multiply(w[0], t4[0])
t6[1] = multiply(t5[0], t4[0])
t7[1] = subtract(t4[0], t6[0])
t8[1] = multiply(t4[0], t4[0])
t9[1] = multiply(t7[0], t7[0])
t10[1] = sum(c1[1], t8[0], t9[0])
c11[1] = 1
t12[1] = sum(t7[0], t7[0])  # ∂t7
t13[1] = negate(t12[0])  # ∂t6
t14[1] = multiply(t13[0], t4[0])  # ∂t5
t15[1] = multiply(t13[0], t5[0])
t16[1] = multiply(t14[0], t4[0])
t17[1] = multiply(t14[0], w[0])
t18[1] = sum(t4[0], t4[0], t12[0], t15[0], t17[0])  # ∂t4
t19[1] = negate(t18[0])  # ∂t3
t20[1] = multiply(t19[0], c1[0])  # ∂t2
t21[1] = multiply(t19[0], t2[0])
t22[1] = multiply(t20[0], c1[0])
t23[1] = multiply(t20[0], w[0])
t24[1] = sum(t16[0], t22[0])  # ∂w
return t10[0], t24[0]"""


def decay(w, n):
    """Return the sum of a state's squares."""
    _, ys = scan(lambda s, _: (s - w * s * s, s * s), 2.0, length=n)
    return total(ys)


def test_products_are_multiplied_again_and_totals_added_up_in_the_loop():
    """Of the loop only the states are read; the sum over time is a state of the gradient's loop."""
    text = text_of_groups(rolled(decay, Value(0.1), 3, gradient=True))
    assert text == EXPECTED


@pytest.mark.parametrize("seed", range(400))
def test_the_numbers_stay_the_same(seed):
    """Of any program with loops whose gradient is computed with as little memory as possible."""
    looped = looped_program(seed)
    loops = tuple(replace(loop, recompute=True) for loop in looped.program.loops)
    program = replace(looped.program, loops=loops)
    longer, gradients = adjoint(program, looped.seeds, looped.wanted)
    expected = execute(longer, looped.leaves)
    again, moved = recomputed(longer, gradients, forward=len(program.groups))
    check_groups(again, "recomputed", moved)
    found = execute(again, looped.leaves)
    for a, b in zip(gradients, moved, strict=True):
        np.testing.assert_allclose(
            found[b.group][b.positions], expected[a.group][a.positions], rtol=1e-10, atol=1e-10
        )
