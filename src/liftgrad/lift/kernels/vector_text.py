"""Arithmetic on vectors that writes itself down as the LLVM IR text of a function's body."""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from liftgrad.lift.kernels.coefficients import DOUBLE, FLOAT, Format


class Body:
    """The lines of a function on vectors of one width."""

    def __init__(self, width: int, *, fma: bool) -> None:
        self.width, self.fma = width, fma
        self.lines: list[str] = []

    def type(self, element: str) -> str:
        """Return the type of a vector of elements."""
        return element if self.width == 1 else f"<{self.width} x {element}>"

    def emit(self, element: str, instruction: str) -> "Vector":
        """Append an instruction; return its result."""
        name = f"%v{len(self.lines)}"
        self.lines.append(f"  {name} = {instruction}")
        return Vector(self, name, element)


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
        """Whether the elements are floating-point numbers."""
        return self.element in {"double", "float"}

    @property
    def format(self) -> Format:
        """The floating-point format of the elements, or of integers as wide."""
        return FLOAT if self.element in {"float", "i32"} else DOUBLE

    def like(self, x: "Operand") -> "Vector":
        """Return a number as a vector of this type, with the number in every lane."""
        if isinstance(x, Vector):
            return x
        text = f"{x}"
        if self.is_number:
            code = self.element[0]
            text = f"0x{DOUBLE.bits(struct.unpack(code, struct.pack(code, x))[0]):016X}"
        text = text if self.body.width == 1 else f"splat ({self.element} {text})"
        return Vector(self.body, text, self.element)

    def apply(self, instruction: str, *others: "Operand", result: str = "") -> "Vector":
        """Append an instruction on this and other vectors of the same type."""
        operands = ", ".join(self.like(x).name for x in (self, *others))
        return self.body.emit(result or self.element, f"{instruction} {self.type} {operands}")

    def intrinsic(self, name: str, *others: "Operand") -> "Vector":
        """Append a call of LLVM's intrinsic on this and other vectors of the same type."""
        operands = ", ".join(f"{self.type} {self.like(x).name}" for x in (self, *others))
        overload = f"{f'v{self.body.width}' if self.body.width > 1 else ''}{self.format.suffix}"
        return self.body.emit(self.element, f"call {self.type} @llvm.{name}.{overload}({operands})")

    def cast(self, instruction: str, element: str) -> "Vector":
        """Append a conversion to a vector of other elements."""
        target = self.body.type(element)
        return self.body.emit(element, f"{instruction} {self.type} {self.name} to {target}")

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
    return mask.body.emit(typed.element, f"select {mask.type} {mask.name}, {choices}")


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


# --- exp and its relatives --------------------------------------------------------------------
