import ctypes
import decimal
import itertools
import math
import re
from functools import lru_cache

import numpy as np
import pytest
from llvmlite import binding as llvm

from liftgrad.errors import LiftError
from liftgrad.lift.kernels.llvm import vector_math

WIDTHS = {"float64": (1, 2, 4, 8), "float32": (1, 4, 8, 16)}
ELEMENTS = {"float64": "double", "float32": "float"}
UNARY = sorted(vector_math.FUNCTIONS - {"power"})
EVERYTHING = [
    (name, width, dtype)
    for name in sorted(vector_math.FUNCTIONS)
    for dtype, widths in WIDTHS.items()
    for width in widths
]
INF, NAN, TINY = math.inf, math.nan, 5e-324
HOST_HAS_FMA = bool(llvm.get_host_cpu_features().get("fma", "aarch64" in llvm.get_process_triple()))

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


# --- compiling --------------------------------------------------------------------------------


def loop(name, width, dtype):
    """Return a function that applies another to arrays, a vector at a time."""
    element = ELEMENTS[dtype]
    vector = element if width == 1 else f"<{width} x {element}>"
    function = vector_math.symbol(name, width, dtype)
    second = f", {vector} %b" if name == "power" else ""
    return f"""
define void @"loop {function[1:]}"(ptr %x, ptr %y, ptr %z, i64 %count) {{
entry:
  br label %body
body:
  %i = phi i64 [ 0, %entry ], [ %next, %body ]
  %px = getelementptr {element}, ptr %x, i64 %i
  %py = getelementptr {element}, ptr %y, i64 %i
  %pz = getelementptr {element}, ptr %z, i64 %i
  %a = load {vector}, ptr %px, align 4
  %b = load {vector}, ptr %py, align 4
  %c = call {vector} {function}({vector} %a{second})
  store {vector} %c, ptr %pz, align 4
  %next = add i64 %i, {width}
  %more = icmp ult i64 %next, %count
  br i1 %more, label %body, label %done
done:
  ret void
}}
"""


def optimised(machine, *, fma):
    text = vector_math.definitions(EVERYTHING, fma=fma) + "".join(loop(*f) for f in EVERYTHING)
    module = llvm.parse_assembly(text)
    module.triple = machine.triple
    module.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization = options.slp_vectorization = False
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    return module


