"""Fit: from drafts with index sequences to expressions with affine accesses.

Each sequence is fitted with strides over common loops; what does not fit becomes a table of
positions, never an error.

Invariant: at each step of the loops an access has the very position that its sequence has there.
"""

from collections.abc import Sequence
from typing import assert_never

import numpy as np

from liftgrad.lift.ir import affine
from liftgrad.lift.ir.groups import Indices
from liftgrad.lift.ir.nests import Access, Apply, Expression, Load, Number, Reduce
from liftgrad.lift.scheduling.draft import Applied, Draft, Loads, Reduced, all_loads
from liftgrad.lift.scheduling.layout import Layouts

Extents = tuple[int, ...]


class Fitter:
    """Fits a program's nests to its buffers, and collects the tables that this takes."""

    def __init__(self, layouts: Layouts) -> None:
        self.layouts = layouts
        self.tables: list[Indices] = []
        self._table_of: dict[bytes, int] = {}
        self._strides: dict[tuple[int, Extents], tuple[Indices, Extents | None]] = {}
        """The strides of sequences that were fitted, each with the sequence, which thus lives."""

    def extents(self, rows: int, accesses: Sequence[Loads]) -> Extents:
        """Return loops over the rows that suit as many of a nest's sequences as possible."""
        if rows == 1:
            return (1,)
        return affine.common_extents(rows, map(self.layouts.down_rows, accesses))

    def expression(self, draft: Draft, rows: Extents, reduced: Extents = ()) -> Expression:
        """Return a draft over these loops of rows, and of the reduction that it is in."""
        match draft:
            case Number():
                return draft
            case Loads():
                return Load(self.access(draft, rows, reduced))
            case Applied(operation=operation, operands=operands):
                return Apply(operation, tuple(self.expression(x, rows, reduced) for x in operands))
            case Reduced(kind=kind, length=length, body=body, samples=samples):
                extents: Extents = (1,)
                if length > 1:
                    columns = map(self._along_row, all_loads(body))
                    extents = affine.common_extents(length, columns)
                return Reduce(kind, extents, self.expression(body, rows, extents), samples)
            case _:
                assert_never(draft)

    def access(self, x: Loads, rows: Extents, reduced: Extents = ()) -> Access:
        """Return the access of a load; by way of a table where its positions are not affine."""
        buffer = self.layouts.buffer_of[x.group]
        if x.table is not None:
            assert x.index is not None
            return self._indexed(x, x.table, self.access(x.index, rows, reduced), rows, reduced)
        positions = self.layouts.physical(x.group, x.positions)
        fitted = self._fit(positions, rows, reduced)
        if fitted is not None:
            return Access(buffer, *fitted)
        return Access(buffer, 0, _steps((*rows, *reduced)), table=self.table(positions))

    def _indexed(
        self, x: Loads, table: Indices, index: Access, rows: Extents, reduced: Extents
    ) -> Access:
        """Return the access of a load at a run-time index."""
        table = self.layouts.physical(x.group, table)
        extent = table.shape[-1]
        step = int(table.reshape(-1)[1] - table.reshape(-1)[0]) if extent > 1 else 0
        heads = table[..., 0]
        fitted = self._fit(heads, rows, reduced)
        buffer = self.layouts.buffer_of[x.group]
        if fitted is not None and (table == heads[..., None] + step * np.arange(extent)).all():
            return Access(buffer, *fitted, index=index, step=step, extent=extent)
        steps = tuple(s * extent for s in _steps((*rows, *reduced)))
        return Access(buffer, 0, steps, table=self.table(table), index=index, step=1, extent=extent)

    def _along_row(self, x: Loads) -> Indices:
        """Return the positions in memory of the elements of a load's first row."""
        positions = x.positions if x.table is None else x.table[..., 0]
        first: Indices = positions[0]
        return self.layouts.physical(x.group, first)

    def _fit(
        self, positions: Indices, rows: Extents, reduced: Extents
    ) -> tuple[int, tuple[int, ...]] | None:
        """Return offset and strides of positions of shape (rows,) or (rows, reduced)."""
        if positions.size == 1:
            return int(positions.flat[0]), (0,) * (len(rows) + len(reduced))
        if positions.ndim == 1:
            down = self.strides(positions, rows)
            return None if down is None else (int(positions[0]), (*down, *(0 for _ in reduced)))
        across = affine.strides(positions[0], reduced)
        if len(positions) == 1 and across is not None:
            return int(positions[0, 0]), (*(0 for _ in rows), *across)
        down = affine.strides(positions[:, 0], rows)
        if down is None or across is None:
            return None
        if not (positions == positions[:, :1] + (positions[0] - positions[0, 0])).all():
            return None
        return int(positions[0, 0]), (*down, *across)

    def strides(self, sequence: Indices, extents: Extents) -> Extents | None:
        """Return the strides of a sequence over loops of these extents, or None if it has none."""
        key = id(sequence), extents
        if key not in self._strides:
            self._strides[key] = sequence, affine.strides(sequence, extents)
        return self._strides[key][1]

    def table(self, positions: Indices) -> int:
        """Return the number of a table of these positions."""
        flat = np.ascontiguousarray(positions.reshape(-1))
        key = flat.tobytes()
        if key not in self._table_of:
            self._table_of[key] = len(self.tables)
            self.tables.append(flat)
        return self._table_of[key]


def _steps(extents: Extents) -> tuple[int, ...]:
    """Return the strides of a table with an element for each step of these loops."""
    steps = [1]
    for extent in extents[:0:-1]:
        steps.append(steps[-1] * extent)
    return tuple(steps[::-1])
