"""Values: stand-ins for numbers and conditions that are not known yet.

Each stands for one object of the eager program, and does what that would do, or refuses: a
`TracedValue` for a Value, a `TracedNumber` for a Python or NumPy number, a `Condition` for a bool.
Operations on them go on a tape. What the three have that makes none of the others is in their bases
(`scalars`, `attributes`, `logic`).
"""

from typing import Any

import numpy as np

from liftgrad import ops
from liftgrad.engine import Value
from liftgrad.lift.stand_ins.attributes import NumberAttributes, ValueAttributes
from liftgrad.lift.stand_ins.logic import Logic
from liftgrad.lift.stand_ins.number_classes import (
    OPERATORS,
    class_of_result,
    is_numpy,
    is_plain_number,
    numpy_operations,
    stands_for,
)
from liftgrad.lift.stand_ins.refusals import ARITHMETIC, AS_INTEGER
from liftgrad.lift.stand_ins.scalars import TracedScalar
from liftgrad.lift.trace.nodes import BATCH_TOTAL, SAMPLES_LEAF
from liftgrad.lift.trace.tape import Tape
from liftgrad.lift.user_code import refused
from liftgrad.operators import Operators
from liftgrad.ops import Operation
from liftgrad.protocols import is_on_tape
from liftgrad.variable import Variable, innermost


class TracedArithmetic(TracedScalar):
    """Operations on numbers that are not known yet, which are recorded."""

    __slots__ = ()

    def _apply(self, operation: Operation, *operands: Any) -> "TracedArithmetic":
        tape = self._tape
        if len(operands) == 2 and operation is not ops.dot:  # most operations, the quickest way
            a, b = operands
            left, right = type(a), type(b)
            if left is TracedValue:
                if right is TracedValue or right is TracedNumber:
                    if a._tape is b._tape:
                        return TracedValue(tape, tape.record((operation, a._index, b._index)))
                elif right is float or right is int:
                    return TracedValue(tape, tape.record((operation, a._index, tape.index_of(b))))
            elif right is TracedValue:
                if left is float or left is int:
                    return TracedValue(tape, tape.record((operation, tape.index_of(a), b._index)))
                if left is TracedNumber and a._tape is b._tape:
                    return TracedValue(tape, tape.record((operation, a._index, b._index)))
            elif operation in OPERATORS:
                number = self._of_floats(operation, a, b)
                if number is not None:
                    return number
        elif len(operands) == 1 and type(self) is TracedValue:
            return TracedValue(tape, tape.record((operation, self._index)))
        indices = [x._index for x in operands if type(x) in _NUMBERS and x._tape is tape]
        if len(indices) != len(operands):
            indices = []
            for x in operands:
                if type(x) in _NUMBERS and x._tape is tape:
                    indices.append(x._index)
                elif type(x) is Variable:
                    return x._apply(operation, *operands)  # type: ignore[return-value]
                else:
                    indices.append(self._node_of(x))
        if operation is ops.dot and not len(indices) % 2:
            indices.append(tape.constant(0.0))
        node = tape.record((operation, *indices))
        if type(self) is TracedValue or TracedValue in map(type, operands):
            return TracedValue(tape, node)
        return TracedNumber(tape, node, class_of_result(operation, operands))

    def _of_floats(self, operation: Operation, a: Any, b: Any) -> "TracedNumber | None":
        """Return the result of an operator on floats, or None if they are something else."""
        tape = self._tape
        classes: list[type] = []
        nodes: list[int] = []
        for x in (a, b):
            if type(x) is float:
                classes.append(float)
                nodes.append(tape.constant(x))
            elif type(x) is TracedNumber and x._tape is tape:
                classes.append(x._class)
                nodes.append(x._index)
            else:
                return None
        left, right = classes
        if left not in _FLOATS or right not in _FLOATS:
            return None
        cls = left if left is right else np.float64
        return TracedNumber(tape, tape.record((operation, *nodes)), cls)

    def _node_of(self, other: Any) -> int:
        """Return the node of another operand."""
        return self._tape.index_of(other)

    def _uniform(self) -> "TracedNumber":
        return TracedNumber(self._tape, self._tape.draw(), float)

    def _compare(self, operation: Operation, a: Any, b: Any) -> Any:
        if Variable in (type(a), type(b)):
            return NotImplemented  # Python then asks the Variable
        tape = self._tape
        of_numpy = not {type(a), type(b)} & {TracedValue, Value} and any(
            issubclass(stands_for(x), np.generic) for x in (a, b)
        )
        node = tape.record((operation, self._node_of(a), self._node_of(b)))
        return Condition(tape, node, np.bool_ if of_numpy else bool)

    def __lt__(self, other: Any) -> Any:
        return self._compare(ops.less, self, other)

    def __le__(self, other: Any) -> Any:
        return self._compare(ops.less_equal, self, other)

    def __gt__(self, other: Any) -> Any:
        return self._compare(ops.less, other, self)

    def __ge__(self, other: Any) -> Any:
        return self._compare(ops.less_equal, other, self)

    def _term_for(self, operand: Any, term: Any) -> Any:
        """Return the term that this adds to the adjoint of an operand; for each sample, `term`.

        An operand that all samples share gets the total. Within vmap there is one sample.
        """
        tape = self._tape
        alone = not tape.batched or tape.mapping or not tape.depends_on_batch(self._index)
        return term if alone or differs(tape, operand) else total_over_batch(term, tape)

    def _pulled(self, number: "TracedArithmetic | None") -> None:
        """Tell the tape that what follows is for the adjoint of a number; None: of none."""
        self._tape.pulled(-1 if number is None else number._index)

    def __array_ufunc__(self, function: Any, method: str, *operands: Any, **options: Any) -> Any:
        """Apply the operation that NumPy has the same name for, as NumPy's scalars ask for."""
        scalars = all(np.ndim(x) == 0 for x in operands if not is_on_tape(x))
        if method == "__call__" and not options and scalars:
            if function in _COMPARED:
                return getattr(operands[1], _COMPARED[function])(operands[0])
            operation = numpy_operations().get(function)
            if operation in OPERATORS or (operation and TracedValue not in map(type, operands)):
                return operation(*operands)
        raise refused(
            f"NumPy's {function.__name__} of a traced value, which has no number while the program "
            "is being recorded; use its methods and the functions of liftgrad.functional, number "
            "by number."
        )


