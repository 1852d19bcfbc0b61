"""Trace: numbers that are not known yet, and note on a tape what the user's function does."""

from collections.abc import Iterator
from typing import Any

from liftgrad import ops
from liftgrad.derivatives import Variable, innermost
from liftgrad.errors import TraceError
from liftgrad.lift.tape import BATCH_TOTAL, CONSTANT, LEAF, SAMPLES_LEAF, Tape
from liftgrad.lift.user_code import refuse_arithmetic, refuse_branch, user_line
from liftgrad.numbers import is_number
from liftgrad.operators import Operators
from liftgrad.ops import Operation


class Traced(Operators):
    """A number that is not known yet: operations on it are recorded on its tape."""

    __slots__ = ("_index", "_tape")

    def __init__(self, tape: Tape, index: int) -> None:
        self._tape = tape
        self._index = index

    def _apply(self, operation: Operation, *operands: Any) -> "Traced":
        tape = self._tape
        if len(operands) == 2 and operation is not ops.dot:  # most operations, the quickest way
            a, b = operands
            if a.__class__ is b.__class__ is Traced and a._tape is b._tape is tape:
                return Traced(tape, tape.record((operation, a._index, b._index)))
        indices = [x._index for x in operands if x.__class__ is Traced and x._tape is tape]
        if len(indices) != len(operands):
            indices = []
            for x in operands:
                if x.__class__ is Traced and x._tape is tape:
                    indices.append(x._index)
                elif x.__class__ is Variable:
                    return x._apply(operation, *operands)  # type: ignore[return-value]
                else:
                    indices.append(tape.index_of(x))
        if operation is ops.dot and not len(indices) % 2:
            indices.append(tape.constant(0.0))
        return Traced(tape, tape.record((operation, *indices)))

    def _node_on(self, tape: Tape) -> int:
        if tape is not self._tape:
            raise _of_earlier_call()
        return self._index

    def _constant(self, number: float) -> "Traced":
        return Traced(self._tape, self._tape.constant(number))

    def _uniform(self) -> "Traced":
        return Traced(self._tape, self._tape.draw())

    def _compare(self, operation: Operation, a: Any, b: Any) -> Any:
        if Variable in (a.__class__, b.__class__):
            return NotImplemented  # Python then asks the Variable
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

    def _part_for(self, operand: Any, part: Any) -> Any:
        """Return what this number, made of `operand`, adds to its adjoint: for each sample `part`.

        An operand that is the same for all samples gets the total. Within vmap there is one sample.
        """
        tape = self._tape
        alone = not tape.batched or tape.mapping or not tape.depends_on_batch(self._index)
        return part if alone or _differs(tape, operand) else Batch(part, tape)._total()

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

    def __bool__(self) -> bool:  # noqa: PLE0304, it never returns
        refuse_branch()

    def __float__(self) -> float:
        raise TraceError(
            f"{user_line()}: float() of a traced value, which has no number while the program is "
            "being recorded; keep it as it is, with .data to stop its gradient, and use functions "
            "of liftgrad.functional instead of those of math."
        )

    __int__ = __index__ = __float__

    def __repr__(self) -> str:
        return f"Traced({self._tape.nodes[self._index][0]})"


class Condition:
    """The outcome of a comparison of traced values, for `where`."""

    __slots__ = ("_index", "_tape")

    def __init__(self, tape: Tape, index: int) -> None:
        self._tape = tape
        self._index = index

    def _node_on(self, _tape: Tape) -> int:
        raise TraceError(f"{user_line()}: {_AS_NUMBER}")

    def _select(self, a: Any, b: Any) -> Any:
        for x in (a, b):
            if x.__class__ is Variable:
                return x._apply(ops.select, self, a, b)
        tape = self._tape
        return Traced(
            tape, tape.record((ops.select, self._index, tape.index_of(a), tape.index_of(b)))
        )

    def _logical(self, operation: Operation, other: Any) -> Any:
        if isinstance(other, Condition):
            if other._tape is not self._tape:
                raise _of_earlier_call()
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

    def __bool__(self) -> bool:  # noqa: PLE0304, it never returns
        refuse_branch()


class Batch:
    """The results of a mapped function, one for each sample; see `vmap`."""

    def __init__(self, each: Any, tape: Tape) -> None:
        self.each = each
        self._tape = tape

    def _node_on(self, _tape: Tape) -> int:
        raise TraceError(f"{user_line()}: {_AS_ONE}")

    def _total(self) -> Any:
        tape, each = self._tape, self.each
        if isinstance(each, Variable):
            return each._record(lambda x: Batch(x, tape)._total(), self._total_pullback, (each,))
        node = tape.index_of(each)
        if not tape.depends_on_batch(node):
            return Traced(tape, node) * self._samples()
        return Traced(tape, tape.record((BATCH_TOTAL, node)))

    def _total_pullback(self, g: Any, _y: Any, each: Any) -> tuple[Any]:
        return (g if _differs(self._tape, each) else g * self._samples(),)

    def _mean(self) -> Any:
        return self._total() / self._samples()

    def _samples(self) -> Traced:
        return Traced(self._tape, self._tape.leaf(SAMPLES_LEAF, 0))

    def __iter__(self) -> Iterator[Any]:
        raise TraceError(
            f"{user_line()}: the results of vmap have no fixed number within a lifted function; "
            "use total(results) or mean(results), or return them, and compute each sample's loss "
            "in the mapped function."
        )

    __len__ = __iter__


def _differs(tape: Tape, x: Any) -> bool:
    """Tell whether a number of any kind differs from sample to sample."""
    return tape.depends_on_batch(tape.index_of(innermost(x)))


def _of_earlier_call() -> TraceError:
    return TraceError(
        f"{user_line()}: a traced value of an earlier call is used here; it has no number any "
        "more, so return it from the lifted function instead of storing it."
    )


_AS_NUMBER = "a comparison is used as a number; write where(condition, 1.0, 0.0)."
_AS_ONE = "the results of vmap are used as one number; use total(results) or mean(results)."
refuse_arithmetic(Condition, _AS_NUMBER)
refuse_arithmetic(Batch, _AS_ONE)
