"""Listing: a printed program."""

import sys
from dataclasses import dataclass

from liftgrad.legible import legible

_WIDEST = 100
_LINES_IN_REPR = 60


@dataclass(frozen=True, slots=True)
class PrintedLine:
    """A line: the formula, how far its indices go, and the scalar operations it stands for."""

    formula: str
    extents: str
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """A printed program; `str()` is all of it, `repr()` its beginning.

    They are for `print`, which fails at a sign that standard output's encoding has not: there Σ is
    written sum, and → is written ->.
    """

    title: str
    sections: tuple[tuple[str, tuple[PrintedLine, ...]], ...]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return _printed(self._lines())

    def __repr__(self) -> str:
        every = self._lines()
        more = len(every) - _LINES_IN_REPR
        if more <= 1:
            return _printed(every)
        return _printed([*every[:_LINES_IN_REPR], f"... and {more} more lines; print() shows all."])

    def _lines(self) -> list[str]:
        every = [line for _, section in self.sections for line in section]
        width = max((n for n in (len(x.formula) for x in every) if n <= _WIDEST), default=0)
        extents = max((len(x.extents) for x in every if x.origin), default=0)
        result = [self.title]
        for heading, section in self.sections:
            result += ["", heading] if heading else [""]
            for line in section:
                text = f"{line.formula:<{width}}    {line.extents:<{extents}}    {line.origin}"
                result.append("  " + text.rstrip())
        return result + (["", *self.notes] if self.notes else [])


def _printed(lines: list[str]) -> str:
    return legible("\n".join(lines), getattr(sys.stdout, "encoding", None))
