"""Elementary functions on vectors, as LLVM IR text that calls no library.

Each function is straight-line arithmetic, the same in every lane and at every width; only sine and
cosine branch, for large angles. Results are within 2 units in the last place (power: 4) and follow
C99's Annex F for zeros, infinities and nan.
"""

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from liftgrad.errors import LiftError


@dataclass(frozen=True, slots=True)
class _Format:
    """A floating-point format, and what the functions need for its precision.

    ln2: in two parts; products of the first with exponents are exact.
    exp_range: where exp is neither 0 nor infinite.
    exp: (expm1(r) - r) / r² in r, for |r| up to ln(2)/2.
    log: (2 atanh(s) - 2s) / s³ in s², for (1 + s)/(1 - s) from √½ to √2.
    tanh: (tanh(x) - x) / x³ in x², for |x| up to 5/8, a numerator and a denominator.
    erf: (erf(x) - x) / x in x², for |x| up to 1; erf_end: from where on erf is 1.
    erfc: erfc(x) exp(x²) in x, from 1 to erf_end, a numerator and a denominator.

    The polynomials, lowest coefficient first, are weighted minimax fits (Lawson's iteration in 50
    digits). Those that are quotients share the one division that their function needs anyway.
    """

    element: str
    integer: str
    suffix: str
    fraction_bits: int
    bias: int
    ln2: tuple[float, float]
    exp_range: tuple[float, float]
    exp: tuple[float, ...]
    log: tuple[float, ...]
    tanh: tuple[tuple[float, ...], tuple[float, ...]]
    erf: tuple[float, ...]
    erf_end: float
    erfc: tuple[tuple[float, ...], tuple[float, ...]]

    @property
    def rounder(self) -> float:
        """What rounds a number to an integer when added to it and leaves it in the low bits."""
        return 1.5 * 2.0**self.fraction_bits

    def bits(self, x: float) -> int:
        """Return the representation of x, rounded to this format."""
        codes = "fI" if self.integer == "i32" else "dQ"
        representation: int = struct.unpack(codes[1], struct.pack(codes[0], x))[0]
        return representation


