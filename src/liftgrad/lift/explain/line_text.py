"""Line text: one line of a program with loops for its indices and letters for its loops."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from liftgrad.lift.explain.formula import Text, formula, number
from liftgrad.lift.explain.loops import Index, Line, Loops, Touch, fit_blocks, row_extents
from liftgrad.lift.explain.naming import Column, Look, Naming
from liftgrad.lift.ir.groups import Indices
from liftgrad.lift.ir.nests import Reduce

_ROWS = "ijlmnoqr"
_WITHOUT_REDUCTION = "ijklmnoqr"
_REDUCED = "klmnoqrij"
_SAMPLES = "stuv"
_LABELS = "cdefg"
_FLAT = "pq"


class Names(Protocol):
    """What the lines of a program share."""

    sample: str
    """The letter for the samples of a batch."""
    taken: set[str]
    """Letters that the user's program has a use for."""
    introduced: dict[int, str]
    """Names for parts of lines, by the identity of the expression."""

    def naming(self, group: int) -> Naming:
        """Return what a group's elements are called."""

    def constants(self, group: int) -> NDArray[np.float64] | None:
        """Return a group's numbers, if they are written in the program."""

    def size(self, group: int, otherwise: int) -> int:
        """Return how many elements a group has, if it is one of the program's."""

    def table(self, numbers: Sequence[Any], stem: str) -> str:
        """Return the name of a table of numbers, which is listed below the program."""


@dataclass(slots=True, eq=False)
class _Fitted:
    """An access: its indices over the loops, None where they are not affine."""

    look: Look
    blocks: list[list[Indices]]
    """For each column the values in each nest, for the first value of a run-time index."""
    steps: list[int | None]
    """For each column how much it grows with a run-time index; None: not evenly."""
    indices: list[Index | None]


