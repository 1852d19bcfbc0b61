"""The writer of LLVM IR: single numbers, and the loops and arguments of kernels of all kinds."""

import re
from collections.abc import Callable, Sequence

from liftgrad.entries import PLACEHOLDER
from liftgrad.lift.kernels.llvm import vector_math
from liftgrad.lift.kernels.llvm.coefficients import FORMATS
from liftgrad.lift.kernels.llvm.instructions import Instructions, literal, suffix, type_of
from liftgrad.lift.kernels.templates import Operand, applied
from liftgrad.lift.kernels.writer import Body, Element
from liftgrad.ops import Operation

BYTES = {"double": 8, "i64": 8, "float": 4}
"""The sizes of what lies in memory."""


class LLVM(Instructions):
    """Writes a kernel whose numbers have one dtype."""

    def __init__(self, dtype: str) -> None:
        super().__init__()
        self.dtype = dtype
        self.scalar = FORMATS[dtype].element
        self.functions: set[tuple[str, int, str]] = set()
        """(name, width, dtype) of the vector mathematics that is called."""

    # --- arguments ---------------------------------------------------------------------------

    def samples(self) -> str:
        """Return the number of samples."""
        return "%n"

    def pointer(self, access: int) -> str:
        """Return the address of an access's first element."""
        return f"%p{access}"

    def distance(self, access: int) -> str:
        """Return how far apart in memory an access's elements of a batched group are."""
        return f"%ld{access}"

    def table(self, table: int) -> str:
        """Return the address of a table."""
        return f"%t{table}"

    def steps(self) -> str:
        """Return the number of steps of a loop over time."""
        return "%steps"

    # --- positions ---------------------------------------------------------------------------

    def plus(self, a: str, b: str) -> str:
        """Return the sum of two positions."""
        return self.emit(f"add nsw i64 {a}, {b}")

    def times(self, a: str, factor: str) -> str:
        """Return the product of two positions."""
        return self.emit(f"mul nsw i64 {a}, {factor}")

    # --- memory ------------------------------------------------------------------------------

    def element(self, element: Element) -> str:
        """Return the type of what lies in memory."""
        return "i64" if element == "index" else self.scalar

    def address(self, element: Element, pointer: str, position: str) -> str:
        """Return the address of an element, counted from the pointer."""
        if position == "0":
            return pointer
        type_ = self.element(element)
        return self.emit(f"getelementptr {type_}, ptr {pointer}, i64 {position}")

    def load(self, element: Element, address: str) -> str:
        """Return what lies at an address."""
        type_ = self.element(element)
        return self.emit(f"load {type_}, ptr {address}, align {BYTES[type_]}")

    def store(self, address: str, value: str) -> None:
        """Write a number to an address."""
        self.lines.append(
            f"  store {self.scalar} {value}, ptr {address}, align {BYTES[self.scalar]}"
        )

    # --- numbers -----------------------------------------------------------------------------

    def literal(self, value: float, lanes: int = 1) -> str:
        """Return a number, rounded to the kernel's dtype, in all lanes."""
        return literal(value, self.scalar, lanes)

    def apply(self, operation: Operation, operands: Sequence[str], lanes: int = 1) -> str:
        """Return an operation's result."""

        def fill(found: re.Match[str], operand: Operand) -> str:
            word = found[1]
            if found[0].startswith("@"):
                self.functions.add((word, lanes, self.dtype))
                return vector_math.symbol(word, lanes, self.dtype)
            return words[word] if word in words else operand(word)

        words = self._words(lanes)
        return applied(
            operation,
            operands,
            lambda other, given: self.apply(other, given, lanes),
            lambda value: self.literal(value, lanes),
            lambda text, operand: self.emit(PLACEHOLDER.sub(lambda x: fill(x, operand), text)),
        )

    def _words(self, lanes: int) -> dict[str, str]:
        """Return what the words of a template stand for."""
        return {
            "T": type_of(self.scalar, lanes),
            "I": type_of("i64", lanes),
            "t": suffix(self.scalar, lanes),
            "mask": type_of("i1", lanes),
            "true": "true" if lanes == 1 else "splat (i1 true)",
        }

    def multiply_add(self, a: str, b: str, c: str, lanes: int = 1) -> str:
        """Return a·b + c, rounded once where that is as fast."""
        type_ = type_of(self.scalar, lanes)
        return self.emit(
            f"call contract {type_} @llvm.fmuladd.{suffix(self.scalar, lanes)}"
            f"({type_} {a}, {type_} {b}, {type_} {c})"
        )

    # --- control -----------------------------------------------------------------------------

    def loop(
        self,
        start: str,
        stop: str,
        step: int,
        carried: Sequence[str],
        body: Body,
        lanes: int | Sequence[int] = 1,
    ) -> list[str]:
        """Write a loop that carries numbers, given the initial ones; return the last ones."""
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
        results = body(index, names)
        following = self.emit(f"add nuw nsw i64 {index}, {step}")
        self.lines += [f"  br label %{label}.latch", f"{label}.latch:", f"  br label %{label}"]
        self.lines += [f"{label}.exit:"]
        each = [lanes] * len(names) if isinstance(lanes, int) else lanes
        types = [type_of(self.scalar, n) for n in each]
        phis = [
            (index, "i64", start, following),
            *zip(names, types, carried, results, strict=True),
        ]
        self.lines[head:head] = [
            f"  {name} = phi {type_} [ {first}, %{entry} ], [ {later}, %{label}.latch ]"
            for name, type_, first, later in phis
        ]
        return names

    def within(self, index: str, start: str, stop: str, body: Callable[[], None]) -> None:
        """Write what is done where an index is from `start` up to, not including, `stop`."""
        self.count += 1
        label = f"w{self.count}"
        begun = self.emit(f"icmp sle i64 {start}, {index}")
        going = self.emit(f"icmp slt i64 {index}, {stop}")
        inside = self.emit(f"and i1 {begun}, {going}")
        self.lines += [f"  br i1 {inside}, label %{label}.body, label %{label}.end"]
        self.lines += [f"{label}.body:"]
        body()
        self.lines += [f"  br label %{label}.end", f"{label}.end:"]
