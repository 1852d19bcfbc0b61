"""Random scalar programs: eager, rolled, scheduled and native agree, in values and gradients.

To search for longer, and anew: LIFTGRAD_SOAK=1 pytest tests/lift/test_random_programs.py.
"""

import os

import pytest
from agreement import compare, eager_outcome, lifted_outcome, stage_outcomes
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import Program, programs

from liftgrad.lift.compiler import host

SOAK = "LIFTGRAD_SOAK" in os.environ
WIDTHS = [bits for bits in (512, 256, 128) if bits <= host().vector_bits]


@given(programs())
@settings(max_examples=20000 if SOAK else 1200)
def test_the_stages_agree_with_eager(program: Program) -> None:
    """The rolled program, and the loop nests made of it, compute what eager does."""
    compare(program, eager_outcome(program), stage_outcomes(program))


@given(program=programs(statements=3), bits=st.sampled_from(WIDTHS))
@settings(max_examples=5000 if SOAK else 300)
def test_native_agrees_with_eager(program: Program, bits: int) -> None:
    """Machine code for vectors of any width computes what eager does."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LIFTGRAD_VECTOR_BITS", str(bits))
        compare(program, eager_outcome(program), {"native": lifted_outcome(program)})


@given(programs(statements=3))
@settings(max_examples=5000 if SOAK else 200)
def test_float32_agrees_with_eager_to_its_precision(program: Program) -> None:
    """What float32 computes is as near to eager's float64 as its rounding explains."""
    found = {"float32": lifted_outcome(program, "float32")}
    compare(program, eager_outcome(program), found, "float32")
