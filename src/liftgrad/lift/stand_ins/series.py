"""Series: what the steps of a scan returned, as the list that it is eagerly."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from liftgrad import ops
from liftgrad.lift.stand_ins.refusals import AS_PICKLE, AS_TEXT, PICKLING, TEXT, refuse
from liftgrad.lift.stand_ins.values import TracedNumber, TracedValue
from liftgrad.lift.trace.scans import Meaning
from liftgrad.lift.trace.tape import Tape
from liftgrad.lift.user_code import refused


@dataclass(frozen=True, slots=True)
class Result:
    """A number that each step of a scan returned."""

    scan: int
    index: int
    """Which of the scan's results it is."""
    number_class: type | None
    """The class of plain number that it is; None: a Value."""
    varies: bool
    """Whether it differs from sample to sample."""

    def at(self, tape: Tape, kind: Literal["each", "total"], step: int = 0) -> Any:
        """Return what stands for one step's number, or for the total of all steps'."""
        meaning = Meaning(kind, self.scan, self.index)
        node = tape.leaf_of_scan(meaning, step, varies=self.varies)
        if self.number_class is None:
            return TracedValue(tape, node)
        return TracedNumber(tape, node, self.number_class)


class Series(Sequence[Any]):
    """A list with an entry for each step: a number that each returned, or a list of numbers.

    Entries are recorded when they are asked for, and a total without them.
    """

    _known_as = "a list"

    def __init__(
        self,
        tape: Tape,
        results: list[Result],
        nested: Callable[[Iterator[Any]], Any],
        steps: NDArray[np.int64],
    ) -> None:
        self._tape = tape
        self.results = results
        """The numbers that an entry consists of."""
        self.nested = nested
        """Makes an entry of its numbers."""
        self.steps = steps
        """The step of each entry."""

    @property
    def __class__(self) -> Any:
        """The class of what it stands for, which `isinstance` asks for."""
        return list

    @__class__.setter
    def __class__(self, _: Any) -> None:
        raise refused("the class of the results of scan is set; make a list of them first.")

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return Series(self._tape, self.results, self.nested, self.steps[key])
        return self._entry(int(self.steps[key]))

    def __iter__(self) -> Iterator[Any]:
        for step in self.steps.tolist():
            yield self._entry(step)

    def _entry(self, step: int) -> Any:
        return self.nested(iter([r.at(self._tape, "each", step) for r in self.results]))

    def _total(self) -> Any:
        scan = self._tape.scans[self.results[0].scan]
        each_once = np.array_equal(self.steps, np.arange(scan.steps))
        if self.nested is not next or not each_once:
            return ops.total(*self)
        return self.results[0].at(self._tape, "total")

    def _mean(self) -> Any:
        return self._total() / len(self.steps)

    def __eq__(self, other: object) -> Any:
        return [*self] == other

    def __add__(self, other: Any) -> Any:
        return self.copy() + other

    def __radd__(self, other: Any) -> Any:
        return other + self.copy()

    def __mul__(self, times: Any) -> Any:
        return self.copy() * times

    __rmul__ = __mul__
    __hash__ = None  # type: ignore[assignment]

    def copy(self) -> list[Any]:
        """Return a list of the entries."""
        return [*self]

    def __getattr__(self, name: str) -> Any:
        """Refuse what changes a list."""
        if not hasattr(list, name):
            raise AttributeError(f"'list' object has no attribute {name!r}")
        raise refused(_CHANGED)


_CHANGED = "the results of scan are changed; make a list of them first, as in [*ys]."
refuse(Series, ("setitem", "delitem", "iadd", "imul"), _CHANGED)
refuse(Series, TEXT, AS_TEXT)
refuse(Series, PICKLING, AS_PICKLE)
