"""Trace: numbers that are not known yet, and note on a tape what the user's function does.

Each stands for one object of the eager program, and does what that would do, or refuses: a `Traced`
for a Value, a `TracedNumber` for a Python or NumPy number, a `Condition` for a bool, a `Batch` for
the list of results of a mapped function. `isinstance` takes them for what they stand for.
"""

from typing import Any

import numpy as np

from liftgrad import ops
from liftgrad.derivatives import Variable, innermost
from liftgrad.engine import Value
from liftgrad.errors import TraceError
from liftgrad.lift.stand_ins.number_kinds import (
    OPERATORS,
    is_numpy,
    is_plain_number,
    kind_of_result,
    numpy_operations,
    stands_for,
)
from liftgrad.lift.trace.tape import BATCH_TOTAL, CONSTANT, LEAF, SAMPLES_LEAF, Tape
from liftgrad.lift.user_code import (
    ARITHMETIC,
    AS_INTEGER,
    AS_PICKLE,
    AS_TEXT,
    CONVERSIONS,
    IN_WHOLE_NUMBERS,
    PICKLING,
    TEXT,
    refuse,
    refuse_branch,
    refused,
)
from liftgrad.operators import Operators
from liftgrad.ops import OPERATIONS, Operation
from liftgrad.protocols import is_on_tape


