"""Notation: how positions, loops and numbers are written in the text of either language."""

from collections.abc import Iterable, Sequence

import numpy as np

from liftgrad.lift.ir import affine
from liftgrad.lift.ir.groups import Indices
from liftgrad.ops import Operation

SHOWN = 8
"""How many positions, rows or numbers are written out one by one."""
ROWS = "ijmnabcdefgh"
REDUCED = "kqrsuvwxyzop"


def size_text(*loops: str, batched: bool) -> str:
    """Return the size of something: "3, samples"."""
    return ", ".join([*loops, *(["samples"] if batched else [])])


def applied_text(operation: Operation, operands: Iterable[str]) -> str:
    """Return an operation applied to operands: "multiply(p[0], 2)"."""
    parameter = [] if operation.parameter is None else [number_text(operation.parameter)]
    return f"{operation.name}({', '.join([*operands, *parameter])})"


def number_text(number: float) -> str:
    """Return a number: "2" or "0.5"."""
    return repr(float(number)).removesuffix(".0")


def affine_text(offset: int, rows: Sequence[int], reduced: Sequence[int] = ()) -> str:
    """Return positions over loops of rows, and of a reduction in them: "3i+k"."""
    letters = [*letters_of(ROWS, len(rows)), *letters_of(REDUCED, len(reduced))]
    return affine.text(offset, [*rows, *reduced], letters)


def letters_of(alphabet: str, count: int) -> list[str]:
    """Return a letter for each of some loops."""
    return [alphabet[d % len(alphabet)] + "′" * (d // len(alphabet)) for d in range(count)]


def bounds_text(extents: Sequence[int], alphabet: str) -> list[str]:
    """Return loops of these extents: "i<3", "j<2"."""
    letters = letters_of(alphabet, len(extents))
    return [f"{letter}<{extent}" for letter, extent in zip(letters, extents, strict=True)]


def sequence_text(positions: Indices) -> str:
    """Return positions one by one; where they are many, as ranges, an affine map, or the first."""
    if len(positions) <= SHOWN:
        return " ".join(map(str, positions.tolist()))
    pieces = np.split(positions, np.flatnonzero(np.diff(positions) != 1) + 1)
    ranges = [str(p[0]) if len(p) == 1 else f"{p[0]}..{p[-1]}" for p in pieces[: SHOWN + 1]]
    if len(ranges) <= SHOWN:
        return " ".join(ranges)
    extents = affine.common_extents(len(positions), [positions])
    strides = affine.strides(positions, extents)
    if strides is not None:
        return ", ".join([affine_text(positions[0], (), strides), *bounds_text(extents, REDUCED)])
    return " ".join([*ranges[:SHOWN], "…"])
