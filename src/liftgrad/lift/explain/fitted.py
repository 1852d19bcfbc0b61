"""Fitted lines: a line with loops, over which the indices of what it touches are affine."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from liftgrad.lift.explain.lines import Line, Touch
from liftgrad.lift.explain.loops import Index, Loops, fit_blocks, row_extents
from liftgrad.lift.explain.names import Names
from liftgrad.lift.explain.naming import Column, Reference
from liftgrad.lift.ir.groups import Indices


@dataclass(slots=True, eq=False)
class FittedTouch:
    """What an access touches, as indices over the loops."""

    reference: Reference
    blocks: list[list[Indices]]
    """For each column its values in each nest, for the first value of a run-time index."""
    steps: list[int | None]
    """For each column how much it grows with a run-time index; None: unevenly."""
    indices: list[Index | None]
    """For each column its index; None: not affine."""


class FittedLine:
    """A line, the loops over its rows and reductions, and what it touches, fitted to them."""

    def __init__(self, names: Names, line: Line) -> None:
        self.names, self.line = names, line
        naming = names.naming(line.out.group)
        written = np.concatenate([block.reshape(-1) for block in line.out.blocks])
        whole = np.array_equal(written, np.arange(names.size(line.out.group, len(written))))
        self.defines = not naming.indexed and whole and line.out.index is None
        """Whether the loops of this line are the indices of what it computes."""
        if not self.defines:
            names.number_steps(line.out.group)
        self.touches = [t for touch in line.touches.values() for t in _with_indices(touch)]
        if not self.defines:
            self.touches = [*_with_indices(line.out), *self.touches]
        self._fitted = {id(t): self._unfitted(t) for t in self.touches}
        self.steps = None if line.time is None else np.concatenate(line.time.steps)
        """For each row the step of a loop over time that computes it."""
        self.rows = self._choose_rows()
        self.reduced = [self._reduction(r) for r in range(len(line.reductions))]
        for t in self.touches:
            self._fit(t)
        if self.defines:
            self._define()
        self._mark()

    @property
    def counts_steps(self) -> bool:
        """Whether the outermost loop over rows is that over time: there is more than one step."""
        return self.steps is not None and bool((self.steps != self.steps[0]).any())

    def of(self, t: Touch) -> FittedTouch:
        """Return what an access of the line touches, fitted."""
        return self._fitted[id(t)]

    def columns(self, reduction: int | None = None) -> dict[int, Column]:
        """Return for each loop, over rows or of a reduction, the most specific index along it."""
        found: dict[int, Column] = {}
        for t in [*self.touches, self.line.out]:
            if id(t) not in self._fitted or (reduction is not None and t.reduction != reduction):
                continue
            fitted = self.of(t)
            every = zip(fitted.reference.columns, fitted.indices, fitted.steps, strict=True)
            for column, index, step in every:
                loop = None if index is None or step else index.loop
                if loop is None:
                    continue
                if reduction is not None:
                    loop -= len(self.rows.columns)
                known = found.get(loop)
                if known is None or _specificity(column) > _specificity(known):
                    found[loop] = column
        return found

    def indices_of(self, group: int, size: int) -> tuple[Column, ...] | None:
        """Return this line's loops as indices of a group of which it reads each element once."""
        for t in self.touches:
            r = t.reduction
            uniform = r is None or len(set(self.line.lengths[r])) == 1
            if t.group != group or t.index is not None or not uniform:
                continue
            read = np.concatenate([block.reshape(-1) for block in t.blocks])
            if len(read) != size or len(np.unique(read)) != size:
                continue
            length = size // sum(self.line.rows)
            inner = () if r is None else self.reduced[r].columns
            columns = [np.repeat(column, length) for column in self.rows.columns]
            columns += [np.tile(column, size // length) for column in inner]
            order = np.argsort(read)
            return tuple(Column(column[order]) for column in columns)
        return None

    # --- touches ---------------------------------------------------------------------------------

    def _unfitted(self, t: Touch, *, flat: bool = False) -> FittedTouch:
        """Return what an access touches, with its columns cut into nests and not fitted yet."""
        naming = self.names.naming(t.group)
        reference = naming.reference(np.concatenate([b.reshape(-1) for b in t.blocks]), flat=flat)
        ends = np.cumsum([b.size for b in t.blocks])[:-1]
        blocks: list[list[Indices]] = []
        steps: list[int | None] = []
        for column in reference.columns:
            of_nests = zip(np.split(column.values, ends), t.blocks, strict=True)
            values = [of_nest.reshape(b.shape) for of_nest, b in of_nests]
            step = 0 if t.index is None else _step(values)
            if t.index is not None and step is not None:
                values = [b[..., 0] for b in values]
            blocks.append(values)
            steps.append(step)
        return FittedTouch(reference, blocks, steps, [])

    def _fit(self, t: Touch) -> None:
        """Fit an access's indices; number an argument's elements where its names do not fit."""
        self._fit_columns(t, self.of(t))
        if None in self.of(t).indices and self.names.naming(t.group).paths is not None:
            flat = self._unfitted(t, flat=True)
            self._fit_columns(t, flat)
            if None not in flat.indices:
                self._fitted[id(t)] = flat

    def _fit_columns(self, t: Touch, fitted: FittedTouch) -> None:
        reduced = None if t.reduction is None else self.reduced[t.reduction]
        every = zip(fitted.reference.columns, fitted.blocks, fitted.steps, strict=True)
        for column, blocks, step in every:
            index = None if step is None else fit_blocks(blocks, self.rows, reduced)
            if index and column.labels and index.loop is None and any(index.strides):
                index = None  # nothing can be added to a word
            fitted.indices.append(index)

    # --- loops -----------------------------------------------------------------------------------

    def _choose_rows(self) -> Loops:
        """Return the loops over rows: those over which most indices are affine."""
        line = self.line
        sequences = [_heads(blocks) for t in self.touches for blocks in self.of(t).blocks]
        sequences += [np.repeat(n, line.rows) for n in line.lengths if len(set(n)) > 1]
        if self.steps is not None:
            sequences.insert(0, self.steps)
        best, fewest = None, len(sequences) + 1
        for loops in self._candidates(sequences):
            failures = sum(loops.fit(sequence) is None for sequence in sequences)
            may_fail = loops.extents is not None or loops.of_steps
            if failures < fewest and (may_fail or not failures):
                best, fewest = loops, failures
            if not fewest:
                break
        assert best is not None
        if not self.defines and self.steps is None:
            for blocks in self.of(line.out).blocks:
                best = best.reversed_where_descending(_heads(blocks))
        return best

    def _candidates(self, sequences: list[Indices]) -> Iterator[Loops]:
        """Yield loops of fixed extents, and loops that count like the indices of some access."""
        rectangular = Loops.rectangular(row_extents([*sequences, np.arange(sum(self.line.rows))]))
        if self.steps is not None:
            in_time = rectangular.counting(self.steps)
            if in_time is not None:
                yield in_time
            yield Loops.in_steps(self.steps)
            return
        yield rectangular
        for t in self.touches:
            columns = self.of(t).reference.columns
            blocks_of_columns = self.of(t).blocks if t.index is None else []
            heads = [_heads(blocks) for blocks in blocks_of_columns]
            if len(heads) > 1:
                loops = Loops(tuple(heads), of_steps=columns[0].time)
                if loops.counts() and (loops.of_steps or None not in loops.lengths()):
                    yield loops
        if len(self.line.nests) == 1:
            yield Loops.rectangular(self.line.nests[0].extents)

    def _reduction(self, r: int) -> Loops:
        """Return the loops of a reduction."""
        lengths = self.line.lengths[r]
        if len(set(lengths)) > 1:
            return Loops.rectangular((max(lengths),))
        across = [
            _heads([blocks[0][0]])
            for t in self.touches
            if t.reduction == r
            for blocks in self.of(t).blocks
        ]
        return Loops.rectangular(row_extents([*across, np.arange(lengths[0])]))

    # --- what the line says about the groups it touches ------------------------------------------

    def _define(self) -> None:
        """Make the loops over rows the indices of what the line computes."""
        out = self.line.out
        known = self.columns()
        columns = []
        for d, values in enumerate(self.rows.columns):
            like = known.get(d)
            samples, labels = (False, None) if like is None else (like.samples, like.labels)
            time = (self.counts_steps and d == 0) or (like is not None and like.time)
            columns.append(Column(values, samples, labels, time=time))
        self.names.naming(out.group).columns = tuple(columns)
        self._fitted[id(out)] = self._unfitted(out)
        self._fit_columns(out, self.of(out))

    def _mark(self) -> None:
        """Mark the indices that count samples, or steps, as others along the same loop do."""
        rows = len(self.rows.columns)
        over_rows = self.columns()
        reduced = [self.columns(r) for r in range(len(self.reduced))]

        def along(t: Touch, index: Index | None) -> Column | None:
            if index is None or index.loop is None:
                return None
            if index.loop < rows or t.reduction is None:
                return over_rows.get(index.loop)
            return reduced[t.reduction].get(index.loop - rows)

        for t in [self.line.out, *self.touches]:
            naming, fitted = self.names.naming(t.group), self.of(t)
            if naming.columns is None or len(fitted.indices) != len(naming.columns):
                continue
            knows = self.names.knows_steps(t.group)
            marked = []
            for column, index in zip(naming.columns, fitted.indices, strict=True):
                known = along(t, index)
                if index is None or known is None:
                    marked.append(column)
                    continue
                time = known.time or (self.counts_steps and index.loop == 0)
                marked.append(
                    replace(
                        column,
                        samples=column.samples or known.samples,
                        time=column.time or (time and not knows),
                    )
                )
            naming.columns = tuple(marked)


def _with_indices(t: Touch) -> Iterator[Touch]:
    yield t
    if t.index is not None:
        yield from _with_indices(t.index)


def _heads(blocks: list[Indices]) -> Indices:
    """Return an index at the beginning of each row's reduction."""
    return np.concatenate([block.reshape(len(block), -1)[:, 0] for block in blocks])


def _step(blocks: list[Indices]) -> int | None:
    """Return a column's step from one value of a run-time index to the next; None: uneven."""
    first = blocks[0].reshape(-1, blocks[0].shape[-1])[0]
    step = int(first[1] - first[0]) if len(first) > 1 else 0
    even = [b == b[..., :1] + step * np.arange(b.shape[-1]) for b in blocks]
    return step if all(of_nest.all() for of_nest in even) else None


def _specificity(column: Column) -> int:
    """Return how much an index says about a loop: words most, a position in a group least."""
    if column.labels:
        return 4
    return 3 if column.time else 2 if column.samples else 0 if column.flat else 1
