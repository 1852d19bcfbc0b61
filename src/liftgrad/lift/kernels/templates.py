"""What an operation becomes in a kernel: one instruction of its template after another."""

import math
from collections.abc import Callable, Sequence

from liftgrad import ops
from liftgrad.composition import forward_of
from liftgrad.ops import Operation

Apply = Callable[[Operation, Sequence[str]], str]
Literal = Callable[[float], str]
Operand = Callable[[str], str]
"""What a word in a template's braces stands for, if it is an operand, a result or a number."""


def applied(
    operation: Operation,
    operands: Sequence[str],
    apply: Apply,
    literal: Literal,
    instruction: Callable[[str, Operand], str],
) -> str:
    """Return an operation's result.

    Args:
        operation: the operation.
        operands: its operands, as the text that stands for them.
        apply: writes one of those operations of which this one is composed.
        literal: writes a number.
        instruction: writes an instruction of the operation's template.

    """
    if operation.parameter is not None:
        return _power(operands[0], operation.parameter, apply, literal)
    if not operation.llvm:
        return forward_of(operation).evaluate(operands, apply, literal)[0]
    results: list[str] = []

    def operand(word: str) -> str:
        if not word.removeprefix("-").isdecimal():
            return literal(float(word))
        return (results if word[0] == "-" else operands)[int(word)]

    for text in operation.llvm:
        results += [instruction(text, operand)]
    return results[-1]


def _power(x: str, exponent: float, apply: Apply, literal: Literal) -> str:
    """Return x**exponent; small whole exponents multiply, as LLVM's powi does."""
    one = literal(1.0)
    if abs(exponent) <= 4.0 and exponent == int(exponent):
        result = one
        for _ in range(abs(int(exponent))):
            result = x if result == one else apply(ops.multiply, (result, x))
        return result if exponent >= 0 else apply(ops.divide, (one, result))
    if abs(exponent) == 0.5:
        # pow, unlike sqrt, takes -inf to inf and -0 to 0.
        root = apply(ops.sqrt, (apply(ops.add, (x, literal(0.0))),))
        below = apply(ops.equal, (x, literal(-math.inf)))
        root = apply(ops.select, (below, literal(math.inf), root))
        return root if exponent > 0 else apply(ops.divide, (one, root))
    return apply(ops.power, (x, literal(exponent)))


for _operation in ops.OPERATIONS.values():
    if not _operation.llvm and _operation.arity is not None:
        forward_of(_operation)  # or say at import what its entry lacks
