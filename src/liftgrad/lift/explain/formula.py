"""Formula: expressions as mathematics, with the parentheses that they need.

    comparison = sum ["<" sum],   "not" comparison, "and" and "or" as in Python
    sum        = product {("+" | "-") product}
    product    = prefix {("·" | "/") prefix}
    prefix     = "-" prefix | "Σ_k" product | power
    power      = operand ["²" | "^" operand]
    operand    = number | name | call | "(" [name ":="] comparison ")" | "|" comparison "|"

The precedence of an operation stands in the table of operations, with its notation. A few more
parentheses than the grammar needs help the eye: (a / b)·c, a·(-b).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import assert_never

from liftgrad import ops
from liftgrad.lift.ir.nests import Access, Apply, Expression, Load, Number, Reduce
from liftgrad.ops import Operation

_NAMED, _SUM, _PRODUCT, _PREFIX, _POWER, _CALL = 0, 3, 4, 5, 6, 9
_SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


@dataclass(frozen=True, slots=True)
class Text:
    """An expression's text, and what decides its parentheses within a larger one."""

    text: str
    precedence: int = _CALL
    open: bool = False
    """It ends in the body of a Σ, into which a factor after it would be read."""
    quotient: bool = False

    def within(self, least: int) -> str:
        """Return the text, in parentheses if it binds less tightly than `least`."""
        return f"({self.text})" if self.precedence < least else self.text


def formula(
    expression: Expression,
    load: Callable[[Access], Text],
    over: Callable[[Reduce], str],
    name: Callable[[Expression], str | None] = lambda _: None,
) -> Text:
    """Return an expression's text.

    Args:
        expression: of a nest.
        load: gives the text of an access.
        over: gives the letters of a reduction's indices, such as "k".
        name: gives the name that introduces a subexpression, if it has one.

    """

    def visit(x: Expression) -> Text:
        text = plain(x)
        introduced = name(x)
        return text if introduced is None else Text(f"{introduced} := {text.text}", _NAMED)

    def plain(x: Expression) -> Text:
        match x:
            case Number(value=value):
                return literal(value)
            case Load(access=access):
                return load(access)
            case Apply(operation=operation, operands=operands):
                return applied(operation, [visit(operand) for operand in operands])
            case Reduce(kind=kind, body=body):
                return reduced(kind, over(x), visit(body))
            case _:
                assert_never(x)

    return visit(expression)


def literal(value: float) -> Text:
    """Return a number's shortest text."""
    text = ops.shortest(value).replace("inf", "∞")
    return Text(text, _PREFIX if math.copysign(1.0, value) < 0.0 else _CALL)


def reduced(kind: str, indices: str, body: Text) -> Text:
    """Return a sum or maximum over the indices; the body alone if there are none."""
    if not indices:
        return body
    if kind == "max":
        return Text(f"max_{indices}({body.text})")
    inner = f"({body.text})" if body.quotient or _signed(body) else body.within(_PRODUCT)
    return Text(f"Σ_{indices} {inner}", _PREFIX, open=True)


def applied(operation: Operation, operands: Sequence[Text]) -> Text:
    """Return an operation's text."""
    notation, binds = operation.notation, operation.precedence
    if notation == "{0}" or operation.parameter == 1.0:  # x¹, of the derivative of x², is x
        return operands[0]
    if operation is ops.multiply and _same(*operands):
        return Text(f"{operands[0].within(_POWER + 1)}²", _POWER)
    if operation.parameter is not None:
        base, exponent = notation.rsplit("^", 1)
        if exponent.lstrip("-").isdigit():
            notation = base + exponent.translate(_SUPERSCRIPTS)
    if binds == _CALL:
        return Text(notation.format(*[_enclosed(operation, x) for x in operands]))
    last = len(operands) - 1
    texts = [_operand(operation, x, i, last) for i, x in enumerate(operands)]
    return Text(
        notation.format(*texts),
        binds,
        open=texts[last] == operands[last].text and operands[last].open,
        quotient=operation is ops.divide,
    )


def _operand(operation: Operation, x: Text, i: int, last: int) -> str:
    """Return operand i of 0, ..., last as it stands beside an operation's sign."""
    binds = operation.precedence
    if operation is ops.negate:
        enough = x.precedence >= binds and not x.text.startswith("-")
    elif i == 0 < last:
        # Only sums and products associate to the left.
        same = x.precedence == binds and binds in (_SUM, _PRODUCT)
        enough = x.precedence > binds or same
        enough &= not (x.open and binds >= _PRODUCT)
        enough &= not (x.quotient and operation is ops.multiply)
    elif i == 0:
        enough = x.precedence > binds
    else:
        enough = x.precedence > binds and not _signed(x)
    return x.text if enough else f"({x.text})"


def _enclosed(operation: Operation, x: Text) -> str:
    """Return an operand as it stands in a call, or between bars, which do not nest."""
    bars = operation is ops.absolute and "|" in x.text
    return f"({x.text})" if bars else x.text


def _same(a: Text, b: Text) -> bool:
    return a.text == b.text and ":=" not in a.text


def _signed(x: Text) -> bool:
    return x.text.startswith("-")
