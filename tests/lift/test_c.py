"""C: what the C of a program's kernels computes is what eager does, and what machine code does."""

import ctypes
import itertools
import math
import os
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from agreement import Outcome, Scheduled, compare, eager_outcome, leaves
from hypothesis import Phase, given, settings
from loops_by_hand import interpreted, numbers_of, random_loop
from stages import scheduled, values
from strategies import Program, programs

from liftgrad import operation, ops
from liftgrad.errors import LiftError
from liftgrad.functional import relu, where
from liftgrad.lift.ir.groups import Constants
from liftgrad.lift.ir.nests import (
    Access,
    Apply,
    Buffer,
    Expression,
    Load,
    Nest,
    Reduce,
    Statement,
    loads,
    nests_of,
)
from liftgrad.lift.ir.nests import Program as NestProgram
from liftgrad.lift.kernels.c import writer as c
from liftgrad.lift.kernels.time_loops import kept_after
from liftgrad.lift.kernels.writer import Kernel
from liftgrad.lift.native.host import machine_code
from liftgrad.lift.native.memory import NativeProgram

COMPILER = shutil.which("cc") or shutil.which("gcc")
COUNT = 1000 if "LIFTGRAD_SOAK" in os.environ else 150
DTYPES = ("float64", "float32")


@pytest.fixture
def compiled(tmp_path):
    """What compiles the text of a C file, without a warning, and loads it."""
    if COMPILER is None:
        pytest.skip("there is no C compiler")

    def load(text: str) -> ctypes.CDLL:
        (tmp_path / "kernels.c").write_text(text)
        checked = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic")
        made = ("-O1", "-shared", "-fPIC", "-o", "kernels.so")
        command = (COMPILER, *checked, *made, "kernels.c", "-lm")
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return ctypes.CDLL(str(tmp_path / "kernels.so"))

    return load


# --- the text --------------------------------------------------------------------------------


def test_a_kernel_reads_as_c():
    """Arguments in order, loops as the nest has them, a named constant for each operation."""

    def layer(w, b, x):
        return [relu(sum(a * h for a, h in zip(r, x)) + s) for r, s in zip(w, b)]  # noqa: B905

    program = scheduled(layer, [values(4) for _ in range(3)], values(3), values(4))
    (nest,) = program.nests
    assert c.source({"layer": c.kernel(nest, program.buffers, "float32")}) == LAYER


LAYER = """\
#include <math.h>
#include <stdint.h>

void layer(void *const *args)
{
    const float *const p0 = args[0];
    const float *const p1 = args[1];
    const float *const p2 = args[2];
    float *const p3 = args[3];
    for (int64_t i1 = 0; i1 < 3; ++i1) {
        const float v2 = p0[i1];
        float c3 = 0.0f;
        for (int64_t i3 = 0; i3 < 4; ++i3) {
            const float v4 = p1[4 * i1 + i3];
            const float v5 = p2[i3];
            const float v6 = c3 + v4 * v5;
            c3 = v6;
        }
        const float v7 = v2 + c3;
        const int v8 = v7 <= 0.0f;
        const float v9 = v8 ? 0.0f : v7;
        p3[i1] = v9;
    }
}
"""


@pytest.mark.parametrize(
    ("number", "dtype", "text"),
    [
        (0.1, "float64", "0.1"),
        (0.1, "float32", "0.1f"),
        (-2.0, "float64", "(-2.0)"),
        (-0.0, "float32", "(-0.0f)"),
        (1e300, "float64", "1e+300"),
        (-1e300, "float32", "(-INFINITY)"),
        (math.nan, "float32", "NAN"),
    ],
)
def test_literals_keep_numbers_to_the_last_bit(number, dtype, text):
    """The shortest text that rounds to the number, in brackets if it has a sign."""
    assert c.C(dtype).literal(number) == text


# --- programs --------------------------------------------------------------------------------

WRITTEN = (
    "return [tanh(a * c) for a in p]",
    "return softmax([sum(p[(i + j) % 7] * x[j] for j in range(5)) for i in range(6)])",
    "return [sum(p[: i + 1]) * p[i * i % 7] for i in range(7)]",
    "return total([take(p, t) * take([p[3:6], p[1:4], x[:3]], t)[1] * t for t in k])",
    "s = vmap(lambda r, t: take(p, t) * total([a * p[0] for a in r]))(X, K)\nreturn mean(s)",
    "return total(vmap(lambda r: total([sum(r[i : i + 2]) ** 2 for i in range(3)]))(X))",
    "s = vmap(lambda r: softmax([a * p[6 - i] for i, a in enumerate(r)])[1])(X)\nreturn total(s)",
)
KINDS = {
    *("elementwise", "contraction", "sum", "max", "table", "batched", "accumulation"),
    *("read at an index", "written at an index", "over samples", "backwards"),
}


