"""Loops over time as nests: what a loop of groups becomes, and that it computes the same."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from looped_programs import looped_program
from nests import Nests

from liftgrad.lift.ir.check import check_nests
from liftgrad.lift.passes.schedule import schedule
from liftgrad.lift.run.numpy_executor import execute


@given(st.integers(0, 2**32))
def test_a_loop_of_nests_computes_what_its_groups_do(seed):
    looped = looped_program(seed)
    program = looped.program
    nests = schedule(program, program.outputs)
    check_nests(nests, "schedule")
    memory = Nests(nests, program, looped.leaves)
    memory.run()
    expected = execute(program, looped.leaves)
    for view in program.outputs:
        numbers = expected[view.group][view.positions]
        numbers = numbers if numbers.ndim == 2 else numbers[:, None]
        found = memory.numbers(view.group, view.positions)
        np.testing.assert_allclose(found, np.broadcast_to(numbers, found.shape), 1e-12, 1e-14)
