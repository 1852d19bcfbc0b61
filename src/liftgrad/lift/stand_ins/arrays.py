"""Arrays: stand-ins for array arguments.

The elements of an array of floats are traced numbers, those of an array of integers are indices
that are known at run time.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad import ops
from liftgrad.lift.stand_ins.attributes import ASKED_BY_NUMPY
from liftgrad.lift.stand_ins.indices import TracedIndex
from liftgrad.lift.stand_ins.refusals import (
    ARITHMETIC,
    AS_PICKLE,
    AS_TEXT,
    COMPARISONS,
    CONVERSIONS,
    PICKLING,
    TEXT,
    refuse,
)
from liftgrad.lift.stand_ins.values import (
    Condition,
    TracedNumber,
    TracedValue,
)
from liftgrad.lift.trace.tape import Tape
from liftgrad.lift.user_code import refused


class TracedArray:
    """An array argument: indexed, sliced and iterated over like the array it stands for."""

    __slots__ = (
        *("_dtype", "_elements", "_group", "_of_sample", "_positions", "_rearranged", "_tape"),
    )

    def __init__(
        self,
        tape: Tape,
        group: int,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        positions: NDArray[np.int64] | None = None,
        *,
        of_sample: bool = False,
        rearranged: bool = False,
    ) -> None:
        self._tape, self._group, self._dtype = tape, group, dtype
        self._of_sample = of_sample
        """Whether it is a sample of an array that vmap maps over, or part of a sample."""
        self._rearranged = rearranged
        """Whether its first axis may not be that of the argument."""
        if positions is None:
            positions = np.arange(math.prod(shape), dtype=np.int64).reshape(shape)
        self._positions = positions
        self._elements: list[Any] = []
        """The items, once somebody has iterated over it."""

    _known_as = "an array"

    def _node_on(self, _tape: Tape) -> int:
        raise refused(_AS_WHOLE)

    @property
    def __class__(self) -> Any:
        """The class of what it stands for, which `isinstance` asks for."""
        return np.ndarray

    @__class__.setter
    def __class__(self, _: Any) -> None:
        raise refused("the class of an array is set; pass an array of that class.")

    @property
    def shape(self) -> tuple[int, ...]:
        """The array's shape."""
        self._note_shape()
        return self._positions.shape

    @property
    def ndim(self) -> int:
        """How many dimensions."""
        return self._positions.ndim

    @property
    def size(self) -> int:
        """How many elements."""
        return math.prod(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the elements."""
        return self._dtype

    @property
    def T(self) -> "TracedArray":  # noqa: N802, NumPy's name
        """The array transposed."""
        return self.transpose()

    def transpose(self, *axes: Any) -> "TracedArray":
        """Return the array with its axes in another order, as NumPy does."""
        return self._view(self._all_positions().transpose(*axes))

    def reshape(self, *shape: Any) -> "TracedArray":
        """Return the elements in another shape, as NumPy does."""
        return self._view(self._all_positions().reshape(*shape))

    def ravel(self) -> "TracedArray":
        """Return the elements as one row."""
        return self.reshape(-1)

    flatten = ravel

    def copy(self) -> "TracedArray":
        """Return the array itself, which nothing can change."""
        return self

    def tolist(self) -> list[Any]:
        """Return nested lists of the elements."""
        return [x.tolist() if isinstance(x, TracedArray) else x.item() for x in self]

    def sum(self, *axes: Any, **options: Any) -> Any:
        """Return the sum of all elements; a sum along an axis is refused."""
        if axes or options:
            raise refused(_ALONG_AXES)
        return ops.total(*self.ravel())

    def mean(self, *axes: Any, **options: Any) -> Any:
        """Return the mean of all elements; a mean along an axis is refused."""
        return self.sum(*axes, **options) / self.size

    def __getattr__(self, name: str) -> Any:
        """Refuse an array's other attributes."""
        if not hasattr(np.ndarray, name) or name in ASKED_BY_NUMPY:
            raise AttributeError(f"'numpy.ndarray' object has no attribute {name!r}")
        raise refused(
            f".{name} of an array whose numbers are not known while the program is being recorded; "
            "liftgrad computes with single numbers, so loop over its elements, or compute it "
            "before the call and pass it."
        )

    def __array_ufunc__(self, function: Any, method: str, *operands: Any, **options: Any) -> Any:
        """Refuse NumPy's functions, except with arrays of Values, which are arrays of objects."""
        if method == "__call__" and not options and any(map(_is_of_objects, operands)):
            return function(*map(_as_objects, operands))
        raise refused(_AS_WHOLE if function.nin == 2 else _IN_NUMPY)

    def __array_function__(
        self, function: Any, _types: Any, operands: Any, options: dict[str, Any]
    ) -> Any:
        """Refuse NumPy's functions, except products with arrays of Values."""
        if function in _PRODUCTS and not options and any(map(_is_of_objects, operands)):
            return function(*map(_as_objects, operands))
        raise refused(_IN_NUMPY)

    def __copy__(self) -> "TracedArray":
        return self

    def __deepcopy__(self, _memo: Any) -> "TracedArray":
        return self

    def __len__(self) -> int:
        self._note_shape()
        return len(self._positions)

    def _note_shape(self) -> None:
        """Record that the program may depend on how many samples there are."""
        if not self._of_sample:
            self._tape.measured.add(self._group)

    def _all_positions(self) -> NDArray[np.int64]:
        self._note_shape()
        return self._positions

    def _view(self, positions: NDArray[np.int64]) -> "TracedArray":
        return TracedArray(
            *(self._tape, self._group, (), self._dtype, positions),
            of_sample=self._of_sample,
            rearranged=True,
        )

    def __iter__(self) -> Iterator[Any]:
        count = len(self)
        if not self._elements:  # each neuron of a layer iterates over the same inputs
            self._elements = [self[i] for i in range(count)]
        elif self.ndim == 1:
            self._note_elements()
        return iter(self._elements)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, TracedIndex):
            return key._take_from(self)
        if isinstance(key, tuple) and any(isinstance(k, TracedIndex) for k in key):
            raise refused(
                "an element of an integer array is one of several indices, but is known at run "
                "time only; write take(array, i)[j] for array[i, j]."
            )
        if type(key) in (Condition, TracedNumber, TracedValue, TracedArray):
            raise refused(
                "an array is indexed by something that is known at run time only; loop over its "
                "elements and use where(condition, a, b), or pass an integer array and use take()."
            )
        positions = self._positions[key]
        if isinstance(positions, np.ndarray) and positions.ndim:
            return TracedArray(
                *(self._tape, self._group, (), self._dtype, positions),
                of_sample=self._of_sample,
                rearranged=self._rearranged,
            )
        self._note_elements()
        return self._element(int(positions))

    def _note_elements(self) -> None:
        """Record that single elements are used; of an array that vmap maps over, only within it."""
        tape, group = self._tape, self._group
        if group not in tape.batched:
            tape.unrolled.add(group)
        elif group not in tape.mapping and group not in tape.meanings:
            raise _both_ways()

    def _element(self, position: int) -> Any:
        if self._dtype.kind in "iu":
            return TracedIndex(self._tape, self._group, position, self._dtype.type)
        return TracedNumber(self._tape, self._tape.leaf(self._group, position), self._dtype.type)

    def _sample(self) -> Any:
        """Return one sample, which stands for all along the first axis."""
        tape, group = self._tape, self._group
        if self._positions.size and group in tape.unrolled:
            raise _both_ways()
        whole = self.ndim > 0 and group not in tape.mapping and not self._rearranged
        if not whole or not np.array_equal(
            self._positions.reshape(-1), np.arange(self._positions.size)
        ):
            raise refused(
                "vmap over part of an array, or within another vmap; pass the part as an argument "
                "of the lifted function, or write the inner map as a loop."
            )
        tape.batched[group] = len(self._positions)
        shape = self._positions.shape[1:]
        if not shape:
            return self._element(0)
        return TracedArray(tape, group, shape, self._dtype, of_sample=True)


