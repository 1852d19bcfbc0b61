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
c1[1] = 2
for t<4:
    t2[4] = sum(c1[0 |  |  | ], t5[ | 0 | 1 | 2])
    t3[4] = multiply(w[0 0 0 0], t2[0 1 2 3])
    t4[4] = multiply(t3[0 1 2 3], t2[0 1 2 3])
    t5[4] = subtract(t2[0 1 2 3], t4[0 1 2 3])
t6[4] = multiply(t2[0 1 2 3], t2[0 1 2 3])
t7[1] = sum(t6[0 1 2 3])
c8[1] = 1
t9[4] = sum(t2[0 | 1 | 2 | 3], t2[0 | 1 | 2 | 3])
for t<4 backwards:
    t10[4] = sum(t19[1 | 2 | 3 | ])  # ∂t5
    t11[4] = sum(t21[1 | 2 | 3 | ])
    t12[4] = multiply(w[0 0 0 0], t2[0 1 2 3])  # t3 again
    t13[3] = negate(t10[0 1 2])
    t14[4] = sum(t13[0 | 1 | 2 | ])  # ∂t4
    t15[3] = multiply(t14[0 1 2], t2[0 1 2])
    t16[3] = multiply(t14[0 1 2], t12[0 1 2])
    t17[4] = sum(t15[0 | 1 | 2 | ])  # ∂t3
    t18[3] = multiply(t17[0 1 2], w[0 0 0])
    t19[4] = sum(t9[0 | 1 | 2 | 3], t10[0 | 1 | 2 | ], t16[0 | 1 | 2 | ], t18[0 | 1 | 2 | ])  # ∂t2
    t20[3] = multiply(t17[0 1 2], t2[0 1 2])
    t21[4] = sum(t11[0 | 1 | 2 | 3], t20[0 | 1 | 2 | ])
t22[1] = sum(t21[0])  # ∂w
return t7[0], t22[0]"""


def decay(w, n):
    """Return the sum of a state's squares."""
    _, ys = scan(lambda s, _: (s - w * s * s, s * s), 2.0, length=n)
    return total(ys)


def test_products_are_multiplied_again_and_totals_added_up_in_the_loop():
    """Of the loop only the states are read; the sum over time is a state of the gradient's loop."""
    text = text_of_groups(rolled(decay, Value(0.1), 4, gradient=True))
    assert text == EXPECTED


@pytest.mark.parametrize("seed", range(120))
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
