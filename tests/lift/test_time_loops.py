"""Loops over time: their kernels compute what their nests say, step by step."""

import numpy as np
import pytest
from loops_by_hand import Making, at, interpreted, numbers_of, of, random_loop
from test_targets import WIDTHS

from liftgrad import ops
from liftgrad.lift.ir.check import check_nests
from liftgrad.lift.ir.nests import Load, Number, Reduce
from liftgrad.lift.kernels import segments, time_loops
from liftgrad.lift.native.host import machine_code
from liftgrad.lift.native.memory import NativeProgram


@pytest.fixture(params=WIDTHS)
def vectors(request, monkeypatch):
    """Narrow the processor's vectors."""
    monkeypatch.setenv("LIFTGRAD_VECTOR_BITS", str(request.param))
    return request.param


def check(program, samples=1, dtype="float64"):
    """Run a program both ways and compare its outputs."""
    memory = numbers_of(program, samples)
    native = NativeProgram(program, {}, machine_code(), dtype)
    instance = native.bind(samples, {})
    for buffer, numbers, found in zip(program.buffers, memory, instance.buffers, strict=True):
        if buffer.role == "leaf":
            instance.set(buffer.group, numbers)
        else:
            found.fill(np.nan)  # nobody reads what nobody wrote
    instance.plan(range(len(program.nests))).run()
    interpreted(program, memory, samples)
    tolerance = 1e-12 if dtype == "float64" else 1e-4
    for i in program.outputs:
        np.testing.assert_allclose(
            instance.buffers[i], memory[i], rtol=tolerance, atol=tolerance, err_msg=f"buffer {i}"
        )
    return native


@pytest.mark.parametrize("largest", [time_loops._LARGEST, 0])
@pytest.mark.parametrize("unrolled", [segments._UNROLLED, 100, 0])
@pytest.mark.parametrize("seed", range(25))
@pytest.mark.usefixtures("vectors")
def test_random_loops_compute_what_their_nests_say(seed, largest, unrolled, monkeypatch):
    """Several states, lags, reductions, tables, rows of all widths, both ways, and samples.

    Where steps differ, they have each their own text, or share one in which conditions are asked;
    a step's loops are written out, or some of them, or none.
    """
    monkeypatch.setattr(time_loops, "_LARGEST", largest)
    monkeypatch.setattr(segments, "_UNROLLED", unrolled)
    program = random_loop(seed)
    check_nests(program, "the draw")
    batched = any(b.batched for b in program.buffers)
    for samples in (1, 3, 19) if batched else (1,):
        check(program, samples)


def test_ragged_rows_run_by_a_table():
    """Each step has rows of its own number, none in some; they read the step before."""
    made = Making()
    widths = [0, 0, 5, 1, 7, 2]
    ends = np.cumsum([0, *widths]).tolist()
    x, state, total = made.leaf(64), made.group(18), made.group(6)
    made.add(0, (1, 3), at(state, 3, 1), Load(at(x, 0, 1)))
    before = [3 + end - 1 for end, width in zip(ends, widths, strict=False) for _ in range(width)]
    body = of(ops.add, of(ops.sin, at(state, 1, table=made.table(before))), at(x, 2))
    made.add(0, (15,), at(state, 1, offset=3), body, rows=made.table(ends))
    body = of(ops.multiply, Number(0.5), Reduce("sum", (6,), Load(at(x, 3, 1))))
    made.add(0, (6,), at(total, 1), body)
    check(made.program(6, [state, total]))


def test_what_nobody_reads_in_memory_is_not_stored():
    """A state that one step hands to the next stays in a register, and so do values in between."""
    made = Making()
    x, head, state, between, out = made.leaf(40), *(made.group(40) for _ in range(4))
    made.add(0, (1,), at(head, 1), Number(0.0))
    made.add(1, (39,), at(head, 1, offset=1), Load(at(state, 1)))
    made.add(0, (40,), at(between, 1), of(ops.sin, of(ops.add, at(head, 1), at(x, 1))))
    made.add(0, (40,), at(state, 1), of(ops.multiply, at(between, 1), Number(0.5)))
    made.add(0, (40,), at(out, 1), of(ops.exp, at(state, 1)))
    native = check(made.program(40, [out]))
    assert {access.buffer for access in native.kernels[-1].accesses} == {x, out}


def test_a_state_at_one_certain_step_is_read_once_it_is_there():
    """Though its position stays the same in all steps, as that of what no step changes does."""
    made = Making()
    x, head, state, out = made.leaf(8), *(made.group(8) for _ in range(3))
    made.add(0, (1,), at(head, 1), Number(0.5))
    made.add(1, (7,), at(head, 1, offset=1), Load(at(state, 1)))
    made.add(0, (8,), at(state, 1), of(ops.sin, of(ops.add, at(head, 1), at(x, 1))))
    early = made.table([0, 1, 2, 3, 3, 3, 3, 3, 3])
    made.add(0, (3,), at(out, 1), Load(at(x, 1)), rows=early)
    late = made.table([0, 0, 0, 0, 1, 2, 3, 4, 5])
    made.add(0, (5,), at(out, 1, offset=3), of(ops.exp, at(head, 0, offset=3)), rows=late)
    check(made.program(8, [state, out]))


def test_loops_of_different_length_share_a_kernel():
    """The number of steps is an argument, from whichever end of time first steps are counted."""
    texts = set()
    for steps in (5, 10, 1000):
        for backwards in (False, True):
            made = Making()
            x, head, state, out = made.leaf(steps), *(made.group(steps) for _ in range(3))
            first, later = (steps - 1, 0) if backwards else (0, 1)
            made.add(first, (1,), at(head, 1, offset=first), Number(0.5))
            source = at(state, 1, offset=1 - later)
            made.add(later, (steps - 1,), at(head, 1, offset=later), Load(source))
            made.add(0, (steps,), at(state, 1), of(ops.sin, of(ops.add, at(head, 1), at(x, 1))))
            made.add(1, (steps - 2,), at(out, 1, offset=1), of(ops.exp, at(state, 1, offset=1)))
            program = made.program(steps, [state], backwards=backwards)
            native = check(program)
            texts.add((backwards, native.kernels[-1].text))
    assert len(texts) == 2