def _is_of_objects(x: Any) -> bool:
    return type(x) is np.ndarray and x.dtype == object


def _as_objects(x: Any) -> Any:
    """Return an array of the elements' stand-ins."""
    if type(x) is not TracedArray:
        return x
    objects = np.empty(x.shape, object)
    for i, element in enumerate(x.ravel()):
        objects.flat[i] = element
    return objects


def _with_objects(name: str) -> Any:
    def apply(self: TracedArray, other: Any) -> Any:
        if not _is_of_objects(other):
            raise refused(_AS_WHOLE)
        return getattr(_as_objects(self), name)(other)

    return apply


_PRODUCTS = frozenset({np.dot, np.inner, np.outer})


def _both_ways() -> Exception:
    return refused(
        "an array is mapped over by vmap and indexed outside of it; pass it twice, as two "
        "arguments."
    )


_AS_WHOLE = (
    "an array is used as one number; liftgrad computes with single numbers, so loop over its "
    "elements, as in [2.0 * x for x in X]."
)
_CHANGED = (
    "an array that the lifted function was given is changed, and the function runs once for many "
    "calls; return the new numbers instead."
)
_CONTAINED = (
    "a Python branch (in) on an array whose numbers are not known while the program is being "
    "recorded; compare element by element and use where(condition, a, b)."
)
_ALONG_AXES = (
    "a sum or mean along an axis of an array whose numbers are not known while the program is "
    "being recorded; loop over its rows, or its columns by X.T, and take that of each."
)
_IN_NUMPY = (
    "an array is passed to NumPy, which would need its numbers while the program is being "
    "recorded; loop over its elements with functions of liftgrad.functional, or compute it before "
    "the call and pass it."
)
refuse(TracedArray, (*ARITHMETIC, *COMPARISONS), _AS_WHOLE)
refuse(TracedArray, (*CONVERSIONS, "bool", "hash"), _AS_WHOLE)
refuse(TracedArray, ("contains",), _CONTAINED)
refuse(TracedArray, ("setitem", "delitem"), _CHANGED)
for _name in ("add", "sub", "mul", "truediv", "matmul", "pow"):
    setattr(TracedArray, f"__{_name}__", _with_objects(f"__{_name}__"))
refuse(TracedArray, ("array",), _IN_NUMPY)
refuse(TracedArray, TEXT, AS_TEXT)
refuse(TracedArray, PICKLING, AS_PICKLE)
