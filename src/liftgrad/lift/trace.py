"""Trace: run the user's function once on traced values and record what it does on a tape.

A tape is a list of nodes `(operation, operand, ...)`, operands being earlier nodes' numbers.
Equal nodes are recorded once. Leaves are `(LEAF, group, position)`, constants `(CONSTANT, number)`.
A dot product is one node, whose operands are the left factors, the right ones, and what it starts
from: most of a network's operations are in its dot products.
"""

import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

import liftgrad
from liftgrad import ops
from liftgrad.derivatives import Variable, innermost
from liftgrad.errors import LiftError, TraceError
from liftgrad.lift.draws import Draws
from liftgrad.numbers import is_number, to_float
from liftgrad.operators import Operators
from liftgrad.ops import Operation

LEAF = "leaf"
CONSTANT = "constant"
TAKE = "take"
TABLE = "table"
BATCH_TOTAL = "batch total"
SAMPLES_LEAF = -1
"""The leaf group of one number: how many samples there are."""
Node = tuple[Any, ...]

_PACKAGE = str(Path(liftgrad.__file__).parent)


class Tape:
    """The scalar operations of one run of a function, whose arguments make up leaf groups."""

    def __init__(self, groups: int = 0) -> None:
        self.groups = groups
        """How many leaf groups the arguments make up; those of random numbers come next."""
        self.nodes: list[Node] = []
        self.memo: dict[Node, int] = {}
        self.batched: dict[int, int] = {}
        """The groups of arrays that are mapped over, with the number of samples in this run."""
        self.bounds: dict[tuple[int, int], int] = {}
        """For each index (group, position) the smallest extent it is used in."""
        self.unrolled: set[int] = set()
        """The groups of arrays whose elements were looked at one by one."""
        self.measured: set[int] = set()
        """The groups of arrays whose length or shape was asked for."""
        self.mapping: set[int] = set()
        """The groups that a vmap in progress maps over."""
        self.maps = 0
        """How many vmaps began."""
        self.draws: list[Draws] = []
        """The random numbers drawn so far."""
        self.known = bytearray()
        """Whether each node depends on something that is mapped over, as far as it was asked."""

    def record(self, node: Node) -> int:
        """Return the node's number, a new one where no equal node was recorded before."""
        nodes = self.nodes
        index = self.memo.setdefault(node, len(nodes))
        if index == len(nodes):
            nodes.append(node)
        return index

    def constant(self, number: float) -> int:
        """Record a constant; nan and the two zeros are told apart by their text."""
        index = self.memo.get((CONSTANT, number))
        if index is None:
            plain = number == number and number != 0.0  # noqa: PLR0124, the test for nan
            index = self.record((CONSTANT, number if plain else repr(number)))
        return index

    def leaf(self, group: int, position: int) -> "Traced":
        """Record an input: a position in one of the groups that the arguments make up."""
        return Traced(self, self.record((LEAF, group, position)))

    def leaves(self, group: int, first: int, count: int) -> "list[Traced]":
        """Record neighbouring inputs, which are new if they are several."""
        if count == 1:
            return [self.leaf(group, first)]
        start, memo = len(self.nodes), self.memo
        new = [(LEAF, group, position) for position in range(first, first + count)]
        memo.update(zip(new, range(start, start + count), strict=True))
        self.nodes += new
        return [Traced(self, i) for i in range(start, start + count)]

    def draw(self) -> "Traced":
        """Record a random number, one for each sample within vmap."""
        mapped = self.maps if self.mapping else 0
        if not self.draws or self.draws[-1].mapped != mapped:
            self.draws.append(Draws(mapped))
        group, last = self.groups + len(self.draws) - 1, self.draws[-1]
        if mapped:
            self.batched[group] = 1
        last.count += 1
        return self.leaf(group, last.count - 1)

    def index_of(self, x: Any) -> int:
        """Return the number of the node for a traced value, an eager Value or a number."""
        if x.__class__ is float:
            return self.constant(x)
        if isinstance(x, Traced):
            if x._tape is not self:
                raise _of_earlier_call()
            return x._index
        if isinstance(x, TracedIndex):
            return x._number()._index
        if isinstance(x, Batch):
            raise TraceError(f"{user_line()}: {_AS_ONE}")
        if isinstance(x, Condition):
            raise TraceError(f"{user_line()}: {_AS_NUMBER}")
        if isinstance(x, TracedArray):
            raise TraceError(f"{user_line()}: {_AS_WHOLE}")
        if isinstance(x, Variable):
            raise LiftError(
                f"{user_line()}: a number of a function that grad() differentiates is used outside "
                "of it; return it from that function, with jacobian() or value_and_grad()."
            )
        if isinstance(x, Operators):
            raise TraceError(
                f"{user_line()}: a Value that is not an argument of the lifted function is used "
                "in it; pass it, or the module that holds it, as an argument."
            )
        return self.constant(to_float(x))

    def result_of(self, x: "Traced | Condition | Batch") -> int:
        """Return the number of the node of a result."""
        if isinstance(x, Batch):
            return self.index_of(x.each)
        if isinstance(x, Condition):
            x = ops.where(x, 1.0, 0.0)
        node = self.index_of(x)
        if self.depends_on_batch(node):
            raise TraceError(
                f"{user_line()}: a result was made of one sample's numbers, outside of the "
                "function that vmap maps; return them from that function, and take total() or "
                "mean()."
            )
        return node

    def depends_on_batch(self, node: int) -> bool:
        """Tell whether a node's number differs from sample to sample."""
        if not self.batched:
            return False
        known = self.known
        for earlier in self.nodes[len(known) : node + 1]:
            operation = earlier[0]
            if operation is LEAF:
                known.append(earlier[1] in self.batched)
            elif operation is CONSTANT or operation is BATCH_TOTAL:
                known.append(False)
            else:
                known.append(any(map(known.__getitem__, earlier[1:])))
        return bool(known[node])

    def index_bounds(self, groups: Sequence[Any]) -> dict[int, NDArray[np.int64]]:
        """Return for each index group the smallest extent that each position is used in."""
        result: dict[int, NDArray[np.int64]] = {}
        for (group, position), extent in self.bounds.items():
            if group not in result:
                array = groups[group].array
                size = math.prod(array.shape[1:]) if group in self.batched else array.size
                result[group] = np.full(size, np.iinfo(np.int64).max)
            result[group][position] = extent
        return result

    def operations(self) -> int:
        """How many operations there are; a dot product is a product for each term, and a sum."""
        return sum(
            len(node) // 2
            if node[0] is ops.dot
            else node[0] is not LEAF and node[0] is not CONSTANT
            for node in self.nodes
        )


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

    def _constant(self, number: float) -> "Traced":
        return Traced(self._tape, self._tape.constant(number))

    def _uniform(self) -> "Traced":
        return self._tape.draw()

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
        _refuse_branch()

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
        _refuse_branch()


