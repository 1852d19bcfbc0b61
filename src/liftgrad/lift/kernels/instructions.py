"""The text of a kernel as it grows: instructions on scalars, and on vectors of one width."""

import re
import struct
from collections.abc import Callable, Sequence

import numpy as np

from liftgrad import ops
from liftgrad.composition import forward_of
from liftgrad.entries import PLACEHOLDER
from liftgrad.errors import LiftError
from liftgrad.lift.kernels import vector_math
from liftgrad.lift.kernels.target import Target


class Instructions:
    """Appends instructions to a kernel's text; each method returns the name of the result."""

    def __init__(self, target: Target, dtype: str) -> None:
        self.target, self.dtype = target, dtype
        self.scalar = "double" if dtype == "float64" else "float"
        self.width = target.lanes(dtype)
        self.lines: list[str] = []
        self.count = 0
        self.functions: set[tuple[str, int, str]] = set()
        """(name, width, dtype) of the vector mathematics that is called."""
        self.memo: dict[object, str] = {}
        """What the block at hand has computed."""
        self.vector: tuple[str, int] | None = None
        """The dimension along which values are vectors at present; None: they are scalars."""

    def emit(self, instruction: str) -> str:
        """Append an instruction; return the name of its result."""
        self.count += 1
        name = f"%v{self.count}"
        self.lines.append(f"  {name} = {instruction}")
        return name

    def once(self, key: object, instruction: Callable[[], str]) -> str:
        """Return the value for a key, made on first use within the block."""
        if key not in self.memo:
            self.memo[key] = instruction()
        return self.memo[key]

    def loop(
        self,
        start: str,
        stop: str,
        step: int,
        carried: list[tuple[str, str]],
        body: Callable[[str, list[str]], list[str]],
    ) -> list[str]:
        """Emit a loop with values carried through it, as (type, initial value); return the last."""
        self.count += 1
        label = f"l{self.count}"
        entry = f"{label}.entry"
        self.lines += [f"  br label %{entry}", f"{entry}:", f"  br label %{label}", f"{label}:"]
        head = len(self.lines)
        index = f"%i{self.count}"
        names = [f"%c{self.count}.{j}" for j in range(len(carried))]
        inside = self.emit(f"icmp slt i64 {index}, {stop}")
        self.lines += [f"  br i1 {inside}, label %{label}.body, label %{label}.exit"]
        self.lines += [f"{label}.body:"]
        saved, self.memo = self.memo, dict(self.memo)
        results = body(index, names)
        self.memo = saved
        following = self.emit(f"add nuw nsw i64 {index}, {step}")
        self.lines += [f"  br label %{label}.latch", f"{label}.latch:", f"  br label %{label}"]
        self.lines += [f"{label}.exit:"]
        phis = [f"  {index} = phi i64 [ {start}, %{entry} ], [ {following}, %{label}.latch ]"]
        for name, (kind, initial), result in zip(names, carried, results, strict=True):
            phis.append(
                f"  {name} = phi {kind} [ {initial}, %{entry} ], [ {result}, %{label}.latch ]"
            )
        self.lines[head:head] = phis
        return names

    @property
    def lanes(self) -> int:
        """How many lanes values have at present."""
        return 1 if self.vector is None else self.width

    def type(self, element: str) -> str:
        """Return the type of values whose elements are of a type."""
        return element if self.vector is None else f"<{self.width} x {element}>"

    def suffix(self, element: str = "") -> str:
        """Return the ending of an intrinsic's name for values of a type."""
        short = element or ("f64" if self.dtype == "float64" else "f32")
        return short if self.vector is None else f"v{self.width}{short}"

    def splat(self, element: str, value: str) -> str:
        """Return a scalar in every lane."""
        if self.vector is None:
            return value
        kind = self.type(element)
        first = self.emit(f"insertelement {kind} poison, {element} {value}, i64 0")
        zeros = f"<{self.width} x i32> zeroinitializer"
        return self.emit(f"shufflevector {kind} {first}, {kind} poison, {zeros}")

    def literal(self, value: float) -> str:
        """Return a number as an operand, rounded to the dtype."""
        if self.dtype == "float32":
            with np.errstate(over="ignore"):
                value = float(np.float32(value))
        text = f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"
        return text if self.vector is None else f"splat ({self.scalar} {text})"

    def plus(self, a: str, b: str) -> str:
        """Return the sum of two integers, either of which may be "0"."""
        return b if a == "0" else a if b == "0" else self.emit(f"add nsw i64 {a}, {b}")

    def weighted(self, terms: list[tuple[str, int]]) -> str:
        """Return a sum of integers, each times its stride."""
        total = "0"
        for value, stride in terms:
            if value == "0":
                continue
            part = self.once(
                ("times", value, stride),
                lambda v=value, s=stride: v if s == 1 else self.emit(f"mul nsw i64 {v}, {s}"),  # type: ignore[misc]
            )
            before = total
            total = (
                part
                if before == "0"
                else self.once(
                    ("plus", before, part),
                    lambda b=before, p=part: self.emit(f"add nsw i64 {b}, {p}"),  # type: ignore[misc]
                )
            )
        return total

    def apply(self, operation: ops.Operation, operands: Sequence[str]) -> str:
        """Return an operation's result, by its template or by what it is composed of."""
        if operation.parameter is not None:
            return self.power(operands[0], operation.parameter)
        if not operation.llvm:
            return forward_of(operation).evaluate(operands, self.apply, self.literal)[0]
        results: list[str] = []

        def fill(found: re.Match[str]) -> str:
            word = found[1]
            if found[0].startswith("@"):
                return self.function(word)
            if word in words:
                return words[word]
            if word.removeprefix("-").isdecimal():
                index = int(word)
                return operands[index] if word[0] != "-" else results[index]
            return self.literal(float(word))

        words = self.words()
        for line in operation.llvm:
            results += [self.emit(PLACEHOLDER.sub(fill, line))]
        return results[-1]

    def words(self) -> dict[str, str]:
        """Return what the words of a template stand for."""
        return {
            "T": self.type(self.scalar),
            "I": self.type("i64"),
            "t": self.suffix(),
            "mask": self.type("i1"),
            "true": "true" if self.vector is None else "splat (i1 true)",
        }

    def function(self, name: str) -> str:
        """Return the name of a function of vector mathematics, which the kernel needs then."""
        self.functions.add((name, self.lanes, self.dtype))
        return vector_math.symbol(name, self.lanes, self.dtype)

    def power(self, x: str, exponent: float) -> str:
        """Return x**exponent; small whole exponents multiply, as LLVM's powi does."""
        kind = self.type(self.scalar)
        one = self.literal(1.0)
        if exponent == int(exponent) if abs(exponent) <= 4.0 else False:
            result = one
            for _ in range(abs(int(exponent))):
                result = x if result == one else self.emit(f"fmul {kind} {result}, {x}")
            return result if exponent >= 0 else self.emit(f"fdiv {kind} {one}, {result}")
        if abs(exponent) == 0.5:
            # pow, unlike sqrt, takes -inf to inf and -0 to 0.
            positive = self.emit(f"fadd {kind} {x}, {self.literal(0.0)}")
            root = self.emit(f"call {kind} @llvm.sqrt.{self.suffix()}({kind} {positive})")
            infinite = self.literal(float("inf"))
            below = self.emit(f"fcmp oeq {kind} {x}, {self.literal(float('-inf'))}")
            root = self.emit(f"select {self.type('i1')} {below}, {kind} {infinite}, {kind} {root}")
            return root if exponent > 0 else self.emit(f"fdiv {kind} {one}, {root}")
        return self.emit(
            f"call {kind} {self.function('power')}({kind} {x}, {kind} {self.literal(exponent)})"
        )


def check(operation: ops.Operation) -> None:
    """Raise LiftError if instructions cannot be had from an operation's entry."""
    called = {x[1] for x in PLACEHOLDER.finditer(" ".join(operation.llvm)) if x[0][0] == "@"}
    for name in called - vector_math.FUNCTIONS:
        raise LiftError(
            f"the entry of the operation {operation.name!r} calls @{{{name}}}, which is no "
            "function of vector mathematics; write it in lift/kernels/vector_math.py."
        )
    if not operation.llvm and operation.arity is not None:
        forward_of(operation)


for _operation in ops.OPERATIONS.values():
    check(_operation)
