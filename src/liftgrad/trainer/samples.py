"""Samples: the data that functions are evaluated on, read in portions if it is memory-mapped."""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from liftgrad.lift.function import LiftedFunction
from liftgrad.lift.train.separable import Combination, combination
from liftgrad.mapped import is_mapped, is_much, rows_at_once, take_rows
from liftgrad.numbers import is_number, kind_of, plain
from liftgrad.trainer.batches import Order


class Samples:
    """Arguments of a loss with all rows of the data, or some.

    Args:
        args: with all of the data.
        rows: the positions of the rows; None: all.

    """

    def __init__(self, args: tuple[Any, ...], rows: Order | None = None) -> None:
        self.args, self.rows = args, rows
        arrays = [x for x in args if isinstance(x, np.ndarray) and x.ndim]
        self.length = len(arrays[0]) if arrays else 0
        data = [x for x in arrays if len(x) == self.length]
        self.count = self.length if rows is None else len(rows)
        # A program computes with numbers of 8 bytes.
        at_once = [max(1, rows_at_once(x) * x.itemsize // 8) for x in data if is_mapped(x)]
        self.portions = -(-self.count // min(at_once)) if at_once else 1
        """How many portions the rows are read in, if a function can be evaluated in portions."""
        self._all = self._taken(rows) if self.portions <= 1 else None
        self._warned: set[str] = set()
        self._combinations: dict[Any, Combination | None] = {}

    @property
    def all(self) -> tuple[Any, ...]:
        """The arguments with the rows, which are in memory unless they are all rows."""
        return self._taken(self.rows) if self._all is None else self._all

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Keep the rows, once they are all in memory, for all functions until the block ends."""
        kept = self._all
        try:
            yield
        finally:
            self._all = kept

    def number(self, name: str, function: Callable[..., Any]) -> float:
        """Return a function's result on the rows, a number.

        Args:
            name: of the function in messages.
            function: of the arguments.

        Raises:
            TypeError: if it does not return a number.

        """
        if self.portions > 1 and isinstance(function, LiftedFunction):
            rows = np.arange(self.length) if self.rows is None else self.rows
            portions = np.array_split(rows, self.portions)
            sizes = np.array([len(portion) for portion in portions])
            how = self._combination(function, set(sizes.tolist()))
            if how is not None:
                numbers = [_number(name, function(*self._taken(portion))) for portion in portions]
                weights = sizes / self.count if how == "mean" else np.ones(len(portions))
                return float(weights @ numbers)
            self._warn(name)
        if self._all is None:
            self._all = self.all
        return _number(name, function(*self._all))

    def _warn(self, name: str) -> None:
        """Warn once about a function that takes much memory."""
        much = any(self._is_data(x) and is_much(self.count, x) for x in self.args)
        if much and name not in self._warned:
            self._warned.add(name)
            warnings.warn(
                f"all {self.count:,} rows that {name} is evaluated on are in memory at once, since "
                "it is not a mean or total over the samples of vmap; write mean(vmap(f)(X)), so "
                "that they are read a portion at a time.",
                RuntimeWarning,
                stacklevel=8,  # the caller of fit()
            )

    def _combination(self, function: LiftedFunction, sizes: set[int]) -> Combination | None:
        arguments, flat = function.source.flatten(self.args, {})
        # The structure may change between epochs, as that of a model that grows.
        key = id(function), flat.key
        if key not in self._combinations:
            # Arrays that the function captures are not cut into portions.
            given = {id(x) for x in self.args if self._is_data(x)}
            data = {name for name, x in arguments.items() if id(x) in given}
            self._combinations[key] = combination(function.source, arguments, data, sizes)
        return self._combinations[key]

    def _taken(self, rows: Order | None) -> tuple[Any, ...]:
        if rows is None:
            return self.args
        return tuple([take_rows(x, rows) if self._is_data(x) else x for x in self.args])

    def _is_data(self, x: Any) -> bool:
        return isinstance(x, np.ndarray) and x.shape[:1] == (self.length,)


def _number(name: str, result: Any) -> float:
    if not is_number(result) and not hasattr(type(result), "__float__"):
        raise TypeError(f"{name} returned {kind_of(result)}; a metric returns one number.")
    try:
        return plain(result)
    except TypeError:
        raise TypeError(
            f"{name} returned an array of shape {np.shape(result)}; a metric returns one number."
        ) from None