class TracedValue(ValueAttributes, TracedArithmetic):
    """A Value that is not known yet."""

    __slots__ = ()

    def _constant(self, number: float) -> "TracedValue":
        return TracedValue(self._tape, self._tape.index_of(number))

    # As with eager Values, == between two of them is identity; a number is compared by value.
    def __eq__(self, other: object) -> Any:
        return self._compare(ops.equal, self, other) if is_plain_number(other) else NotImplemented

    def __ne__(self, other: object) -> Any:
        if is_plain_number(other):
            return self._compare(ops.not_equal, self, other)
        return NotImplemented

    __hash__ = object.__hash__

    @property
    def data(self) -> Any:
        """This number with its gradient stopped."""
        return TracedNumber(self._tape, self._tape.record((ops.detach, self._index)), float)

    @data.setter
    def data(self, _: Any) -> None:
        raise refused(
            "the data of a Value is set in a lifted function, which runs once for many calls; "
            "return the new number, or use an optimiser outside of it."
        )


class TracedNumber(NumberAttributes, TracedArithmetic):
    """A Python or NumPy number that is not known yet, without a gradient."""

    __slots__ = ()

    def _node_of(self, other: Any) -> int:
        if not isinstance(other, Operators) and not is_plain_number(other):
            raise refused(
                f"arithmetic of a number, which is not known while the program is being recorded, "
                f"and a {type(other).__name__}; write it element by element."
            )
        return self._tape.index_of(other)

    def _constant(self, number: float) -> "TracedNumber":
        return TracedNumber(self._tape, self._tape.index_of(number), float)

    def __eq__(self, other: object) -> Any:
        return self._compare_with(ops.equal, other)

    def __ne__(self, other: object) -> Any:
        return self._compare_with(ops.not_equal, other)

    __hash__ = NumberAttributes.__hash__

    def _compare_with(self, operation: Operation, other: Any) -> Any:
        if type(other) is TracedValue or is_plain_number(other):
            return self._compare(operation, self, other)
        if is_numpy(self._class) and np.ndim(other):
            raise refused(
                "an element of an array is compared with a list or an array, which NumPy does "
                "element by element; compare numbers."
            )
        return NotImplemented


