"""The one table of operations: everything liftgrad knows about each of them stands in its entry.

The engine evaluates `forward` on floats; the derivative rule `pullback(g, y, *operands)` maps the
adjoint `g` of the result `y` to the adjoints of the operands. A pullback is written once, as
arithmetic, and runs on floats, on Values (second derivatives) and on the compiler's symbols.

Results follow IEEE 754 and never raise: log(0) is -inf, 0/0 is nan, exp(1000) is inf.
Derivatives at kinks are PyTorch's: relu 0, abs 0, a tie in maximum one half each, x**0 -> 0.

To add an operation, add its entry here; engine, tracer, compiler and tests read the table.
"""

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pickle import PicklingError
from typing import TYPE_CHECKING, Any, overload

from liftgrad.numbers import to_float

if TYPE_CHECKING:
    from liftgrad.engine import Value

Interval = tuple[float, float]
Adjoints = tuple[Any, ...]


class _Documentation:
    """The docstring of a class, and another one for each instance."""

    def __init__(self, of_class: str | None) -> None:
        self.of_class = of_class

    def __get__(self, operation: "Operation | None", _kind: Any) -> str | None:
        return self.of_class if operation is None else _described(operation)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Operation:
    """One operation on numbers; call it on floats, Values or traced values."""

    __doc__ = _Documentation(__doc__)

    name: str
    """The name of its function and method, NumPy's where NumPy has one."""
    forward: Callable[..., float]
    pullback: Callable[..., Adjoints] | None
    """`(g, y, *operands)` to the operands' adjoints; None where the result is a condition."""
    notation: str
    """How the operation prints, with {0}, {1} for its operands."""
    symbol: str
    """micrograd's `_op`, as graph drawings show it."""
    arity: int | None = 1
    """How many operands; None: any number."""
    precedence: int = 9
    """How tightly the notation binds, as in Python: 1 comparison, 3 sum, 4 product, ..., 9 call."""
    llvm: tuple[str, ...] = ()
    """Instructions on {T} vectors with operands {0}, {1}; {mask} is the type of conditions.
    Empty: a function of that name from the compiler's vector mathematics."""
    numpy: str = ""
    """The NumPy function that computes it on arrays; by default the one of the same name."""
    domain: tuple[Interval, ...] = ((-3.0, 3.0),)
    """For the tests: an interval of smooth operands for each operand."""
    kinks: tuple[tuple[float, ...], ...] = ()
    """For the tests: operands at which the derivative is a convention."""
    parameter: float | None = None
    """A static number that is part of the operation: the exponent in x**2."""
    constant: bool = False
    """Whether the result counts as a constant, so that no gradient flows to the operands: not even
    a zero, which an infinite derivative further down would turn into nan."""

    @overload
    def __call__(self, *operands: float) -> float: ...
    @overload
    def __call__(self, *operands: "Value") -> "Value": ...
    @overload
    def __call__(self, *operands: Any) -> Any: ...
    def __call__(self, *operands: Any) -> Any:
        """Apply to floats, giving a float, or to Values or traced values, giving one of them."""
        count = self.arity
        if len(operands) != count and count is not None:
            takes = "one number" if count == 1 else f"{count} numbers"
            raise TypeError(f"{self.name}() takes {takes} and got {len(operands)}; pass {takes}.")
        for operand in operands:
            if hasattr(operand, "_apply"):
                return operand._apply(self, *operands)
        return self.forward(*map(to_float, operands))

    def __repr__(self) -> str:
        setting = "" if self.parameter is None else f", {self.parameter}"
        return f"<operation {self.name}{setting}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by name: there is one object for each operation, in every process."""
        if self.parameter is None and OPERATIONS.get(self.name) is not self:
            raise PicklingError(
                f"the operation {self.name!r} is not in liftgrad.ops.OPERATIONS, by which it "
                "would be found again; add it there before pickling."
            )
        return lookup, (self.name, self.parameter)

    def __copy__(self) -> "Operation":
        return self

    def __deepcopy__(self, _memo: Any) -> "Operation":
        return self


def example(operation: Operation) -> tuple[tuple[float, ...], float]:
    """Return operands and a result of four digits, for a line that shows what an operation does."""
    operands = (0.5, 2.0)[: operation.arity]
    return operands, round(operation.forward(*operands), 4)


def _described(operation: Operation) -> str:
    if not operation.arity:
        return f"Return the {operation.name} of any number of floats, Values or traced values."
    names = ("x", "y", "z")[: operation.arity]
    text = f"Return {operation.notation.format(*names)} of floats, Values or traced values."
    if operation.name not in OPERATIONS:
        return text
    operands, result = example(operation)
    call = f"{operation.name}({', '.join(map(str, operands))})"
    return f"{text}\n\n>>> round({call}, 4)\n{result}\n"


