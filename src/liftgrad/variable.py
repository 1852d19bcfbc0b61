"""Variable: a number while a derivative is taken with respect to it.

`grad` and the other derivatives run a function on Variables, which record the operations on them
and compute on their primals.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from liftgrad import ops
from liftgrad.functional import uniform
from liftgrad.operators import Operators
from liftgrad.ops import Operation

creation_order = itertools.count()
"""Numbers levels and Variables in the order of their creation."""


class Variable(Operators):
    """A number while a derivative is taken with respect to it, or to a number it depends on.

    Its level says which derivative. An operation on Variables of several levels belongs to the
    innermost one, the highest level, to which the others are constants. So the derivatives of
    nested functions cannot be confused.
    """

    __slots__ = ("_conditions", "_level", "_order", "_prev", "_pullback", "primal")

    primal: Any
    """The number itself: a float, Value, traced value or Variable of a lower level."""
    _prev: tuple[Any, ...]
    """The operands; none for a Variable that the derivative is taken with respect to."""

    def __init__(
        self,
        primal: Any,
        level: int,
        _prev: tuple[Any, ...] = (),
        _pullback: Callable[..., Any] | None = None,
        _conditions: Callable[[], Sequence[Any]] | None = None,
    ) -> None:
        self.primal = primal
        self._level = level
        self._order = next(creation_order)
        self._prev = _prev
        self._pullback = _pullback
        self._conditions = _conditions

    def _apply(self, operation: Operation, *operands: Any) -> "Variable":
        if operation.pullback is None:
            raise TypeError(
                f"the operation {operation.name!r} has no derivative rule; use operations that "
                "have one, or give this one a pullback in liftgrad.ops."
            )
        if operation.constant:
            level = max([x._level for x in operands if x.__class__ is Variable])
            return Variable(operation(*primals(level, operands)), level)
        if operation is not ops.select:
            return self._record(operation, operation.pullback, operands)
        # A traced condition has its own methods for selection and negation.
        condition = operands[0]
        return self._record(
            ops.where, operation.pullback, operands, lambda: (True, condition, condition._negated())
        )

    def _record(
        self,
        function: Callable[..., Any],
        pullback: Callable[..., Any],
        operands: tuple[Any, ...],
        conditions: Callable[[], Sequence[Any]] | None = None,
    ) -> "Variable":
        """Return function(*operands), whose derivative rule is `pullback(g, y, *operands)`.

        `conditions` returns for each operand the traced condition under which it is used, or True.
        """
        level = max([x._level for x in operands if x.__class__ is Variable])
        primal = function(*primals(level, operands))
        return Variable(primal, level, operands, pullback, conditions)

    def _constant(self, number: float) -> "Variable":
        return Variable(number, self._level)

    def _uniform(self) -> Any:
        return uniform(self.primal)

    @property
    def data(self) -> Any:
        """The number, through which no gradient flows."""
        return getattr(self.primal, "data", self.primal)

    def __lt__(self, other: Any) -> Any:
        return self.primal < _primal(other)

    def __le__(self, other: Any) -> Any:
        return self.primal <= _primal(other)

    def __gt__(self, other: Any) -> Any:
        return self.primal > _primal(other)

    def __ge__(self, other: Any) -> Any:
        return self.primal >= _primal(other)

    def __eq__(self, other: object) -> Any:  # as Values do
        if isinstance(other, Operators):
            return self is other
        return self.primal == other

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        return self.primal.__class__ is float or bool(self.primal)

    def __float__(self) -> Any:  # the primal refuses, and may know the line
        return super().__float__() if self.primal.__class__ is float else float(self.primal)

    __int__ = __float__

    def __format__(self, specification: str) -> str:
        return format(self.primal, specification) if specification else repr(self)

    def __repr__(self) -> str:
        return f"Variable({self.primal!r})"


def _primal(x: Any) -> Any:
    return x.primal if isinstance(x, Variable) else x


def is_at(level: int, x: Any) -> bool:
    """Return whether x is a Variable of a level."""
    return x.__class__ is Variable and x._level == level


def primals(level: int, operands: Sequence[Any]) -> list[Any]:
    """Return operands with the primals of a level's Variables in their place."""
    return [x.primal if x.__class__ is Variable and x._level == level else x for x in operands]


def innermost(x: Any) -> Any:
    """Return the float, Value or traced value inside all levels of Variables."""
    while isinstance(x, Variable):
        x = x.primal
    return x
