"""Runs loop nests as they are written, one after the other, and checks every access."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from liftgrad.lift.ir.groups import Constants, Rolled
from liftgrad.lift.ir.nests import (
    Access,
    Apply,
    Expression,
    Load,
    Nest,
    Number,
    Program,
    Reduce,
    TimeLoop,
    at_step,
)
from liftgrad.lift.run.array_arithmetic import function_of

Array = np.ndarray[Any, Any]


class Nests:
    """The memory of a program, and which of it was written."""

    def __init__(self, program: Program, rolled: Rolled, leaves: Mapping[int, Array]) -> None:
        self.program = program
        self.samples = next((x.shape[1] for x in leaves.values() if x.ndim == 2), 1)
        self.memory: list[Array] = []
        self.written: list[Array] = []
        for buffer in program.buffers:
            group = rolled.groups[buffer.group]
            width = self.samples if buffer.batched else 1
            memory = np.zeros((buffer.size, width), np.int64 if buffer.role == "index" else float)
            known = leaves.get(buffer.group)
            if isinstance(group, Constants):
                known = group.numbers
            if known is not None:
                places = np.arange(buffer.size) if buffer.layout is None else buffer.layout
                memory[places] = known if known.ndim == 2 else known[:, None]
            self.memory.append(memory)
            self.written.append(np.full(memory.shape, known is not None))

    def numbers(self, group: int, positions: Array) -> Array:
        """Return some of a group's numbers, of shape (positions, samples or 1)."""
        i = next(i for i, b in enumerate(self.program.buffers) if b.group == group)
        layout = self.program.buffers[i].layout
        places = positions if layout is None else layout[positions]
        assert self.written[i][places].all()
        return self.memory[i][places]

    def run(self) -> None:
        """Run all nests."""
        with np.errstate(all="ignore"):
            for statement in self.program.nests:
                match statement:
                    case Nest():
                        self.nest(statement)
                    case TimeLoop(body=body, steps=steps, backwards=backwards):
                        for step in range(steps)[:: -1 if backwards else 1]:
                            for timed in body:
                                nest = at_step(timed, step, self.program.tables)
                                if nest is not None:
                                    self.nest(nest)

    def nest(self, nest: Nest) -> None:
        """Run one nest: first all its values, then all that it writes."""
        out, extents = nest.out, nest.extents
        value = self.value(nest.body, extents, nest)
        width = self.samples if nest.batched else 1
        value = np.broadcast_to(value, (*extents, width)).reshape(-1, width)
        places = np.broadcast_to(self.places(out, extents, nest), (*extents, width)).reshape(
            -1, width
        )
        memory, written = self.memory[out.buffer], self.written[out.buffer]
        columns = (
            np.arange(width) if memory.shape[1] == self.samples == width else np.zeros(width, int)
        )
        if self.program.buffers[out.buffer].batched:
            columns = np.arange(width)
            assert nest.batched
        columns = np.broadcast_to(columns, places.shape)
        if out.index is None:
            # Lanes of a vector write at once: no two may meet.
            pairs = places.reshape(-1) * (1 << 20) + columns.reshape(-1)
            assert len(np.unique(pairs)) == pairs.size
        if nest.accumulate:
            assert written[places, columns].all()
            np.add.at(memory, (places, columns), value)
        else:
            assert out.index is None
            memory[places, columns] = value
            written[places, columns] = True

    def places(self, access: Access, extents: tuple[int, ...], nest: Nest) -> Array:
        """Return the positions of an access, of shape (*extents, samples or 1)."""
        assert len(access.strides) == len(extents)
        place = np.array(access.offset)
        for d, (stride, extent) in enumerate(zip(access.strides, extents, strict=True)):
            shape = [1] * len(extents)
            shape[d] = extent
            place = place + (stride * np.arange(extent)).reshape(shape)
        place = np.broadcast_to(place, extents)[..., None]
        if access.index is not None:
            chosen = self.value(Load(access.index), extents, nest)
            assert ((chosen >= 0) & (chosen < access.extent)).all()
            place = place + access.step * chosen
        if access.table is not None:
            table = self.program.tables[access.table]
            assert ((place >= 0) & (place < len(table))).all()
            place = table[place]
        assert ((place >= 0) & (place < self.program.buffers[access.buffer].size)).all()
        return place

    def value(self, expression: Expression, extents: tuple[int, ...], nest: Nest) -> Array:
        """Return an expression's values, of shape (*extents, samples or 1)."""
        match expression:
            case Number(value=value):
                return np.full((*[1] * len(extents), 1), value)
            case Load(access=access):
                places = self.places(access, extents, nest)
                if access.buffer == nest.out.buffer:
                    # What a nest reads of what it writes must be the very element it writes,
                    # or written in another step.
                    rows = self.places(nest.out, nest.extents, nest)
                    rows = rows.reshape(
                        *rows.shape[:-1], *[1] * (len(extents) - len(nest.extents)), -1
                    )
                    assert nest.out.index is None
                    assert (places == rows).all() or not np.isin(places, rows).any()
                buffer = self.program.buffers[access.buffer]
                columns = np.arange(self.samples) if buffer.batched else np.zeros(1, int)
                places = np.broadcast_to(places, np.broadcast_shapes(places.shape, (len(columns),)))
                if not buffer.batched:
                    columns = np.zeros(places.shape[-1], int)
                assert self.written[access.buffer][places, columns].all()
                return self.memory[access.buffer][places, columns]
            case Apply(operation=operation, operands=operands):
                values = [self.value(x, extents, nest) for x in operands]
                return function_of(operation)(*values)
            case Reduce(kind=kind, extents=inner, body=body, samples=samples):
                value = self.value(body, (*extents, *inner), nest)
                value = np.broadcast_to(value, (*extents, *inner, value.shape[-1]))
                axes = tuple(range(len(extents), len(extents) + len(inner)))
                reduce = np.add.reduce if kind == "sum" else np.maximum.reduce
                value = reduce(value, axis=axes)
                if samples:
                    assert not nest.batched
                    value = np.broadcast_to(value, (*extents, self.samples))
                    value = reduce(value, axis=-1, keepdims=True)
                return value
