"""The writer of C: a kernel as a C99 function that needs no library but <math.h>.

It writes the loops of a nest as they are, one number at a time, and leaves vectors to the compiler.
"""

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from liftgrad.lift.ir.nests import Buffer, Nest, TimeLoop
from liftgrad.lift.kernels.arguments import Arguments
from liftgrad.lift.kernels.c import operations
from liftgrad.lift.kernels.emitter import emit
from liftgrad.lift.kernels.templates import Operand, applied
from liftgrad.lift.kernels.time_loops import emit_loop
from liftgrad.lift.kernels.writer import Body, Element, Kernel
from liftgrad.ops import Operation

_SCALARS = {"float64": "double", "float32": "float"}


def kernel(nest: Nest, buffers: Sequence[Buffer], dtype: str) -> Kernel:
    """Return the kernel that runs the nest; its name in the text is kernel.

    Raises:
        LiftError: if an operation's template has an instruction that has no form in C.

    """
    writer = C(dtype)
    return _kernel(writer, emit(nest, buffers, writer))


def loop_kernel(
    loop: TimeLoop, buffers: Sequence[Buffer], kept: Collection[int], dtype: str
) -> Kernel:
    """Return the kernel that runs a loop over time, given the buffers that are read after it."""
    return _kernel(*emit_loop(loop, buffers, kept, lambda: (C(dtype), None)), loop.steps)


def _kernel(writer: "C", arguments: Arguments, steps: int | None = None) -> Kernel:
    accesses, tables = arguments.accesses, arguments.tables
    text = writer.function(len(accesses), len(tables))
    return Kernel(text, accesses, tables, writer.functions, steps)


def source(kernels: Mapping[str, Kernel]) -> str:
    """Return the text of a C file that defines the kernels, each under its name here."""
    helpers = {
        (name, _SCALARS[dtype])
        for kernel in kernels.values()
        for name, _, dtype in kernel.functions
    }
    functions = [
        kernel.text.replace("void kernel(", f"void {name}(", 1) for name, kernel in kernels.items()
    ]
    head = "#include <math.h>\n#include <stdint.h>\n"
    return "\n".join([head, *operations.definitions(helpers), *functions])


