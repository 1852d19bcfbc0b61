"""The machine that runs recorded tapes: one loop over operations, made from the table of them.

A tape is run as it is, node by node, so that graphs that never repeat cost no compiling. Each
operation's result comes from its LLVM template, each derivative from its rule, which is run once
on symbols that write instructions. Without LLVM the same is done in Python.

A node is one float64, an exact integer: its operation's code and two numbers of 23 bits. They
are the operands' numbers; for an operation on a sequence, how many operands there are and where
they begin in the list of such operands; for a number from outside, where it is in the list of
those. Lists of floats become arrays in one go.
"""

import ctypes
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from liftgrad import ops
from liftgrad.lift.kernels.llvm import LLVM
from liftgrad.lift.kernels.writer import Kernel
from liftgrad.lift.native.host import machine_code
from liftgrad.operators import Symbolic
from liftgrad.ops import Operation, where

BITS = 23
LIMIT = 1 << BITS
"""How many nodes a tape may have."""
INPUT = 0
"""The code of a number from outside."""

power_by: Operation = Operation(
    "power_by",
    ops.power.forward,
    lambda g, y, a, b: (where(b == 0.0, 0.0, g * (b * ops.power(a, b - 1.0))), 0.0),
    "{0}^{1}",
    "**",
    arity=2,
)
"""x**exponent with any constant exponent, which has a number of its own."""
_EXPONENTS = (2.0, 3.0, -1.0, -2.0, 0.5, -0.5)
TABLE: tuple[Operation, ...] = (
    *ops.OPERATIONS.values(),
    *[ops.power_constant(exponent) for exponent in _EXPONENTS],
    power_by,
)
CODES = {operation: code for code, operation in enumerate(TABLE, 1)}
OPERATION_OF = {code: operation for operation, code in CODES.items()}


class Node(NamedTuple):
    """A node taken apart."""

    code: int
    a: int
    b: int


def unpack(node: float) -> Node:
    """Return what a node holds."""
    bits = int(node)
    return Node(bits >> 2 * BITS, bits >> BITS & LIMIT - 1, bits & LIMIT - 1)


class Arrays(NamedTuple):
    """A tape's memory."""

    nodes: NDArray[np.float64]
    inputs: NDArray[np.float64]
    """Numbers from outside."""
    sequences: NDArray[np.float64]
    """The operands of operations on sequences."""
    values: NDArray[np.float64]


class PythonMachine:
    """Runs tapes with the operations' functions on floats."""

    def forward(self, arrays: Arrays, first: int, last: int) -> None:
        """Compute the values first, ..., last - 1."""
        values = arrays.values
        for i in range(first, last):
            node = unpack(arrays.nodes[i])
            if node.code == INPUT:
                values[i] = arrays.inputs[node.b]
            else:
                operation = OPERATION_OF[node.code]
                values[i] = operation.forward(*values[operands(node, arrays.sequences)].tolist())

    def backward(
        self, arrays: Arrays, grads: NDArray[np.float64], reached: NDArray[np.uint8], last: int
    ) -> None:
        """Hand adjoints on from the nodes below `last` that were reached to their operands."""
        values = arrays.values
        for i in range(last - 1, -1, -1):
            node = unpack(arrays.nodes[i])
            if not reached[i] or node.code == INPUT or OPERATION_OF[node.code].constant:
                continue
            places = operands(node, arrays.sequences)
            pullback = OPERATION_OF[node.code].pullback
            assert pullback is not None
            adjoints = pullback(float(grads[i]), float(values[i]), *values[places].tolist())
            for place, adjoint in zip(places, adjoints, strict=True):
                with np.errstate(all="ignore"):
                    grads[place] += adjoint
                reached[place] = 1


def operands(node: Node, sequences: Sequence[float] | NDArray[np.float64]) -> list[int]:
    """Return the numbers of a node's operands."""
    arity = OPERATION_OF[node.code].arity
    if arity is None:
        return [int(x) for x in sequences[node.b : node.b + node.a]]
    return [node.a, node.b][:arity]


class NativeMachine:
    """Runs tapes in machine code, with the GIL released."""

    def __init__(self, code: Any) -> None:
        texts = [_forward(), _backward()]
        self._loaded = forward, backward = code.kernels(texts)
        pointer, number = ctypes.c_void_p, ctypes.c_int64
        self._forward = ctypes.CFUNCTYPE(None, *[pointer] * 4, number, number)(forward.address)
        self._backward = ctypes.CFUNCTYPE(None, *[pointer] * 6, number)(backward.address)

    def forward(self, arrays: Arrays, first: int, last: int) -> None:
        """Compute the values first, ..., last - 1."""
        self._forward(*[x.ctypes.data for x in arrays], first, last)

    def backward(
        self, arrays: Arrays, grads: NDArray[np.float64], reached: NDArray[np.uint8], last: int
    ) -> None:
        """Hand adjoints on from the nodes below `last` that were reached to their operands."""
        self._backward(*[x.ctypes.data for x in (*arrays, grads, reached)], last)


def machine() -> NativeMachine | PythonMachine:
    """Return this process's machine: in machine code, or in Python where LLVM is missing."""
    return _machine(machine_code())


@lru_cache
def _machine(code: Any) -> NativeMachine | PythonMachine:
    return PythonMachine() if code is None else NativeMachine(code)


# --- as text ---------------------------------------------------------------------------------