class Node(Operators):
    """A number that is not known yet: operations on it are recorded on its tape."""

    __slots__ = ("_index", "_tape")

    def __init__(self, tape: Tape, index: int) -> None:
        self._tape = tape
        self._index = index

    def _apply(self, operation: Operation, *operands: Any) -> "Node":
        tape = self._tape
        if len(operands) == 2 and operation is not ops.dot:  # most operations, the quickest way
            a, b = operands
            left, right = type(a), type(b)
            if left is Traced:
                if right is Traced or right is TracedNumber:
                    if a._tape is b._tape:
                        return Traced(tape, tape.record((operation, a._index, b._index)))
                elif right is float or right is int:
                    return Traced(tape, tape.record((operation, a._index, tape.index_of(b))))
            elif right is Traced:
                if left is float or left is int:
                    return Traced(tape, tape.record((operation, tape.index_of(a), b._index)))
                if left is TracedNumber and a._tape is b._tape:
                    return Traced(tape, tape.record((operation, a._index, b._index)))
            elif operation in OPERATORS:
                number = self._of_floats(operation, a, b)
                if number is not None:
                    return number
        elif len(operands) == 1 and type(self) is Traced:
            return Traced(tape, tape.record((operation, self._index)))
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
        if type(self) is Traced or Traced in map(type, operands):
            return Traced(tape, node)
        return TracedNumber(tape, node, kind_of_result(operation, operands))

    def _of_floats(self, operation: Operation, a: Any, b: Any) -> "TracedNumber | None":
        """Return the result of an operator on floats, or None if they are something else."""
        tape = self._tape
        kinds: list[type] = []
        nodes: list[int] = []
        for x in (a, b):
            if type(x) is float:
                kinds.append(float)
                nodes.append(tape.constant(x))
            elif type(x) is TracedNumber and x._tape is tape:
                kinds.append(x._kind)
                nodes.append(x._index)
            else:
                return None
        left, right = kinds
        if left not in _FLOATS or right not in _FLOATS:
            return None
        kind = left if left is right else np.float64
        return TracedNumber(tape, tape.record((operation, *nodes)), kind)

    def _node_of(self, other: Any) -> int:
        """Return the node of another operand."""
        return self._tape.index_of(other)

    def _node_on(self, tape: Tape) -> int:
        if tape is not self._tape:
            raise _of_earlier_call()
        return self._index

    def _uniform(self) -> "TracedNumber":
        return TracedNumber(self._tape, self._tape.draw(), float)

    def _compare(self, operation: Operation, a: Any, b: Any) -> Any:
        if Variable in (type(a), type(b)):
            return NotImplemented  # Python then asks the Variable
        tape = self._tape
        of_numpy = not {type(a), type(b)} & {Traced, Value} and any(
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

    def _part_for(self, operand: Any, part: Any) -> Any:
        """Return what this number, made of `operand`, adds to its adjoint: for each sample `part`.

        An operand that is the same for all samples gets the total. Within vmap there is one sample.
        """
        tape = self._tape
        alone = not tape.batched or tape.mapping or not tape.depends_on_batch(self._index)
        return part if alone or differs(tape, operand) else total_over_batch(part, tape)

    def __array_ufunc__(self, function: Any, method: str, *operands: Any, **options: Any) -> Any:
        """Apply the operation that NumPy has the same name for, as NumPy's scalars ask for."""
        scalars = all(np.ndim(x) == 0 for x in operands if not is_on_tape(x))
        if method == "__call__" and not options and scalars:
            if function in _COMPARED:
                return getattr(operands[1], _COMPARED[function])(operands[0])
            operation = numpy_operations().get(function)
            if operation in OPERATORS or (operation and Traced not in map(type, operands)):
                return operation(*operands)
        raise refused(
            f"NumPy's {function.__name__} of a traced value, which has no number while the program "
            "is being recorded; use its methods and the functions of liftgrad.functional, number "
            "by number."
        )


class Traced(Node):
    """A Value that is not known yet."""

    __slots__ = ()

    def _constant(self, number: float) -> "Traced":
        return Traced(self._tape, self._tape.index_of(number))

    # As of eager Values: two are equal if they are the same, a number is compared with.
    def __eq__(self, other: object) -> Any:
        return self._compare(ops.equal, self, other) if is_plain_number(other) else NotImplemented

    def __ne__(self, other: object) -> Any:
        if is_plain_number(other):
            return self._compare(ops.not_equal, self, other)
        return NotImplemented

    __hash__ = object.__hash__

    @property
    def _given(self) -> Value | None:
        """The argument that it stands for, if it stands for one."""
        operation, *place = self._tape.nodes[self._index]
        return self._tape.argument(*place) if operation is LEAF else None

    @property
    def __class__(self) -> Any:
        """What it stands for, as `isinstance` asks it."""
        given = self._given
        kind = Value if given is None or issubclass(Value, type(given)) else type(given)
        return self._tape.classes.get(kind, kind)

    @__class__.setter
    def __class__(self, _: Any) -> None:
        raise refused("the class of a traced value is set; make a Value before the call.")

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

    @property
    def grad(self) -> Any:
        """Refused."""
        raise refused(_GRADIENT)

    @grad.setter
    def grad(self, _: Any) -> None:
        raise refused(_GRADIENT)

    @property
    def label(self) -> str:
        """Refused; it may be set, but there is no picture to show it."""
        raise refused(
            "the label of a Value is read in a lifted function, which would keep what it is now "
            "for all calls; pass the text as an argument."
        )

    @label.setter
    def label(self, label: str) -> None:
        pass

    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        raise refused(
            "the attributes of a Value are read in a lifted function, which would keep what they "
            "are now for all calls; pass them as arguments."
        )

    def backward(self, **_: Any) -> None:
        """Refused."""
        raise refused(_GRADIENT)

    @property
    def _backward(self) -> Any:
        raise refused(_GRADIENT)

    @_backward.setter
    def _backward(self, _: Any) -> None:
        raise refused(
            "an operation of your own is made in a lifted function, which cannot follow its "
            "derivative; compute it with operators and liftgrad.functional."
        )

    @property
    def _prev(self) -> tuple["Traced", ...]:
        """The operands; none for a leaf, which is how a Module knows its parameters."""
        node = self._tape.nodes[self._index]
        if node[0] is LEAF or node[0] is CONSTANT:
            return ()
        return tuple([Traced(self._tape, operand) for operand in node[1:]])


class TracedNumber(Node):
    """A Python or NumPy number that is not known yet, without a gradient."""

    __slots__ = ("_kind",)

    def __init__(self, tape: Tape, index: int, kind: type) -> None:
        self._tape = tape
        self._index = index
        self._kind = kind
        """The class of the number that it stands for."""

    def _node_of(self, other: Any) -> int:
        if not isinstance(other, Operators) and not is_plain_number(other):
            raise refused(
                f"arithmetic of a number, which is not known while the program is being recorded, "
                f"and a {type(other).__name__}; write it element by element."
            )
        return self._tape.index_of(other)

    def _constant(self, number: float) -> "TracedNumber":
        return TracedNumber(self._tape, self._tape.index_of(number), float)

    @property
    def __class__(self) -> Any:
        """What it stands for, as `isinstance` asks it."""
        return self._tape.classes.get(self._kind, self._kind)

    @__class__.setter
    def __class__(self, _: Any) -> None:
        raise refused("the class of a traced number is set; write the number as it shall be.")

    def __eq__(self, other: object) -> Any:
        return self._compare_with(ops.equal, other)

    def __ne__(self, other: object) -> Any:
        return self._compare_with(ops.not_equal, other)

    def _compare_with(self, operation: Operation, other: Any) -> Any:
        if type(other) is Traced or is_plain_number(other):
            return self._compare(operation, self, other)
        if is_numpy(self._kind) and np.ndim(other):
            raise refused(
                "an element of an array is compared with a list or an array, which NumPy does "
                "element by element; compare numbers."
            )
        return NotImplemented

    def __hash__(self) -> int:
        raise refused(
            "a traced number is looked up in a dict or set, and has no number while the program is "
            "being recorded; compare it with where(x == 1.0, a, b), or use take(list, index) of an "
            "integer array's element."
        )

    @property
    def _prev(self) -> tuple[Any, ...]:
        """Itself, so that no Module takes it for a parameter."""
        return (self,)

    def _known(self, name: str) -> Any:
        """Return an attribute that is known of a number without the number."""
        kind = self._kind
        if not hasattr(kind, name) or name in ASKED_BY_NUMPY:
            advice = f"; write functional.{name}(x)" if name in OPERATIONS else ""
            raise AttributeError(f"'{kind.__name__}' object has no attribute {name!r}{advice}")
        if name in KNOWN_OF_NUMBERS:
            return KNOWN_OF_NUMBERS[name](self)
        raise refused(
            f".{name} of a number, which is not known while the program is being recorded; compute "
            "with operators and functions of liftgrad.functional."
        )

    def __copy__(self) -> "TracedNumber":
        return self

    def __deepcopy__(self, _memo: Any) -> "TracedNumber":
        return self

    def __bool__(self) -> bool:  # noqa: PLE0304, it never returns
        refuse_branch()


class Condition:
    """The outcome of a comparison of traced values, for `where`; a bool that is not known yet."""

    __slots__ = ("_index", "_kind", "_tape")
    _known_as = "a comparison of Values"

    def __init__(self, tape: Tape, index: int, kind: type = bool) -> None:
        self._tape = tape
        self._index = index
        self._kind = kind
        """bool or NumPy's."""

    @property
    def __class__(self) -> Any:
        """What it stands for, as `isinstance` asks it."""
        return self._kind

    @__class__.setter
    def __class__(self, _: Any) -> None:
        raise refused("the class of a condition is set; write the condition as it shall be.")

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
            Traced(tape, node) if Traced in (type(a), type(b)) else TracedNumber(tape, node, float)
        )

    def _logical(self, operation: Operation, *others: "Condition") -> "Condition":
        if any(other._tape is not self._tape for other in others):
            raise _of_earlier_call()
        node = (operation, self._index, *[other._index for other in others])
        kinds = {self._kind, *[other._kind for other in others]}
        return Condition(self._tape, self._tape.record(node), max(kinds, key=is_numpy))

    def _negated(self) -> "Condition":
        return self._logical(ops.logical_not)

    def __and__(self, other: Any) -> Any:
        if type(other) is Condition:
            return self._logical(ops.logical_and, other)
        if isinstance(other, bool | np.bool_):
            return self if other else other
        return _without_bits(other)

    def __or__(self, other: Any) -> Any:
        if type(other) is Condition:
            return self._logical(ops.logical_or, other)
        if isinstance(other, bool | np.bool_):
            return other or self
        return _without_bits(other)

    def __xor__(self, other: Any) -> Any:
        if type(other) is Condition:
            either = self._logical(ops.logical_or, other)
            return either & self._logical(ops.logical_and, other)._negated()
        if isinstance(other, bool | np.bool_):
            return self._negated() if other else self
        return _without_bits(other)

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    def __eq__(self, other: object) -> Any:
        if type(other) is Condition or isinstance(other, bool | np.bool_):
            return (self ^ other)._negated()
        return TracedNumber(self._tape, self._number()._index, self._kind) == other

    def __ne__(self, other: object) -> Any:
        if type(other) is Condition or isinstance(other, bool | np.bool_):
            return self ^ other
        return TracedNumber(self._tape, self._number()._index, self._kind) != other

    __hash__ = TracedNumber.__hash__

    def __invert__(self) -> "Condition":
        if self._kind is bool:
            raise refused(
                "~ of a bool is -1 or -2 in Python, and both count as true; write condition ^ True."
            )
        return self._negated()

    def __getattr__(self, name: str) -> Any:
        """Return what is known of a bool without the bool."""
        return TracedNumber(self._tape, 0, self._kind)._known(name)

    def __copy__(self) -> "Condition":
        return self

    def __deepcopy__(self, _memo: Any) -> "Condition":
        return self

    def __bool__(self) -> bool:  # noqa: PLE0304, it never returns
        refuse_branch()


