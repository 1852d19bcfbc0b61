"""Naming: what the user's program calls the elements of a group.

The numbers of a leaf group have paths in the arguments, "model.layers.1.neurons.3.w.5", and the
elements of an array have indices; what a program computes has the loops that computed it. For the
elements that an access touches, `Naming.reference` returns which indices vary among them, and how
they are written once the indices have letters: `model.layers.1.w[i,k]`.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from liftgrad.lift.ir.groups import Indices

_MOST_LABELS = 8
_NUMBER = re.compile(r"(?<=\.)[0-9]+(?![^.])")


@dataclass(slots=True, frozen=True, eq=False)
class Column:
    """One index of several elements: its value for each of them."""

    values: Indices
    samples: bool = False
    """It counts samples, or whatever the first dimension of the data is."""
    labels: tuple[str, ...] | None = None
    """The words that it stands for, if it does not stand for numbers."""
    flat: bool = False
    """It counts all elements of a group."""
    time: bool = False
    """It counts the steps of a loop over time."""


@dataclass(slots=True, frozen=True, eq=False)
class Reference:
    """The indices of the elements that an access touches, and how the access is written."""

    columns: tuple[Column, ...]
    write: Callable[[Sequence[str]], str]


Pattern = tuple[str, ...]
"""The components of a path, "*" instead of each number."""


@dataclass(slots=True)
class Paths:
    """The paths of a group's numbers, taken apart into patterns and the numbers at their stars."""

    paths: Sequence[str]
    varying: set[Pattern] = field(default_factory=set)
    """Beginnings of patterns, each up to a star whose numbers varied in some access so far."""
    patterns: list[Pattern] = field(init=False)
    pattern_of: Indices = field(init=False)
    """Which of the patterns each path has."""
    stars: Indices = field(init=False)
    """The numbers at the stars of each path."""

    def __post_init__(self) -> None:
        known: dict[str, int] = {}
        patterns, rows = [], []
        for path in self.paths:
            patterns.append(known.setdefault(_NUMBER.sub("*", path), len(known)))
            rows.append([int(number) for number in _NUMBER.findall(path)])
        width = max((len(row) for row in rows), default=0)
        self.patterns = [tuple(pattern.split(".")) for pattern in known]
        self.pattern_of = np.array(patterns, np.int64)
        self.stars = np.array([row + [0] * (width - len(row)) for row in rows], np.int64)

    @property
    def nested(self) -> bool:
        """Whether the argument is a list of lists, or of Values some of which occur twice.

        An index in it is then not the number of a Value.
        """
        if len(self.patterns) == 1 and self.patterns[0][1:] == ("*",):
            return bool((self.stars[:, 0] != np.arange(len(self.stars))).any())
        return any(pattern[1:2] == ("*",) and len(pattern) > 2 for pattern in self.patterns)

    def reference(self, positions: Indices, prefix: str) -> Reference | None:
        """Return how the elements are called, or None if their paths are too different."""
        touched = self.pattern_of[positions]
        each, first_place = np.unique(touched, return_index=True)
        patterns = [self.patterns[k] for k in each[np.argsort(first_place)].tolist()]
        first = patterns[0]
        stars = [[word == "*" for word in pattern] for pattern in patterns]
        whole = len(patterns) == len(self.patterns) > 1
        if whole or any(other != stars[0] for other in stars) or len(patterns) > _MOST_LABELS:
            return None
        differing = [d for d in range(len(first)) if len({p[d] for p in patterns}) > 1]
        if len(differing) > 1 or differing == [0]:
            return None
        numbers = self.stars[positions]
        columns: list[Column] = []
        words: list[str | None] = []  # None where there is an index
        for d, word in enumerate(first):
            if d in differing:
                labels = tuple(dict.fromkeys(pattern[d] for pattern in patterns))
                codes = np.zeros(len(self.patterns), np.int64)
                codes[[self.patterns.index(p) for p in patterns]] = np.arange(len(patterns))
                columns.append(Column(codes[touched], labels=labels))
                words.append(None)
            elif word == "*":
                values = numbers[..., first[:d].count("*")]
                constant = bool((values == values.reshape(-1)[0]).all())
                if constant and not self._is_index(first, d):
                    words.append(str(values.reshape(-1)[0]))
                    continue
                if not constant:
                    self.varying.update(pattern[: d + 1] for pattern in patterns)
                columns.append(Column(values))
                words.append(None)
            else:
                words.append(word)
        name = prefix + self._shortened(words)

        def write(indices: Sequence[str]) -> str:
            return f"{name}[{','.join(indices)}]" if indices else name

        return Reference(tuple(columns), write)

    def _shortened(self, words: list[str | None]) -> str:
        """Return the name before the brackets, without the words that only name a module list."""
        named = [word for word in words if word is not None]
        any_number = [word and ("*" if word.isdecimal() else word) for word in words]
        for other in self.patterns:
            theirs = [
                None if word == "*" and self._is_index(other, d) else word
                for d, word in enumerate(other)
            ]
            alike = _without_module_lists(theirs) == _without_module_lists(any_number)
            if alike and [w for w in theirs if w] != [w for w in any_number if w]:
                return ".".join(named)  # else two lists of modules would have one name
        return ".".join(_without_module_lists(words))

    def _is_index(self, pattern: Pattern, d: int) -> bool:
        """Whether a number in a path is an index: it varies, or no word follows."""
        return pattern[: d + 1] in self.varying or all(word == "*" for word in pattern[d:])


def _without_module_lists(words: Sequence[str | None]) -> list[str]:
    kept = []
    for d, word in enumerate(words):
        indexed = d + 1 < len(words) and words[d + 1] is None
        if word is not None and not (d > 0 and indexed and any(words[d + 1 :])):
            kept.append(word)
    return kept


@dataclass(slots=True)
class Naming:
    """A group's name and what its elements are called."""

    name: str
    sample: str = ""
    """The letter of the sample, the first index of a batched group."""
    columns: tuple[Column, ...] | None = None
    """The indices of all elements; None: unknown, so that elements are numbered."""
    paths: Paths | None = None
    prefix: str = ""
    """The signs before the name: "∂" for an adjoint."""

    @property
    def indexed(self) -> bool:
        """Whether the elements have indices other than their positions in the group."""
        return self.columns is not None or self.paths is not None

    def reference(self, positions: Indices, *, flat: bool = False) -> Reference:
        """Return how the elements at these positions are called; `flat`: by position alone."""
        if not flat and self.paths is not None:
            reference = self.paths.reference(positions, self.prefix)
            if reference is not None:
                return reference
        if flat or self.columns is None:
            columns: tuple[Column, ...] = (Column(positions, flat=True),)
        else:
            columns = tuple(
                replace(column, values=column.values[positions]) for column in self.columns
            )
        return Reference(columns, self._write)

    def _write(self, indices: Sequence[str]) -> str:
        within = [self.sample, *indices] if self.sample else indices
        name = self.prefix + self.name
        if self.paths is not None and self.paths.nested:
            name += ".flat"
        return f"{name}[{','.join(within)}]" if within else name


def array_columns(shape: Sequence[int], *, samples: bool) -> tuple[Column, ...]:
    """Return the indices of an array's elements; `samples`: the first dimension counts samples."""
    grid = np.indices(shape).reshape(len(shape), math.prod(shape))
    return tuple(Column(values, samples and d == 0) for d, values in enumerate(grid))