def kinds(nest: Nest) -> Iterator[str]:
    """Yield what there is to a nest."""
    reductions = list(reductions_in(nest.body))
    for reduce in reductions:
        yield reduce.kind
        if isinstance(reduce.body, Apply) and reduce.body.operation is ops.multiply:
            yield "contraction"
        if reduce.samples:
            yield "over samples"
    accesses = [nest.out, *loads(nest.body)]
    for name, there in (
        ("elementwise", not reductions),
        ("accumulation", nest.accumulate),
        ("batched", nest.batched),
        ("written at an index", nest.out.index is not None),
        ("read at an index", any(a.index is not None for a in accesses[1:])),
        ("table", any(a.table is not None for a in accesses)),
        ("backwards", any(stride < 0 for a in accesses for stride in a.strides)),
    ):
        if there:
            yield name


def reductions_in(expression: Expression) -> Iterator[Reduce]:
    match expression:
        case Reduce(body=body):
            yield expression
            yield from reductions_in(body)
        case Apply(operands=operands):
            for operand in operands:
                yield from reductions_in(operand)


class InC(NativeProgram):
    """A random program whose kernels are C functions."""

    def __init__(self, program: Program, dtype: str) -> None:
        self.random, self.scheduled = program, Scheduled(program)
        self.program, self.code, self.dtype = self.scheduled.nests, machine_code(), dtype
        groups = self.scheduled.built.rolled.groups
        self.constants = {i: g.numbers for i, g in enumerate(groups) if isinstance(g, Constants)}
        self.kernels = [kernel_of(x, self.program, dtype) for x in self.program.nests]

    def outcome(self, functions: dict[str, Any]) -> Outcome:
        """Run the functions of its kernels' texts."""
        found = [functions[kernel.text] for kernel in self.kernels]
        self.addresses = [ctypes.cast(f, ctypes.c_void_p).value for f in found]
        return outcome(self, self.scheduled)

    def outcome_in_llvm(self) -> Outcome:
        """Run machine code."""
        native = NativeProgram(self.program, self.constants, self.code, self.dtype)
        return outcome(native, self.scheduled)


def outcome(native: NativeProgram, program: Scheduled) -> Outcome:
    instance = native.bind(program.samples, {})
    for group, numbers in program.numbers.items():
        instance.set(group, numbers)
    instance.plan(range(len(native.addresses))).run()
    return program.outcome(lambda view: instance.get(view.group, view.positions))


def fits_float32(program: Program) -> bool:
    """Return whether float32 holds a program's numbers, and products of them."""
    numbers = np.array(leaves([program.p, program.x, program.c, program.X]))
    sizes = np.abs(numbers[np.isfinite(numbers) & (numbers != 0.0)])
    return bool(((sizes > 1e-15) & (sizes < 1e15)).all())


@pytest.mark.process
def test_programs_agree_with_eager(compiled):
    """Whatever nests there are, C computes what eager does, as far as rounding lets it."""
    numbers = [0.5, -1.25, 2.0, 0.75, -0.5, 1.5, 0.25]
    rows = [[0.1 * i - 0.3 * j + 0.7 for j in range(5)] for i in range(9)]
    rest = (numbers, numbers[:5], 0.5, [2, 0, 1, 2], rows, [i % 3 for i in range(9)], [1.0, -2.0])
    found = {body: Program(body, *rest) for body in WRITTEN}

    @given(programs(statements=3, largest=40))
    @settings(max_examples=COUNT, derandomize=True, database=None, phases=[Phase.generate])
    def collect(program: Program) -> None:
        found[program.body] = program

    collect()
    programs_in_c = [
        InC(program, dtype)
        for program in found.values()
        for dtype in DTYPES
        if dtype == "float64" or fits_float32(program)
    ]
    nests = [nest for in_c in programs_in_c for x in in_c.program.nests for nest in nests_of(x)]
    assert {kind for nest in nests for kind in kinds(nest)} == KINDS
    kernels = {kernel.text: kernel for in_c in programs_in_c for kernel in in_c.kernels}
    library = compiled(c.source({f"k{i}": k for i, k in enumerate(kernels.values())}))
    functions = {text: library[f"k{i}"] for i, text in enumerate(kernels)}
    for in_c in programs_in_c:
        outcomes = {"C": in_c.outcome(functions)}
        if in_c.random.body in WRITTEN:
            outcomes["LLVM"] = in_c.outcome_in_llvm()
        compare(in_c.random, eager_outcome(in_c.random), outcomes, in_c.dtype)


