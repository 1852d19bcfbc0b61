"""The two loops over nodes as LLVM text: they switch to each node's operation.

Results come from the operations' templates. Derivatives come from the operations' rules, which are
run once on symbols that write instructions.
"""

from collections.abc import Callable
from typing import Any

from liftgrad import ops
from liftgrad.lift.kernels.llvm.scalars import LLVM
from liftgrad.lift.kernels.writer import Kernel
from liftgrad.lift.machine.nodes import BITS, CHOICES, INPUT, LIMIT, OPERATION_OF, Arrays, power_by
from liftgrad.operators import Symbolic
from liftgrad.ops import Operation


def forward() -> Kernel:
    """Return the kernel that computes values."""

    def case(text: LLVM, operation: Operation | None, i: str) -> None:
        if operation is None:
            result = _load(text, "%inputs", "%b")
        elif operation.arity is None:
            result = _reduced(text, operation)
        elif operation is ops.select:
            condition, a, b = (_load(text, "%values", x) for x in _sequence(text, 3))
            result = text.apply(operation, [_holds(text, condition), a, b])
        elif operation in ops.CONDITIONS:
            loaded = [_load(text, "%values", x) for x in ("%a", "%b")[: operation.arity]]
            if operation in _LOGICAL:
                loaded = [_holds(text, x) for x in loaded]
            result = text.emit(f"uitofp i1 {text.apply(operation, loaded)} to double")
        else:
            loaded = [_load(text, "%values", x) for x in ("%a", "%b")[: operation.arity]]
            applied = ops.power if operation is power_by else operation
            result = text.apply(applied, loaded)
        text.lines.append(f"  store double {result}, ptr {_element(text, '%values', i)}, align 8")

    return _kernel(
        "i64 %first, i64 %last",
        ("%first", "slt i64 %i, %last", 1),
        lambda _text, _i: None,
        case,
    )


def _reduced(text: LLVM, operation: Operation) -> str:
    """Return the result of an operation on a sequence, in the order in which eager computes it."""

    def value(j: str) -> str:
        operand = _operand(text, text.emit(f"add i64 %b, {j}"))
        return _load(text, "%values", operand)

    if operation is ops.largest:
        first = value("0")
        (result,) = text.loop(
            "0",
            "%a",
            1,
            [first],
            lambda j, held: [text.apply(ops.maximum, [held[0], value(j)])],
        )
        return result
    if operation is ops.total:
        (result,) = text.loop(
            "0",
            "%a",
            1,
            [text.literal(0.0)],
            lambda j, held: [text.apply(ops.add, [held[0], value(j)])],
        )
        return result
    assert operation is ops.dot
    half = text.emit("lshr i64 %a, 1")
    odd = text.emit("trunc i64 %a to i1")
    # An even number of operands has no number to start from; what is loaded then is not used.
    last = value(text.emit(f"select i1 {odd}, i64 {text.emit('sub i64 %a, 1')}, i64 0"))
    start = text.emit(f"select i1 {odd}, double {last}, double {text.literal(0.0)}")

    def add_product(j: str, held: list[str]) -> list[str]:
        factors = [value(j), value(text.emit(f"add i64 {half}, {j}"))]
        return [text.apply(ops.add, [held[0], text.apply(ops.multiply, factors)])]

    (result,) = text.loop("0", half, 1, [start], add_product)
    return result


def backward() -> Kernel:
    """Return the kernel that hands adjoints on to operands."""

    def only_reached(text: LLVM, i: str) -> None:
        mark = text.emit(f"load i8, ptr {_element(text, '%reached', i, 'i8')}, align 1")
        reached = text.emit(f"icmp ne i8 {mark}, 0")
        text.lines += [f"  br i1 {reached}, label %take, label %next", "take:"]

    def add_to_adjoint(text: LLVM, index: str, adjoint: str) -> None:
        address = _element(text, "%grads", index)
        before = text.emit(f"load double, ptr {address}, align 8")
        after = text.apply(ops.add, [before, adjoint])
        text.lines.append(f"  store double {after}, ptr {address}, align 8")
        text.lines.append(f"  store i8 1, ptr {_element(text, '%reached', index, 'i8')}, align 1")

    def case(text: LLVM, operation: Operation | None, i: str) -> None:
        if operation is None or operation.constant or operation in ops.CONDITIONS:
            return
        g = _load(text, "%grads", i)
        if operation is ops.select:  # whose other branch is not reached, as if it were not there
            condition, a, b = _sequence(text, 3)
            holds = _holds(text, _load(text, "%values", condition))
            add_to_adjoint(text, text.emit(f"select i1 {holds}, i64 {a}, i64 {b}"), g)
            return
        if operation.arity is None:
            _pull_sequence(text, operation, g, add_to_adjoint)
            return
        assert operation.pullback is not None
        indices = ("%a", "%b")[: operation.arity]
        names = [g, _load(text, "%values", i), *[_load(text, "%values", x) for x in indices]]
        adjoints = operation.pullback(*[_Symbol(text, name) for name in names])
        for index, adjoint in zip(indices, adjoints, strict=True):
            add_to_adjoint(text, index, _name(text, adjoint))

    return _kernel(
        "ptr %grads, ptr %reached, i64 %last",
        ("%begin", "sge i64 %i, 0", -1),
        only_reached,
        case,
    )