class TracedArray:
    """An array argument: indexed, sliced and iterated over like the array it stands for."""

    __array_ufunc__ = None  # as for Operators

    def __init__(
        self,
        tape: Tape,
        group: int,
        shape: tuple[int, ...],
        kind: str,
        positions: NDArray[np.int64] | None = None,
        *,
        of_sample: bool = False,
    ) -> None:
        self._tape, self._group, self._kind = tape, group, kind
        self._of_sample = of_sample
        """Whether it is one sample of an array that is mapped over, or part of one."""
        if positions is None:
            positions = np.arange(math.prod(shape), dtype=np.int64).reshape(shape)
        self._positions = positions
        self._elements: list[Any] = []
        """What iterating gives, once somebody has."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The array's shape."""
        self._measure()
        return self._positions.shape

    @property
    def ndim(self) -> int:
        """How many dimensions."""
        return self._positions.ndim

    def __len__(self) -> int:
        self._measure()
        return len(self._positions)

    def _measure(self) -> None:
        """Note that the program may depend on how many samples there are."""
        if not self._of_sample:
            self._tape.measured.add(self._group)

    def __iter__(self) -> Iterator[Any]:
        count = len(self)
        if not self._elements:  # each neuron of a layer iterates over the same inputs
            self._elements = [self[i] for i in range(count)]
        elif self.ndim == 1:
            self._look()
        return iter(self._elements)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, TracedIndex):
            return key._take_from(self)
        if isinstance(key, tuple) and any(isinstance(k, TracedIndex) for k in key):
            raise TraceError(
                f"{user_line()}: an element of an integer array is one of several indices, but is "
                "known at run time only; write take(array, i)[j] for array[i, j]."
            )
        positions = self._positions[key]
        if isinstance(positions, np.ndarray) and positions.ndim:
            return TracedArray(
                *(self._tape, self._group, (), self._kind, positions), of_sample=self._of_sample
            )
        self._look()
        return self._element(int(positions))

    def _look(self) -> None:
        """Note that single elements are looked at, which vmap's arrays allow within it only."""
        tape, group = self._tape, self._group
        if group not in tape.batched:
            tape.unrolled.add(group)
        elif group not in tape.mapping:
            raise _both_ways()

    def _element(self, position: int) -> Any:
        if self._kind == "index":
            return TracedIndex(self._tape, self._group, position)
        return self._tape.leaf(self._group, position)

    def _sample(self) -> Any:
        """Return one sample of the array, which stands for all along the first dimension."""
        tape, group = self._tape, self._group
        if self._positions.size and group in tape.unrolled:
            raise _both_ways()
        whole = self.ndim > 0 and group not in tape.mapping
        if not whole or not np.array_equal(
            self._positions.reshape(-1), np.arange(self._positions.size)
        ):
            raise TraceError(
                f"{user_line()}: vmap over part of an array, or within another vmap; pass the part "
                "as an argument of the lifted function, or write the inner map as a loop."
            )
        tape.batched[group] = len(self._positions)
        shape = self._positions.shape[1:]
        if not shape:
            return self._element(0)
        return TracedArray(tape, group, shape, self._kind, of_sample=True)


