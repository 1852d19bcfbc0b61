"""Batch: the results of a mapped function in a function that is traced."""

from collections.abc import Iterator
from typing import Any

from liftgrad.lift.stand_ins.values import sample_count, total_over_batch
from liftgrad.lift.trace.tape import Tape
from liftgrad.lift.user_code import (
    ARITHMETIC,
    AS_PICKLE,
    AS_TEXT,
    COMPARISONS,
    CONVERSIONS,
    PICKLING,
    TEXT,
    refuse,
    refused,
)


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


_AS_ONE = "the results of vmap are used as one number; use total(results) or mean(results)."
refuse(Batch, (*ARITHMETIC, *COMPARISONS, *CONVERSIONS, "hash", "bool"), _AS_ONE)
refuse(Batch, TEXT, AS_TEXT)
refuse(Batch, PICKLING, AS_PICKLE)