@lru_cache
def host_library(fma):
    """Compile everything for this machine, whatever its vectors, with and without fma."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=2
    )
    engine = llvm.create_mcjit_compiler(optimised(machine, fma=fma), machine)
    engine.finalize_object()
    return engine


def run(fma, name, width, dtype, x, y=None):
    x = np.ascontiguousarray(x, dtype)
    y = x if y is None else np.ascontiguousarray(y, dtype)
    padding = (0, -x.size % width)
    x_padded, y_padded = np.pad(x, padding, mode="edge"), np.pad(y, padding, mode="edge")
    z = np.empty_like(x_padded)
    address = host_library(fma).get_function_address(
        f"loop {vector_math.symbol(name, width, dtype)[1:]}"
    )
    function = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3, ctypes.c_int64)(address)
    function(x_padded.ctypes.data, y_padded.ctypes.data, z.ctypes.data, x_padded.size)
    return z[: x.size]


@pytest.fixture(params=["fma", "no fma"])
def fma(request):
    if request.param == "fma" and not HOST_HAS_FMA:
        pytest.skip("this processor has no fused multiply-add")
    return request.param == "fma"


# --- operands ---------------------------------------------------------------------------------

SPECIAL = [0.0, -0.0, TINY, -TINY, 1.0, -1.0, INF, -INF, NAN, 1.7976931348623157e308]
BRANCHES = {
    "exp": [-746.0, -745.1332, -708.3964, 709.78271289, 710.0, -104.0, -103.972, -87.3365, 88.7228],
    "expm1": [-60.0, -37.43, -17.33, 2.0**-60, -(2.0**-60), 709.78271289, 88.7228],
    "log": [2.0**k * m for k in (-1074, -1022, -126, -1, 0, 1, 127, 1000) for m in (1, 0.5**0.5)],
    "log1p": [
        -1.0,
        0.5**0.5 - 1,
        2**0.5 - 1,
        2**-0.5,
        2.0**53,
        2.0**54,
        2.0**24,
        1e308,
        -(2.0**-53),
    ],
    "sin": [2.0**20, -(2.0**20), *(np.arange(200) * math.pi / 4)],
    "tanh": [0.625, -0.625, 20.0, 19.06, 9.01, 0.2],
    "sigmoid": [0.0, -745.1332, -708.3964, 745.2, 36.8, -104.0, -103.972, -87.3365, 17.0],
    "erf": [1.0, -1.0, 6.0, 5.92, 4.0, 3.92, 1e-300],
}
BRANCHES["cos"] = BRANCHES["sin"]
BRANCHES["softplus"] = BRANCHES["sigmoid"]
SPANS = {
    "exp": [(-750, 715), (-110, 95), (-2, 2)],
    "expm1": [(-70, 715), (-2, 2), (0.3, 0.4)],
    "log": [(0, 4), (0.5, 2), (0, 1e6)],
    "log1p": [(-1, 4), (-0.5, 1), (-1e-4, 1e-4)],
    "sin": [(-10, 10), (-1.1e6, 1.1e6), (-1e15, 1e15)],
    "tanh": [(-22, 22), (-1, 1), (-0.01, 0.01)],
    "sigmoid": [(-750, 750), (-110, 110), (-40, 40), (-3, 3)],
    "erf": [(-7, 7), (-1.5, 1.5), (-1e-3, 1e-3)],
}
SPANS["cos"] = SPANS["sin"]
SPANS["softplus"] = SPANS["sigmoid"]


def random_bits(dtype, count, seed=0):
    size = np.dtype(dtype).itemsize
    return np.frombuffer(np.random.default_rng(seed).bytes(count * size), dtype)


def neighbours(point, dtype, count=20):
    """Return the numbers next to a point, on both sides."""
    x = np.asarray([point] * (2 * count + 1), dtype)
    integers = x.view(np.int64 if dtype == "float64" else np.int32)
    near = (integers + np.arange(-count, count + 1, dtype=integers.dtype)).view(dtype)
    return near if point else np.concatenate([abs(near), -abs(near)])


def operands(name, dtype, count=3000):
    """Return special numbers, dense grids, both sides of each branch point and random bits."""
    rng = np.random.default_rng(1)
    magnitudes = np.exp(rng.uniform(-80, 80, count)) * rng.choice([-1, 1], count)
    parts = [
        np.asarray(SPECIAL, dtype),
        *(np.linspace(*span, count).astype(dtype) for span in SPANS[name]),
        *(neighbours(point, dtype) for point in BRANCHES[name]),
        magnitudes.astype(dtype),
        random_bits(dtype, count),
    ]
    return np.concatenate(parts)


# --- references -------------------------------------------------------------------------------

PRECISE = decimal.Context(prec=40, Emin=-(10**6), Emax=10**6)


def precise_sigmoid(x):
    power = PRECISE.exp(decimal.Decimal(-max(x, -800.0)))
    return float(PRECISE.divide(1, PRECISE.add(1, power)))


def precise_softplus(x):
    if abs(x) > 50:
        return max(x, 0.0) or math.exp(x)
    return float(PRECISE.ln(PRECISE.add(1, PRECISE.exp(decimal.Decimal(x)))))


EXACT = {
    "sigmoid": precise_sigmoid,
    "softplus": precise_softplus,
    "power": math.pow,
    **{name: getattr(math, name) for name in UNARY if name not in {"sigmoid", "softplus"}},
}
LIMITS = {"sigmoid": {INF: 1.0, -INF: 0.0}, "softplus": {INF: INF, -INF: 0.0}}
LIMITS |= {"log": {0.0: -INF}, "log1p": {-1.0: -INF}}


def reference(name, *operands):
    """Return the function's value as Python knows it, with IEEE's results for its exceptions."""
    if any(map(math.isnan, operands)) and name != "power":
        return NAN
    if operands[0] in LIMITS.get(name, {}):
        return LIMITS[name][operands[0]]
    try:
        return EXACT[name](*operands)
    except OverflowError:
        x, *y = operands
        return -INF if y and x < 0 and y[0] % 2 == 1 else INF
    except ValueError:
        return NAN if operands[0] or name != "power" else INF


def errors_in_ulps(found, expected, dtype):
    """Return how many units in the last place of `expected` each result is off."""
    rounded = np.asarray(expected).astype(dtype)
    units = abs(found.astype(float) - expected) / np.spacing(abs(rounded)).astype(float)
    same = (found == rounded) | (np.isnan(found) & np.isnan(rounded))
    exact = same & ~np.isfinite(rounded)
    return np.where(exact, 0.0, np.where(np.isnan(units), INF, units))


@lru_cache
def unary_case(name, dtype):
    """Return operands of a function and its values there."""
    x = operands(name, dtype)
    return x, np.array([reference(name, float(a)) for a in x])


def assert_within(limit, name, dtype, found, *operands, expected=None):
    if expected is None:
        pairs = zip(*operands, strict=True)
        expected = np.array([reference(name, *map(float, pair)) for pair in pairs])
    errors = errors_in_ulps(found, expected, dtype)
    worst = int(errors.argmax())
    arguments = ", ".join(repr(float(x[worst])) for x in operands)
    assert errors[worst] <= limit, (
        f"{name}({arguments}) = {found[worst]!r}, not {expected[worst]!r}: {errors[worst]:.3g} ulp"
    )


# --- accuracy ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", UNARY)
def test_float64_functions_are_within_2_ulp(name, fma):
    """On grids, at branch points and on random bits; Python's own may be off by 1 ulp more."""
    x, expected = unary_case(name, "float64")
    limit = 2.0 if name in {"sigmoid", "softplus"} else 3.0
    assert_within(limit, name, "float64", run(fma, name, 8, "float64", x), x, expected=expected)


