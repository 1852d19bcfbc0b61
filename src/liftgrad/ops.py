"""The one table of operations: everything liftgrad knows about each of them stands in its entry.

The engine evaluates `forward` on floats; the derivative rule `pullback(g, y, *operands)` maps the
adjoint `g` of the result `y` to the adjoints of the operands. A pullback is written once, as
arithmetic, and runs on floats, on Values (second derivatives) and on the compiler's symbols.
What else an entry says, and means by it, is in `entries`.

Results follow IEEE 754 and never raise: log(0) is -inf, 0/0 is nan, exp(1000) is inf.
Derivatives at kinks are PyTorch's: relu 0, abs 0, a tie in maximum one half each, x**0 -> 0.

To add an operation, write its entry here and enter it; CONTRIBUTING.md has the steps.
"""

import math
import operator
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from liftgrad.entries import OPERATIONS as OPERATIONS  # noqa: PLC0414, names of ours, too
from liftgrad.entries import Adjoints as Adjoints  # noqa: PLC0414
from liftgrad.entries import Operation as Operation  # noqa: PLC0414
from liftgrad.entries import enter


def where(condition: Any, a: Any, b: Any) -> Any:
    """Return `a` where `condition` holds, else `b`; the gradient of the other is exactly zero.

    Unlike a product with 0, it keeps a nan in the branch not taken out of the gradient.

    >>> from liftgrad import Value
    >>> x = Value(-3.0)
    >>> where(x > 0.0, x, 0.5 * x).data
    -1.5
    """
    if hasattr(condition, "_select"):
        return condition._select(a, b)
    chosen, other = (a, b) if condition else (b, a)
    if other.__class__ is float or hasattr(chosen, "_constant"):
        return chosen
    # A plain number was chosen, and the other is a Value: the result is a Value all the same.
    return other._constant(chosen) if hasattr(other, "_constant") else chosen


# --- arithmetic ------------------------------------------------------------------------------


def _divide(a: float, b: float) -> float:
    try:
        return a / b
    except ZeroDivisionError:
        if a == 0.0 or math.isnan(a):
            return math.nan
        return math.copysign(math.inf, a) * math.copysign(1.0, b)


def _power(a: float, b: float) -> float:
    try:
        return math.pow(a, b)
    except OverflowError:
        return -math.inf if a < 0.0 and b % 2.0 == 1.0 else math.inf
    except ValueError:  # a pole at zero, or a root of a negative number
        if a != 0.0:
            return math.nan
        return math.copysign(math.inf, a) if b % 2.0 == 1.0 else math.inf


add = Operation(
    "add",
    operator.add,
    lambda g, y, a, b: (g, g),
    "{0} + {1}",
    "+",
    arity=2,
    precedence=3,
    llvm=("fadd {T} {0}, {1}",),
    domain=((-3.0, 3.0), (-3.0, 3.0)),
    numpy="add",
    exact=lambda mp, a, b: a + b,
    finite_derivatives=True,
    linear=True,
    noun="addition",
)
subtract = Operation(
    "subtract",
    operator.sub,
    lambda g, y, a, b: (g, -g),
    "{0} - {1}",
    "-",
    arity=2,
    precedence=3,
    llvm=("fsub {T} {0}, {1}",),
    domain=((-3.0, 3.0), (-3.0, 3.0)),
    numpy="subtract",
    exact=lambda mp, a, b: a - b,
    finite_derivatives=True,
    linear=True,
    noun="subtraction",
)
multiply = Operation(
    "multiply",
    operator.mul,
    lambda g, y, a, b: (g * b, g * a),
    "{0}·{1}",
    "*",
    arity=2,
    precedence=4,
    llvm=("fmul {T} {0}, {1}",),
    domain=((-3.0, 3.0), (-3.0, 3.0)),
    numpy="multiply",
    exact=lambda mp, a, b: a * b,
    finite_derivatives=True,
    noun="product",
)
divide: Operation = Operation(
    "divide",
    _divide,
    lambda g, y, a, b: (divide(g, b), -divide(g * y, b)),
    "{0} / {1}",
    "/",
    arity=2,
    precedence=4,
    llvm=("fdiv {T} {0}, {1}",),
    domain=((-3.0, 3.0), (0.3, 3.0)),
    numpy="divide",
    exact=lambda mp, a, b: a / b,
    noun="division",
)
negate = Operation(
    "negate",
    operator.neg,
    lambda g, y, a: (-g,),
    "-{0}",
    "neg",
    precedence=5,
    llvm=("fneg {T} {0}",),
    numpy="negative",
    exact=lambda mp, a: -a,
    finite_derivatives=True,
    linear=True,
    noun="negation",
)


