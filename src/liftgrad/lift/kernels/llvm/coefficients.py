"""Floating-point formats, and the coefficients of the elementary functions in each."""

import struct
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Format:
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


DOUBLE = Format(
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
FLOAT = Format(
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
