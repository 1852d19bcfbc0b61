"""vmap: map a function over the leading axis of arrays by tracing it once, and its results."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from liftgrad.lift.call.flatten import flatten_result
from liftgrad.lift.stand_ins.arrays import TracedArray
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
from liftgrad.lift.stand_ins.values import TracedNumber, TracedValue, sample_count, total_over_batch
from liftgrad.lift.trace.tape import Tape
from liftgrad.lift.user_code import refused
from liftgrad.numbers import kind_of
from liftgrad.variable import Variable


def vmap(
    function: Callable[..., Any], in_axes: int | Sequence[int | None] = 0
) -> Callable[..., Any]:
    """Return a function that applies `function` to each sample of its arguments.

    Within a lifted function the samples are rows of array arguments, `function` is traced for one
    row that stands for all, and the size of the batch stays a run-time number. Its results are
    then summed up with `total` or `mean`, or returned, as arrays with one entry for each sample.
    Elsewhere the result is the list of the results.

    >>> vmap(lambda x, y: x * y)([1.0, 2.0], [3.0, 4.0])
    [3.0, 8.0]
    >>> import numpy as np
    >>> from liftgrad import lift
    >>> from liftgrad.functional import mean
    >>> mean_square = lift(lambda X: mean(vmap(lambda x: x * x)(X)))
    >>> mean_square(np.array([1.0, 3.0])).data
    5.0

    Args:
        function: takes one sample of each argument.
        in_axes: 0, or for each argument 0 or None; None: the same for all samples.

    Raises:
        TypeError: if a mapped argument is no list or array.
        TraceError: if a mapped argument is not an array argument of the lifted function.
        ValueError: if mapped arguments differ in length.

    """

    def mapped(*arguments: Any) -> Any:
        axes = _axes(in_axes, len(arguments))
        over = [x for x, axis in zip(arguments, axes, strict=True) if axis == 0]
        samples = _common_length(over)
        traced = [isinstance(x, TracedArray) for x in over]
        if not any(traced):
            columns = [
                x if axis == 0 else [x] * samples for x, axis in zip(arguments, axes, strict=True)
            ]
            return [function(*row) for row in zip(*columns, strict=True)]
        if not all(traced):
            raise refused(
                "vmap over something that is not an array argument of the lifted function; pass it "
                "as a NumPy array, or write a loop."
            )
        return _trace_one(function, arguments, axes)

    return mapped


class Batch:
    """The results of a mapped function, one for each sample; see `vmap`."""

    _known_as = "what vmap returned"

    def __init__(self, each: Any, tape: Tape) -> None:
        self.each = each
        self._tape = tape

    def _node_on(self, _tape: Tape) -> int:
        raise refused(_AS_ONE)

    def _total(self) -> Any:
        return total_over_batch(self.each, self._tape)

    def _mean(self) -> Any:
        self._tape.averaged = True
        return self._total() / sample_count(self._tape)

    def __iter__(self) -> Iterator[Any]:
        raise refused(
            "the results of vmap have no fixed number within a lifted function; use total(results) "
            "or mean(results), or return them, and compute each sample's loss in the mapped "
            "function."
        )

    __len__ = __getitem__ = __contains__ = __iter__


def _axes(in_axes: int | Sequence[int | None], count: int) -> list[int | None]:
    """Return 0 or None for each argument."""
    axes: list[int | None] = [in_axes] * count if isinstance(in_axes, int) else list(in_axes)
    if len(axes) != count or any(axis not in (0, None) for axis in axes):
        raise ValueError(f"in_axes={in_axes!r} for {count} arguments; give 0 or None for each.")
    return axes


def _common_length(over: Sequence[Any]) -> int:
    """Return the length of all these lists and arrays."""
    for x in over:
        if not hasattr(x, "__len__"):
            raise TypeError(
                f"vmap maps over lists and arrays, and this is {kind_of(x)}; give None in in_axes "
                "for what is the same for all samples."
            )
    if not over:
        raise ValueError("vmap needs an argument to map over; pass a list or an array.")
    # Without asking a traced array for its length, which would make that part of the program.
    lengths = [len(x._positions if isinstance(x, TracedArray) else x) for x in over]
    if len(set(lengths)) != 1:
        raise ValueError(f"vmap over arguments of lengths {lengths}; make them equal.")
    return lengths[0]


def _trace_one(
    function: Callable[..., Any], arguments: tuple[Any, ...], axes: list[int | None]
) -> Any:
    """Trace the function for one sample, and return a Batch for each of its results."""
    samples = [x._sample() if axis == 0 else x for x, axis in zip(arguments, axes, strict=True)]
    arrays = [x for x, axis in zip(arguments, axes, strict=True) if axis == 0]
    tape = arrays[0]._tape
    groups = {x._group for x in arrays}
    tape.mapping |= groups
    tape.maps += 1
    try:
        result = function(*samples)
    finally:
        tape.mapping -= groups
    leaves, rebuild = flatten_result(result)
    each = [
        x
        if type(x) in (TracedValue, TracedNumber, Variable)
        else TracedValue(tape, tape.index_of(x))
        for x in leaves
    ]
    return rebuild(iter([Batch(x, tape) for x in each]))


_AS_ONE = "the results of vmap are used as one number; use total(results) or mean(results)."
refuse(Batch, (*ARITHMETIC, *COMPARISONS, *CONVERSIONS, "hash", "bool"), _AS_ONE)
refuse(Batch, TEXT, AS_TEXT)
refuse(Batch, PICKLING, AS_PICKLE)
