"""Traced array: array arguments of a function that is traced, and the indices in them.

An array of floats gives traced values, one of integers gives indices that are known at run time.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad import ops
from liftgrad.derivatives import Variable
from liftgrad.errors import TraceError
from liftgrad.lift.tape import LEAF, TABLE, TAKE, Tape
from liftgrad.lift.trace import Traced
from liftgrad.lift.user_code import refuse_arithmetic, refuse_branch, user_line
from liftgrad.operators import Operators
from liftgrad.ops import Operation


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

    def _node_on(self, _tape: Tape) -> int:
        raise TraceError(f"{user_line()}: {_AS_WHOLE}")

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
        return Traced(self._tape, self._tape.leaf(self._group, position))

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

    def _node_on(self, tape: Tape) -> int:
        return self._number()._node_on(tape)

    def _uniform(self) -> Traced:
        return Traced(self._tape, self._tape.draw())

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
        refuse_branch()


def _both_ways() -> TraceError:
    return TraceError(
        f"{user_line()}: an array is mapped over by vmap and indexed outside of it; pass it twice, "
        "as two arguments."
    )


_AS_WHOLE = (
    "an array is used as one number; liftgrad computes with single numbers, so loop over its "
    "elements, as in [2.0 * x for x in X]."
)
refuse_arithmetic(TracedArray, _AS_WHOLE)
