"""Sum parts: a sum in parts, each of which writes some of its elements, or adds to them.

Runs of one length are reduced together. What comes first for an element is written there, whatever
else there is is added, and elements of which all runs are empty are zero.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from liftgrad.lift.ir.groups import Indices, Runs, Sum, identity
from liftgrad.lift.ir.nests import Number
from liftgrad.lift.scheduling.compose import EVERY, Composer
from liftgrad.lift.scheduling.draft import Draft, added, rows_of
from liftgrad.lift.scheduling.elements import MOST_TERMS


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """What is written to some elements of a sum, or added to them."""

    rows: Indices
    terms: Draft
    accumulate: bool


class SumParts:
    """Makes the parts of a sum.

    Args:
        group: the sum.
        composer: composes its terms.
        begun: whether all of its elements are written already.

    """

    def __init__(self, group: Sum, composer: Composer, *, begun: bool) -> None:
        self.group, self.composer = group, composer
        self.written = np.full(group.size, begun)
        """The elements that the parts made so far write."""

    def uniform(self, operands: Sequence[Runs]) -> Iterator[Part]:
        """Yield the parts of operands whose runs all have one length."""
        terms = [self.composer.run(runs, EVERY, self.group.batched) for runs in operands]
        for first in range(0, len(terms), MOST_TERMS):
            some = added(terms[first : first + MOST_TERMS])
            yield Part(identity(self.group.size), some, accumulate=bool(self.written.any()))
            self.written[:] = True

    def ragged(self, runs: Runs) -> Iterator[Part]:
        """Yield the parts of an operand whose runs have several lengths."""
        if self.composer.in_pieces(runs):
            yield from self.zeros(np.diff(runs.offsets) > 0)
        for rows, terms in self.composer.runs(runs, self.group.batched, "sum"):
            for accumulate in (True, False):
                chosen = self.written[rows] == accumulate
                if chosen.all():
                    yield Part(rows, terms, accumulate)
                elif chosen.any():
                    yield Part(rows[chosen], rows_of(terms, chosen), accumulate)
            self.written[rows] = True

    def zeros(self, wanted: NDArray[np.bool_] | bool = True) -> Iterator[Part]:
        """Yield the part that makes wanted elements zero, as far as they are not written."""
        rest = wanted & ~self.written
        if rest.any():
            yield Part(np.nonzero(rest)[0], Number(0.0), accumulate=False)
            self.written |= rest
