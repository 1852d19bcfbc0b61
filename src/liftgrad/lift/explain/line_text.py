"""Line text: one line of a program as a formula, and how far its indices go."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad.lift.explain.fitted import FittedLine
from liftgrad.lift.explain.formula import Text, formula, literal
from liftgrad.lift.explain.letters import letters
from liftgrad.lift.explain.lines import Line, Touch
from liftgrad.lift.explain.loops import Index
from liftgrad.lift.explain.names import Names
from liftgrad.lift.explain.naming import Column
from liftgrad.lift.ir.groups import Indices
from liftgrad.lift.ir.nests import Reduce

_MOST_STEPS = 8
"""Steps that are listed in a line; more are a table."""


class LineText:
    """The text of a line: `formula` and `extents`; `misfits` counts what fits no loops."""

    def __init__(self, names: Names, line: Line) -> None:
        self.names, self.line, self.misfits = names, line, 0
        self.fitted = FittedLine(names, line)
        self.letters = letters(self.fitted, names)
        self.formula = self._formula()
        self.extents = ", ".join(self._extents())

    def _formula(self) -> str:
        line = self.line
        body = formula(
            line.body,
            lambda access: self._touch(line.touches[id(access)]),
            self._over,
            lambda x: self.names.subexpressions.get(id(x)),
        )
        sign = "+=" if line.accumulate else "="
        return f"{self._touch(line.out).text} {sign} {body.text}"

    def _over(self, reduce: Reduce) -> str:
        """Return the letters that a reduction runs over."""
        r = next(i for i, other in enumerate(self.line.reductions) if other is reduce)
        sample = [self.names.sample] if reduce.samples else []
        return ",".join([*sample, *self.letters.reduced[r]])

    def _touch(self, t: Touch) -> Text:
        """Return an access as text."""
        fitted = self.fitted.of(t)
        constants = self.names.constants(t.group)
        if constants is not None:
            read = constants[np.concatenate([b.reshape(-1) for b in t.blocks])]
            if (read == read[0]).all() or np.isnan(read).all():
                return literal(float(read[0]))
        at = "" if t.index is None else self._touch(t.index).text
        if constants is not None and None in fitted.indices:
            return Text(self._table(t, [constants[block] for block in t.blocks], "values", at))
        around = self.letters.around(t.reduction)
        texts = []
        for i, column in enumerate(fitted.reference.columns):
            index, step = fitted.indices[i], fitted.steps[i]
            if index is None:
                values: Sequence[NDArray[Any]] = fitted.blocks[i]
                if column.labels:
                    values = [np.array(column.labels)[block] for block in values]
                text = self._table(t, values, "table", at if step is None else "")
            elif column.labels and index.loop is None:
                text = column.labels[index.offset]
            else:
                text = index.text(around)
            if step:
                factor = "" if step == 1 else f"{step}·"
                rest = "" if text == "0" else text if text.startswith("-") else f"+{text}"
                text = f"{factor}{at}{rest}"
            texts.append(text)
        return Text(fitted.reference.write(texts))

    def _table(self, t: Touch, blocks: Sequence[NDArray[Any]], stem: str, at: str = "") -> str:
        """Return what fits no loops as a table, indexed by those loops on which it depends."""
        self.misfits += stem == "table"
        rows, loops = self.line.rows, self.fitted.rows
        lengths = [block.shape[1] for block in blocks]
        each = np.repeat(lengths, rows)
        columns = [np.repeat(column, each) for column in loops.columns]
        if t.reduction is not None:
            for column in self.fitted.reduced[t.reduction].columns:
                tiles = zip(lengths, rows, strict=True)
                columns.append(np.concatenate([np.tile(column[:n], times) for n, times in tiles]))
        values = np.concatenate([b.reshape(b.shape[0] * b.shape[1], -1) for b in blocks])
        ragged = len(set(lengths)) > 1
        return self._tabulated(columns, values, stem, t.reduction, at, ragged=ragged)

    def _tabulated(
        self,
        columns: Sequence[Indices],
        values: NDArray[Any],
        stem: str,
        reduction: int | None = None,
        at: str = "",
        *,
        ragged: bool = False,
    ) -> str:
        """Return values as a table, indexed by those loops on which they depend.

        Args:
            columns: the index of each loop for each of the values.
            values: a number, or several, for each step of the loops.
            stem: how the table's name begins.
            reduction: the reduction whose loops are the innermost.
            at: the last index.
            ragged: whether all loops are needed.

        """
        needed = list(range(len(columns)))
        ragged = ragged or self.fitted.rows.extents is None
        for d in range(0 if ragged else len(columns)):
            others = [other for other in needed if other != d]
            which, first = _distinct_steps([columns[other] for other in others], len(values))
            if (values == values[first][which]).all():
                needed = others
        _, first = _distinct_steps([columns[d] for d in needed], len(values))
        around = self.letters.around(reduction)
        inside = [around[d] for d in needed] + ([at] if at else [])
        return f"{self.names.table(values[first].reshape(-1).tolist(), stem)}[{','.join(inside)}]"

    def _extents(self) -> Iterator[str]:
        """Yield how far each letter goes: "s<100", "t≤s", "c∈{wq, wk}"."""
        line, rows = self.line, self.fitted.rows
        if line.batched or any(reduce.samples for reduce in line.reductions):
            yield f"{self.names.sample}<samples"
        columns = self.fitted.columns()
        yield from self._when()
        for d, extent in enumerate(rows.lengths()):
            if d == 0 and self.fitted.counts_steps:
                continue
            letter = self.letters.rows[d]
            if extent is None and rows.of_steps:
                yield f"{letter}<{self._tabulated(rows.columns[:d], rows.longest(d), 'table')}"
            else:
                yield self._extent(letter, extent, columns.get(d))
        written: set[str] = set()
        for r, loops in enumerate(self.fitted.reduced):
            columns = self.fitted.columns(r)
            lengths = loops.lengths()
            if len(set(line.lengths[r])) > 1:
                each = np.repeat(line.lengths[r], line.rows)
                lengths = [rows.fit(each)]
                if lengths == [None] and rows.of_steps:
                    (letter,) = self.letters.reduced[r]
                    if letter not in written:
                        yield f"{letter}<{self._tabulated(rows.columns, each, 'table')}"
                    written.add(letter)
                    continue
            with_letters = zip(self.letters.reduced[r], lengths, strict=True)
            for d, (letter, extent) in enumerate(with_letters):
                if letter not in written:
                    written.add(letter)
                    yield self._extent(letter, extent, columns.get(d))

    def _when(self) -> Iterator[str]:
        """Yield in which steps of its loop over time the line is computed, if not in all."""
        if self.line.time is None or self.fitted.steps is None:
            return
        steps = np.flatnonzero(np.bincount(self.fitted.steps)).tolist()
        every = self.line.time.loop.steps
        t, first, last = self.names.time, steps[0], steps[-1]
        if len(steps) == every:
            return
        if first == last:
            yield f"{t}={first}"
        elif len(steps) == last - first + 1:
            to_the_end = last == every - 1
            yield f"{t}≥{first}" if to_the_end else f"{f'{first}≤' * (first > 0)}{t}<{last + 1}"
        elif len(steps) > 3 and steps == list(range(first, last + 1, steps[1] - first)):
            yield f"{t}∈{{{first}, {steps[1]}, …, {last}}}"
        elif len(steps) <= _MOST_STEPS:
            yield f"{t}∈{{{', '.join(map(str, steps))}}}"
        else:
            yield f"{t}∈{self.names.table(steps, 'table')}"

    def _extent(self, letter: str, extent: Index | None, column: Column | None) -> str:
        labels = column.labels if column is not None else None
        if extent is None or (labels and extent != Index(len(labels), (0,) * len(extent.strides))):
            self.misfits += 1
            return f"{letter}<…"
        if labels:
            return f"{letter}∈{{{', '.join(labels)}}}"
        around = self.letters.rows[: len(extent.strides)]
        if any(extent.strides):
            return f"{letter}≤{Index(extent.offset - 1, extent.strides).text(around)}"
        return f"{letter}<{extent.text(around)}"


def _distinct_steps(columns: list[Indices], steps: int) -> tuple[Indices, Indices]:
    """Return which of the distinct steps each step is, and where each distinct one is first."""
    if not columns:
        return np.zeros(steps, np.int64), np.zeros(1, np.int64)
    place = np.zeros(steps, np.int64)
    for column in columns:  # as a number in mixed radix, which is quicker to sort than rows
        place = place * (column.max() - column.min() + 1) + column - column.min()
    _, first, which = np.unique(place, return_index=True, return_inverse=True)
    return which, first
