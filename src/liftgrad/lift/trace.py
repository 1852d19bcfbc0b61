"""Trace: run the user's function once on traced values and record what it does on a tape.

A tape is a list of nodes `(operation, operand, ...)`, operands being earlier nodes' numbers.
Equal nodes are recorded once. Leaves are `(LEAF, group, position)`, constants `(CONSTANT, number)`.
"""

import math
import sys
from pathlib import Path
from typing import Any, NoReturn

import liftgrad
from liftgrad import ops
from liftgrad.errors import TraceError
from liftgrad.numbers import is_number, to_float
from liftgrad.operators import Operators
from liftgrad.ops import Operation

LEAF = "leaf"
CONSTANT = "constant"
TAKE = "take"
TABLE = "table"
BATCH_TOTAL = "batch total"
Node = tuple[Any, ...]

_PACKAGE = str(Path(liftgrad.__file__).parent)


class Tape:
    """The scalar operations of one run of a function, in order."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.memo: dict[Node, int] = {}

    def record(self, node: Node) -> int:
        """Return the node's number, a new one where no equal node was recorded before."""
        index = self.memo.get(node)
        if index is None:
            index = self.memo[node] = len(self.nodes)
            self.nodes.append(node)
        return index

    def constant(self, number: float) -> int:
        """Record a constant; nan and the two zeros are told apart by their text."""
        plain = number == number and number != 0.0  # noqa: PLR0124, the test for nan
        return self.record((CONSTANT, number if plain else repr(number)))

    def leaf(self, group: int, position: int) -> "Traced":
        """Record an input: a position in one of the groups that the arguments make up."""
        return Traced(self, self.record((LEAF, group, position)))

    def index_of(self, x: Any) -> int:
        """Return the number of the node for a traced value, an eager Value or a number."""
        if isinstance(x, Traced):
            if x._tape is not self:  # noqa: SLF001
                raise TraceError(
                    f"{user_line()}: a traced value of an earlier call is used here; it has no "
                    "number any more, so return it from the lifted function instead of storing it."
                )
            return x._index  # noqa: SLF001
        if isinstance(x, Condition):
            raise TraceError(
                f"{user_line()}: a comparison is used as a number; write where(condition, 1.0, 0.0)."
            )
        if isinstance(x, Operators):
            raise TraceError(
                f"{user_line()}: a Value that is not an argument of the lifted function is used "
                "in it; pass it, or the module that holds it, as an argument."
            )
        return self.constant(to_float(x))


class Traced(Operators):
    """A number that is not known yet: operations on it are recorded on its tape."""

    __slots__ = ("_index", "_tape")

    def __init__(self, tape: Tape, index: int) -> None:
        self._tape = tape
        self._index = index

    def _apply(self, operation: Operation, *operands: Any) -> "Traced":
        tape = self._tape
        indices = [
            x._index if x.__class__ is Traced and x._tape is tape else tape.index_of(x)
            for x in operands
        ]
        if operation is ops.dot:
            n = len(indices) // 2
            record = tape.record
            start = indices[2 * n :] or [tape.constant(0.0)]
            products = [
                record((ops.multiply, a, b))
                for a, b in zip(indices[:n], indices[n : 2 * n], strict=True)
            ]
            return Traced(tape, record((ops.total, *start, *products)))
        return Traced(tape, tape.record((operation, *indices)))

    def _constant(self, number: float) -> "Traced":
        return Traced(self._tape, self._tape.constant(number))

    def _compare(self, operation: Operation, a: Any, b: Any) -> "Condition":
        tape = self._tape
        return Condition(tape, tape.record((operation, tape.index_of(a), tape.index_of(b))))

    def __lt__(self, other: Any) -> Any:
        return self._compare(ops.less, self, other)

    def __le__(self, other: Any) -> Any:
        return self._compare(ops.less_equal, self, other)

    def __gt__(self, other: Any) -> Any:
        return self._compare(ops.less, other, self)

    def __ge__(self, other: Any) -> Any:
        return self._compare(ops.less_equal, other, self)

    def __eq__(self, other: object) -> Any:
        comparable = isinstance(other, Traced) or is_number(other)
        return self._compare(ops.equal, self, other) if comparable else NotImplemented

    def __ne__(self, other: object) -> Any:
        comparable = isinstance(other, Traced) or is_number(other)
        return self._compare(ops.not_equal, self, other) if comparable else NotImplemented

    __hash__ = object.__hash__

    @property
    def data(self) -> "Traced":
        """This number with its gradient stopped."""
        return Traced(self._tape, self._tape.record((ops.detach, self._index)))

    @property
    def _prev(self) -> tuple["Traced", ...]:
        """The operands; none for a leaf, which is how a Module knows its parameters."""
        node = self._tape.nodes[self._index]
        if node[0] is LEAF or node[0] is CONSTANT:
            return ()
        return tuple([Traced(self._tape, operand) for operand in node[1:]])

    def __bool__(self) -> bool:
        _refuse_branch()

    def __float__(self) -> float:
        raise TraceError(
            f"{user_line()}: float() of a traced value, which has no number while the program is "
            "being recorded; keep it as it is, or use .data to stop its gradient."
        )

    __int__ = __index__ = __float__  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Traced({self._tape.nodes[self._index][0]})"


class Condition:
    """The outcome of a comparison of traced values, for `where`."""

    __slots__ = ("_index", "_tape")

    def __init__(self, tape: Tape, index: int) -> None:
        self._tape = tape
        self._index = index

    def _select(self, a: Any, b: Any) -> Traced:
        tape = self._tape
        return Traced(
            tape, tape.record((ops.select, self._index, tape.index_of(a), tape.index_of(b)))
        )

    def _logical(self, operation: Operation, other: Any) -> Any:
        if isinstance(other, Condition):
            node = (operation, self._index, other._index)
            return Condition(self._tape, self._tape.record(node))
        if isinstance(other, bool):
            decided = other if operation is ops.logical_or else not other
            return other if decided else self
        return NotImplemented

    def __and__(self, other: Any) -> Any:
        return self._logical(ops.logical_and, other)

    def __or__(self, other: Any) -> Any:
        return self._logical(ops.logical_or, other)

    __rand__ = __and__
    __ror__ = __or__

    def __invert__(self) -> "Condition":
        return Condition(self._tape, self._tape.record((ops.logical_not, self._index)))

    def __bool__(self) -> bool:
        _refuse_branch()


def _refuse_branch() -> NoReturn:
    raise TraceError(
        f"{user_line()}: a Python branch (if, and, or, max, min, sorted) on a traced value, which "
        "has no number while the program is being recorded; use where(condition, a, b), "
        "maximum(a, b) or minimum(a, b), or make it a static argument (an int, str or bool)."
    )


def user_line() -> str:
    """Return "file:line" of the innermost frame that is not liftgrad's own."""
    frame = sys._getframe(1)  # noqa: SLF001, traceback.extract_stack would read source files
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def number_of(text: float | str) -> float:
    """Return the constant that a node stores."""
    return text if isinstance(text, float) else math.nan if text == "nan" else float(text)
