"""Kernels in LLVM IR, for a processor's vectors."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from liftgrad.lift.ir.nests import Buffer, Nest, Program, TimeLoop
from liftgrad.lift.kernels.arguments import Arguments
from liftgrad.lift.kernels.emitter import emit
from liftgrad.lift.kernels.form import Form
from liftgrad.lift.kernels.llvm import vector_math
from liftgrad.lift.kernels.llvm.scalars import LLVM
from liftgrad.lift.kernels.llvm.target import Target
from liftgrad.lift.kernels.llvm.vectors import Vectors
from liftgrad.lift.kernels.time_loops import emit_loop, kept_after
from liftgrad.lift.kernels.writer import Kernel


def kernel(nest: Nest, buffers: Sequence[Buffer], target: Target, dtype: str) -> Kernel:
    """Return the kernel that runs the nest; its name in the text is @kernel."""
    writer = LLVM(dtype)
    return _kernel(writer, emit(nest, buffers, writer, Vectors(writer, target)))


def _kernel(writer: LLVM, arguments: Arguments, steps: int | None = None) -> Kernel:
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


def _text(writer: LLVM, accesses: int, tables: int, *, in_time: bool) -> str:
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
