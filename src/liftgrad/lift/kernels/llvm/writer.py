"""The writer of LLVM IR: kernels for a processor's vectors."""

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from liftgrad.entries import PLACEHOLDER
from liftgrad.lift.ir.nests import Buffer, Nest, Program, TimeLoop
from liftgrad.lift.kernels.arguments import Arguments
from liftgrad.lift.kernels.emitter import emit
from liftgrad.lift.kernels.form import Form
from liftgrad.lift.kernels.llvm import vector_math
from liftgrad.lift.kernels.llvm.coefficients import FORMATS
from liftgrad.lift.kernels.llvm.instructions import Instructions, literal, suffix, type_of
from liftgrad.lift.kernels.llvm.target import Target
from liftgrad.lift.kernels.templates import Operand, applied
from liftgrad.lift.kernels.time_loops import emit_loop, kept_after
from liftgrad.lift.kernels.writer import Body, Element, Kernel
from liftgrad.ops import Operation


def kernel(nest: Nest, buffers: Sequence[Buffer], target: Target, dtype: str) -> Kernel:
    """Return the kernel that runs the nest; its name in the text is @kernel."""
    writer = LLVM(dtype)
    return _kernel(writer, emit(nest, buffers, writer, Vectors(writer, target)))


def _kernel(writer: "LLVM", arguments: Arguments, steps: int | None = None) -> Kernel:
    accesses, tables = arguments.accesses, arguments.tables
    text = _text(writer, len(accesses), len(tables), in_time=steps is not None)
    return Kernel(text, accesses, tables, writer.functions, steps)


def loop_kernel(
    loop: TimeLoop, buffers: Sequence[Buffer], kept: Collection[int], target: Target, dtype: str
) -> Kernel:
    """Return the kernel that runs a loop over time.

    Args:
        loop: the loop.
        buffers: the program's.
        kept: the buffers that are read after it.
        target: the processor.
        dtype: float64 or float32.

    """

    def writers() -> tuple[LLVM, Vectors]:
        writer = LLVM(dtype)
        return writer, Vectors(writer, target)

    return _kernel(*emit_loop(loop, buffers, kept, writers), loop.steps)


def kernels(program: Program, target: Target, dtype: str) -> list[Kernel]:
    """Return the kernel of each statement; it is written once for all nests of one form."""
    written: dict[Any, tuple[Kernel, list[int], list[int]]] = {}
    result = []
    buffers = program.buffers
    for statement in program.nests:
        if isinstance(statement, TimeLoop):
            kept = kept_after(statement, program)
            result.append(loop_kernel(statement, buffers, kept, target, dtype))
            continue
        form = Form(statement, buffers)
        known = written.get(form.key)
        if known is None:
            made = kernel(statement, buffers, target, dtype)
            result.append(made)
            order = [form.accesses[access] for access in made.accesses]
            written[form.key] = made, order, [form.tables[table] for table in made.tables]
            continue
        alike, order, order_of_tables = known
        accesses, tables = list(form.accesses), list(form.tables)
        result.append(
            Kernel(
                alike.text,
                [accesses[i] for i in order],
                [tables[i] for i in order_of_tables],
                alike.functions,
            )
        )
    return result


def _text(writer: "LLVM", accesses: int, tables: int, *, in_time: bool) -> str:
    """Return the whole function, which begins by reading its arguments."""
    names = [f"p{i}" for i in range(accesses)]
    names += ["n", *[f"ld{i}" for i in range(accesses)], *[f"t{i}" for i in range(tables)]]
    names += ["steps"] * in_time
    head = ["define void @kernel(ptr noalias readonly %args) {", "entry:"]
    for i, name in enumerate(names):
        type_ = "ptr" if name[0] in "pt" else "i64"
        head.append(f"  %a.{name} = getelementptr ptr, ptr %args, i64 {i}")
        head.append(f"  %{name} = load {type_}, ptr %a.{name}, align 8")
    return "\n".join([*head, *writer.lines, "  ret void", "}"])


def module_text(kernels: Iterable[Kernel], target: Target) -> str:
    """Return one module of the kernels, named @k0, @k1, ..."""
    kernels = list(kernels)
    functions = {function for kernel in kernels for function in kernel.functions}
    parts = [kernel.text.replace("@kernel(", f"@k{i}(", 1) for i, kernel in enumerate(kernels)]
    return "\n".join(
        [vector_math.definitions(functions, fma=target.fma) if functions else "", *parts]
    )


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
        return self.emit(f"load {type_}, ptr {address}, align {_BYTES[type_]}")

    def store(self, address: str, value: str) -> None:
        """Write a number to an address."""
        self.lines.append(
            f"  store {self.scalar} {value}, ptr {address}, align {_BYTES[self.scalar]}"
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


_BYTES = {"double": 8, "i64": 8, "float": 4}


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
            return self.kernel.emit(f"load {type_}, ptr {address}, align {_BYTES[scalar]}")
        return self.kernel.emit(
            f"call {type_} @llvm.masked.load.{suffix(scalar, self.width)}.p0"
            f"(ptr align {_BYTES[scalar]} {address}, {self.masks} {mask}, {type_} zeroinitializer)"
        )

    def store(self, address: str, value: str, mask: str | None) -> None:
        """Write neighbours in memory."""
        scalar = self.kernel.scalar
        if mask is None:
            text = f"store {self.number} {value}, ptr {address}, align {_BYTES[scalar]}"
        else:
            text = (
                f"call void @llvm.masked.store.{suffix(scalar, self.width)}.p0({self.number} "
                f"{value}, ptr align {_BYTES[scalar]} {address}, {self.masks} {mask})"
            )
        self.kernel.lines.append(f"  {text}")

    def gather(self, element: Element, pointer: str, positions: str, mask: str | None) -> str:
        """Return what lies at positions counted from the pointer, zero where the mask is off."""
        scalar = self.kernel.element(element)
        type_ = type_of(scalar, self.width)
        addresses = self._addresses(scalar, pointer, positions)
        return self.kernel.emit(
            f"call {type_} @llvm.masked.gather.{suffix(scalar, self.width)}.v{self.width}p0"
            f"({self.pointers} align {_BYTES[scalar]} {addresses}, "
            f"{self.masks} {mask or self.everywhere}, {type_} zeroinitializer)"
        )

    def scatter(self, pointer: str, positions: str, value: str, mask: str | None) -> None:
        """Write numbers to positions counted from the pointer."""
        scalar = self.kernel.scalar
        addresses = self._addresses(scalar, pointer, positions)
        self.kernel.lines.append(
            f"  call void @llvm.masked.scatter.{suffix(scalar, self.width)}.v{self.width}p0"
            f"({self.number} {value}, {self.pointers} align {_BYTES[scalar]} {addresses}, "
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
