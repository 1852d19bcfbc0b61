"""Elementary functions on vectors, as LLVM IR text that calls no library.

Each function is straight-line arithmetic, the same in every lane and at every width; only sine and
cosine branch, for large angles. Results are within 2 units in the last place (power: 4) and follow
C99's Annex F for zeros, infinities and nan.
"""

from collections.abc import Callable, Iterable
from functools import partial

from liftgrad.entries import OPERATIONS, PLACEHOLDER
from liftgrad.errors import LiftError
from liftgrad.lift.kernels.llvm.angles import large_angles, sine
from liftgrad.lift.kernels.llvm.coefficients import FORMATS, LOG2_E, LOG_REST, TWO_THIRDS
from liftgrad.lift.kernels.llvm.instructions import (
    Body,
    Vector,
    fast_two_sum,
    multiply_add,
    polynomial,
    two_product,
    two_sum,
    where,
)


def symbol(name: str, width: int, dtype: str) -> str:
    """Return a function's name in the text; with a width of 1 it is one on scalars.

    >>> symbol("exp", 8, "float64"), symbol("exp", 1, "float32")
    ('@lg.exp.v8f64', '@lg.exp.f32')
    """
    return f"@lg.{name}.{f'v{width}' if width > 1 else ''}{FORMATS[dtype].suffix}"


def definitions(needed: Iterable[tuple[str, int, str]], *, fma: bool) -> str:
    """Return the text of functions, each given as its name, its width and its dtype.

    `fma`: whether the processor multiplies and adds in one instruction. LLVM declares intrinsics by
    itself. Raises LiftError if a name is not in FUNCTIONS.
    """
    texts: dict[str, str] = {}
    for name, width, dtype in sorted(set(needed)):
        if name not in FUNCTIONS:
            known = ", ".join(sorted(FUNCTIONS))
            raise LiftError(f"there is no vector function {name!r}; use one of {known}.")
        if name in {"sin", "cos"}:
            texts["angles"] = large_angles(fma=fma)
        body, element = Body(width, fma=fma), FORMATS[dtype].element
        operands = [Vector(body, f"%{x}", element) for x in ("xy" if name == "power" else "x")]
        result = _FUNCTIONS[name](*operands)
        parameters = ", ".join(f"{x.type} {x.name}" for x in operands)
        lines = "\n".join([*body.lines, f"  ret {result.type} {result.name}"])
        function = symbol(name, width, dtype)
        texts[function] = (
            f"define internal {result.type} {function}({parameters}) alwaysinline nounwind {{\n"
            f"entry:\n{lines}\n}}\n"
        )
    return "\n".join(texts.values())


def _reduced(x: Vector, bias: int) -> tuple[Vector, Vector]:
    """Return bits that end in n + bias, and r, where x = n ln 2 + r (Cody & Waite)."""
    form = x.format
    shifted = multiply_add(x, LOG2_E, form.rounder + bias)
    n = shifted - (form.rounder + bias)
    return shifted.bits(), multiply_add(n, -form.ln2[1], multiply_add(n, -form.ln2[0], x))


def _exp_of_reduced(r: Vector) -> Vector:
    return multiply_add(r * r, polynomial(r, r.format.exp), r) + 1.0


def _exp(x: Vector, low: Vector | None = None) -> Vector:
    """Return exp(x + low), as exp(r) times 2ⁿ in two steps: the last may overflow or underflow."""
    form = x.format
    lowest, highest = form.exp_range
    x = where(x < lowest, lowest, x)
    x = where(x > highest, highest, x)
    n, r = _reduced(x, 2 * form.bias)
    half = n >> 1 << form.fraction_bits
    rest = (n << form.fraction_bits) - half
    return _exp_of_reduced(r if low is None else r + low) * half.number() * rest.number()


def _short_exp(x: Vector) -> Vector:
    """Return exp(x) for |x| < 80, where its exponent is in range."""
    n, r = _reduced(x, x.format.bias)
    return _exp_of_reduced(r) * (n << x.format.fraction_bits).number()


