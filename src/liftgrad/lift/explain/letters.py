"""Letters for the loops of a line: i, j for rows, k for what is summed over, s for samples."""

from dataclasses import dataclass
from itertools import chain, count

from liftgrad.lift.explain.fitted import FittedLine
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


def letters(fitted: FittedLine, taken: set[str]) -> Letters:
    """Return letters for a line's loops, other than those taken.

    Reductions of one length over the same sort of indices share their letters.
    """
    used = set(taken)
    columns = fitted.columns()
    plain = _ROWS if any(loops.columns for loops in fitted.reduced) else _ROWS_WITHOUT_REDUCTION
    rows = [_letter(columns.get(d), plain, used) for d in range(len(fitted.rows.columns))]
    reduced: list[list[str]] = []
    known: dict[object, list[str]] = {}
    for r, loops in enumerate(fitted.reduced):
        columns = fitted.columns(r)
        along = [columns.get(d) for d in range(len(loops.columns))]
        sorts = [(c.samples, c.labels, c.flat) if c else None for c in along]
        key = (*fitted.line.lengths[r], loops.extents, *sorts)
        if key not in known:
            known[key] = [_letter(column, _REDUCED, used) for column in along]
        reduced.append(known[key])
    return Letters(rows, reduced)


def _letter(column: Column | None, plain: str, used: set[str]) -> str:
    """Return a letter for a loop along which this index counts, and add it to those used."""
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
