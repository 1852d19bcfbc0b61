"""Listing: a printed program."""

from dataclasses import dataclass

from liftgrad.legible import printable

_WIDEST = 100
_LINES_IN_REPR = 60


@dataclass(frozen=True, slots=True)
class PrintedLine:
    """A line: the formula, the extents of its indices, and the scalar operations it stands for."""

    formula: str
    extents: str
    origin: str = ""

    def printable(self) -> "PrintedLine":
        """Return the line in characters that standard output can encode."""
        return PrintedLine(*map(printable, (self.formula, self.extents, self.origin)))


@dataclass(frozen=True, slots=True)
class Listing:
    """A printed program; `str()` is all of it, `repr()` its beginning.

    Both are for `print`, which fails at characters that standard output's encoding lacks: where it
    does, Σ is written sum, and → is written ->.
    """

    title: str
    sections: tuple[tuple[str, tuple[PrintedLine, ...]], ...]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def __repr__(self) -> str:
        every = self._lines()
        more = len(every) - _LINES_IN_REPR
        if more <= 1:
            return "\n".join(every)
        ending = f"... and {more} more lines; print() shows all."
        return "\n".join([*every[:_LINES_IN_REPR], ending])

    def _lines(self) -> list[str]:
        sections = [
            (heading, [line.printable() for line in section]) for heading, section in self.sections
        ]
        every = [line for _, section in sections for line in section]
        width = max((n for n in (len(x.formula) for x in every) if n <= _WIDEST), default=0)
        extents = max((len(x.extents) for x in every if x.origin), default=0)
        result = [printable(self.title)]
        for heading, section in sections:
            result += ["", heading] if heading else [""]
            for line in section:
                text = f"{line.formula:<{width}}    {line.extents:<{extents}}    {line.origin}"
                result.append("  " + text.rstrip())
        return result + (["", *map(printable, self.notes)] if self.notes else [])