def where(condition: Any, a: Any, b: Any) -> Any:
    """Return `a` where `condition` holds, else `b`; the other's gradient is exactly zero.

    Selecting, not multiplying by 0, keeps a nan in the branch not taken out of the gradient.

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
    # A number was chosen over a Value: the result is a Value all the same.
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
)


def _power_by_base(g: Any, a: Any, b: Any) -> Any:
    # Where b is 0, so is b·a^(b-1), also for an `a` that is nan or whose inverse is infinite; for
    # others by itself: its derivative is not 0.
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


def _softplus(a: float) -> float:
    # log(1 + exp(a)) with an exponent that is never positive; max(nan, 0.0) is nan.
    return max(a, 0.0) + math.log1p(math.exp(-abs(a)))


exp = Operation("exp", _exp, lambda g, y, a: (g * y,), "exp({0})", "exp")
expm1 = Operation("expm1", _expm1, lambda g, y, a: (g * (y + 1.0),), "expm1({0})", "expm1")
log: Operation = Operation(
    "log", _log, lambda g, y, a: (divide(g, a),), "log({0})", "log", domain=((0.3, 3.0),)
)
log1p = Operation(
    "log1p",
    _log1p,
    lambda g, y, a: (divide(g, a + 1.0),),
    "log1p({0})",
    "log1p",
    domain=((-0.7, 3.0),),
)
sqrt = Operation(
    "sqrt",
    lambda a: math.sqrt(a) if a >= 0.0 else math.nan,
    lambda g, y, a: (divide(g, y * 2.0),),
    "sqrt({0})",
    "sqrt",
    llvm=("call {T} @llvm.sqrt.{t}({T} {0})",),
    domain=((0.3, 3.0),),
)
sin = Operation(
    "sin",
    lambda a: math.sin(a) if math.isfinite(a) else math.nan,
    lambda g, y, a: (g * cos(a),),
    "sin({0})",
    "sin",
)
cos: Operation = Operation(
    "cos",
    lambda a: math.cos(a) if math.isfinite(a) else math.nan,
    lambda g, y, a: (-(g * sin(a)),),
    "cos({0})",
    "cos",
)
tanh = Operation("tanh", math.tanh, lambda g, y, a: (g * (1.0 - y * y),), "tanh({0})", "tanh")
erf = Operation(
    "erf",
    math.erf,
    lambda g, y, a: (g * (exp(-(a * a)) * (2.0 / math.sqrt(math.pi))),),
    "erf({0})",
    "erf",
)
sigmoid = Operation(
    "sigmoid", _sigmoid, lambda g, y, a: (g * (y * (1.0 - y)),), "sigmoid({0})", "sigmoid"
)
softplus = Operation(
    "softplus",
    _softplus,
    lambda g, y, a: (g * sigmoid(a),),
    "softplus({0})",
    "softplus",
)
relu = Operation(
    "relu",
    lambda a: 0.0 if a <= 0.0 else a,  # noqa: FURB136, max(0.0, nan) would be 0.0
    lambda g, y, a: (where(y <= 0.0, 0.0, g),),
    "relu({0})",
    "ReLU",
    llvm=("fcmp ole {T} {0}, {zero}", "select {mask} {-1}, {T} {zero}, {T} {0}"),
    domain=((0.2, 3.0),),
    kinks=((0.0,),),
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
    "total", _total, lambda g, y, *terms: (g,) * len(terms), "Σ({*})", "sum", arity=None
)
dot = Operation("dot", _dot, _dot_pullback, "dot({*})", "dot", arity=None)
"""a_1, ..., a_n, b_1, ..., b_n and, where their number is odd, a number to start from."""
largest = Operation(
    "largest",
    _largest,
    lambda g, y, *operands: (0.0,) * len(operands),
    "max({*})",
    "max",
    arity=None,
    constant=True,
)
"""The largest operand as a constant: no gradient flows, as the shift in softmax needs none."""

OPERATIONS: dict[str, Operation] = {
    operation.name: operation
    for operation in (
        *(add, subtract, multiply, divide, negate, power, absolute, maximum, minimum),
        *(exp, expm1, log, log1p, sqrt, sin, cos, tanh, erf, sigmoid, softplus, relu),
        *(total, dot, largest),
    )
}


def lookup(name: str, parameter: float | None = None) -> Operation:
    """Return the operation of that name, as stored in a pickle."""
    return OPERATIONS[name] if parameter is None else power_constant(parameter)


# --- conditions ------------------------------------------------------------------------------
# Comparisons of floats and Values are Python's own and give a bool. Those of traced values are
# recorded: their result, and that of the logical operations, is a condition, 1.0 or 0.0.


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
)
from_index = Operation(
    "from_index",
    float,
    lambda g, y, a: (0.0,),
    "{0}",
    "float",
    llvm=("sitofp {I} {0} to {T}",),
    numpy="float64",
)
"""An index, known at run time, as a number."""
detach = Operation(
    "detach",
    lambda a: a,
    lambda g, y, a: (0.0,),
    "{0}",
    "data",
    numpy="positive",
    constant=True,
)
"""The operand as a constant; what `.data` of a traced value is."""

CONDITIONS = frozenset({less, less_equal, equal, not_equal, logical_and, logical_or, logical_not})
LINEAR = frozenset({add, subtract, negate, select})
"""Operations whose rules take a zero adjoint to zero, whatever the operands."""
