"""Random scalar programs: eager, rolled, scheduled and native agree, in values and gradients.

To search for longer, and anew: LIFTGRAD_SOAK=1 pytest tests/lift/test_random_programs.py.
"""

import itertools
import os
import random
import time
import uuid
from dataclasses import replace

import numpy as np
import pytest
from agreement import arrays, compare, eager_outcome, lifted_outcome, stage_outcomes
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import Program, programs

from liftgrad import Value, lift
from liftgrad.errors import LiftError
from liftgrad.lift.native.compiler import host

pytestmark = pytest.mark.thorough

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


READS = (
    *("RNG.normal()", "PYTHON.random()", "PYTHON.gauss(0.0, 1.0)", "HELD['rng'][0].random()"),
    *("np.random.rand()", "random.random()", "np.random.default_rng().normal()"),
    *("time.time()", "tick()", "len(os.environ['HOME'])", "len(os.getenv('HOME', ''))"),
    *("os.urandom(1)[0]", "uuid.uuid4().int % 2", "len(open(os.devnull).read())"),
    *("next(COUNT)", "next(HELD['count'])", "len(LOG.append(1.0) or LOG)", "set_global(1.0)"),
)


@given(program=programs(statements=2, largest=20, samples=4), read=st.sampled_from(READS))
@settings(max_examples=2000 if SOAK else 100)
def test_programs_that_read_what_changes_are_refused(program: Program, read: str) -> None:
    """Wherever in the program it is read, also within functions that vmap maps, or in helpers."""
    lines = program.body.splitlines()
    place = hash(program.source) % len(lines)
    indent = " " * (len(lines[place]) - len(lines[place].lstrip()))
    lines.insert(place, f"{indent}k{place} = {read}")
    impure = replace(program, body="\n".join([*lines]))
    space = {
        "RNG": np.random.default_rng(0),
        "PYTHON": random.Random(0),
        "np": np,
        "os": os,
        "random": random,
        "time": time,
        "tick": time.perf_counter,
        "uuid": uuid,
        "LOG": [],
        "COUNT": itertools.count(),
        "HELD": {"rng": (np.random.default_rng(1),), "count": itertools.count()},
    }
    function = impure.function()
    function.__globals__.update(space)
    exec("def set_global(x):\n    global LAST\n    LAST = x\n    return x", function.__globals__)
    with pytest.raises(LiftError):
        lift(function)(impure.parameters(Value), *arrays(impure))
    assert function.__globals__["LOG"] == []
    assert "LAST" not in function.__globals__
