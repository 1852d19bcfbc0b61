"""Logic: conditions that are not known yet, combined by &, |, ^ and ~."""

from typing import Any, Self

import numpy as np

from liftgrad import ops
from liftgrad.lift.stand_ins.number_classes import is_numpy, is_plain_number
from liftgrad.lift.stand_ins.refusals import (
    AS_FLOAT,
    AS_INTEGER,
    AS_KEY,
    AS_PICKLE,
    AS_TEXT,
    CONVERSIONS,
    IN_WHOLE_NUMBERS,
    PICKLING,
    TEXT,
    refuse,
    refuse_branch,
)
from liftgrad.lift.stand_ins.scalars import require_same
from liftgrad.lift.trace.tape import Tape
from liftgrad.lift.user_code import refused
from liftgrad.ops import Operation


class Logic:
    """A bool that is not known yet: a node of a tape, without a bool's arithmetic."""

    __slots__ = ("_class", "_index", "_tape")
    _known_as = "a comparison of Values"

    def __init__(self, tape: Tape, index: int, cls: type = bool) -> None:
        self._tape = tape
        self._index = index
        self._class = cls
        """bool, or NumPy's bool."""

    @property
    def __class__(self) -> Any:
        """The class of what it stands for, which `isinstance` asks for."""
        return self._class

    @__class__.setter
    def __class__(self, _: Any) -> None:
        raise refused("the class of a condition is set; make another condition instead.")

    def _logical(self, operation: Operation, *others: "Logic") -> Self:
        for other in others:
            require_same(other._tape, self._tape)
        node = (operation, self._index, *[other._index for other in others])
        classes = {self._class, *[other._class for other in others]}
        return type(self)(self._tape, self._tape.record(node), max(classes, key=is_numpy))

    def _negated(self) -> Self:
        return self._logical(ops.logical_not)

    def __and__(self, other: Any) -> Any:
        if isinstance(other, Logic):
            return self._logical(ops.logical_and, other)
        if isinstance(other, bool | np.bool_):
            return self if other else other
        return _without_bits(other)

    def __or__(self, other: Any) -> Any:
        if isinstance(other, Logic):
            return self._logical(ops.logical_or, other)
        if isinstance(other, bool | np.bool_):
            return other or self
        return _without_bits(other)

    def __xor__(self, other: Any) -> Any:
        if isinstance(other, Logic):
            either = self._logical(ops.logical_or, other)
            return either & self._logical(ops.logical_and, other)._negated()
        if isinstance(other, bool | np.bool_):
            return self._negated() if other else self
        return _without_bits(other)

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    def __invert__(self) -> Self:
        if self._class is bool:
            raise refused(
                "~ of a bool is -1 or -2 in Python, and both count as true; write condition ^ True."
            )
        return self._negated()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _memo: Any) -> Self:
        return self

    def __bool__(self) -> bool:  # noqa: PLE0304, it never returns
        refuse_branch()


def _without_bits(other: Any) -> Any:
    """Refuse bitwise arithmetic of a condition and a number."""
    if is_plain_number(other):
        raise refused(AS_INTEGER)
    return NotImplemented


refuse(Logic, [n for n in IN_WHOLE_NUMBERS if f"__{n}__" not in vars(Logic)], AS_INTEGER)
refuse(Logic, ("array_ufunc", "array_function", *CONVERSIONS), AS_FLOAT)
refuse(Logic, TEXT, AS_TEXT)
refuse(Logic, PICKLING, AS_PICKLE)
refuse(Logic, ("hash",), AS_KEY)
