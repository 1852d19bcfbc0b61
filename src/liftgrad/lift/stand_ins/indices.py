"""Indices: stand-ins for elements of an integer array, which are known at run time only."""

from typing import Any

import numpy as np

from liftgrad import ops
from liftgrad.lift.stand_ins.attributes import NumberAttributes, have_attributes_of_numbers
from liftgrad.lift.stand_ins.number_classes import stands_for
from liftgrad.lift.stand_ins.refusals import (
    AS_INTEGER,
    AS_PICKLE,
    AS_TEXT,
    CONVERSIONS,
    IN_WHOLE_NUMBERS,
    PICKLING,
    TEXT,
    refuse,
    refuse_branch,
)
from liftgrad.lift.stand_ins.values import TracedArithmetic, TracedNumber, TracedValue
from liftgrad.lift.trace.nodes import LEAF, TABLE, TAKE
from liftgrad.lift.trace.tape import Tape
from liftgrad.lift.user_code import refused
from liftgrad.operators import Operators
from liftgrad.ops import Operation
from liftgrad.variable import Variable


class TracedIndex(Operators):
    """An integer that is known at run time: for `take`, and as a number in arithmetic."""

    __slots__ = ("_class", "_index", "_leaf", "_tape")

    def __init__(self, tape: Tape, group: int, position: int, cls: type = np.int64) -> None:
        self._tape = tape
        self._class = cls
        """The class of the integer that it stands for."""
        self._leaf = (group, position)
        self._index = tape.record((LEAF, group, position))

    @property
    def __class__(self) -> Any:
        """The class of what it stands for, which `isinstance` asks for."""
        return self._class

    @__class__.setter
    def __class__(self, _: Any) -> None:
        raise refused("the class of an integer is set; make another number instead.")

    def _number(self) -> TracedNumber:
        node = self._tape.record((ops.from_index, self._index))
        return TracedNumber(self._tape, node, self._class)

    def _node_on(self, tape: Tape) -> int:
        return self._number()._node_on(tape)

    def _uniform(self) -> TracedNumber:
        return self._number()._uniform()

    def _apply(self, operation: Operation, *operands: Any) -> TracedArithmetic:  # type: ignore[override]
        number = self._number()
        operands = tuple(x._number() if isinstance(x, TracedIndex) else x for x in operands)
        return number._apply(operation, *operands)

    def _take_from(self, table: Any) -> Any:
        """Return the table's element, or row, at this index."""
        tape = self._tape
        rows = list(table)
        if not rows:
            raise refused("take() from an empty table; give it a row or more.")
        if hasattr(rows[0], "__len__"):
            if len({len(row) for row in rows}) > 1:
                raise refused("take() from rows of different lengths; make them equal.")
            return [self._take_from([row[j] for row in rows]) for j in range(len(rows[0]))]
        for x in rows:
            if type(x) is Variable:
                return x._record(
                    lambda *r: self._take_from(r),
                    self._take_pullback,
                    tuple(rows),
                    lambda: [self == i for i in range(len(rows))],
                )
        self._tape.bounds[self._leaf] = min(len(rows), self._tape.bounds.get(self._leaf, len(rows)))
        elements = tape.record((TABLE, *[tape.index_of(x) for x in rows]))
        node = tape.record((TAKE, self._index, elements))
        if any(type(x) is TracedValue for x in rows):
            return TracedValue(tape, node)
        return TracedNumber(tape, node, _class_of_rows(rows))

    def _take_pullback(self, g: Any, _y: Any, *rows: Any) -> tuple[Any, ...]:
        return tuple([ops.where(self == i, g, 0.0) for i in range(len(rows))])

    def _constant(self, number: float) -> TracedNumber:  # type: ignore[override]
        return self._number()._constant(number)

    def __eq__(self, other: object) -> Any:
        return self._number() == (other._number() if isinstance(other, TracedIndex) else other)

    def __ne__(self, other: object) -> Any:
        return self._number() != (other._number() if isinstance(other, TracedIndex) else other)

    def __lt__(self, other: Any) -> Any:
        return self._number() < (other._number() if isinstance(other, TracedIndex) else other)

    def __le__(self, other: Any) -> Any:
        return self._number() <= (other._number() if isinstance(other, TracedIndex) else other)

    def __gt__(self, other: Any) -> Any:
        return self._number() > (other._number() if isinstance(other, TracedIndex) else other)

    def __ge__(self, other: Any) -> Any:
        return self._number() >= (other._number() if isinstance(other, TracedIndex) else other)

    __hash__ = NumberAttributes.__hash__

    def _known(self, name: str) -> Any:
        """Return an attribute, if it is known without the number."""
        match name:
            case "real":
                return self
            case "conjugate":
                return lambda: self
            case "item":
                return lambda: TracedIndex(self._tape, *self._leaf, int)
            case _:
                return self._number()._known(name)

    def __array_ufunc__(self, function: Any, method: str, *operands: Any, **options: Any) -> Any:
        """Apply the operation that NumPy has the same name for, as NumPy's scalars ask for."""
        operands = tuple(x._number() if type(x) is TracedIndex else x for x in operands)
        return self._number().__array_ufunc__(function, method, *operands, **options)

    def __copy__(self) -> "TracedIndex":
        return self

    def __deepcopy__(self, _memo: Any) -> "TracedIndex":
        return self

    def __bool__(self) -> bool:  # noqa: PLE0304, it never returns
        refuse_branch()


def _class_of_rows(rows: list[Any]) -> type:
    classes = set(map(stands_for, rows))
    return classes.pop() if len(classes) == 1 else float


_AS_INDEX = (
    "an element of an integer array is used as an index, but is known at run time only; write "
    "take(table, index) for table[index]."
)
have_attributes_of_numbers(TracedIndex)
refuse(TracedIndex, CONVERSIONS, AS_INTEGER)
refuse(TracedIndex, ("index", "int"), _AS_INDEX)
refuse(TracedIndex, IN_WHOLE_NUMBERS, AS_INTEGER)
refuse(TracedIndex, TEXT, AS_TEXT)
refuse(TracedIndex, PICKLING, AS_PICKLE)