class _Symbol(Symbolic):
    """A number or condition in the text: operations on it append instructions."""

    __slots__ = ("name", "text")

    def __init__(self, text: LLVM, name: str) -> None:
        self.text, self.name = text, name

    def _apply(self, operation: Operation, *operands: Any) -> "_Symbol":
        names = [_name(self.text, x) for x in operands]
        return _Symbol(self.text, self.text.apply(operation, names))

    def _constant(self, number: float) -> "_Symbol":
        return _Symbol(self.text, self.text.literal(number))


def _name(text: LLVM, x: Any) -> str:
    return x.name if isinstance(x, _Symbol) else text.literal(x)


def _element(text: LLVM, array: str, place: str, kind: str = "double") -> str:
    """Return the address of an element."""
    return text.emit(f"getelementptr {kind}, ptr {array}, i64 {place}")


def _load(text: LLVM, array: str, place: str) -> str:
    return text.emit(f"load double, ptr {_element(text, array, place)}, align 8")


def _operand(text: LLVM, place: str) -> str:
    """Return the number of an operand in the list of sequences."""
    return text.emit(f"fptosi double {_load(text, '%sequences', place)} to i64")


def _kernel(
    parameters: str,
    bounds: tuple[str, str, int],
    prelude: Callable[[LLVM, str], None],
    case: Callable[[LLVM, Operation | None, str], None],
) -> Kernel:
    """Return a loop over nodes that switches to the operation of each.

    Its parameters are the arrays, by name, and `parameters`. In its cases %a and %b are a node's
    numbers; `prelude` may branch to %next to skip a node.
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
    labels = " ".join(f"i64 {c}, label %case{c}" for c in (INPUT, *OPERATION_OF))
    lines += [f"  switch i64 {code}, label %next [ {labels} ]"]
    for number, operation in ((INPUT, None), *OPERATION_OF.items()):
        lines += [f"case{number}:"]
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


def _forward() -> Kernel:
    def case(text: LLVM, operation: Operation | None, i: str) -> None:
        if operation is None:
            result = _load(text, "%inputs", "%b")
        elif operation.arity is None:
            result = _reduced(text, operation)
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

    def value(place: str) -> str:
        where_from = text.emit(f"add i64 %b, {place}")
        return _load(text, "%values", _operand(text, where_from))

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
    # An even number of operands has no number to start from; the last one is read in vain.
    last = value(text.emit(f"select i1 {odd}, i64 {text.emit('sub i64 %a, 1')}, i64 0"))
    start = text.emit(f"select i1 {odd}, double {last}, double {text.literal(0.0)}")

    def add_product(j: str, held: list[str]) -> list[str]:
        factors = [value(j), value(text.emit(f"add i64 {half}, {j}"))]
        return [text.apply(ops.add, [held[0], text.apply(ops.multiply, factors)])]

    (result,) = text.loop("0", half, 1, [start], add_product)
    return result


def _backward() -> Kernel:
    def only_reached(text: LLVM, i: str) -> None:
        mark = text.emit(f"load i8, ptr {_element(text, '%reached', i, 'i8')}, align 1")
        reached = text.emit(f"icmp ne i8 {mark}, 0")
        text.lines += [f"  br i1 {reached}, label %take, label %next", "take:"]

    def owe(text: LLVM, place: str, adjoint: str) -> None:
        address = _element(text, "%grads", place)
        before = text.emit(f"load double, ptr {address}, align 8")
        after = text.apply(ops.add, [before, adjoint])
        text.lines.append(f"  store double {after}, ptr {address}, align 8")
        text.lines.append(f"  store i8 1, ptr {_element(text, '%reached', place, 'i8')}, align 1")

    def case(text: LLVM, operation: Operation | None, i: str) -> None:
        if operation is None or operation.constant:
            return
        g = _load(text, "%grads", i)
        if operation.arity is None:
            _pull_sequence(text, operation, g, owe)
            return
        assert operation.pullback is not None
        places = ("%a", "%b")[: operation.arity]
        names = [g, _load(text, "%values", i), *[_load(text, "%values", x) for x in places]]
        adjoints = operation.pullback(*[_Symbol(text, name) for name in names])
        for place, adjoint in zip(places, adjoints, strict=True):
            owe(text, place, _name(text, adjoint))

    return _kernel(
        "ptr %grads, ptr %reached, i64 %last",
        ("%begin", "sge i64 %i, 0", -1),
        only_reached,
        case,
    )


def _pull_sequence(
    text: LLVM, operation: Operation, g: str, owe: Callable[[LLVM, str, str], None]
) -> None:
    def place(j: str) -> str:
        return _operand(text, text.emit(f"add i64 %b, {j}"))

    if operation is ops.total:
        _each(text, "%a", lambda j: owe(text, place(j), g))
        return
    assert operation is ops.dot
    half = text.emit("lshr i64 %a, 1")

    def pull(j: str) -> None:
        left, right = place(j), place(text.emit(f"add i64 {half}, {j}"))
        a, b = _load(text, "%values", left), _load(text, "%values", right)
        owe(text, left, text.apply(ops.multiply, [g, b]))
        owe(text, right, text.apply(ops.multiply, [g, a]))

    _each(text, half, pull)
    # The number to start from, if there is one.
    _each(text, "%a", lambda j: owe(text, place(j), g), text.emit(f"shl i64 {half}, 1"))