DOUBLE = _Format(
    element="double",
    integer="i64",
    suffix="f64",
    fraction_bits=52,
    bias=1023,
    ln2=(0.6931471803691238, 1.9082149292705877e-10),
    exp_range=(-746.0, 710.0),
    exp=(
        *(0.5000000000000006, 0.16666666666666624, 0.041666666666573884, 0.008333333333366418),
        *(0.0013888888932280018, 0.00019841269770344973, 2.4801504558919522e-05),
        *(2.7557360880169324e-06, 2.762628657172955e-07, 2.5068739096751214e-08),
    ),
    log=(
        *(0.6666666666666735, 0.39999999999410774, 0.2857142874313415, 0.22222198505074256),
        *(0.18183567550780078, 0.1531397402498032, 0.14796669807703783),
    ),
    tanh=(
        (-0.33333333333333326, -0.020496786025548358, -0.00019908890616616333),
        (1.0, 0.46149035807663, 0.023288648044647517, 0.00020643827851775086),
    ),
    erf=(
        *(0.12837916709551256, -0.37612638903183376, 0.11283791670939436, -0.026866170642465787),
        *(0.0052239776014687085, -0.0008548325729745614, 0.00012055288155937939),
        *(-1.4924616681474245e-05, 1.6446038894028105e-06, -1.6198509015410665e-07),
        *(1.3679309067857823e-08, -7.723728714189914e-10),
    ),
    erf_end=6.0,
    erfc=(
        (
            *(0.9999998870226765, 1.390619452126156, 0.9495711711872297, 0.3736284378671474),
            *(0.08435783135584232, 0.008931575373586053),
        ),
        (
            *(1.0, 2.5189974288972934, 2.791961372284756, 1.7572556888301787),
            *(0.6702140558119509, 0.14951646013333564, 0.015830927534764942),
        ),
    ),
)
FLOAT = _Format(
    element="float",
    integer="i32",
    suffix="f32",
    fraction_bits=23,
    bias=127,
    ln2=(0.693145751953125, 1.4286068203094173e-06),
    exp_range=(-104.0, 89.0),
    exp=(
        *(0.4999999701976776, 0.1666654646396637, 0.04166743904352188),
        *(0.008366256952285767, 0.0013870238326489925),
    ),
    log=(0.6666677594184875, 0.39977583289146423, 0.2987080514431),
    tanh=((-0.3333330750465393, -0.0015415647067129612), (1.0, 0.4046122431755066)),
    erf=(
        *(0.12837916612625122, -0.3761262595653534, 0.11283579468727112, -0.026853416115045547),
        *(0.005187372677028179, -0.0008000470115803182, 7.818285666871816e-05),
    ),
    erf_end=4.0,
    erfc=(
        (0.9934903979301453, 0.4134424328804016, 0.0033409358002245426),
        (1.0, 1.5064815282821655, 0.7917599081993103),
    ),
)
FORMATS = {"float64": DOUBLE, "float32": FLOAT}
LOG2_E = 1.4426950408889634
LOG_REST = (
    *(0.40000000000002256, 0.28571428570099655, 0.22222222519902135, 0.18181784369206078),
    *(0.1538675723145918, 0.13256820061464877, 0.13196307640216615),
)
"""(2 atanh(s) - 2s - 2s³/3) / s⁵ in s², for (1 + s)/(1 - s) from √½ to √2."""
SIN = (
    *(-0.16666666666666632, 0.008333333333322476, -0.00019841269829839312),
    *(2.7557313698663173e-06, -2.5050758693333892e-08, 1.5896807709654187e-10),
)
"""(sin(x) - x) / x³ in x², for |x| up to pi/4."""
COS = (
    *(0.0416666666666666, -0.0013888888888874457, 2.480158728965285e-05),
    *(-2.755731439388382e-07, 2.0875728117636855e-09, -1.135986565476428e-11),
)
"""(cos(x) - 1 + x²/2) / x⁴ in x², for |x| up to pi/4."""
TWO_THIRDS = (0.6666666666666666, 3.700743415417188e-17)
HALF_PI = (1.5707963267948966, 6.123233995736766e-17)
HALF_PI_PARTS = (1.5707963267341256, 6.077100506303966e-11, 2.0222662487111665e-21)
HALF_PI_REST = 8.4784276603689e-32
"""The parts have 33 bits: their products with integers up to 2**20 are exact."""
LARGE_ANGLE = 2.0**20
TWO_OVER_PI = int(
    "a2f9836e4e441529fc2757d1f534ddc0db6295993c439041fe5163abdebbc561b7246e3a424dd2e006492eea09d1"
    "921cfe1deb1cb129a73ee88235f52ebb4484e99c7026b45f7e413991d639835339f49c845f8bbdf9283b1ff897ff"
    "de05980fef2f118b5a0a6d1f6d367ecf27cb09b74f463f669e5fea2d7527bac7ebe5f17b3d0739f78a5292ea6bfb"
    "5fb11f8d5d0856033046fc7b6babf0cfbc209af4361d",
    base=16,
)
"""2/pi in units of 2**-1280."""


def symbol(name: str, width: int, dtype: str) -> str:
    """Return a function's name in the text; with a width of 1 it is one on scalars.

    >>> symbol("exp", 8, "float64"), symbol("exp", 1, "float32")
    ('@lg.exp.v8f64', '@lg.exp.f32')
    """
    return f"@lg.{name}.{f'v{width}' if width > 1 else ''}{FORMATS[dtype].suffix}"


def definitions(needed: Iterable[tuple[str, int, str]], *, fma: bool) -> str:
    """Return the text of functions, each given as its name, its width and its dtype.

    `fma` tells whether the processor multiplies and adds in one instruction. LLVM declares the
    intrinsics by itself. Raises LiftError if a name is not in FUNCTIONS.
    """
    texts: dict[str, str] = {}
    for name, width, dtype in sorted(set(needed)):
        if name not in FUNCTIONS:
            known = ", ".join(sorted(FUNCTIONS))
            raise LiftError(f"there is no vector function {name!r}; use one of {known}.")
        if name in {"sin", "cos"}:
            texts["angles"] = _large_angles(fma=fma)
        body, element = _Body(width, fma=fma), FORMATS[dtype].element
        operands = [_Value(body, f"%{x}", element) for x in ("xy" if name == "power" else "x")]
        result = _FUNCTIONS[name](*operands)
        parameters = ", ".join(f"{x.type} {x.name}" for x in operands)
        lines = "\n".join([*body.lines, f"  ret {result.type} {result.name}"])
        function = symbol(name, width, dtype)
        texts[function] = (
            f"define internal {result.type} {function}({parameters}) alwaysinline nounwind {{\n"
            f"entry:\n{lines}\n}}\n"
        )
    return "\n".join(texts.values())


