"""Letters for the loops of a line: i, j for rows, k for what is summed over, s for samples.

And t for the steps of a loop over time, in lines that are in that loop and in those that are not.
"""

from dataclasses import dataclass
from itertools import chain, count

from liftgrad.lift.explain.fitted import FittedLine
from liftgrad.lift.explain.names import Names
from liftgrad.lift.explain.naming import Column

_ROWS = "ijlmnoqr"
_ROWS_WITHOUT_REDUCTION = "ijklmnoqr"
_REDUCED = "klmnoqrij"
_SAMPLES = "stuv"
_LABELS = "cdefg"
_FLAT = "pq"


@dataclass(frozen=True, slots=True)
class Letters:
    """The letters of the loops over rows, and of those of each reduction."""

    rows: list[str]
    reduced: list[list[str]]

    def around(self, reduction: int | None) -> list[str]:
        """Return the letters of all loops around an access in a reduction, or in none."""
        return [*self.rows, *([] if reduction is None else self.reduced[reduction])]


def letters(fitted: FittedLine, names: Names) -> Letters:
    """Return letters for a line's loops, other than those taken.

    Reductions of one length over the same sort of indices share their letters.
    """
    used = {*names.taken, names.time}
    columns = fitted.columns()
    plain = _ROWS if any(loops.columns for loops in fitted.reduced) else _ROWS_WITHOUT_REDUCTION
    in_loop = fitted.line.time is not None
    time = [] if in_loop else [names.time]
    rows = [names.time] if fitted.counts_steps else []
    further = range(len(rows), len(fitted.rows.columns))
    rows += [_letter(columns.get(d), plain, used, time) for d in further]
    reduced: list[list[str]] = []
    known: dict[object, list[str]] = {}
    for r, loops in enumerate(fitted.reduced):
        columns = fitted.columns(r)
        along = [columns.get(d) for d in range(len(loops.columns))]
        sorts = [(c.samples, c.labels, c.flat, c.time) if c else None for c in along]
        key = (*fitted.line.lengths[r], loops.extents, *sorts)
        if key not in known:
            known[key] = [_letter(column, _REDUCED, used, time) for column in along]
        reduced.append(known[key])
    return Letters(rows, reduced)


def _letter(column: Column | None, plain: str, used: set[str], time: list[str]) -> str:
    """Return a letter for a loop along which this index counts, and add it to those used.

    The first that counts steps takes the letter that is reserved for that, out of the list.
    """
    if column is not None and column.time and time:
        return time.pop()
    pool = plain
    if column is not None:
        if column.labels:
            pool = _LABELS
        elif column.samples:
            pool = _SAMPLES
        elif column.flat:
            pool = _FLAT
    numbered = (f"i{n}" for n in count(1))
    letter = next(x for x in chain(pool, plain, _REDUCED, numbered) if x not in used)
    used.add(letter)
    return letter