class C:
    """Writes a kernel whose numbers have one dtype.

    Positions are expressions, which grow until they are used; numbers are named constants.
    """

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype
        self.scalar = _SCALARS[dtype]
        self.suffix = operations.suffix(self.scalar)
        self.lines: list[str] = []
        self.depth, self.count = 1, 0
        self.types: dict[str, str] = {}
        """What lies at each pointer among the arguments."""
        self.written: set[str] = set()
        """The pointers through which the kernel writes."""
        self.integers: set[str] = set()
        """The arguments that are integers."""
        self.functions: set[tuple[str, int, str]] = set()
        """(name, 1, dtype) of the functions that it calls."""

    def function(self, accesses: int, tables: int) -> str:
        """Return the whole function, which begins by reading its arguments."""
        lines, used = self._used_lines()
        first = {"p": 0, "n": accesses, "d": accesses + 1, "t": 2 * accesses + 1}
        first["s"] = first["t"] + tables
        head = {}
        for argument in used & {*self.types, *self.integers}:
            i = first[argument[0]] + int(re.sub(r"\D", "", argument) or 0)
            if argument in self.integers:
                head[i] = f"    const int64_t {argument} = (int64_t)(intptr_t)args[{i}];"
            else:
                constant = "" if argument in self.written else "const "
                head[i] = f"    {constant}{self.types[argument]} *const {argument} = args[{i}];"
        start = ["void kernel(void *const *args)", "{", *[head[i] for i in sorted(head)]]
        return "\n".join([*start, *lines, "}", ""])

    def _used_lines(self) -> tuple[list[str], set[str]]:
        """Return the lines without constants that nobody reads, and the names in them.

        Such are the operands of x**0, of which compilers warn.
        """
        lines: list[str] = []
        used: set[str] = set()
        for line in reversed(self.lines):
            constant = re.match(r" *const \w+ (\w+) = (.*);", line)
            if constant is None or constant[1] in used:
                used.update(re.findall(r"\w+", line if constant is None else constant[2]))
                lines.append(line)
        return lines[::-1], used

    def line(self, text: str) -> None:
        """Append a line of the function's body."""
        self.lines.append("    " * self.depth + text)

    def constant(self, type_: str, expression: str) -> str:
        """Give the value of an expression a name, and return that."""
        self.count += 1
        name = f"v{self.count}"
        self.line(f"const {type_} {name} = {expression};")
        return name

    # --- arguments ---------------------------------------------------------------------------

    def samples(self) -> str:
        """Return the number of samples."""
        self.integers.add("n")
        return "n"

    def pointer(self, access: int) -> str:
        """Return the address of an access's first element."""
        return f"p{access}"

    def distance(self, access: int) -> str:
        """Return how far apart in memory an access's elements of a batched group are."""
        self.integers.add(f"d{access}")
        return f"d{access}"

    def table(self, table: int) -> str:
        """Return the address of a table."""
        return f"t{table}"

    def steps(self) -> str:
        """Return the number of steps of a loop over time."""
        self.integers.add("steps")
        return "steps"

    # --- positions ---------------------------------------------------------------------------

    def plus(self, a: str, b: str) -> str:
        """Return the sum of two positions."""
        return f"{a} - {b[1:]}" if b.startswith("-") else f"{a} + {b}"

    def times(self, a: str, factor: str) -> str:
        """Return the product of two positions."""
        return f"{factor} * ({a})" if " " in a else f"{factor} * {a}"

    # --- memory ------------------------------------------------------------------------------

    def address(self, element: Element, pointer: str, position: str) -> str:
        """Return an element of the array that begins at the pointer."""
        self.types[pointer] = self.scalar if element == "number" else "int64_t"
        return f"{pointer}[{position}]"

    def load(self, element: Element, address: str) -> str:
        """Return the value of an element."""
        return self.constant(self.scalar if element == "number" else "int64_t", address)

    def store(self, address: str, value: str) -> None:
        """Set an element."""
        self.written.add(address.partition("[")[0])
        self.line(f"{address} = {value};")

    # --- numbers -----------------------------------------------------------------------------

    def literal(self, value: float, _lanes: int = 1) -> str:
        """Return a number, rounded to the kernel's dtype."""
        if math.isnan(value):
            return "NAN"
        with np.errstate(over="ignore"):
            rounded = np.dtype(self.dtype).type(value)
        text = "INFINITY" if math.isinf(rounded) else str(abs(rounded)) + self.suffix
        return text if math.copysign(1.0, value) > 0.0 else f"(-{text})"

    def apply(self, operation: Operation, operands: Sequence[str], _lanes: int = 1) -> str:
        """Return an operation's result."""
        return applied(operation, operands, self.apply, self.literal, self._instruction)

    def _instruction(self, text: str, operand: Operand) -> str:
        """Return the result of an instruction of an LLVM template."""
        form = operations.form(text)
        if form.helper:
            self.functions.add((form.helper, 1, self.dtype))
        operands = ["1" if word == "true" else operand(word) for word in form.operands]
        expression = form.expression.format(*operands, T=self.scalar, f=self.suffix)
        return self.constant("int" if form.condition else self.scalar, expression)

    def multiply_add(self, a: str, b: str, c: str, _lanes: int = 1) -> str:
        """Return a·b + c."""
        return self.constant(self.scalar, f"{c} + {a} * {b}")

    # --- control -----------------------------------------------------------------------------

    def loop(
        self,
        start: str,
        stop: str,
        step: int,
        carried: Sequence[str],
        body: Body,
        _lanes: int | Sequence[int] = 1,
    ) -> list[str]:
        """Write a loop that carries numbers, given the initial ones; return the last ones."""
        self.count += 1
        index = f"i{self.count}"
        names = [f"c{self.count}{f'_{j}' if j else ''}" for j in range(len(carried))]
        for name, initial in zip(names, carried, strict=True):
            self.line(f"{self.scalar} {name} = {initial};")
        forward = f"++{index}" if step == 1 else f"{index} += {step}"
        self.line(f"for (int64_t {index} = {start}; {index} < {stop}; {forward}) {{")
        self.depth += 1
        results = body(index, names)
        # What is carried on to another's name is read before that one changes.
        results = [self.constant(self.scalar, x) if x in names else x for x in results]
        for name, result in zip(names, results, strict=True):
            self.line(f"{name} = {result};")
        self.depth -= 1
        self.line("}")
        return names

    def within(self, index: str, start: str, stop: str, body: Callable[[], None]) -> None:
        """Write what is done where an index is from `start` up to, not including, `stop`."""
        self.line(f"if ({start} <= {index} && {index} < {stop}) {{")
        self.depth += 1
        body()
        self.depth -= 1
        self.line("}")