_NUMBERS = frozenset({Traced, TracedNumber})
_FLOATS = frozenset({float, np.float64})


ASKED_BY_NUMPY = ("__array_interface__", "__array_struct__", "__array_priority__", "__array__")
"""What NumPy asks anything for; without, it makes arrays of objects."""
_COMPARED = {
    np.less: "__gt__",
    np.less_equal: "__ge__",
    np.greater: "__lt__",
    np.greater_equal: "__le__",
    np.equal: "__eq__",
    np.not_equal: "__ne__",
}
"""The method of the second operand for each of NumPy's comparisons, the first being NumPy's."""
KNOWN_OF_NUMBERS: dict[str, Any] = {
    "real": lambda x: x,
    "conjugate": lambda x: lambda: x,
    "item": lambda x: lambda: TracedNumber(x._tape, x._index, type(x._kind(0).item())),
    "dtype": lambda x: np.dtype(x._kind),
    "shape": lambda _: (),
    "ndim": lambda _: 0,
    "size": lambda _: 1,
}


def differs(tape: Tape, x: Any) -> bool:
    """Tell whether a number of any kind differs from sample to sample."""
    return tape.depends_on_batch(tape.index_of(innermost(x)))


def sample_count(tape: Tape) -> Traced:
    """Return how many samples there are."""
    return Traced(tape, tape.leaf(SAMPLES_LEAF, 0))


