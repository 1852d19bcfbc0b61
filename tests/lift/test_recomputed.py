"""Loops of gradients that compute again what they would have to load."""

from dataclasses import replace

import numpy as np
import pytest
from looped_programs import looped_program
from stages import rolled

from liftgrad import Value, scan
from liftgrad.functional import total
from liftgrad.lift.differentiation.adjoint import adjoint
from liftgrad.lift.ir.check import check_groups
from liftgrad.lift.ir.text import text_of_groups
from liftgrad.lift.loops.recomputed import recomputed
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
    t10[4] = sum(t18[1 | 2 | 3 | ])  # ∂t5
    t11[4] = multiply(w[0 0 0 0], t2[0 1 2 3])  # t3 again
    t12[3] = negate(t10[0 1 2])
    t13[4] = sum(t12[0 | 1 | 2 | ])  # ∂t4
    t14[3] = multiply(t13[0 1 2], t2[0 1 2])
    t15[3] = multiply(t13[0 1 2], t11[0 1 2])
    t16[4] = sum(t14[0 | 1 | 2 | ])  # ∂t3
    t17[3] = multiply(t16[0 1 2], w[0 0 0])
    t18[4] = sum(t9[0 | 1 | 2 | 3], t10[0 | 1 | 2 | ], t15[0 | 1 | 2 | ], t17[0 | 1 | 2 | ])  # ∂t2
    t19[3] = multiply(t16[0 1 2], t2[0 1 2])
t20[1] = sum(t19[0 1 2])  # ∂w
return t7[0], t20[0]"""


def decay(w, n):
    """Return the sum of a state's squares."""
    _, ys = scan(lambda s, _: (s - w * s * s, s * s), 2.0, length=n)
    return total(ys)


def test_products_are_multiplied_again_in_the_loop_of_the_gradient():
    """Of the loop only the states are read; the terms of a sum over time are in it, too."""
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
