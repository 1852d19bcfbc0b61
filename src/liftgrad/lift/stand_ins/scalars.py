"""Scalars: what the stand-ins for Values and for numbers have in common."""

from liftgrad.lift.stand_ins.refusals import (
    AS_FLOAT,
    AS_PICKLE,
    AS_TEXT,
    CONVERSIONS,
    PICKLING,
    TEXT,
    refuse,
)
from liftgrad.lift.trace.tape import Tape
from liftgrad.lift.user_code import refused
from liftgrad.operators import Operators


class TracedScalar(Operators):
    """A number that is not known yet: a node of a tape."""

    __slots__ = ("_index", "_tape")

    def __init__(self, tape: Tape, index: int) -> None:
        self._tape = tape
        self._index = index

    def _node_on(self, tape: Tape) -> int:
        require_same(tape, self._tape)
        return self._index


def require_same(tape: Tape, other: Tape) -> None:
    """Raise TraceError if two tapes are not one."""
    if tape is not other:
        raise refused(
            "a traced value of an earlier call is used here; it has no number any more, so return "
            "it from the lifted function instead of storing it."
        )


refuse(TracedScalar, TEXT, AS_TEXT)
refuse(TracedScalar, ("copy", "deepcopy", *PICKLING), AS_PICKLE)
refuse(TracedScalar, ("array_function", *CONVERSIONS), AS_FLOAT)
