"""Symbol: elements of a group as one symbolic number, whose operations append groups.

Rules that are written as arithmetic, derivatives and optimisers, run on symbols and leave behind
the groups that compute them. Operations on constants are carried out at once, and multiplying by 1
appends nothing, so that a rule's special cases cost nothing.
"""

from typing import Any

from liftgrad import ops
from liftgrad.lift.ir.groups import Builder, Constants, Elementwise, View, identity
from liftgrad.numbers import to_float
from liftgrad.operators import Symbolic
from liftgrad.ops import Operation


class Symbol(Symbolic):
    """Elements of a group of the program that `builder` extends, as one symbolic number."""

    __slots__ = ("builder", "view")

    def __init__(self, builder: Builder, view: View) -> None:
        self.builder = builder
        self.view = view

    def _apply(self, operation: Operation, *operands: Any) -> "Symbol":
        folded = _folded(operation, operands)
        if folded is not None:
            return folded
        builder, size, batched, views = self.builder, len(self.view.positions), False, []
        for x in operands:
            view = x.view if isinstance(x, Symbol) else builder.constant(to_float(x), size)
            batched = batched or builder.groups[view.group].batched
            views.append(view)
        group = builder.add(Elementwise(operation, tuple(views), batched))
        return Symbol(builder, View(group, identity(size)))

    def _constant(self, number: float) -> "Symbol":
        return Symbol(self.builder, self.builder.constant(number, len(self.view.positions)))

    @property
    def number(self) -> float | None:
        """The constant that all elements equal, or None."""
        group = self.builder.groups[self.view.group]
        if group.__class__ is not Constants:
            return None
        numbers = group.numbers[self.view.positions]
        if len(numbers) == 1:
            return float(numbers[0])
        first = float(numbers[0])
        return first if (numbers == first).all() else None


def _folded(operation: Operation, operands: tuple[Any, ...]) -> Symbol | None:
    """Return the result of an operation on constants, or of multiplying by 1, without a group."""
    numbers = [x.number if isinstance(x, Symbol) else x for x in operands]
    if operation is ops.multiply:
        if numbers[1] == 1.0:
            return operands[0]  # type: ignore[no-any-return]
        if numbers[0] == 1.0:
            return operands[1]  # type: ignore[no-any-return]
    if None not in numbers and operation not in ops.CONDITIONS:
        symbol = next(x for x in operands if isinstance(x, Symbol))
        return symbol._constant(operation.forward(*numbers))
    return None
