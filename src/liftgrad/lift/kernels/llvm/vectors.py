"""The writer of LLVM IR: a processor's vectors."""

from collections.abc import Sequence

from liftgrad.lift.kernels.llvm.instructions import suffix, type_of
from liftgrad.lift.kernels.llvm.scalars import BYTES, LLVM
from liftgrad.lift.kernels.llvm.target import Target
from liftgrad.lift.kernels.writer import Element


class Vectors:
    """Writes instructions on a processor's vectors into a kernel."""

    def __init__(self, kernel: LLVM, target: Target) -> None:
        self.kernel = kernel
        self.width, self.registers = target.lanes(kernel.dtype), target.registers
        self.number = type_of(kernel.scalar, self.width)
        self.positions = type_of("i64", self.width)
        self.masks = type_of("i1", self.width)
        self.pointers = type_of("ptr", self.width)
        self.everywhere = "splat (i1 true)"

    # --- positions and masks -----------------------------------------------------------------

    def whole(self, step: int) -> str:
        """Return the number of samples, rounded down to a multiple of `step`."""
        count = self.kernel.emit(f"udiv i64 {self.kernel.samples()}, {step}")
        return self.kernel.emit(f"mul i64 {count}, {step}")

    def spread(self, element: Element, value: str) -> str:
        """Return one value in every lane."""
        return self._spread(self.kernel.element(element), value)

    def _spread(self, element: str, value: str) -> str:
        type_ = type_of(element, self.width)
        first = self.kernel.emit(f"insertelement {type_} poison, {element} {value}, i64 0")
        zeros = f"{type_of('i32', self.width)} zeroinitializer"
        return self.kernel.emit(f"shufflevector {type_} {first}, {type_} poison, {zeros}")

    def ramp(self, stride: int) -> str:
        """Return the positions 0, stride, 2·stride, ..."""
        return f"<{', '.join(f'i64 {i * stride}' for i in range(self.width))}>"

    def plus(self, a: str, b: str) -> str:
        """Return the sums of positions."""
        return self.kernel.emit(f"add {self.positions} {a}, {b}")

    def times(self, a: str, factor: str) -> str:
        """Return the products of positions with one."""
        factors = f"splat (i64 {factor})" if factor.isdigit() else self._spread("i64", factor)
        return self.kernel.emit(f"mul {self.positions} {a}, {factors}")

    def first(self, count: int) -> str:
        """Return the mask of the first lanes."""
        bits = ", ".join(f"i1 {'true' if i < count else 'false'}" for i in range(self.width))
        return f"<{bits}>"

    def remaining(self, index: str) -> str:
        """Return the mask of the lanes that hold samples, of which the first has this index."""
        left = self.kernel.emit(f"sub i64 {self.kernel.samples()}, {index}")
        spread = self._spread("i64", left)
        return self.kernel.emit(f"icmp slt {self.positions} {self.ramp(1)}, {spread}")

    # --- memory; mask: None for all lanes ----------------------------------------------------

    def load(self, element: Element, address: str, mask: str | None) -> str:
        """Return neighbours in memory, zero where the mask is off."""
        scalar = self.kernel.element(element)
        type_ = type_of(scalar, self.width)
        if mask is None:
            return self.kernel.emit(f"load {type_}, ptr {address}, align {BYTES[scalar]}")
        return self.kernel.emit(
            f"call {type_} @llvm.masked.load.{suffix(scalar, self.width)}.p0"
            f"(ptr align {BYTES[scalar]} {address}, {self.masks} {mask}, {type_} zeroinitializer)"
        )

    def store(self, address: str, value: str, mask: str | None) -> None:
        """Write neighbours in memory."""
        scalar = self.kernel.scalar
        if mask is None:
            text = f"store {self.number} {value}, ptr {address}, align {BYTES[scalar]}"
        else:
            text = (
                f"call void @llvm.masked.store.{suffix(scalar, self.width)}.p0({self.number} "
                f"{value}, ptr align {BYTES[scalar]} {address}, {self.masks} {mask})"
            )
        self.kernel.lines.append(f"  {text}")

    def gather(self, element: Element, pointer: str, positions: str, mask: str | None) -> str:
        """Return what lies at positions counted from the pointer, zero where the mask is off."""
        scalar = self.kernel.element(element)
        type_ = type_of(scalar, self.width)
        addresses = self._addresses(scalar, pointer, positions)
        return self.kernel.emit(
            f"call {type_} @llvm.masked.gather.{suffix(scalar, self.width)}.v{self.width}p0"
            f"({self.pointers} align {BYTES[scalar]} {addresses}, "
            f"{self.masks} {mask or self.everywhere}, {type_} zeroinitializer)"
        )

    def scatter(self, pointer: str, positions: str, value: str, mask: str | None) -> None:
        """Write numbers to positions counted from the pointer."""
        scalar = self.kernel.scalar
        addresses = self._addresses(scalar, pointer, positions)
        self.kernel.lines.append(
            f"  call void @llvm.masked.scatter.{suffix(scalar, self.width)}.v{self.width}p0"
            f"({self.number} {value}, {self.pointers} align {BYTES[scalar]} {addresses}, "
            f"{self.masks} {mask or self.everywhere})"
        )

    def _addresses(self, scalar: str, pointer: str, positions: str) -> str:
        return self.kernel.emit(
            f"getelementptr {scalar}, ptr {pointer}, {self.positions} {positions}"
        )

    # --- numbers -----------------------------------------------------------------------------

    def choose(self, mask: str, value: str, other: str) -> str:
        """Return the value where the mask is on, else the other."""
        return self.kernel.emit(
            f"select {self.masks} {mask}, {self.number} {value}, {self.number} {other}"
        )

    def shuffle(self, a: str, b: str | None, take: Sequence[int], lanes: int) -> str:
        """Return some of the lanes of a, then b, which have `lanes` each."""
        type_ = type_of(self.kernel.scalar, lanes)
        chosen = f"{type_of('i32', len(take))} <{', '.join(f'i32 {i}' for i in take)}>"
        return self.kernel.emit(f"shufflevector {type_} {a}, {type_} {b or 'poison'}, {chosen}")

    def join(self, numbers: Sequence[str]) -> str:
        """Return a vector of single numbers, with zeros in the lanes behind them."""
        vector = "zeroinitializer"
        for i, number in enumerate(numbers):
            vector = self.kernel.emit(
                f"insertelement {self.number} {vector}, {self.kernel.scalar} {number}, i64 {i}"
            )
        return vector

    def lane(self, vector: str, i: int, lanes: int) -> str:
        """Return lane i of a vector of `lanes`."""
        return self.kernel.emit(
            f"extractelement {type_of(self.kernel.scalar, lanes)} {vector}, i64 {i}"
        )