def _expm1(x: Vector) -> Vector:
    """Return 2ⁿ (1 + r + r²p) - 1, where 2ⁿ - 1 + 2ⁿr is summed in two parts and all halved."""
    form = x.format
    y = where(x < -60.0, -60.0, x)
    y = where(y > form.exp_range[1], form.exp_range[1], y)
    n, r = _reduced(y, form.bias - 1)
    scale = (n << form.fraction_bits).number()
    high, low = fast_two_sum(scale - 0.5, scale * r)
    y = high + multiply_add(scale * (r * r), polynomial(r, form.exp), low)
    return where(abs(x) < 2.0**-60, x, y + y)


def _tanh(x: Vector) -> Vector:
    """Return x + x³ P/Q if |x| is small, otherwise 1 - 2/(exp(2x) + 1): one division for both."""
    size = abs(x)
    size = where(size > 20.0, 20.0, size)
    square = size * size
    above, below = (polynomial(square, coefficients) for coefficients in x.format.tanh)
    small = size < 0.625
    numerator = where(small, square * size * above, -2.0)
    denominator = where(small, below, _short_exp(size + size) + 1.0)
    return (where(small, size, 1.0) + numerator / denominator).intrinsic("copysign", x)


def _sigmoid(x: Vector) -> Vector:
    """Return 1 / (1 + exp(-x)), or exp(x) / (1 + exp(x)) if x < 0, with what the sum has lost."""
    e = _exp(-abs(x))
    total, lost = fast_two_sum(e.like(1.0), e)
    y = where(x < 0.0, e, 1.0) / total
    return multiply_add(-y, lost, y)


def _softplus(x: Vector) -> Vector:
    return where(x > 0.0, x, 0.0) + _log1p_of_finite(_exp(-abs(x)))


def _erf(x: Vector) -> Vector:
    """Return x + x P if |x| <= 1, otherwise 1 - exp(-x²) P/Q."""
    size = abs(x)
    size = where(size > x.format.erf_end, x.format.erf_end, size)
    square = size * size
    above, below = (polynomial(size, coefficients) for coefficients in x.format.erfc)
    near = multiply_add(size, polynomial(square, x.format.erf), size)
    far = 1.0 - _short_exp(-square) * above / below
    return where(size < 1.0, near, far).intrinsic("copysign", x)


# --- log and its relatives --------------------------------------------------------------------


def _split(x: Vector) -> tuple[Vector, Vector]:
    """Return m from √½ to √2 and the integer k + bias, where x = 2ᵏ m is positive and normal."""
    form = x.format
    least = form.bits(0.5**0.5)
    bits = x.bits() + (form.bits(1.0) - least)
    fraction = bits & ((1 << form.fraction_bits) - 1)
    return (fraction + least).number(), bits >> form.fraction_bits


def _split_any(x: Vector) -> tuple[Vector, Vector]:
    """Return m and k, as floats, where x = 2ᵏ m is positive."""
    form = x.format
    subnormal = x < 2.0 ** (1 - form.bias)
    m, exponent = _split(where(subnormal, x * 2.0**64, x))
    k = _exponent_number(exponent)
    return m, where(subnormal, k - 64.0, k)


def _exponent_number(exponent: Vector) -> Vector:
    """Return k as a float, given the integer k + bias: it becomes the fraction of a large float."""
    form = exponent.format
    large = 2.0**form.fraction_bits
    return (exponent | form.bits(large)).number() - (large + form.bias)


def _log_of_split(f: Vector, k: Vector) -> Vector:
    """Return log(1 + f) + k ln 2, in the order of fdlibm's e_log.c."""
    high, low = f.format.ln2
    s = f / (f + 2.0)
    square = s * s
    half = f * 0.5 * f
    series = square * polynomial(square, f.format.log)
    return multiply_add(k, high, f - (half - multiply_add(s, half + series, k * low)))


def _log_limits(x: Vector, pole: float, y: Vector) -> Vector:
    """Return y, but log's limits at its pole and at infinity, and nan below the pole or for nan."""
    y = where(x < float("inf"), y, x)
    y = where(x.equals(pole), float("-inf"), y)
    return where(x < pole, float("nan"), y)


def _log(x: Vector) -> Vector:
    m, k = _split_any(x)
    return _log_limits(x, 0.0, _log_of_split(m - 1.0, k))


def _log1p(x: Vector) -> Vector:
    return _log_limits(x, -1.0, _log1p_of_finite(x)).intrinsic("copysign", x)