class _Body:
    """The lines of a function on vectors of one width."""

    def __init__(self, width: int, *, fma: bool) -> None:
        self.width, self.fma = width, fma
        self.lines: list[str] = []

    def type(self, element: str) -> str:
        """Return the type of a vector of elements."""
        return element if self.width == 1 else f"<{self.width} x {element}>"

    def emit(self, element: str, instruction: str) -> "_Value":
        """Append an instruction; return its result."""
        name = f"%v{len(self.lines)}"
        self.lines.append(f"  {name} = {instruction}")
        return _Value(self, name, element)


Operator = Callable[["_Value", "Operand"], "_Value"]


def _operator(integers: str, numbers: str, result: str = "") -> Operator:
    """Return the method that appends the instruction for integers or for numbers."""
    return lambda x, y: x.apply(numbers if x.is_number else integers, y, result=result)


@dataclass(frozen=True, slots=True, eq=False)
class _Value:
    """A vector in a function's body; arithmetic on it appends instructions."""

    body: _Body
    name: str
    element: str

    @property
    def type(self) -> str:
        return self.body.type(self.element)

    @property
    def is_number(self) -> bool:
        return self.element in {"double", "float"}

    @property
    def format(self) -> _Format:
        return FLOAT if self.element in {"float", "i32"} else DOUBLE

    def like(self, x: "Operand") -> "_Value":
        """Return a number as a vector of this type, with the number in every lane."""
        if isinstance(x, _Value):
            return x
        text = f"{x}"
        if self.is_number:
            code = self.element[0]
            text = f"0x{DOUBLE.bits(struct.unpack(code, struct.pack(code, x))[0]):016X}"
        text = text if self.body.width == 1 else f"splat ({self.element} {text})"
        return _Value(self.body, text, self.element)

    def apply(self, instruction: str, *others: "Operand", result: str = "") -> "_Value":
        """Append an instruction on this and other vectors of the same type."""
        operands = ", ".join(self.like(x).name for x in (self, *others))
        return self.body.emit(result or self.element, f"{instruction} {self.type} {operands}")

    def intrinsic(self, name: str, *others: "Operand") -> "_Value":
        """Append a call of LLVM's intrinsic on this and other vectors of the same type."""
        operands = ", ".join(f"{self.type} {self.like(x).name}" for x in (self, *others))
        overload = f"{f'v{self.body.width}' if self.body.width > 1 else ''}{self.format.suffix}"
        return self.body.emit(self.element, f"call {self.type} @llvm.{name}.{overload}({operands})")

    def cast(self, instruction: str, element: str) -> "_Value":
        target = self.body.type(element)
        return self.body.emit(element, f"{instruction} {self.type} {self.name} to {target}")

    def bits(self) -> "_Value":
        """Return the integers that represent these numbers."""
        return self.cast("bitcast", self.format.integer)

    def number(self) -> "_Value":
        """Return the numbers that these integers represent."""
        return self.cast("bitcast", self.format.element)

    __add__ = _operator("add", "fadd")
    __sub__ = _operator("sub", "fsub")
    __mul__ = _operator("mul", "fmul")
    __truediv__ = _operator("", "fdiv")
    __and__ = _operator("and", "")
    __or__ = _operator("or", "")
    __xor__ = _operator("xor", "")
    __lshift__ = _operator("shl", "")
    __rshift__ = _operator("lshr", "")
    # False for nan.
    __lt__ = _operator("icmp slt", "fcmp olt", "i1")
    __gt__ = _operator("icmp sgt", "fcmp ogt", "i1")
    equals = _operator("icmp eq", "fcmp oeq", "i1")

    def __rsub__(self, other: float) -> "_Value":
        return self.like(other) - self

    def __neg__(self) -> "_Value":
        return self.apply("fneg")

    def __abs__(self) -> "_Value":
        return self.intrinsic("fabs")


Operand = _Value | float


def _where(mask: _Value, x: Operand, y: Operand) -> _Value:
    """Return x in the lanes where the mask is set, y elsewhere; one of them is a vector."""
    typed = x if isinstance(x, _Value) else y
    assert isinstance(typed, _Value)
    choices = ", ".join(f"{typed.type} {typed.like(z).name}" for z in (x, y))
    return mask.body.emit(typed.element, f"select {mask.type} {mask.name}, {choices}")