@pytest.mark.parametrize("name", UNARY)
def test_float32_functions_are_within_2_ulp(name, fma):
    """Measured against the function in float64."""
    x, expected = unary_case(name, "float32")
    assert_within(2.0, name, "float32", run(fma, name, 16, "float32", x), x, expected=expected)


@pytest.mark.parametrize("dtype", WIDTHS)
def test_power_is_within_4_ulp(dtype, fma):
    """For random bases and exponents, results near both ends of the range and random bits."""
    rng, count = np.random.default_rng(2), 5000
    wide = 700.0 if dtype == "float64" else 80.0
    x = np.concatenate([np.exp(rng.uniform(-wide, wide, count)), rng.uniform(0, 4, 2 * count)])
    y = rng.uniform(-wide, wide, 3 * count) * 1.1 / np.log(x)
    whole = np.rint(rng.uniform(-30, 30, count))
    x = np.concatenate([x, rng.uniform(-3, 3, count), random_bits(dtype, count, 3)]).astype(dtype)
    y = np.concatenate([y, whole, random_bits(dtype, count, 4)]).astype(dtype)
    found = run(fma, "power", WIDTHS[dtype][-1], dtype, x, y)
    limit = 5.0 if dtype == "float64" else 2.0
    assert_within(limit, "power", dtype, found, x, y)


@pytest.mark.parametrize("name", ["sin", "cos"])
def test_large_angles_are_reduced_with_all_bits_of_pi(name, fma):
    """Up to the largest number, in vectors that mix large angles with small ones."""
    magnitudes = np.geomspace(2.0**19, 1.7e308, 4001)
    x = np.stack([magnitudes, -magnitudes, magnitudes % 1.0, magnitudes / 1e3], axis=1).ravel()
    assert_within(2.0, name, "float64", run(fma, name, 8, "float64", x), x)


def test_the_angle_nearest_to_a_multiple_of_half_pi_is_reduced(fma):
    """The worst of all doubles (Muller, Elementary Functions), where glibc is 8 ulp off."""
    x = [6381956970095103 * 2.0**797]
    assert run(fma, "cos", 1, "float64", x)[0] == -4.68716592425462761112e-19
    assert run(fma, "sin", 1, "float64", x)[0] == 1.0