@pytest.mark.process
def test_loops_over_time_compute_what_their_nests_say(compiled):
    """Loops of all kinds, of which C has the states in variables as machine code in registers."""
    made = [random_loop(seed) for seed in range(80)]
    kernels = {
        f"k{i}_{k}": kernel_of(statement, program, "float64")
        for i, program in enumerate(made)
        for k, statement in enumerate(program.nests)
    }
    library = compiled(c.source(kernels))
    for i, program in enumerate(made):
        memory, expected = numbers_of(program, 3), numbers_of(program, 3)
        for k in range(len(program.nests)):
            kernel = kernels[f"k{i}_{k}"]
            words = [memory[access.buffer].ctypes.data for access in kernel.accesses]
            words += [3, *[3 if program.buffers[a.buffer].batched else 1 for a in kernel.accesses]]
            words += [program.tables[table].ctypes.data for table in kernel.tables]
            words += [kernel.steps or 0]
            library[f"k{i}_{k}"]((ctypes.c_void_p * len(words))(*words))
        interpreted(program, expected, 3)
        for buffer in program.outputs:
            np.testing.assert_allclose(memory[buffer], expected[buffer], rtol=1e-12, atol=1e-12)


def kernel_of(statement: Statement, program: NestProgram, dtype: str) -> Kernel:
    """Return the kernel of one of a program's statements."""
    if isinstance(statement, Nest):
        return c.kernel(statement, program.buffers, dtype)
    return c.loop_kernel(statement, program.buffers, kept_after(statement, program), dtype)


# --- operations ------------------------------------------------------------------------------

EXTREMES = (0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.0, -40.0, 710.0, -746.0, 1e300, -1e-300)
EXTREMES = (*EXTREMES, np.inf, -np.inf, np.nan)
copysign = operation(
    math.copysign,
    lambda _y, a, b: (where(a * b < 0.0, -1.0, 1.0), 0.0),
    llvm="call {T} @llvm.copysign.{t}({T} {0}, {T} {1})",
)
softsign = operation(lambda x: x / (1 + abs(x)), lambda _y, x: 1 / (1 + abs(x)) ** 2, name="sign")
ENTRIES = (
    *(o for o in ops.OPERATIONS.values() if o.arity in (1, 2)),
    *map(ops.power_constant, (-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 4.0, 5.0, 2.5)),
    *(ops.detach, softsign, copysign),
)


@pytest.mark.process
def test_every_operation_agrees_with_eager(compiled):
    """On zeros, infinities and nan, too; those of a program's own are composed in C as well."""
    pairs = np.array(list(itertools.product(EXTREMES, EXTREMES)))
    kernels = {f"k{i}": elementwise(entry, len(pairs)) for i, entry in enumerate(ENTRIES)}
    library = compiled(c.source(kernels))
    for (name, kernel), entry in zip(kernels.items(), ENTRIES, strict=True):
        columns = np.ascontiguousarray(pairs.T)
        memory = [*columns[: entry.arity], np.zeros(len(pairs))]
        words = [memory[access.buffer].ctypes.data for access in kernel.accesses]
        library[name]((ctypes.c_void_p * len(words))(*words))
        for row, found in zip(pairs, memory[-1], strict=True):
            operands = row[: entry.arity].tolist()
            expected = entry.forward(*operands)
            assert np.isclose(found, expected, rtol=1e-14, atol=5e-324, equal_nan=True), operands
            assert expected or np.signbit(found) == np.signbit(expected), (entry, operands)


def elementwise(entry: ops.Operation, size: int) -> Kernel:
    """Return the kernel that applies an operation to arrays."""
    arrays = range(entry.arity + 1)
    buffers = [Buffer(f"b{i}", size, batched=False, role="temporary", group=i) for i in arrays]
    *operands, out = (Access(i, 0, (1,)) for i in arrays)
    nest = Nest((size,), False, out, False, Apply(entry, tuple(map(Load, operands))))
    return c.kernel(nest, buffers, "float64")


def test_an_instruction_without_a_form_in_c_is_refused():
    """A template may hold any of LLVM's instructions; the error names the one and the way out."""
    entry = operation(lambda x: x, lambda _y, _x: 1.0, name="odd", llvm="freeze {T} {0}")
    with pytest.raises(LiftError, match=r"no C for the LLVM instruction 'freeze \{T\} \{0\}'; use"):
        elementwise(entry, 3)