def total_over_batch(each: Any, tape: Tape) -> Any:
    """Return the total of a number over all samples."""
    if isinstance(each, Variable):

        def pullback(g: Any, _y: Any, each: Any) -> tuple[Any]:
            return (g if differs(tape, each) else g * sample_count(tape),)

        return each._record(lambda x: total_over_batch(x, tape), pullback, (each,))
    node = tape.index_of(each)
    if not tape.depends_on_batch(node):
        return Traced(tape, node) * sample_count(tape)
    return Traced(tape, tape.record((BATCH_TOTAL, node)))


def _of_earlier_call() -> TraceError:
    return refused(
        "a traced value of an earlier call is used here; it has no number any more, so return it "
        "from the lifted function instead of storing it."
    )


def _without_bits(other: Any) -> Any:
    """Refuse bitwise arithmetic of a condition and a number."""
    if is_plain_number(other):
        raise refused(AS_INTEGER)
    return NotImplemented


def _arithmetic(name: str) -> Any:
    def method(self: Condition, *others: Any) -> Any:
        if len(others) > 1:
            raise refused(AS_INTEGER)
        kinds = [self._kind, *map(stands_for, others)]
        if np.bool_ in kinds and all(issubclass(kind, bool | np.bool_) for kind in kinds):
            raise refused(
                "arithmetic of conditions on elements of arrays, which is logical in NumPy; write "
                "& or |, or where(condition, 1.0, 0.0)."
            )
        numbers = [x._number() if type(x) is Condition else x for x in others]
        return getattr(self._number(), name)(*numbers)

    return method


for _name in (*(f"__{n}__" for n in ARITHMETIC), "__lt__", "__le__", "__gt__", "__ge__"):
    if hasattr(Node, _name) and _name not in vars(Condition):
        setattr(Condition, _name, _arithmetic(_name))

_GRADIENT = (
    "backward() or .grad in a lifted function, whose gradient is taken outside of it; return the "
    "loss, and call backward() and the optimiser's step() on what the call returns."
)
_AS_FLOAT = (
    "float() of a traced value, which has no number while the program is being recorded; keep it "
    "as it is, with .data to stop its gradient, and use functions of liftgrad.functional instead "
    "of those of math."
)

refuse(Node, TEXT, AS_TEXT)
refuse(Node, ("copy", "deepcopy", *PICKLING), AS_PICKLE)
refuse(Node, ("array_function",), _AS_FLOAT)
refuse(Node, CONVERSIONS, _AS_FLOAT)
refuse(TracedNumber, ("round", "trunc", "floor", "ceil", *IN_WHOLE_NUMBERS), AS_INTEGER)
refuse(Condition, [n for n in IN_WHOLE_NUMBERS if f"__{n}__" not in vars(Condition)], AS_INTEGER)
refuse(Condition, ("array_ufunc", "array_function"), _AS_FLOAT)
refuse(Condition, TEXT, AS_TEXT)
refuse(Condition, PICKLING, AS_PICKLE)
refuse(Condition, CONVERSIONS, _AS_FLOAT)
