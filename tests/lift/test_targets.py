"""Targets: kernels are made for any vectors, and mean the same on all of them."""

import re

import numpy as np
import pytest
from llvmlite import binding as llvm
from stages import scheduled, values

from liftgrad import Value, ops
from liftgrad.functional import mean, relu, softmax, take, tanh, total
from liftgrad.lift.function import lift
from liftgrad.lift.kernels.llvm.target import describe
from liftgrad.lift.kernels.llvm.writer import kernel, module_text
from liftgrad.lift.native.compiler import host, machine
from liftgrad.lift.stand_ins.vmap import vmap

EXTREMES = (
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -2.5,
    3.0,
    710.0,
    -746.0,
    1e300,
    -1e-300,
    np.inf,
    -np.inf,
    np.nan,
)
WIDEST = host().vector_bits
WIDTHS = [
    *(pytest.param(bits, marks=pytest.mark.thorough) for bits in (128, 256, 512) if bits < WIDEST),
    WIDEST,
]


@pytest.fixture(params=WIDTHS)
def vectors(request, monkeypatch):
    """Narrow the processor's vectors."""
    monkeypatch.setenv("LIFTGRAD_VECTOR_BITS", str(request.param))
    return request.param


def network(p, X, k):
    """A bit of everything: contractions, softmax, reads at indices, samples, triangles."""
    n, m = len(p), len(p[0])
    hidden = [[tanh(sum(w * x for w, x in zip(row, xs, strict=True))) for row in p] for xs in X]
    loss = mean([relu(h) * h for hs in hidden for h in hs])
    loss = loss + total([total(hidden[0][: i + 1]) ** 2 for i in range(n)])
    chosen = [e for t in k for e in take(p, t)]
    return (
        loss
        + sum(a * b for a, b in zip(softmax(chosen), [*chosen[1:], chosen[0]], strict=True)) / m
    )


def arguments(n, m, samples, seed=0):
    rng = np.random.default_rng(seed)
    p = [[Value(x) for x in row] for row in rng.normal(size=(n, m))]
    return p, rng.normal(size=(samples, m)), rng.integers(0, n, 3)


def outcome(function, p, *inputs):
    result = function(p, *inputs)
    result.backward()
    gradient = [w.grad for row in p for w in row]
    for row in p:
        for w in row:
            w.grad = 0.0
    return [result.data, *gradient]


@pytest.mark.parametrize(("n", "m"), [(1, 1), (3, 2), (5, 7), (8, 8), (9, 17), (16, 15), (33, 31)])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.usefixtures("vectors")
def test_all_widths_give_the_same_numbers(n, m, dtype):
    """Whatever is left over at the ends of vectors and tiles."""
    for samples in (1, 5, 19):
        p, X, k = arguments(n, m, samples)
        by_numpy = outcome(lift(backend="numpy")(network), p, X, k)
        p, X, k = arguments(n, m, samples)
        native = outcome(lift(dtype=dtype)(network), p, X, k)
        tolerance = 1e-12 if dtype == "float64" else 2e-5
        np.testing.assert_allclose(
            native, by_numpy, rtol=tolerance, atol=tolerance * max(map(abs, by_numpy))
        )


@pytest.mark.usefixtures("vectors")
def test_all_batch_sizes_give_the_same_numbers():
    """One program, its batch from 1 to 40 and at the edges of portions."""

    @lift
    def loss(p, X):
        return total(vmap(lambda x: tanh(p[0] * x[0] + p[1] * x[1]) * p[2])(X))

    for samples in [*range(1, 41), 255, 256, 257, 1023, 4095, 4096, 4097, 20001]:
        X = np.random.default_rng(samples).normal(size=(samples, 2))
        p = [Value(0.5), Value(-0.7), Value(1.5)]
        result = loss(p, X)
        result.backward()
        h = np.tanh(X @ [0.5, -0.7])
        slope = 1.5 * (1 - h * h)
        expected = [1.5 * h.sum(), *(slope @ X), h.sum()]
        found = [result.data, *(v.grad for v in p)]
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12 * samples)
    assert loss.stats.traces == 1