class Condition(Logic):
    """The outcome of a comparison of traced values, for `where`; a bool that is not known yet."""

    __slots__ = ()

    def _number(self) -> TracedNumber:
        """Return 1 or 0, as a bool is in arithmetic."""
        number = self._select(1.0, 0.0)
        return TracedNumber(self._tape, number._index, int)

    def _node_on(self, _tape: Tape) -> int:
        return self._number()._node_on(_tape)

    def _select(self, a: Any, b: Any) -> Any:
        for x in (a, b):
            if type(x) is Variable:
                return x._apply(ops.select, self, a, b)
        tape = self._tape
        node = tape.record((ops.select, self._index, tape.index_of(a), tape.index_of(b)))
        return (
            TracedValue(tape, node)
            if TracedValue in (type(a), type(b))
            else TracedNumber(tape, node, float)
        )

    def __eq__(self, other: object) -> Any:
        if isinstance(other, Condition | bool | np.bool_):
            return (self ^ other)._negated()
        return TracedNumber(self._tape, self._number()._index, self._class) == other

    def __ne__(self, other: object) -> Any:
        if isinstance(other, Condition | bool | np.bool_):
            return self ^ other
        return TracedNumber(self._tape, self._number()._index, self._class) != other

    __hash__ = Logic.__hash__

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of a bool, if it is known without the bool."""
        index = self._number()._index if name in ("real", "conjugate", "item") else self._index
        cls = int if name in ("real", "conjugate") and self._class is bool else self._class
        return TracedNumber(self._tape, index, cls)._known(name)


def differs(tape: Tape, x: Any) -> bool:
    """Return whether a number, traced or not, differs from sample to sample."""
    return tape.depends_on_batch(tape.index_of(innermost(x)))


def sample_count(tape: Tape) -> TracedValue:
    """Return how many samples there are."""
    return TracedValue(tape, tape.leaf(SAMPLES_LEAF, 0))


def total_over_batch(each: Any, tape: Tape) -> Any:
    """Return the total of a number over all samples."""
    if isinstance(each, Variable):

        def pullback(g: Any, _y: Any, each: Any) -> tuple[Any]:
            return (g if differs(tape, each) else g * sample_count(tape),)

        return each._record(lambda x: total_over_batch(x, tape), pullback, (each,))
    node = tape.index_of(each)
    if not tape.depends_on_batch(node):
        return TracedValue(tape, node) * sample_count(tape)
    return TracedValue(tape, tape.record((BATCH_TOTAL, node)))


def _arithmetic(name: str) -> Any:
    def method(self: Condition, *others: Any) -> Any:
        if len(others) > 1:
            raise refused(AS_INTEGER)
        classes = [self._class, *map(stands_for, others)]
        if np.bool_ in classes and all(issubclass(cls, bool | np.bool_) for cls in classes):
            raise refused(
                "arithmetic of conditions on elements of arrays, which is logical in NumPy; write "
                "& or |, or where(condition, 1.0, 0.0)."
            )
        numbers = [x._number() if type(x) is Condition else x for x in others]
        return getattr(self._number(), name)(*numbers)

    return method


_NUMBERS = frozenset({TracedValue, TracedNumber})
_FLOATS = frozenset({float, np.float64})
_COMPARED = {
    np.less: "__gt__",
    np.less_equal: "__ge__",
    np.greater: "__lt__",
    np.greater_equal: "__le__",
    np.equal: "__eq__",
    np.not_equal: "__ne__",
}
"""The second operand's method for each of NumPy's comparisons, if the first is NumPy's."""
for _name in (*(f"__{n}__" for n in ARITHMETIC), "__lt__", "__le__", "__gt__", "__ge__"):
    if hasattr(TracedArithmetic, _name) and _name not in vars(Logic):
        setattr(Condition, _name, _arithmetic(_name))