# --- special cases ----------------------------------------------------------------------------


def same(found, expected):
    """Whether two numbers are equal, with the sign of zero, or both nan."""
    if math.isnan(expected):
        return math.isnan(found)
    return found == expected and math.copysign(1, found) == math.copysign(1, expected)


SPECIAL_CASES = [
    *[("exp", x, y) for x, y in [(INF, INF), (-INF, 0.0), (1000.0, INF), (-1000.0, 0.0)]],
    *[("exp", x, 1.0) for x in (0.0, -0.0, TINY)],
    *[("expm1", x, y) for x, y in [(-1000.0, -1.0), (1000.0, INF), (INF, INF), (-INF, -1.0)]],
    *[("log", x, y) for x, y in [(0.0, -INF), (-0.0, -INF), (-1.0, NAN), (-INF, NAN), (INF, INF)]],
    *[("log", 1.0, 0.0), ("log", -1e-40, NAN)],
    *[("log1p", x, y) for x, y in [(-1.0, -INF), (-1.5, NAN), (INF, INF), (-INF, NAN)]],
    *[("sin", x, NAN) for x in (INF, -INF)],
    *[("cos", x, y) for x, y in [(INF, NAN), (-INF, NAN), (0.0, 1.0), (-0.0, 1.0), (TINY, 1.0)]],
    *[("tanh", x, math.copysign(1.0, x)) for x in (1000.0, -1000.0, INF, -INF)],
    *[("erf", x, math.copysign(1.0, x)) for x in (1000.0, -1000.0, INF, -INF)],
    *[("sigmoid", x, y) for x, y in [(-1000.0, 0.0), (1000.0, 1.0), (INF, 1.0), (-INF, 0.0)]],
    *[("sigmoid", x, 0.5) for x in (0.0, -0.0, TINY)],
    *[("softplus", x, y) for x, y in [(-1000.0, 0.0), (1000.0, 1000.0), (INF, INF), (-INF, 0.0)]],
    *[(name, x, x) for name in ("expm1", "log1p", "tanh", "sin", "erf") for x in (0.0, -0.0)],
    *[(name, NAN, NAN) for name in UNARY],
]


@pytest.mark.parametrize("dtype", WIDTHS)
@pytest.mark.parametrize(("name", "x", "expected"), SPECIAL_CASES)
def test_special_cases_follow_ieee(name, x, expected, dtype, fma):
    """Infinities, zeros with their signs, nan and poles, in vectors and alone."""
    for width in (WIDTHS[dtype][0], WIDTHS[dtype][-1]):
        assert same(float(run(fma, name, width, dtype, [x])[0]), expected)


@pytest.mark.parametrize("name", ["expm1", "log1p", "tanh", "sin"])
@pytest.mark.parametrize("dtype", WIDTHS)
def test_tiny_operands_are_returned_as_they_are(name, dtype, fma):
    """Where x³ is lost and x² as well: down to subnormal numbers, of both signs."""
    least = np.finfo(dtype).smallest_subnormal
    x = np.geomspace(least, 2.0**-60, 501, dtype=dtype)
    x = np.concatenate([x, -x])
    found = run(fma, name, WIDTHS[dtype][-1], dtype, x)
    assert (found == x).all()
    assert (np.signbit(found) == np.signbit(x)).all()


def test_results_underflow_gradually(fma):
    """Through the subnormal numbers down to the least, and then to zero."""
    x = np.array([-708.5, -720.0, -740.0, -745.0, -745.13, -745.2, -746.0])
    for name in ("exp", "sigmoid", "softplus"):
        found = run(fma, name, 8, "float64", x)
        assert_within(1.0, "exp", "float64", found, x)
        assert found[4] == TINY
        assert found[6] == 0.0
    halves = run(fma, "power", 8, "float64", np.full(4, 0.5), [1022.0, 1060.0, 1074.0, 1076.0])
    assert halves.tolist() == [2.0**-1022, 2.0**-1060, TINY, 0.0]


