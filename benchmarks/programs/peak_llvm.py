"""The most multiply-adds that one thread of this machine can do, in float64 and full vectors."""

import ctypes

from common import fastest, report
from llvmlite import binding as llvm

from liftgrad.lift.native.compiler import host

SUMS = 12
"""Running side by side, more than a multiply-add's latency in cycles."""
TURNS = 1_000_000


def main() -> None:
    """Report the operations in a second, a multiply-add being two."""
    target = host()
    lanes = target.lanes("float64")
    kind = f"<{lanes} x double>"
    start = [
        f"%s{j} = phi {kind} [ zeroinitializer, %entry ], [ %n{j}, %head ]" for j in range(SUMS)
    ]
    turn = [
        f"%n{j} = call {kind} @llvm.fma.v{lanes}f64({kind} %a, {kind} %b, {kind} %s{j})"
        for j in range(SUMS)
    ]
    total = [
        f"%t{j + 1} = fadd {kind} {'%n0' if j == 0 else f'%t{j}'}, %n{j + 1}"
        for j in range(SUMS - 1)
    ]
    lines = [
        *(f"declare {kind} @llvm.fma.v{lanes}f64({kind}, {kind}, {kind})",),
        *("define void @peak(ptr %p, i64 %turns) {", "entry:"),
        *(f"%a = load {kind}, ptr %p, align 8", f"%b = load {kind}, ptr %p, align 8"),
        *("br label %head", "head:", "%i = phi i64 [ 0, %entry ], [ %j, %head ]", *start, *turn),
        *("%j = add i64 %i, 1", "%more = icmp slt i64 %j, %turns"),
        *("br i1 %more, label %head, label %done", "done:", *total),
        *(f"store {kind} %t{SUMS - 1}, ptr %p, align 8", "ret void", "}"),
    ]
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=target.cpu, features=target.features, opt=2
    )
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly("\n".join(lines)), machine)
    engine.finalize_object()
    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(
        engine.get_function_address("peak")
    )
    numbers = (ctypes.c_double * lanes)()
    seconds = fastest(lambda: call(ctypes.addressof(numbers), TURNS))
    report(0.0, 2 * lanes * SUMS * TURNS / seconds)


if __name__ == "__main__":
    main()