def _pull_sequence(
    text: LLVM, operation: Operation, g: str, add_to_adjoint: Callable[[LLVM, str, str], None]
) -> None:
    def operand(j: str) -> str:
        return _operand(text, text.emit(f"add i64 %b, {j}"))

    if operation is ops.total:
        _each(text, "%a", lambda j: add_to_adjoint(text, operand(j), g))
        return
    assert operation is ops.dot
    half = text.emit("lshr i64 %a, 1")

    def pull(j: str) -> None:
        left, right = operand(j), operand(text.emit(f"add i64 {half}, {j}"))
        a, b = _load(text, "%values", left), _load(text, "%values", right)
        add_to_adjoint(text, left, text.apply(ops.multiply, [g, b]))
        add_to_adjoint(text, right, text.apply(ops.multiply, [g, a]))

    _each(text, half, pull)
    # The number to start from, if there is one.
    start = text.emit(f"shl i64 {half}, 1")
    _each(text, "%a", lambda j: add_to_adjoint(text, operand(j), g), start)


class _Symbol(Symbolic):
    """A register of the kernel: operations on it append instructions."""

    __slots__ = ("name", "text")

    def __init__(self, text: LLVM, name: str) -> None:
        self.text, self.name = text, name

    def _apply(self, operation: Operation, *operands: Any) -> "_Symbol":
        names = [_name(self.text, x) for x in operands]
        return _Symbol(self.text, self.text.apply(operation, names))

    def _constant(self, number: float) -> "_Symbol":
        return _Symbol(self.text, self.text.literal(number))


def _kernel(
    parameters: str,
    bounds: tuple[str, str, int],
    prelude: Callable[[LLVM, str], None],
    case: Callable[[LLVM, Operation | None, str], None],
) -> Kernel:
    """Return a loop over nodes that switches to the operation of each.

    Its parameters are the arrays, by name, and `parameters`. In its cases %a and %b are a node's
    fields; `prelude` may branch to %next to skip a node.
    """
    text = LLVM("float64")
    start, inside, step = bounds
    lines = text.lines
    lines += ["  %begin = sub i64 %last, 1", "  br label %head", "head:"]
    lines += [f"  %i = phi i64 [ {start}, %entry ], [ %following, %next ]"]
    lines += [f"  %more = icmp {inside}", "  br i1 %more, label %body, label %done", "body:"]
    prelude(text, "%i")
    node = text.emit(f"fptosi double {_load(text, '%nodes', '%i')} to i64")
    code = text.emit(f"lshr i64 {node}, {2 * BITS}")
    high = text.emit(f"lshr i64 {node}, {BITS}")
    lines += [f"  %a = and i64 {high}, {LIMIT - 1}", f"  %b = and i64 {node}, {LIMIT - 1}"]
    cases = {**OPERATION_OF, **{code: operation for operation, code in CHOICES.items()}}
    labels = " ".join(f"i64 {c}, label %case{c}" for c in (INPUT, *cases))
    lines += [f"  switch i64 {code}, label %next [ {labels} ]"]
    for labelled, operation in ((INPUT, None), *cases.items()):
        lines += [f"case{labelled}:"]
        case(text, operation, "%i")
        lines += ["  br label %next"]
    lines += ["next:", f"  %following = add i64 %i, {step}", "  br label %head"]
    lines += ["done:", "  ret void", "}"]
    arrays = ", ".join(f"ptr %{name}" for name in Arrays._fields)
    head = f"define void @kernel({arrays}, {parameters}) {{\nentry:"
    return Kernel("\n".join([head, *lines]), [], [], text.functions)


def _each(text: LLVM, count: str, body: Callable[[str], None], start: str = "0") -> None:
    """Emit a loop over start, ..., count - 1."""

    def run(index: str, _: list[str]) -> list[str]:
        body(index)
        return []

    text.loop(start, count, 1, [], run)


def _name(text: LLVM, x: Any) -> str:
    return x.name if isinstance(x, _Symbol) else text.literal(x)


def _element(text: LLVM, array: str, index: str, kind: str = "double") -> str:
    """Return the address of an element."""
    return text.emit(f"getelementptr {kind}, ptr {array}, i64 {index}")


def _load(text: LLVM, array: str, index: str) -> str:
    return text.emit(f"load double, ptr {_element(text, array, index)}, align 8")


def _operand(text: LLVM, j: str) -> str:
    """Return the index of an operand from the list of sequences."""
    return text.emit(f"fptosi double {_load(text, '%sequences', j)} to i64")


def _sequence(text: LLVM, count: int) -> list[str]:
    """Return the indices of the operands of an operation on so many."""
    return [_operand(text, text.emit(f"add i64 %b, {j}")) for j in range(count)]


def _holds(text: LLVM, condition: str) -> str:
    """Return as a bit whether a condition, 1 or 0, holds."""
    return text.emit(f"fcmp une double {condition}, {text.literal(0.0)}")


_LOGICAL = {ops.logical_and, ops.logical_or, ops.logical_not}
