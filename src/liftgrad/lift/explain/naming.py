"""Naming: what the user's program calls the elements of a group.

The numbers of a leaf group have paths in the arguments, "model.layers.1.neurons.3.w.5", and the
elements of an array have indices; what a program keeps in between has the loops that computed it.
Given which elements an access touches, `Naming.look` says what varies among them, and how they
are written when that has letters: `model.layers.1.w[i,k]`.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
_MOST_LABELS = 8
_NUMBER = re.compile(r"(?<=\.)[0-9]+(?![^.])")


@dataclass(slots=True, frozen=True, eq=False)
class Column:
    """One index of what is touched: its value for each of the positions."""

    values: Indices
    samples: bool = False
    """It counts samples, or whatever the first dimension of the data is."""
    labels: tuple[str, ...] | None = None
    """The index is one of these words, by number."""
    flat: bool = False
    """It counts all numbers of a group."""


@dataclass(slots=True, frozen=True, eq=False)
class Look:
    """The indices of the elements that an access touches, and how it is written."""

    columns: tuple[Column, ...]
    write: Callable[[Sequence[str]], str]


@dataclass(slots=True)
class Naming:
    """A group's name and what its elements are called."""

    name: str
    sample: str = ""
    """The letter for the sample, a further index before all others, if there is one for each."""
    columns: tuple[Column, ...] | None = None
    """The indices of all elements, where they are known; otherwise elements are numbered."""
    paths: "Paths | None" = None
    prefix: str = ""

    def look(self, positions: Indices, *, flat: bool = False) -> Look:
        """Return how the elements at these positions are called."""
        if not flat and self.paths is not None:
            look = self.paths.look(positions, self.prefix)
            if look is not None:
                return look
        if flat or self.columns is None:
            columns: tuple[Column, ...] = (Column(positions, flat=True),)
        else:
            columns = tuple(
                Column(c.values[positions], c.samples, c.labels, c.flat) for c in self.columns
            )
        return Look(columns, self._write)

    def _write(self, indices: Sequence[str]) -> str:
        inside = [self.sample, *indices] if self.sample else indices
        name = self.prefix + self.name
        if self.paths is not None and self.paths.nested:
            name += ".flat"
        return f"{name}[{','.join(inside)}]" if inside else name


def array_columns(shape: Sequence[int], *, samples: bool) -> tuple[Column, ...]:
    """Return the indices of an array's elements; `samples`: the first dimension counts them."""
    grid = np.indices(shape).reshape(len(shape), math.prod(shape))
    return tuple(Column(values, samples and d == 0) for d, values in enumerate(grid))


_Place = tuple[str, ...]
"""The components of a path up to a number, all numbers being "*"."""


@dataclass(slots=True)
class Paths:
    """The paths of a group's numbers, taken apart: words and, in between, whole numbers."""

    paths: Sequence[str]
    varying: set[_Place] = field(default_factory=set)
    """The places whose numbers were indices in some access so far."""
    kinds: list[_Place] = field(init=False)
    kind_of: Indices = field(init=False)
    """For each path which of the kinds it is."""
    numbers: Indices = field(init=False)
    """For each path the numbers at its stars."""

    def __post_init__(self) -> None:
        known: dict[str, int] = {}
        kinds, rows = [], []
        for path in self.paths:
            kinds.append(known.setdefault(_NUMBER.sub("*", path), len(known)))
            rows.append([int(part) for part in _NUMBER.findall(path)])
        width = max((len(row) for row in rows), default=0)
        self.kinds = [tuple(kind.split(".")) for kind in known]
        self.kind_of = np.array(kinds, np.int64)
        self.numbers = np.array([row + [0] * (width - len(row)) for row in rows], np.int64)

    @property
    def nested(self) -> bool:
        """Whether the argument is a list of lists, or of Values some of which are there twice.

        An index in it is then not the number of a Value.
        """
        if len(self.kinds) == 1 and self.kinds[0][1:] == ("*",):
            return bool((self.numbers[:, 0] != np.arange(len(self.numbers))).any())
        return any(kind[1:2] == ("*",) and len(kind) > 2 for kind in self.kinds)

    def look(self, positions: Indices, prefix: str) -> Look | None:
        """Return how the elements are called, or None if their paths are too different."""
        touched = self.kind_of[positions]
        kinds = [self.kinds[k] for k in dict.fromkeys(touched.reshape(-1).tolist())]
        stars = [[part == "*" for part in kind] for kind in kinds]
        whole = len(kinds) == len(self.kinds) > 1
        if whole or any(other != stars[0] for other in stars) or len(kinds) > _MOST_LABELS:
            return None
        differing = [
            place for place in range(len(kinds[0])) if len({kind[place] for kind in kinds}) > 1
        ]
        if len(differing) > 1 or differing == [0]:
            return None
        numbers = self.numbers[positions]
        columns: list[Column] = []
        parts: list[str | None] = []
        for place, part in enumerate(kinds[0]):
            if place in differing:
                labels = tuple(dict.fromkeys(kind[place] for kind in kinds))
                codes = np.zeros(len(self.kinds), np.int64)
                codes[[self.kinds.index(kind) for kind in kinds]] = np.arange(len(kinds))
                columns.append(Column(codes[touched], labels=labels))
                parts.append(None)
            elif part == "*":
                values = numbers[..., kinds[0][:place].count("*")]
                constant = bool((values == values.reshape(-1)[0]).all())
                if constant and not self._index(kinds[0], place):
                    parts.append(str(values.reshape(-1)[0]))
                    continue
                if not constant:
                    self.varying.update(kind[: place + 1] for kind in kinds)
                columns.append(Column(values))
                parts.append(None)
            else:
                parts.append(part)
        name = prefix + self._short(parts)

        def write(indices: Sequence[str]) -> str:
            return f"{name}[{','.join(indices)}]" if indices else name

        return Look(tuple(columns), write)

    def _short(self, parts: list[str | None]) -> str:
        """Return the name before the brackets: without words that only name a list of modules."""
        words = [part for part in parts if part is not None]
        anywhere = [part and ("*" if part.isdecimal() else part) for part in parts]
        for other in self.kinds:
            theirs = [
                None if part == "*" and self._index(other, i) else part
                for i, part in enumerate(other)
            ]
            alike = _modules_left_out(theirs) == _modules_left_out(anywhere)
            if alike and [p for p in theirs if p] != [p for p in anywhere if p]:
                return ".".join(words)
        return ".".join(_modules_left_out(parts))

    def _index(self, kind: _Place, place: int) -> bool:
        """Tell whether a number in a path is an index: it varies, or no word follows."""
        return kind[: place + 1] in self.varying or all(part == "*" for part in kind[place:])


def _modules_left_out(parts: Sequence[str | None]) -> list[str]:
    kept = []
    for i, part in enumerate(parts):
        indexed = i + 1 < len(parts) and parts[i + 1] is None
        if part is not None and not (i > 0 and indexed and any(parts[i + 1 :])):
            kept.append(part)
    return kept