def c99_power(x, y):
    """Return x**y by Python, which follows C99 where it does not raise."""
    if x == 0 and y < 0:
        odd = math.isfinite(y) and y % 2 == 1
        return math.copysign(INF, x) if odd else INF
    return reference("power", x, y)


@pytest.mark.parametrize("dtype", WIDTHS)
def test_power_has_the_special_cases_of_c99(dtype, fma):
    """Every pair of zeros, infinities, nan, whole numbers even and odd, and fractions."""
    positive = [0.0, TINY, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 1023.0, 1e300, INF, NAN]
    positive += [1.0 - 2.0**-24, 1.0 + 2.0**-23, 2.0**52 - 1, 2.0**53 - 1, 2.0**23 - 1, 2.0**24]
    numbers = np.array([*positive, *(-x for x in positive)]).astype(dtype).astype(float)
    x, y = np.array(list(itertools.product(numbers, numbers))).T
    found = run(fma, "power", WIDTHS[dtype][-1], dtype, x, y)
    for a, b, z in zip(x.tolist(), y.tolist(), found.tolist(), strict=True):
        expected = float(np.asarray(c99_power(a, b)).astype(dtype))
        close = math.isclose(z, expected, rel_tol=4 * float(np.finfo(dtype).eps), abs_tol=0.0)
        nonzero_finite = expected and math.isfinite(expected)
        assert same(z, expected) or (nonzero_finite and close), (a, b, z, expected)


@pytest.mark.parametrize("dtype", WIDTHS)
@pytest.mark.parametrize("name", sorted(vector_math.FUNCTIONS))
def test_all_widths_agree_bit_for_bit(name, dtype, fma):
    """A number's result does not depend on its neighbours or on how many there are."""
    x = random_bits(dtype, 512, 5) if name == "power" else operands(name, dtype, 512)
    y = np.roll(x, 1)
    first, *others = (run(fma, name, width, dtype, x, y) for width in WIDTHS[dtype])
    for other in others:
        np.testing.assert_array_equal(first, other)
        assert (np.signbit(first) == np.signbit(other))[~np.isnan(first)].all()


# --- the text ---------------------------------------------------------------------------------


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("triple", "cpu", "fma"),
    [
        ("x86_64-unknown-linux-gnu", "x86-64", False),
        ("x86_64-pc-windows-msvc", "x86-64", False),
        ("x86_64-apple-darwin", "haswell", True),
        ("x86_64-unknown-linux-gnu", "znver4", True),
        ("aarch64-unknown-linux-gnu", "generic", True),
        ("aarch64-apple-darwin", "apple-m1", True),
    ],
)
def test_no_platform_calls_a_library(triple, cpu, fma):
    """The machine code of every function, on the least processors, calls only our own."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    machine = llvm.Target.from_triple(triple).create_target_machine(
        cpu=cpu, opt=2, codemodel="small"
    )
    assembly = machine.emit_assembly(optimised(machine, fma=fma))
    called = set(re.findall(r"^\s+(?:callq?|jmpq?|bl|b)\s+([A-Za-z_]\S*)", assembly, re.MULTILINE))
    assert {name.lstrip("_") for name in called if not name.startswith("LBB")} == {
        "lg.large_angles"
    }
    assert not re.search(r"^\s+(?:callq?\s+\*|blr\s)", assembly, re.MULTILINE)


def test_a_text_depends_on_what_is_needed_not_on_its_order():
    """Each function is defined once, in one order."""
    needed = [("sin", 4, "float64"), ("cos", 4, "float64"), ("exp", 1, "float32")]
    text = vector_math.definitions(needed, fma=True)
    assert text == vector_math.definitions([*reversed(needed), *needed], fma=True)
    assert re.findall(r"^define .* @lg\.([^(]+)\(", text, re.MULTILINE) == [
        *("large_angles", "cos.v4f64", "exp.f32", "sin.v4f64"),
    ]
    assert vector_math.definitions([], fma=True) == ""


def test_an_unknown_function_is_refused():
    """The message names those that there are."""
    with pytest.raises(LiftError, match=r"no vector function 'gamma'; use one of cos, erf, exp"):
        vector_math.definitions([("gamma", 1, "float64")], fma=True)