def _power_by_base(g: Any, a: Any, b: Any) -> Any:
    # Where b is 0, so is b·a^(b-1), even if `a` is nan or 1/a infinite, where the product would not
    # be. Elsewhere the product stays, since its derivative by b is not 0.
    slope = power(a, b - 1.0)
    adjoint = g * (b * slope)
    return where(b == 0.0, where(abs(slope) < math.inf, adjoint, 0.0), adjoint)


power: Operation = Operation(
    "power",
    _power,
    lambda g, y, a, b: (
        _power_by_base(g, a, b),
        where((a == 0.0) & (b >= 0.0), 0.0, g * (y * log(a))),
    ),
    "{0}^{1}",
    "**",
    arity=2,
    precedence=6,
    domain=((0.2, 3.0), (-2.0, 2.0)),
    kinks=((0.0, 0.0), (0.0, 2.0)),
    llvm=("call {T} @{power}({T} {0}, {T} {1})",),
    numpy="power",
    exact=lambda mp, a, b: a**b,
    noun="power",
)


def shortest(number: float) -> str:
    """Return the shortest text that reads back as `number`, without the .0 of whole numbers."""
    return repr(number).removesuffix(".0")


@lru_cache(maxsize=1024)
def power_constant(exponent: float) -> Operation:
    """Return the operation x**exponent; a constant exponent takes no gradient and no logarithm."""
    return Operation(
        "power_constant",
        lambda a: _power(a, exponent),
        lambda g, y, a: (g * (exponent * power_constant(exponent - 1.0)(a)) if exponent else 0.0,),
        f"{{0}}^{shortest(exponent)}",
        f"**{shortest(exponent)}",
        precedence=6,
        domain=((0.2, 3.0),),
        parameter=exponent,
        pickled=lambda entry: (power_constant, (exponent,)),
        noun="power",
    )


absolute = Operation(
    "absolute",
    abs,
    lambda g, y, a: (where(a > 0.0, g, where(a < 0.0, -g, 0.0)),),
    "|{0}|",
    "abs",
    llvm=("call {T} @llvm.fabs.{t}({T} {0})",),
    domain=((0.2, 3.0),),
    kinks=((0.0,),),
    numpy="absolute",
    exact=lambda mp, a: abs(a),
    finite_derivatives=True,
)
maximum = Operation(
    "maximum",
    lambda a, b: a if a > b or math.isnan(a) else b,
    lambda g, y, a, b: (
        # <= and not ==, which asks of Values whether they are one and the same.
        where(a < b, 0.0, where(a <= b, g * 0.5, g)),
        where(b < a, 0.0, where(b <= a, g * 0.5, g)),
    ),
    "max({0}, {1})",
    "max",
    arity=2,
    llvm=(
        "fcmp ogt {T} {0}, {1}",
        "fcmp uno {T} {0}, {0}",
        "or {mask} {-2}, {-1}",
        "select {mask} {-1}, {T} {0}, {T} {1}",
    ),
    domain=((-3.0, -0.5), (0.5, 3.0)),
    kinks=((1.0, 1.0),),
    numpy=lambda np, a, b: np.where((a > b) | np.isnan(a), a, b),
    exact=lambda mp, *operands: max(operands),
    finite_derivatives=True,
)
minimum = Operation(
    "minimum",
    lambda a, b: a if a < b or math.isnan(a) else b,
    lambda g, y, a, b: (
        where(a > b, 0.0, where(a >= b, g * 0.5, g)),
        where(b > a, 0.0, where(b >= a, g * 0.5, g)),
    ),
    "min({0}, {1})",
    "min",
    arity=2,
    llvm=(
        "fcmp olt {T} {0}, {1}",
        "fcmp uno {T} {0}, {0}",
        "or {mask} {-2}, {-1}",
        "select {mask} {-1}, {T} {0}, {T} {1}",
    ),
    domain=((-3.0, -0.5), (0.5, 3.0)),
    kinks=((1.0, 1.0),),
    numpy=lambda np, a, b: np.where((a < b) | np.isnan(a), a, b),
    exact=lambda mp, *operands: min(operands),
    finite_derivatives=True,
)

# --- elementary functions --------------------------------------------------------------------


def _exp(a: float) -> float:
    try:
        return math.exp(a)
    except OverflowError:
        return math.inf


def _expm1(a: float) -> float:
    try:
        return math.expm1(a)
    except OverflowError:
        return math.inf


def _log(a: float) -> float:
    if a > 0.0:
        return math.log(a)
    return -math.inf if a == 0.0 else math.nan


def _log1p(a: float) -> float:
    if a > -1.0:
        return math.log1p(a)
    return -math.inf if a == -1.0 else math.nan


def _sigmoid(a: float) -> float:
    # Either form overflows for one sign of a; exp of a negative number never does.
    if a >= 0.0:
        return 1.0 / (1.0 + math.exp(-a))
    e = math.exp(a)
    return e / (1.0 + e)


