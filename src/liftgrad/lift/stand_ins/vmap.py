"""vmap: map a function over the leading axis of arrays by tracing it once."""

from collections.abc import Callable, Sequence
from typing import Any

from liftgrad.derivatives import Variable
from liftgrad.lift.call.results import flatten_result
from liftgrad.lift.stand_ins.arrays import TracedArray
from liftgrad.lift.stand_ins.batch import Batch
from liftgrad.lift.stand_ins.values import TracedNumber, TracedValue
from liftgrad.lift.user_code import refused
from liftgrad.numbers import kind_of


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
        axes: list[int | None] = (
            [in_axes] * len(arguments) if isinstance(in_axes, int) else list(in_axes)
        )
        if len(axes) != len(arguments) or any(axis not in (0, None) for axis in axes):
            raise ValueError(
                f"in_axes={in_axes!r} for {len(arguments)} arguments; give 0 or None for each."
            )
        over = [x for x, axis in zip(arguments, axes, strict=True) if axis == 0]
        for x in over:
            if not hasattr(x, "__len__"):
                raise TypeError(
                    f"vmap maps over lists and arrays, and this is {kind_of(x)}; name what is the "
                    "same for all samples with None in in_axes."
                )
        if not over:
            raise ValueError("vmap needs an argument to map over; pass a list or an array.")
        lengths = [len(x._positions if isinstance(x, TracedArray) else x) for x in over]
        if len(set(lengths)) != 1:
            raise ValueError(f"vmap over arguments of lengths {lengths}; make them equal.")
        if not any(isinstance(x, TracedArray) for x in over):
            rows = zip(
                *[
                    x if a == 0 else [x] * len(over[0])
                    for x, a in zip(arguments, axes, strict=True)
                ],
                strict=True,
            )
            return [function(*row) for row in rows]
        if not all(isinstance(x, TracedArray) for x in over):
            raise refused(
                "vmap over something that is not an array argument of the lifted function; pass it "
                "as a NumPy array, or write a loop."
            )
        return _trace_one(function, arguments, axes)

    return mapped


def _trace_one(
    function: Callable[..., Any], arguments: tuple[Any, ...], axes: list[int | None]
) -> Any:
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
