"""LLVM IR text as it grows, and arithmetic on vectors that writes itself as such text."""

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from liftgrad.lift.kernels.llvm.coefficients import DOUBLE, FLOAT, Format


def type_of(element: str, lanes: int) -> str:
    """Return the type of a value, which is a vector if it has more than one lane.

    >>> type_of("double", 1), type_of("i64", 8)
    ('double', '<8 x i64>')
    """
    return element if lanes == 1 else f"<{lanes} x {element}>"


def suffix(element: str, lanes: int) -> str:
    """Return the ending of an intrinsic's name for values of a type."""
    short = {"double": "f64", "float": "f32"}.get(element, element)
    return short if lanes == 1 else f"v{lanes}{short}"


def literal(value: float, element: str, lanes: int) -> str:
    """Return a number or an integer, rounded to its type, in every lane."""
    text = f"{value}"
    if element in {"double", "float"}:
        text = f"0x{DOUBLE.bits(rounded(value, element)):016X}"
    return text if lanes == 1 else f"splat ({element} {text})"


def rounded(value: float, element: str) -> float:
    """Return a number rounded to a floating-point type."""
    if element == "double":
        return value
    try:
        return float(struct.unpack("f", struct.pack("f", value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


class Instructions:
    """Appends instructions to a function's text; each method returns the name of the result."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.count = 0

    def emit(self, instruction: str) -> str:
        """Append an instruction that has a result."""
        self.count += 1
        name = f"%v{self.count}"
        self.lines.append(f"  {name} = {instruction}")
        return name


class Body(Instructions):
    """The body of a function on vectors of one width.

    Args:
        width: the lanes of a vector; 1: the function is one on scalars.
        fma: whether the processor multiplies and adds in one instruction.

    """

    def __init__(self, width: int, *, fma: bool) -> None:
        super().__init__()
        self.width, self.fma = width, fma

    def type(self, element: str) -> str:
        """Return the type of a vector of elements."""
        return type_of(element, self.width)

    def vector(self, element: str, instruction: str) -> "Vector":
        """Append an instruction whose result is a vector."""
        return Vector(self, self.emit(instruction), element)


Operator = Callable[["Vector", "Operand"], "Vector"]


def _operator(integers: str, numbers: str, result: str = "") -> Operator:
    """Return the method that appends the instruction for integers or for numbers."""
    return lambda x, y: x.apply(numbers if x.is_number else integers, y, result=result)


@dataclass(frozen=True, slots=True, eq=False)
class Vector:
    """A vector in a function's body; arithmetic on it appends instructions."""

    body: Body
    name: str
    element: str

    @property
    def type(self) -> str:
        """The LLVM type of this vector."""
        return self.body.type(self.element)

    @property
    def is_number(self) -> bool:
        """Whether the elements are floats, not integers or conditions."""
        return self.element in {"double", "float"}

    @property
    def format(self) -> Format:
        """The floating-point format of the elements, or of integers as wide."""
        return FLOAT if self.element in {"float", "i32"} else DOUBLE

    def like(self, x: "Operand") -> "Vector":
        """Return a vector of this type with a number in every lane."""
        if isinstance(x, Vector):
            return x
        return Vector(self.body, literal(x, self.element, self.body.width), self.element)

    def apply(self, instruction: str, *others: "Operand", result: str = "") -> "Vector":
        """Append an instruction on this and other vectors of the same type."""
        operands = ", ".join(self.like(x).name for x in (self, *others))
        return self.body.vector(result or self.element, f"{instruction} {self.type} {operands}")

    def intrinsic(self, name: str, *others: "Operand") -> "Vector":
        """Append a call of LLVM's intrinsic on this and other vectors of the same type."""
        operands = ", ".join(f"{self.type} {self.like(x).name}" for x in (self, *others))
        overload = suffix(self.element, self.body.width)
        return self.body.vector(
            self.element, f"call {self.type} @llvm.{name}.{overload}({operands})"
        )

    def cast(self, instruction: str, element: str) -> "Vector":
        """Append a conversion to a vector of other elements."""
        target = self.body.type(element)
        return self.body.vector(element, f"{instruction} {self.type} {self.name} to {target}")

    def bits(self) -> "Vector":
        """Return the integers that represent these numbers."""
        return self.cast("bitcast", self.format.integer)

    def number(self) -> "Vector":
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

    def __rsub__(self, other: float) -> "Vector":
        return self.like(other) - self

    def __neg__(self) -> "Vector":
        return self.apply("fneg")

    def __abs__(self) -> "Vector":
        return self.intrinsic("fabs")


Operand = Vector | float


def where(mask: Vector, x: Operand, y: Operand) -> Vector:
    """Return x in the lanes where the mask is set, y elsewhere; one of them is a vector."""
    typed = x if isinstance(x, Vector) else y
    assert isinstance(typed, Vector)
    choices = ", ".join(f"{typed.type} {typed.like(z).name}" for z in (x, y))
    return mask.body.vector(typed.element, f"select {mask.type} {mask.name}, {choices}")


def multiply_add(x: Vector, y: Operand, z: Operand) -> Vector:
    """Return x y + z, rounded once where the processor can."""
    return x.intrinsic("fma", y, z) if x.body.fma else x * y + z


def polynomial(x: Vector, coefficients: Sequence[float]) -> Vector:
    """Return the polynomial in x by Horner's rule, the lowest coefficient first."""
    result = x.like(coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        result = multiply_add(result, x, coefficient)
    return result


def two_sum(x: Vector, y: Operand) -> tuple[Vector, Vector]:
    """Return x + y and its rounding error (Knuth)."""
    total = x + y
    part = total - x
    return total, (x - (total - part)) + (x.like(y) - part)


def fast_two_sum(x: Vector, y: Operand) -> tuple[Vector, Vector]:
    """Return x + y and its rounding error, if |x| >= |y| or x = 0 (Dekker)."""
    total = x + y
    return total, x.like(y) - (total - x)


def two_product(x: Vector, y: Operand) -> tuple[Vector, Vector]:
    """Return x y of doubles and its rounding error, from their halves if need be (Dekker)."""
    product = x * y
    if x.body.fma:
        return product, multiply_add(x, y, -product)
    halves = [(z.bits() & -(1 << 27)).number() for z in (x, x.like(y))]
    (a, b), (c, d) = (halves[0], x - halves[0]), (halves[1], x.like(y) - halves[1])
    return product, (a * c - product) + a * d + b * c + b * d