def _fma(x: _Value, y: Operand, z: Operand) -> _Value:
    """Return x y + z, rounded once where the processor can."""
    return x.intrinsic("fma", y, z) if x.body.fma else x * y + z


def _polynomial(x: _Value, coefficients: Sequence[float]) -> _Value:
    result = x.like(coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        result = _fma(result, x, coefficient)
    return result


def _two_sum(x: _Value, y: Operand) -> tuple[_Value, _Value]:
    """Return x + y and its rounding error (Knuth)."""
    total = x + y
    part = total - x
    return total, (x - (total - part)) + (x.like(y) - part)


def _fast_two_sum(x: _Value, y: Operand) -> tuple[_Value, _Value]:
    """Return x + y and its rounding error, if |x| >= |y| or x = 0 (Dekker)."""
    total = x + y
    return total, x.like(y) - (total - x)


def _two_product(x: _Value, y: Operand) -> tuple[_Value, _Value]:
    """Return x y of doubles and its rounding error, from their halves if need be (Dekker)."""
    product = x * y
    if x.body.fma:
        return product, _fma(x, y, -product)
    halves = [(z.bits() & -(1 << 27)).number() for z in (x, x.like(y))]
    (a, b), (c, d) = (halves[0], x - halves[0]), (halves[1], x.like(y) - halves[1])
    return product, (a * c - product) + a * d + b * c + b * d


# --- exp and its relatives --------------------------------------------------------------------


def _reduced(x: _Value, bias: int) -> tuple[_Value, _Value]:
    """Return bits that end in n + bias, and r, where x = n ln 2 + r (Cody & Waite)."""
    form = x.format
    shifted = _fma(x, LOG2_E, form.rounder + bias)
    n = shifted - (form.rounder + bias)
    return shifted.bits(), _fma(n, -form.ln2[1], _fma(n, -form.ln2[0], x))


def _exp_of_reduced(r: _Value) -> _Value:
    return _fma(r * r, _polynomial(r, r.format.exp), r) + 1.0


def _exp(x: _Value, low: _Value | None = None) -> _Value:
    """Return exp(x + low), as exp(r) times 2ⁿ in two steps: the last may overflow or underflow."""
    form = x.format
    lowest, highest = form.exp_range
    x = _where(x < lowest, lowest, x)
    x = _where(x > highest, highest, x)
    n, r = _reduced(x, 2 * form.bias)
    half = n >> 1 << form.fraction_bits
    rest = (n << form.fraction_bits) - half
    return _exp_of_reduced(r if low is None else r + low) * half.number() * rest.number()


def _short_exp(x: _Value) -> _Value:
    """Return exp(x) for |x| < 80, where its exponent is in range."""
    n, r = _reduced(x, x.format.bias)
    return _exp_of_reduced(r) * (n << x.format.fraction_bits).number()


def _expm1(x: _Value) -> _Value:
    """Return 2ⁿ (1 + r + r²p) - 1, where 2ⁿ - 1 + 2ⁿr is summed in two parts and all halved."""
    form = x.format
    y = _where(x < -60.0, -60.0, x)
    y = _where(y > form.exp_range[1], form.exp_range[1], y)
    n, r = _reduced(y, form.bias - 1)
    scale = (n << form.fraction_bits).number()
    high, low = _fast_two_sum(scale - 0.5, scale * r)
    y = high + _fma(scale * (r * r), _polynomial(r, form.exp), low)
    return _where(abs(x) < 2.0**-60, x, y + y)


def _tanh(x: _Value) -> _Value:
    """Return x + x³ P/Q if |x| is small, otherwise 1 - 2/(exp(2x) + 1): one division for both."""
    size = abs(x)
    size = _where(size > 20.0, 20.0, size)
    square = size * size
    above, below = (_polynomial(square, coefficients) for coefficients in x.format.tanh)
    small = size < 0.625
    numerator = _where(small, square * size * above, -2.0)
    denominator = _where(small, below, _short_exp(size + size) + 1.0)
    return (_where(small, size, 1.0) + numerator / denominator).intrinsic("copysign", x)


def _sigmoid(x: _Value) -> _Value:
    """Return 1 / (1 + exp(-x)), or exp(x) / (1 + exp(x)) if x < 0, with what the sum has lost."""
    e = _exp(-abs(x))
    total, lost = _fast_two_sum(e.like(1.0), e)
    y = _where(x < 0.0, e, 1.0) / total
    return _fma(-y, lost, y)


def _softplus(x: _Value) -> _Value:
    return _where(x > 0.0, x, 0.0) + _log1p_of_finite(_exp(-abs(x)))


def _erf(x: _Value) -> _Value:
    """Return x + x P if |x| <= 1, otherwise 1 - exp(-x²) P/Q."""
    size = abs(x)
    size = _where(size > x.format.erf_end, x.format.erf_end, size)
    square = size * size
    above, below = (_polynomial(size, coefficients) for coefficients in x.format.erfc)
    near = _fma(size, _polynomial(square, x.format.erf), size)
    far = 1.0 - _short_exp(-square) * above / below
    return _where(size < 1.0, near, far).intrinsic("copysign", x)


# --- log and its relatives --------------------------------------------------------------------


def _split(x: _Value) -> tuple[_Value, _Value]:
    """Return m from √½ to √2 and the integer k + bias, where x = 2ᵏ m is positive and normal."""
    form = x.format
    least = form.bits(0.5**0.5)
    bits = x.bits() + (form.bits(1.0) - least)
    fraction = bits & ((1 << form.fraction_bits) - 1)
    return (fraction + least).number(), bits >> form.fraction_bits


def _split_any(x: _Value) -> tuple[_Value, _Value]:
    """Return m and the number k, where x = 2ᵏ m is positive."""
    form = x.format
    subnormal = x < 2.0 ** (1 - form.bias)
    m, exponent = _split(_where(subnormal, x * 2.0**64, x))
    k = _exponent_number(exponent)
    return m, _where(subnormal, k - 64.0, k)


def _exponent_number(exponent: _Value) -> _Value:
    """Return the integer k + bias as the number k: by its place in the fraction of a large one."""
    form = exponent.format
    large = 2.0**form.fraction_bits
    return (exponent | form.bits(large)).number() - (large + form.bias)


def _log_of_split(f: _Value, k: _Value) -> _Value:
    """Return log(1 + f) + k ln 2, in the order of fdlibm's e_log.c."""
    high, low = f.format.ln2
    s = f / (f + 2.0)
    square = s * s
    half = f * 0.5 * f
    series = square * _polynomial(square, f.format.log)
    return _fma(k, high, f - (half - _fma(s, half + series, k * low)))


def _log_limits(x: _Value, pole: float, y: _Value) -> _Value:
    """Return y, but log's limits at its pole and at infinity, and nan below the pole or for nan."""
    y = _where(x < float("inf"), y, x)
    y = _where(x.equals(pole), float("-inf"), y)
    return _where(x < pole, float("nan"), y)


def _log(x: _Value) -> _Value:
    m, k = _split_any(x)
    return _log_limits(x, 0.0, _log_of_split(m - 1.0, k))


def _log1p(x: _Value) -> _Value:
    return _log_limits(x, -1.0, _log1p_of_finite(x)).intrinsic("copysign", x)


def _log1p_of_finite(x: _Value) -> _Value:
    """Return the log of 2ᵏ m = 1 + x; what that sum loses is added to m - 1, divided by 2ᵏ."""
    form = x.format
    total, lost = _two_sum(x, 1.0)
    m, exponent = _split(total)
    # 2**(2 - k) is a normal number for every k.
    scale = (2 * form.bias + 2 - exponent << form.fraction_bits).number()
    f = _fma(lost * scale, 0.25, m - 1.0)
    return _log_of_split(f, _exponent_number(exponent))


# --- power ------------------------------------------------------------------------------------


def _power(x: _Value, y: _Value) -> _Value:
    """Return x**y = exp(y log|x|), with the sign of x if y is odd; float32 by way of float64."""
    if x.element == "float":
        x, y = x.cast("fpext", "double"), y.cast("fpext", "double")
        size = _exp(_bounded(y) * _log(abs(x)))
        return _power_limits(x, y, size).cast("fptrunc", "float")
    size = abs(x)
    high, low = _log_in_two_parts(size)
    high = _where(size < float("inf"), high, size)
    high = _where(size.equals(0.0), float("-inf"), high)
    exponent = _bounded(y)
    product, error = _two_product(exponent, high)
    error = _where(abs(product) < 800.0, _fma(exponent, low, error), 0.0)
    return _power_limits(x, y, _exp(product, error))


def _bounded(y: _Value) -> _Value:
    """Return the exponent from -2**64 to 2**64, beyond which all give the same powers."""
    y = _where(y > 2.0**64, 2.0**64, y)
    return _where(y < -(2.0**64), -(2.0**64), y)


def _power_limits(x: _Value, y: _Value, size: _Value) -> _Value:
    """Return |x|**y = size with its sign, and C99's values where the logarithm is no help."""
    whole = _is_integer(y)
    odd = whole & (_is_integer(y * 0.5) ^ 1)
    signed = size.intrinsic("copysign", _where(odd, x, 1.0))
    undefined = (x < 0.0) & (x > float("-inf")) & (whole ^ 1)
    result = _where(undefined, float("nan"), signed)
    return _where(x.equals(1.0) | y.equals(0.0), 1.0, result)


def _is_integer(x: _Value) -> _Value:
    size = abs(x)
    rounder = 2.0**x.format.fraction_bits
    rounded = (size + rounder) - rounder
    return (size > rounder) | rounded.equals(size)


def _log_in_two_parts(x: _Value) -> tuple[_Value, _Value]:
    """Return log(x) to 66 bits: the first terms of 2 atanh(s), s = f/(2 + f), are in two parts."""
    m, k = _split_any(x)
    f = m - 1.0
    d, d_low = _fast_two_sum(x.like(1.0), m)
    inverse = x.like(1.0) / d
    s = f * inverse
    product, error = _two_product(s, d)
    s_low = ((f - product) - error - s * d_low) * inverse
    square, error = _two_product(s, s)
    square_low = error + (s + s) * s_low
    cube, error = _two_product(s, square)
    cube_low = error + (s * square_low + s_low * square)
    third, error = _fast_two_sum(x.like(TWO_THIRDS[0]), square * _polynomial(square, LOG_REST))
    third_low = error + TWO_THIRDS[1]
    term, error = _two_product(cube, third)
    term_low = error + (cube * third_low + cube_low * third)
    high, low = x.format.ln2
    total, first = _two_sum(k * high, s + s)
    total, second = _two_sum(total, term)
    return total, first + second + (k * low + (s_low + s_low + term_low))


# --- sine and cosine --------------------------------------------------------------------------


def _sine(x: _Value, quarter: int) -> _Value:
    """Return sin(x + quarter pi/2), from polynomials on |r| <= pi/4 (order of fdlibm's k_sin.c)."""
    if x.element == "float":
        return _sine(x.cast("fpext", "double"), quarter).cast("fptrunc", "float")
    r, low, quadrant = _reduced_angle(x)
    if quarter:
        quadrant = quadrant + quarter
    square = r * r
    cube = square * r
    rest = _polynomial(square, SIN[1:])
    sine = r - ((square * (low * 0.5 - cube * rest) - low) - cube * SIN[0])
    half = square * 0.5
    one = 1.0 - half
    rest = square * square * _polynomial(square, COS) - r * low
    cosine = one + (((1.0 - one) - half) + rest)
    magnitude = _where((quadrant & 1).equals(0), sine, cosine)
    return (magnitude.bits() ^ (quadrant << 62 & DOUBLE.bits(-0.0))).number()


def _reduced_angle(x: _Value) -> tuple[_Value, ...]:
    """Return r, low and an integer n, where x = n pi/2 + r + low and |r| <= pi/4."""
    body, width = x.body, x.body.width
    shifted = _fma(x, 1.0 / HALF_PI[0], DOUBLE.rounder)
    n = shifted - DOUBLE.rounder
    first, second, third = HALF_PI_PARTS
    r, error = _two_sum(x - n * first, n * -second)
    r, low = _two_sum(r, n * -third)
    near = (r, (error + low) - n * HALF_PI_REST, shifted.bits())
    # Large angles are rare: if there are any, all pass through memory, where a loop corrects them.
    large = abs(x) > LARGE_ANGLE
    if width > 1:
        some = f"call i1 @llvm.vector.reduce.or.v{width}i1({large.type} {large.name})"
        large = body.emit("i1", some)
    slots = body.emit("ptr", f"alloca [{4 * width} x double], align 8").name
    body.lines += [f"  br i1 {large.name}, label %large, label %reduced", "large:"]
    offsets = (f"getelementptr double, ptr {slots}, i64 {width * i}" for i in range(4))
    places = [body.emit("ptr", offset).name for offset in offsets]
    for value, place in zip((x, *near), places, strict=True):
        body.lines.append(f"  store {value.type} {value.name}, ptr {place}, align 8")
    body.lines.append(f"  call void @lg.large_angles(ptr {slots}, i64 {width}) cold")
    far = [
        body.emit(value.element, f"load {value.type}, ptr {place}, align 8")
        for value, place in zip(near, places[1:], strict=True)
    ]
    body.lines += ["  br label %reduced", "reduced:"]
    return tuple(
        body.emit(a.element, f"phi {a.type} [ {a.name}, %entry ], [ {b.name}, %large ]")
        for a, b in zip(near, far, strict=True)
    )


def _large_angles(*, fma: bool) -> str:
    """Return the function that reduces those of `width` angles that are large (Payne & Hanek).

    An angle is an integer times 2ᵉ. Bits of 2/pi that contribute whole turns are skipped; the next
    192 are multiplied with the integer, and the first two bits of the product are the quadrant.
    """
    body = _Body(1, fma=fma)
    x = _Value(body, "%x", "double")
    bits = abs(x).bits()
    integer = bits & (2**52 - 1) | 2**52
    integer = _where(x < 0.0, 0 - integer, integer)
    skipped = 1090 + DOUBLE.bias + 52 - (bits >> 52)
    place = body.emit("ptr", f"getelementptr i8, ptr @lg.two_over_pi, i64 {(skipped >> 3).name}")
    window = body.emit("i256", f"load i256, ptr {place.name}, align 1")
    window = window.apply("lshr", (skipped & 7).cast("zext", "i256")).cast("trunc", "i192")
    product = integer.cast("sext", "i192") * window
    quadrant = (product + 2**189 >> 190).cast("trunc", "i64")
    # The fraction, from -½ to ½, as the sum of three exact numbers; then times pi/2.
    turn = product << 2
    chunks = [turn.apply("ashr", 144).cast("trunc", "i64")]
    chunks += [(turn >> shift).cast("trunc", "i64") & (2**48 - 1) for shift in (96, 48)]
    first, second, third = (
        chunk.cast("sitofp", "double") * 2.0 ** (-48 * i) for i, chunk in enumerate(chunks, 1)
    )
    high, low = _fast_two_sum(first, second)
    high, low = _fast_two_sum(high, low + third)
    r, error = _two_product(high, HALF_PI[0])
    low = error + _fma(high, HALF_PI[1], low * HALF_PI[0])
    r = r + (x - x)
    lines = "\n".join(body.lines)
    return f"""\
@lg.two_over_pi = private unnamed_addr constant i1408 {TWO_OVER_PI}, align 16

define internal void @lg.large_angles(ptr %slots, i64 %width) noinline cold nounwind {{
entry:
  br label %lane
lane:
  %i = phi i64 [ 0, %entry ], [ %next, %end ]
  %slot = getelementptr double, ptr %slots, i64 %i
  %x = load double, ptr %slot, align 8
  %size = call double @llvm.fabs.f64(double %x)
  %large = fcmp ogt double %size, {LARGE_ANGLE}
  br i1 %large, label %reduce, label %end
reduce:
{lines}
  %slot1 = getelementptr double, ptr %slot, i64 %width
  %slot2 = getelementptr double, ptr %slot1, i64 %width
  %slot3 = getelementptr double, ptr %slot2, i64 %width
  store double {r.name}, ptr %slot1, align 8
  store double {low.name}, ptr %slot2, align 8
  store i64 {quadrant.name}, ptr %slot3, align 8
  br label %end
end:
  %next = add i64 %i, 1
  %done = icmp eq i64 %next, %width
  br i1 %done, label %return, label %lane
return:
  ret void
}}
"""


_FUNCTIONS: dict[str, Callable[..., _Value]] = {
    "exp": _exp,
    "expm1": _expm1,
    "log": _log,
    "log1p": _log1p,
    "sin": partial(_sine, quarter=0),
    "cos": partial(_sine, quarter=1),
    "tanh": _tanh,
    "sigmoid": _sigmoid,
    "softplus": _softplus,
    "erf": _erf,
    "power": _power,
}
FUNCTIONS = frozenset(_FUNCTIONS)