class LineText:
    """The text of a line: `formula` and `extents`; `misfits` counts what fits no loops."""

    def __init__(self, names: Names, line: Line) -> None:
        self.names, self.line, self.misfits = names, line, 0
        self.naming = names.naming(line.out.group)
        where = np.concatenate([block.reshape(-1) for block in line.out.blocks])
        unknown = self.naming.columns is None and self.naming.paths is None
        whole = np.array_equal(where, np.arange(names.size(line.out.group, len(where))))
        self.defines = unknown and whole and line.out.index is None
        """Whether the loops of this line are the indices of what it computes."""
        every = [t for touch in line.touches.values() for t in _with_indices(touch)]
        if not self.defines:
            every = [*_with_indices(line.out), *every]
        self.touches = every
        self.fitted = {id(t): self.looked(t) for t in every}
        self.rows = self.choose_rows()
        self.reduced = [self.reduction(r) for r in range(len(line.reductions))]
        for t in every:
            self.fit(t)
        if self.defines:
            self.define()
        self.mark()
        self.letters, self.reduced_letters = self.choose_letters()
        self.formula = self.write()
        self.extents = ", ".join(self.write_extents())

    # --- indices -----------------------------------------------------------------------------

    def looked(self, t: Touch, *, flat: bool = False) -> _Fitted:
        """Return how an access is written, with its indices for each row."""
        naming = self.names.naming(t.group)
        look = naming.look(np.concatenate([b.reshape(-1) for b in t.blocks]), flat=flat)
        cuts = np.cumsum([b.size for b in t.blocks])[:-1]
        blocks: list[list[Indices]] = []
        steps: list[int | None] = []
        for column in look.columns:
            parts = np.split(column.values, cuts)
            mine = [p.reshape(b.shape) for p, b in zip(parts, t.blocks, strict=True)]
            step = 0 if t.index is None else _step(mine)
            if t.index is not None and step is not None:
                mine = [b[..., 0] for b in mine]
            blocks.append(mine)
            steps.append(step)
        return _Fitted(look, blocks, steps, [])

    def fit(self, t: Touch) -> None:
        """Fit an access's indices; count through all of an argument where its names do not fit."""
        self.fit_columns(t, self.fitted[id(t)])
        if None in self.fitted[id(t)].indices and self.names.naming(t.group).paths is not None:
            flat = self.looked(t, flat=True)
            self.fit_columns(t, flat)
            if None not in flat.indices:
                self.fitted[id(t)] = flat

    def fit_columns(self, t: Touch, fitted: _Fitted) -> None:
        """Fit the indices of an access to the loops around it."""
        reduced = None if t.reduction is None else self.reduced[t.reduction]
        parts = zip(fitted.look.columns, fitted.blocks, fitted.steps, strict=True)
        for column, blocks, step in parts:
            index = None if step is None else fit_blocks(blocks, self.rows, reduced)
            if index and column.labels and index.loop is None and any(index.strides):
                index = None
            fitted.indices.append(index)

    def choose_rows(self) -> Loops:
        """Return the loops over rows: those over which most indices are affine."""
        line = self.line
        columns = [blocks for t in self.touches for blocks in self.fitted[id(t)].blocks]
        sequences = [_heads(blocks) for blocks in columns]
        lengths = [np.repeat(n, line.blocks) for n in line.lengths if len(set(n)) > 1]
        sequences += lengths
        best, fewest = None, len(sequences) + 1
        for loops in self.candidates(sequences):
            failures = sum(loops.fit(sequence) is None for sequence in sequences)
            if failures < fewest and (loops.extents is not None or not failures):
                best, fewest = loops, failures
            if not fewest:
                break
        assert best is not None
        if not self.defines:
            for blocks in self.fitted[id(line.out)].blocks:
                best = best.ahead(_heads(blocks))
        return best

    def candidates(self, sequences: list[Indices]) -> Iterator[Loops]:
        """Yield loops of fixed extents, and loops that count like the indices of some access."""
        rows = sum(self.line.blocks)
        yield Loops.rectangular(row_extents([*sequences, np.arange(rows)]))
        for t in self.touches:
            own = self.fitted[id(t)].blocks if t.index is None else []
            heads = [_heads(blocks) for blocks in own]
            loops = Loops(tuple(heads))
            if len(heads) > 1 and loops.counts() and None not in loops.lengths():
                yield loops
        if len(self.line.nests) == 1:
            yield Loops.rectangular(self.line.nests[0].extents)

    def reduction(self, r: int) -> Loops:
        """Return the loops of a reduction."""
        lengths = self.line.lengths[r]
        if len(set(lengths)) > 1:
            return Loops.rectangular((max(lengths),))
        across = [
            _heads([blocks[0][0]])
            for t in self.touches
            if t.reduction == r
            for blocks in self.fitted[id(t)].blocks
        ]
        return Loops.rectangular(row_extents([*across, np.arange(lengths[0])]))

    def indices_for(self, group: int, size: int) -> tuple[Column, ...] | None:
        """Return the loops of this line as indices of what it reads, if it reads each just once."""
        for t in self.touches:
            r = t.reduction
            uniform = r is None or len(set(self.line.lengths[r])) == 1
            if t.group != group or t.index is not None or not uniform:
                continue
            where = np.concatenate([block.reshape(-1) for block in t.blocks])
            if len(where) != size or len(np.unique(where)) != size:
                continue
            length = size // sum(self.line.blocks)
            inner = () if r is None else self.reduced[r].columns
            columns = [np.repeat(column, length) for column in self.rows.columns]
            columns += [np.tile(column, size // length) for column in inner]
            order = np.argsort(where)
            return tuple(Column(column[order]) for column in columns)
        return None

    def define(self) -> None:
        """Make the loops over rows the indices of what the line computes."""
        out = self.line.out
        kinds = self.kinds()
        columns = []
        for d, values in enumerate(self.rows.columns):
            column = kinds.get(d)
            marks = (False, None) if column is None else (column.samples, column.labels)
            columns.append(Column(values, *marks))
        self.naming.columns = tuple(columns)
        fitted = self.looked(out)
        self.fit_columns(out, fitted)
        self.fitted[id(out)] = fitted

    def mark(self) -> None:
        """Note which indices of what the line computes, and of what it reads, count samples."""
        kinds = self.kinds()
        for t in [self.line.out, *self.touches]:
            naming, fitted = self.names.naming(t.group), self.fitted[id(t)]
            if naming.columns is not None and len(fitted.indices) == len(naming.columns):
                naming.columns = tuple(
                    replace(column, samples=True)
                    if index is not None and index.loop in kinds and kinds[index.loop].samples
                    else column
                    for column, index in zip(naming.columns, fitted.indices, strict=True)
                )

    # --- letters -----------------------------------------------------------------------------

    def kinds(self, reduction: int | None = None) -> dict[int, Column]:
        """Return for loops over rows, or of a reduction, a telling index that counts along them."""
        found: dict[int, Column] = {}
        for t in [*self.touches, self.line.out]:
            if id(t) not in self.fitted or (reduction is not None and t.reduction != reduction):
                continue
            fitted = self.fitted[id(t)]
            parts = zip(fitted.look.columns, fitted.indices, fitted.steps, strict=True)
            for column, index, step in parts:
                loop = None if index is None or step else index.loop
                if loop is None:
                    continue
                if reduction is not None:
                    loop -= len(self.rows.columns)
                known = found.get(loop)
                if known is None or _telling(column) > _telling(known):
                    found[loop] = column
        return found

    def choose_letters(self) -> tuple[list[str], list[list[str]]]:
        """Return letters for the loops over rows and for those of each reduction."""
        used = set(self.names.taken)
        kinds = self.kinds()
        plain = _ROWS if any(loops.columns for loops in self.reduced) else _WITHOUT_REDUCTION
        rows = [_letter(kinds.get(d), plain, used) for d in range(len(self.rows.columns))]
        reduced: list[list[str]] = []
        known: dict[object, list[str]] = {}
        for r, loops in enumerate(self.reduced):
            kinds = self.kinds(r)
            marks = [
                (c.samples, c.labels, c.flat) if c else None
                for c in (kinds.get(d) for d in range(len(loops.columns)))
            ]
            key = (*self.line.lengths[r], loops.extents, *marks)
            if key not in known:
                known[key] = [
                    _letter(kinds.get(d), _REDUCED, used) for d in range(len(loops.columns))
                ]
            reduced.append(known[key])
        return rows, reduced

    # --- text --------------------------------------------------------------------------------

    def write(self) -> str:
        """Return the formula."""
        line = self.line
        body = formula(
            line.body,
            lambda access: self.touch(line.touches[id(access)]),
            self.over,
            lambda x: self.names.introduced.get(id(x)),
        )
        sign = "+=" if line.accumulate else "="
        return f"{self.touch(line.out).text} {sign} {body.text}"

    def over(self, reduce: Reduce) -> str:
        """Return the letters that a reduction runs over."""
        r = next(i for i, other in enumerate(self.line.reductions) if other is reduce)
        sample = [self.names.sample] if reduce.samples else []
        return ",".join([*sample, *self.reduced_letters[r]])

    def touch(self, t: Touch) -> Text:
        """Return an access as text."""
        constants = self.names.constants(t.group)
        if constants is not None:
            read = constants[np.concatenate([b.reshape(-1) for b in t.blocks])]
            if (read == read[0]).all() or np.isnan(read).all():
                return number(float(read[0]))
            if None in self.fitted[id(t)].indices:
                blocks = [constants[block] for block in t.blocks]
                return Text(self.table(t, blocks, "values"))
        fitted = self.fitted[id(t)]
        letters = self.around(t)
        texts = []
        for i, column in enumerate(fitted.look.columns):
            index, step = fitted.indices[i], fitted.steps[i]
            at = "" if t.index is None else self.touch(t.index).text
            if index is None:
                found: Sequence[NDArray[Any]] = fitted.blocks[i]
                if column.labels:
                    found = [np.array(column.labels)[block] for block in found]
                text = self.table(t, found, "table", at if step is None else "")
            elif column.labels and index.loop is None:
                text = column.labels[index.offset]
            else:
                text = index.text(letters)
            if step:
                factor = "" if step == 1 else f"{step}·"
                rest = "" if text == "0" else text if text.startswith("-") else f"+{text}"
                text = f"{factor}{at}{rest}"
            texts.append(text)
        return Text(fitted.look.write(texts))

    def table(self, t: Touch, blocks: Sequence[NDArray[Any]], stem: str, at: str = "") -> str:
        """Return numbers that fit no loops as a table indexed by those loops that decide them."""
        self.misfits += stem == "table"
        lengths = [block.shape[1] for block in blocks]
        each = np.repeat(lengths, self.line.blocks)
        columns = [np.repeat(column, each) for column in self.rows.columns]
        if t.reduction is not None:
            for column in self.reduced[t.reduction].columns:
                tiles = zip(lengths, self.line.blocks, strict=True)
                columns.append(np.concatenate([np.tile(column[:n], rows) for n, rows in tiles]))
        values = np.concatenate([b.reshape(b.shape[0] * b.shape[1], -1) for b in blocks])
        deciding = list(range(len(columns)))
        ragged = self.rows.extents is None or len(set(lengths)) > 1
        for d in range(0 if ragged else len(columns)):
            fewer = [other for other in deciding if other != d]
            heads = _first_steps([columns[other] for other in fewer], len(values))
            if (values == values[heads[1]][heads[0]]).all():
                deciding = fewer
        _, first = _first_steps([columns[d] for d in deciding], len(values))
        letters = self.around(t)
        inside = [letters[d] for d in deciding] + ([at] if at else [])
        return f"{self.names.table(values[first].reshape(-1).tolist(), stem)}[{','.join(inside)}]"

    def around(self, t: Touch) -> list[str]:
        """Return the letters of the loops around an access."""
        reduced = [] if t.reduction is None else self.reduced_letters[t.reduction]
        return [*self.letters, *reduced]

    def write_extents(self) -> Iterator[str]:
        """Yield how far each letter goes: "s<100", "t≤s", "c∈{wq, wk}"."""
        if self.line.batched or any(reduce.samples for reduce in self.line.reductions):
            yield f"{self.names.sample}<samples"
        kinds = self.kinds()
        for d, extent in enumerate(self.rows.lengths()):
            yield self.extent(self.letters[d], extent, kinds.get(d))
        done: set[str] = set()
        for r, loops in enumerate(self.reduced):
            kinds = self.kinds(r)
            lengths = loops.lengths()
            if len(set(self.line.lengths[r])) > 1:
                lengths = [self.rows.fit(np.repeat(self.line.lengths[r], self.line.blocks))]
            for d, (letter, extent) in enumerate(
                zip(self.reduced_letters[r], lengths, strict=True)
            ):
                if letter not in done:
                    done.add(letter)
                    yield self.extent(letter, extent, kinds.get(d))

    def extent(self, letter: str, extent: Index | None, column: Column | None) -> str:
        """Return how far a letter goes, or count a misfit."""
        words = column.labels if column is not None else None
        if extent is None or (words and extent != Index(len(words), (0,) * len(extent.strides))):
            self.misfits += 1
            return f"{letter}<…"
        if words:
            return f"{letter}∈{{{', '.join(words)}}}"
        letters = self.letters[: len(extent.strides)]
        if any(extent.strides):
            return f"{letter}≤{Index(extent.offset - 1, extent.strides).text(letters)}"
        return f"{letter}<{extent.text(letters)}"


def _with_indices(t: Touch) -> Iterator[Touch]:
    yield t
    if t.index is not None:
        yield from _with_indices(t.index)


def _heads(blocks: list[Indices]) -> Indices:
    """Return an index at the beginning of each row's reduction."""
    return np.concatenate([block.reshape(len(block), -1)[:, 0] for block in blocks])


def _first_steps(columns: list[Indices], steps: int) -> tuple[Indices, Indices]:
    """Return which of the distinct steps each is, and where each distinct one is first."""
    if not columns:
        return np.zeros(steps, np.int64), np.zeros(1, np.int64)
    _, first, which = np.unique(np.stack(columns), axis=1, return_index=True, return_inverse=True)
    return which.reshape(-1), first


def _step(blocks: list[Indices]) -> int | None:
    """Return a column's step from one value of a run-time index to the next, if there is one."""
    first = blocks[0].reshape(-1, blocks[0].shape[-1])[0]
    step = int(first[1] - first[0]) if len(first) > 1 else 0
    even = [b == b[..., :1] + step * np.arange(b.shape[-1]) for b in blocks]
    return step if all(part.all() for part in even) else None


def _telling(column: Column) -> int:
    return 3 if column.labels else 2 if column.samples else 0 if column.flat else 1


def _letter(column: Column | None, plain: str, used: set[str]) -> str:
    """Return a letter for a loop and note that it is used."""
    pool = plain
    if column is not None and _telling(column) != 1:
        pool = _LABELS if column.labels else _SAMPLES if column.samples else _FLAT
    numbered = (f"i{n}" for n in count(1))
    letter = next(x for x in chain(pool, plain, _REDUCED, numbered) if x not in used)
    used.add(letter)
    return letter