def _sigmoid_of_arrays(np: Any, a: Any) -> Any:
    e = np.exp(-np.abs(a))
    return np.where(a >= 0.0, 1.0, e) / (1.0 + e)


def _softplus(a: float) -> float:
    # log(1 + exp(a)) with an exponent that is never positive; max(nan, 0.0) is nan.
    return max(a, 0.0) + math.log1p(math.exp(-abs(a)))


exp = Operation(
    "exp",
    _exp,
    lambda g, y, a: (g * y,),
    "exp({0})",
    "exp",
    llvm=("call {T} @{exp}({T} {0})",),
    numpy="exp",
    exact="exp",
)
expm1 = Operation(
    "expm1",
    _expm1,
    lambda g, y, a: (g * (y + 1.0),),
    "expm1({0})",
    "expm1",
    llvm=("call {T} @{expm1}({T} {0})",),
    numpy="expm1",
    exact="expm1",
)
log: Operation = Operation(
    "log",
    _log,
    lambda g, y, a: (divide(g, a),),
    "log({0})",
    "log",
    domain=((0.3, 3.0),),
    llvm=("call {T} @{log}({T} {0})",),
    numpy="log",
    exact="log",
)
log1p = Operation(
    "log1p",
    _log1p,
    lambda g, y, a: (divide(g, a + 1.0),),
    "log1p({0})",
    "log1p",
    domain=((-0.7, 3.0),),
    llvm=("call {T} @{log1p}({T} {0})",),
    numpy="log1p",
    exact="log1p",
)
sqrt = Operation(
    "sqrt",
    lambda a: math.sqrt(a) if a >= 0.0 else math.nan,
    lambda g, y, a: (divide(g, y * 2.0),),
    "sqrt({0})",
    "sqrt",
    llvm=("call {T} @llvm.sqrt.{t}({T} {0})",),
    domain=((0.3, 3.0),),
    numpy="sqrt",
    exact="sqrt",
)
sin = Operation(
    "sin",
    lambda a: math.sin(a) if math.isfinite(a) else math.nan,
    lambda g, y, a: (g * cos(a),),
    "sin({0})",
    "sin",
    llvm=("call {T} @{sin}({T} {0})",),
    numpy="sin",
    exact="sin",
    activation=True,
)
cos: Operation = Operation(
    "cos",
    lambda a: math.cos(a) if math.isfinite(a) else math.nan,
    lambda g, y, a: (-(g * sin(a)),),
    "cos({0})",
    "cos",
    llvm=("call {T} @{cos}({T} {0})",),
    numpy="cos",
    exact="cos",
)
tanh = Operation(
    "tanh",
    math.tanh,
    lambda g, y, a: (g * (1.0 - y * y),),
    "tanh({0})",
    "tanh",
    llvm=("call {T} @{tanh}({T} {0})",),
    numpy="tanh",
    exact="tanh",
    activation=True,
)
erf = Operation(
    "erf",
    math.erf,
    lambda g, y, a: (g * (exp(-(a * a)) * (2.0 / math.sqrt(math.pi))),),
    "erf({0})",
    "erf",
    llvm=("call {T} @{erf}({T} {0})",),
    exact="erf",
    activation=True,
)
sigmoid = Operation(
    "sigmoid",
    _sigmoid,
    lambda g, y, a: (g * (y * (1.0 - y)),),
    "sigmoid({0})",
    "sigmoid",
    llvm=("call {T} @{sigmoid}({T} {0})",),
    numpy=_sigmoid_of_arrays,
    exact=lambda mp, a: 1 / (1 + mp.exp(-a)),
    activation=True,
)
softplus = Operation(
    "softplus",
    _softplus,
    lambda g, y, a: (g * sigmoid(a),),
    "softplus({0})",
    "softplus",
    llvm=("call {T} @{softplus}({T} {0})",),
    numpy=lambda np, a: np.maximum(a, 0.0) + np.log1p(np.exp(-np.abs(a))),
    exact=lambda mp, a: mp.log(1 + mp.exp(a)),
    activation=True,
)
relu = Operation(
    "relu",
    lambda a: 0.0 if a <= 0.0 else a,  # noqa: FURB136, max(0.0, nan) would be 0.0
    lambda g, y, a: (where(y <= 0.0, 0.0, g),),
    "relu({0})",
    "ReLU",
    llvm=("fcmp ole {T} {0}, {0.0}", "select {mask} {-1}, {T} {0.0}, {T} {0}"),
    domain=((0.2, 3.0),),
    kinks=((0.0,),),
    numpy=lambda np, a: np.where(a <= 0.0, a.dtype.type(0.0), a),
    exact=lambda mp, a: max(a, 0),
    activation=True,
    finite_derivatives=True,
)

