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
"""


def decay(w, n):
    """Return the sum of a state's squares."""
    _, ys = scan(lambda s, _: (s - w * s * s, s * s), 2.0, length=n)
    return total(ys)


def test_products_are_multiplied_again_and_totals_added_up_in_the_loop():
    """Of the loop only the states are read; the sum over time is a state of the gradient's loop."""
    text = text_of_groups(rolled(decay, Value(0.1), 4, gradient=True))
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
