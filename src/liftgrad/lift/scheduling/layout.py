"""Layout: the buffers of a program, and the order in which each of them keeps its elements.

The layout of a group in memory is free: the dimension over which parameters do not vary (the
samples of a batch, the tokens of a text) goes innermost, where vectors run along it.

Invariant: a buffer's layout is a permutation of its elements, chosen before the first nest that
uses the buffer is fitted, and the same for all nests.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal, assert_never

import numpy as np

from liftgrad.lift.ir import affine
from liftgrad.lift.ir.groups import (
    Constants,
    Elementwise,
    Group,
    Indices,
    Largest,
    Leaf,
    Put,
    Sum,
    Take,
    identity,
)
from liftgrad.lift.ir.nests import Buffer
from liftgrad.lift.scheduling.draft import Loads

_SHORTEST = 4
"""The least extent of a dimension that is worth being innermost."""


class Layouts:
    """The buffers of a program's groups."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self.groups = groups
        self.buffers: list[Buffer] = []
        self.buffer_of: dict[int, int] = {}
        self.settled: set[int] = set()
        """Groups that a nest was fitted to: their layout cannot change any more."""
        self.in_place: set[int] = set()
        """Groups in a leaf's buffer, whose layout is the leaf's."""

    def add(self, i: int) -> None:
        """Give a group a buffer of its own."""
        self.buffer_of[i] = len(self.buffers)
        self.buffers.append(_buffer(i, self.groups[i]))

    def add_in_order(self, i: int) -> None:
        """Give a group a buffer of its own, which keeps its elements in order."""
        self.add(i)
        self.settled.add(i)

    def add_in_place(self, i: int, leaf: int) -> None:
        """Give a group the buffer of a leaf."""
        self.buffer_of[i] = self.buffer_of[leaf]
        self.in_place.add(i)

    def physical(self, group: int, positions: Indices) -> Indices:
        """Return the positions in memory of elements of a group."""
        layout = self.buffers[self.buffer_of[group]].layout
        return positions if layout is None else layout[positions]

    def down_rows(self, x: Loads) -> Indices:
        """Return the position in memory of a load's first element in each row."""
        if x.table is not None:
            table = self.physical(x.group, x.table)
            return table.reshape(len(table), -1)[:, 0]
        positions = self.physical(x.group, x.positions)
        return positions if positions.ndim == 1 else positions[:, 0]

    def choose(self, i: int, out: Loads, accesses: Sequence[Loads]) -> None:
        """Lay out what a nest uses and is still free.

        Args:
            i: the index of the group that the nest computes.
            out: what it writes.
            accesses: what it writes, and then what it reads.

        """
        if out.positions.ndim != 1 or len(out.positions) < 2 or out.index is not None:
            return
        rows = [self.down_rows(x) for x in accesses if x.table is None]
        extents = affine.common_extents(len(out.positions), rows)
        if len(extents) < 2:
            self._adopt(i, out, accesses)
            return
        weights = [
            affine.strides(self.down_rows(x), extents)
            for x in accesses
            if self._is_parameter(x.group)
        ]
        if not weights or any(w is None for w in weights):
            self._adopt(i, out, accesses)
            return
        shared = [
            d
            for d, extent in enumerate(extents)
            if extent >= _SHORTEST and all(w[d] == 0 for w in weights)  # type: ignore[index]
        ]
        if not shared:
            return
        inner = max(shared, key=lambda d: extents[d])
        for x in accesses:
            if not self._is_parameter(x.group) and x.table is None:
                self._permute(x, extents, inner)

    def settle(self, accesses: Iterable[Loads]) -> None:
        """Note that a nest was fitted to the groups that it accesses."""
        self.settled.update([x.group for x in accesses])

    def _is_fixed(self, group: int) -> bool:
        buffer = self.buffers[self.buffer_of[group]]
        return group in self.settled or group in self.in_place or buffer.layout is not None

    def _is_parameter(self, i: int) -> bool:
        group = self.groups[i]
        return isinstance(group, Leaf) and group.kind == "parameter"

    def _permute(self, x: Loads, extents: tuple[int, ...], inner: int) -> None:
        """Lay a buffer out with the rows' dimension `inner` innermost, if it covers the buffer."""
        index = self.buffer_of[x.group]
        buffer = self.buffers[index]
        if self._is_fixed(x.group) or buffer.role == "constant":
            return
        grid = x.positions.reshape(*extents, -1)
        lines = np.moveaxis(grid, inner, -1)
        # Without the repetitions along dimensions over which it does not vary.
        for axis in range(lines.ndim - 2, -1, -1):
            if (lines == lines[(slice(None),) * axis + (slice(0, 1),)]).all():
                lines = lines[(slice(None),) * axis + (slice(0, 1),)]
        order = lines.reshape(-1)
        if len(order) != buffer.size or len(np.unique(order)) != buffer.size:
            return
        layout = np.empty(buffer.size, np.int64)
        layout[order] = identity(buffer.size)
        if (layout != identity(buffer.size)).any():
            self.buffers[index] = replace(buffer, layout=layout)

    def _adopt(self, i: int, out: Loads, accesses: Sequence[Loads]) -> None:
        """Lay an element-wise result out as its first operand of the same size is."""
        buffer = self.buffers[self.buffer_of[i]]
        if self._is_fixed(i) or len(out.positions) != buffer.size:
            return
        for x in accesses:
            if x.group == i or x.positions.ndim != 1 or x.table is not None:
                continue
            other = self.buffers[self.buffer_of[x.group]]
            alike = other.layout is not None and other.size == buffer.size
            if alike and (x.positions == out.positions).all():
                self.buffers[self.buffer_of[i]] = replace(buffer, layout=other.layout)
                return


def _buffer(i: int, group: Group) -> Buffer:
    match group:
        case Leaf(name=name, kind=kind):
            role: Literal["leaf", "index"] = "index" if kind == "index" else "leaf"
            return Buffer(name, group.size, group.batched, role, i)
        case Constants():
            return Buffer(f"c{i}", group.size, group.batched, "constant", i)
        case Elementwise() | Sum() | Largest() | Take() | Put():
            return Buffer(f"t{i}", group.size, group.batched, "temporary", i)
        case _:
            assert_never(group)