# --- over sequences --------------------------------------------------------------------------


def _total(*terms: float) -> float:
    result = 0.0  # Not sum(), which rounds otherwise from Python 3.12 on.
    for term in terms:
        result += term
    return result


def _dot(*operands: float) -> float:
    n = len(operands) // 2
    result = operands[-1] if len(operands) % 2 else 0.0
    for a, b in zip(operands[:n], operands[n:], strict=False):
        result += a * b
    return result


def _dot_pullback(g: Any, _y: Any, *operands: Any) -> Adjoints:
    n = len(operands) // 2
    start = [g] if len(operands) % 2 else []
    return (*[g * b for b in operands[n : 2 * n]], *[g * a for a in operands[:n]], *start)


def _largest(*operands: float) -> float:
    result = operands[0]
    for operand in operands:
        result = maximum.forward(result, operand)
    return result


total = Operation(
    "total",
    _total,
    lambda g, y, *terms: (g,) * len(terms),
    "Σ({*})",
    "sum",
    arity=None,
    exact=lambda mp, *terms: sum(terms),
    finite_derivatives=True,
)
dot = Operation(
    "dot",
    _dot,
    _dot_pullback,
    "dot({*})",
    "dot",
    arity=None,
    exact=lambda mp, a1, a2, b1, b2, start: start + a1 * b1 + a2 * b2,
    finite_derivatives=True,
)
"""Operands a_1, ..., a_n, b_1, ..., b_n and, if the count is odd, the number to start from."""
largest = Operation(
    "largest",
    _largest,
    lambda g, y, *operands: (0.0,) * len(operands),
    "max({*})",
    "max",
    arity=None,
    constant=True,
    exact=lambda mp, *operands: max(operands),
    finite_derivatives=True,
)
"""The largest operand as a constant: the shift in softmax, through which no gradient flows."""

enter(
    *(add, subtract, multiply, divide, negate, power, absolute, maximum, minimum),
    *(exp, expm1, log, log1p, sqrt, sin, cos, tanh, erf, sigmoid, softplus, relu),
    *(total, dot, largest),
)

# --- conditions ------------------------------------------------------------------------------
# Comparisons of floats and Values are Python's own and give a bool. Those of traced values are
# operations: their results, and those of logical operations, are conditions, 1.0 or 0.0.


def _condition(
    name: str, forward: Callable[..., Any], sign: str, llvm: str, arity: int
) -> Operation:
    return Operation(
        name,
        forward,
        None,
        sign if arity == 1 else f"{{0}} {sign} {{1}}",
        sign.format(""),
        arity=arity,
        precedence=1 if arity == 2 else 2,
        llvm=(llvm,),
        numpy=name,
        noun="comparison",
    )


less = _condition("less", lambda a, b: a < b, "<", "fcmp olt {T} {0}, {1}", 2)
less_equal = _condition("less_equal", lambda a, b: a <= b, "≤", "fcmp ole {T} {0}, {1}", 2)
equal = _condition("equal", lambda a, b: a == b, "=", "fcmp oeq {T} {0}, {1}", 2)
not_equal = _condition("not_equal", lambda a, b: a != b, "≠", "fcmp une {T} {0}, {1}", 2)
logical_and = _condition("logical_and", lambda a, b: a and b, "and", "and {mask} {0}, {1}", 2)
logical_or = _condition("logical_or", lambda a, b: a or b, "or", "or {mask} {0}, {1}", 2)
logical_not = _condition("logical_not", lambda a: not a, "not {0}", "xor {mask} {0}, {true}", 1)
select = Operation(
    "select",
    lambda condition, a, b: a if condition else b,
    lambda g, y, condition, a, b: (0.0, where(condition, g, 0.0), where(condition, 0.0, g)),
    "where({0}, {1}, {2})",
    "where",
    arity=3,
    llvm=("select {mask} {0}, {T} {1}, {T} {2}",),
    numpy="where",
    finite_derivatives=True,
    linear=True,
    noun="choice",
)
from_index = Operation(
    "from_index",
    float,
    lambda g, y, a: (0.0,),
    "{0}",
    "float",
    llvm=("sitofp {I} {0} to {T}",),
    numpy="float64",
    finite_derivatives=True,
)
"""An index that is known at run time, as a number."""
detach = Operation(
    "detach",
    lambda a: a,
    lambda g, y, a: (0.0,),
    "{0}",
    "data",
    numpy="positive",
    constant=True,
    finite_derivatives=True,
)
"""The operand as a constant; the `.data` of a traced value."""

CONDITIONS = frozenset({less, less_equal, equal, not_equal, logical_and, logical_or, logical_not})
LINEAR = frozenset(entry for entry in (*OPERATIONS.values(), select) if entry.linear)
"""Operations whose pullbacks take a zero adjoint to zeros, whatever the operands."""