ENTRIES = [
    *(o for o in ops.OPERATIONS.values() if o.arity in (1, 2)),
    *map(
        ops.power_constant, (-3.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 2.5, 1 / 3)
    ),
]


@pytest.mark.parametrize("vectors_or_numpy", [*WIDTHS, "numpy"])
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda o: f"{o.name}{o.parameter or ''}")
def test_every_operation_on_zeros_infinities_and_nan(entry, vectors_or_numpy, monkeypatch):
    """As eager: the same nan, the same infinities, zeros of the same sign; and the gradients."""
    backend = "numpy" if vectors_or_numpy == "numpy" else "native"
    if backend == "native":
        monkeypatch.setenv("LIFTGRAD_VECTOR_BITS", str(vectors_or_numpy))
    pairs = [(a, b) for a in EXTREMES for b in (EXTREMES if entry.arity == 2 else (1.0,))]
    left, right = ([Value(x) for x in column] for column in zip(*pairs, strict=True))

    @lift(backend=backend)
    def apply(left, right):
        if entry.arity == 1:
            return [entry(a) for a in left]
        return [entry(a, b) for a, b in zip(left, right, strict=True)]

    results = apply(left, right)
    sum(results).backward()
    for (a, b), result, x, y in zip(pairs, results, left, right, strict=True):
        operands = (Value(a), Value(b))[: entry.arity]
        expected = entry(*operands)
        expected.backward()
        _assert_same(result.data, expected.data, (a, b))
        for found, operand in zip((x, y), operands, strict=False):
            _assert_same(found.grad, operand.grad, (a, b), signed=False)


def _assert_same(found, expected, operands, *, signed=True):
    assert np.isclose(found, expected, rtol=1e-14, atol=5e-324, equal_nan=True), operands
    if signed and expected == 0.0 == found:
        assert np.signbit(found) == np.signbit(expected), operands


def test_narrower_vectors_are_used(vectors):
    """No instruction of a kernel names a wider register than it may."""
    target = host(vectors)
    assert target.vector_bits == vectors
    assembly = _assembly(target)
    registers = {128: "xmm", 256: "ymm", 512: "zmm"}
    if target.triple.startswith("x86_64"):
        for bits, register in registers.items():
            assert (f"%{register}" in assembly) <= (bits <= vectors)
        assert f"%{registers[vectors]}" in assembly


ARM = {
    "aarch64-unknown-linux-gnu": ("generic", {"neon": True}),
    "arm64-apple-macosx14.0.0": ("apple-m1", {"neon": True}),
}


@pytest.mark.parametrize("triple", ARM)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_arm_kernels_are_valid_and_compile(triple, dtype):
    """No kernel assumes x86: the same nests become NEON instructions."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    cpu, features = ARM[triple]
    target = describe(triple, cpu, features)
    assert (target.vector_bits, target.registers, target.fma) == (128, 32, True)
    assembly = _assembly(target, dtype)
    lanes = "2d" if dtype == "float64" else "4s"
    assert re.search(rf"fmla(\.{lanes})?\s+v\d+|fmla\s+v\d+\.{lanes}", assembly)
    assert "%xmm" not in assembly


def _assembly(target, dtype="float64"):
    """The kernels of a network with its gradient, verified and compiled."""
    p, X, k = arguments(17, 16, 9)
    programs = [
        scheduled(network, p, X, k, gradient=True),
        scheduled(
            lambda p, X: total(vmap(lambda x: p[0].exp() * x)(X)), values(2), X[:, 0], gradient=True
        ),
        scheduled(lambda p: [x.sin() + x**2.5 for x in p], values(40), gradient=True),
    ]
    kernels = [
        kernel(nest, program.buffers, target, dtype)
        for program in programs
        for nest in program.nests
    ]
    module = llvm.parse_assembly(module_text(kernels, target))
    module.triple = target.triple
    module.verify()
    return machine(target).emit_assembly(module)