def _log1p_of_finite(x: Vector) -> Vector:
    """Return the log of 2ᵏ m = 1 + x; what that sum loses is added to m - 1, divided by 2ᵏ."""
    form = x.format
    total, lost = two_sum(x, 1.0)
    m, exponent = _split(total)
    # 2**(2 - k) is a normal number for every k.
    scale = (2 * form.bias + 2 - exponent << form.fraction_bits).number()
    f = multiply_add(lost * scale, 0.25, m - 1.0)
    return _log_of_split(f, _exponent_number(exponent))


# --- power ------------------------------------------------------------------------------------


def _power(x: Vector, y: Vector) -> Vector:
    """Return x**y = exp(y log|x|), with the sign of x if y is odd; float32 by way of float64."""
    if x.element == "float":
        x, y = x.cast("fpext", "double"), y.cast("fpext", "double")
        size = _exp(_bounded(y) * _log(abs(x)))
        return _power_limits(x, y, size).cast("fptrunc", "float")
    size = abs(x)
    high, low = _log_in_two_parts(size)
    high = where(size < float("inf"), high, size)
    high = where(size.equals(0.0), float("-inf"), high)
    exponent = _bounded(y)
    product, error = two_product(exponent, high)
    error = where(abs(product) < 800.0, multiply_add(exponent, low, error), 0.0)
    return _power_limits(x, y, _exp(product, error))


def _bounded(y: Vector) -> Vector:
    """Return the exponent from -2**64 to 2**64, beyond which all give the same powers."""
    y = where(y > 2.0**64, 2.0**64, y)
    return where(y < -(2.0**64), -(2.0**64), y)


def _power_limits(x: Vector, y: Vector, size: Vector) -> Vector:
    """Return |x|**y = size with its sign, and C99's values where the logarithm does not help."""
    whole = _is_integer(y)
    odd = whole & (_is_integer(y * 0.5) ^ 1)
    signed = size.intrinsic("copysign", where(odd, x, 1.0))
    undefined = (x < 0.0) & (x > float("-inf")) & (whole ^ 1)
    result = where(undefined, float("nan"), signed)
    return where(x.equals(1.0) | y.equals(0.0), 1.0, result)


def _is_integer(x: Vector) -> Vector:
    size = abs(x)
    rounder = 2.0**x.format.fraction_bits
    rounded = (size + rounder) - rounder
    return (size > rounder) | rounded.equals(size)


def _log_in_two_parts(x: Vector) -> tuple[Vector, Vector]:
    """Return log(x) to 66 bits: the first terms of 2 atanh(s), s = f/(2 + f), are in two parts."""
    m, k = _split_any(x)
    f = m - 1.0
    d, d_low = fast_two_sum(x.like(1.0), m)
    inverse = x.like(1.0) / d
    s = f * inverse
    product, error = two_product(s, d)
    s_low = ((f - product) - error - s * d_low) * inverse
    square, error = two_product(s, s)
    square_low = error + (s + s) * s_low
    cube, error = two_product(s, square)
    cube_low = error + (s * square_low + s_low * square)
    third, error = fast_two_sum(x.like(TWO_THIRDS[0]), square * polynomial(square, LOG_REST))
    third_low = error + TWO_THIRDS[1]
    term, error = two_product(cube, third)
    term_low = error + (cube * third_low + cube_low * third)
    high, low = x.format.ln2
    total, first = two_sum(k * high, s + s)
    total, second = two_sum(total, term)
    return total, first + second + (k * low + (s_low + s_low + term_low))


_FUNCTIONS: dict[str, Callable[..., Vector]] = {
    "exp": _exp,
    "expm1": _expm1,
    "log": _log,
    "log1p": _log1p,
    "sin": partial(sine, quarter=0),
    "cos": partial(sine, quarter=1),
    "tanh": _tanh,
    "sigmoid": _sigmoid,
    "softplus": _softplus,
    "erf": _erf,
    "power": _power,
}
FUNCTIONS = frozenset(_FUNCTIONS)

for _operation in OPERATIONS.values():
    _text = " ".join(_operation.llvm)
    for _placeholder in PLACEHOLDER.finditer(_text):
        if _placeholder[0].startswith("@") and _placeholder[1] not in FUNCTIONS:
            raise LiftError(
                f"the entry of the operation {_operation.name!r} calls {_placeholder[0]}, which is "
                "no function of vector mathematics; write it in lift/kernels/llvm/vector_math.py."
            )