class TracedIndex(Operators):
    """An integer that is known at run time: for `take`, and as a number in arithmetic."""

    __slots__ = ("_index", "_place", "_tape")

    def __init__(self, tape: Tape, group: int, position: int) -> None:
        self._tape = tape
        self._place = (group, position)
        self._index = tape.record((LEAF, group, position))

    def _number(self) -> Traced:
        return Traced(self._tape, self._tape.record((ops.from_index, self._index)))

    def _uniform(self) -> Traced:
        return self._tape.draw()

    def _apply(self, operation: Operation, *operands: Any) -> Traced:  # type: ignore[override]
        number = self._number()
        operands = tuple(x._number() if isinstance(x, TracedIndex) else x for x in operands)
        return number._apply(operation, *operands)

    def _take_from(self, table: Any) -> Any:
        """Return the table's element, or row, at this index."""
        tape = self._tape
        rows = list(table)
        if not rows:
            raise TraceError(f"{user_line()}: take() from an empty table; give it a row or more.")
        if hasattr(rows[0], "__len__"):
            if len({len(row) for row in rows}) > 1:
                raise TraceError(
                    f"{user_line()}: take() from rows of different lengths; make them equal."
                )
            return [self._take_from([row[j] for row in rows]) for j in range(len(rows[0]))]
        for x in rows:
            if x.__class__ is Variable:
                return x._record(
                    lambda *r: self._take_from(r),
                    self._take_pullback,
                    tuple(rows),
                    lambda: [self == i for i in range(len(rows))],
                )
        self._tape.bounds[self._place] = min(
            len(rows), self._tape.bounds.get(self._place, len(rows))
        )
        elements = tape.record((TABLE, *[tape.index_of(x) for x in rows]))
        return Traced(tape, tape.record((TAKE, self._index, elements)))

    def _take_pullback(self, g: Any, _y: Any, *rows: Any) -> tuple[Any, ...]:
        return tuple([ops.where(self == i, g, 0.0) for i in range(len(rows))])

    def _constant(self, number: float) -> Traced:  # type: ignore[override]
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

    __hash__ = object.__hash__

    def __index__(self) -> int:
        raise TraceError(
            f"{user_line()}: an element of an integer array is used as an index, but is known at "
            "run time only; write take(table, index) for table[index]."
        )

    __int__ = __float__ = __index__

    def __bool__(self) -> bool:  # noqa: PLE0304, it never returns
        _refuse_branch()


class Batch:
    """The results of a mapped function, one for each sample; see `vmap`."""

    def __init__(self, each: Any, tape: Tape) -> None:
        self.each = each
        self._tape = tape

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
        return self._tape.leaf(SAMPLES_LEAF, 0)

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


def _both_ways() -> TraceError:
    return TraceError(
        f"{user_line()}: an array is mapped over by vmap and indexed outside of it; pass it twice, "
        "as two arguments."
    )


def _refuse_arithmetic(kind: Any, advice: str) -> None:
    """Make arithmetic on something that is no number say what to do."""

    def refuse(_a: Any, _b: Any = None) -> NoReturn:
        raise TraceError(f"{user_line()}: {advice}")

    for name in ("add", "sub", "mul", "matmul", "truediv", "pow"):
        setattr(kind, f"__{name}__", refuse)
        setattr(kind, f"__r{name}__", refuse)
    kind.__neg__ = kind.__abs__ = refuse


_AS_NUMBER = "a comparison is used as a number; write where(condition, 1.0, 0.0)."
_AS_ONE = "the results of vmap are used as one number; use total(results) or mean(results)."
_AS_WHOLE = (
    "an array is used as one number; liftgrad computes with single numbers, so loop over its "
    "elements, as in [2.0 * x for x in X]."
)
_refuse_arithmetic(Condition, _AS_NUMBER)
_refuse_arithmetic(TracedArray, _AS_WHOLE)
_refuse_arithmetic(Batch, _AS_ONE)


def _refuse_branch() -> NoReturn:
    raise TraceError(
        f"{user_line()}: a Python branch (if, and, or, max, min, sorted) on a traced value, which "
        "has no number while the program is being recorded; use where(condition, a, b), "
        "maximum(a, b) or minimum(a, b), or make it a static argument (an int, str or bool)."
    )


def user_line() -> str:
    """Return "file:line" of the innermost frame that is not liftgrad's own."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def number_of(text: float | str) -> float:
    """Return the constant that a node stores."""
    return text if isinstance(text, float) else math.nan if text == "nan" else float(text)
