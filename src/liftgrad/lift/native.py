"""Native: a scheduled program's kernels, and the memory that they are bound to."""

import ctypes
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad.lift.alignment import zeros
from liftgrad.lift.llvm import kernel
from liftgrad.lift.machine_code import MachineCode
from liftgrad.lift.program import Buffer, Program

Array = NDArray[Any]


class NativeProgram:
    """A scheduled program as machine code.

    Args:
        program: the nests.
        constants: the numbers of each constant group, by group number.
        code: where kernels are compiled.
        dtype: float64 or float32.

    """

    def __init__(
        self, program: Program, constants: Mapping[int, Array], code: MachineCode, dtype: str
    ) -> None:
        self.program, self.constants, self.code, self.dtype = program, constants, code, dtype
        self.kernels = [kernel(nest, program.buffers, code.target, dtype) for nest in program.nests]
        self.addresses = code.kernels(self.kernels)

    def bind(
        self, samples: int, arrays: Mapping[int, Array], without: Collection[int] = ()
    ) -> "Instance":
        """Return the program with memory to run in.

        Args:
            samples: the size of the batch, for batched buffers.
            arrays: memory that is to be used for some groups, by group number, laid out in order.
            without: buffers that get no memory, since they are not used.

        """
        return Instance(self, samples, arrays, without)


class Instance:
    """A native program bound to memory."""

    def __init__(
        self,
        native: NativeProgram,
        samples: int,
        arrays: Mapping[int, Array],
        without: Collection[int],
    ) -> None:
        self.native, self.samples = native, samples
        program = native.program
        self.buffers = [
            np.zeros((b.size, 0)) if number in without else self._allocate(b, arrays)
            for number, b in enumerate(program.buffers)
        ]
        self.arrays = {b.group: a for b, a in zip(program.buffers, self.buffers, strict=True)}
        self.layouts = {b.group: b.layout for b in program.buffers}
        self.arguments = [
            self.arguments_with(
                number, [self.buffers[a.buffer] for a in native.kernels[number].accesses], samples
            )
            for number in range(len(program.nests))
        ]
        pairs = [
            [address, words.ctypes.data]
            for address, words in zip(native.addresses, self.arguments, strict=True)
        ]
        self.plan = np.array(pairs, np.uint64).reshape(-1, 2)

    def part(self, nests: Sequence[int]) -> "Part":
        """Return the plan of some nests, for `run`."""
        plan = np.ascontiguousarray(self.plan[list(nests)])
        return plan, ctypes.c_void_p(plan.ctypes.data), ctypes.c_int64(len(plan))

    def run(self, part: "Part") -> None:
        """Run part of the plan; the GIL is released."""
        self.native.code.run(part[1], part[2])

    def set(self, group: int, numbers: Array) -> None:
        """Copy a group's numbers, of shape (size,) or (size, samples), to its buffer.

        Leaves of which no nest reads a number have none.
        """
        if group not in self.arrays:
            return
        layout, array = self.layouts[group], self.arrays[group]
        if layout is None:
            array[...] = numbers
        else:
            array[layout] = numbers

    def get(self, group: int, positions: NDArray[np.int64]) -> Array:
        """Return a copy of some of a group's numbers."""
        layout = self.layouts[group]
        return self.arrays[group][positions if layout is None else layout[positions]]

    def part_of(self, group: int, positions: NDArray[np.int64]) -> Array | None:
        """Return some of a group's numbers where they lie, if they lie there one after another."""
        layout = self.layouts[group]
        places = positions if layout is None else layout[positions]
        first = int(places[0]) if len(places) else 0
        if (places != np.arange(first, first + len(places))).any():
            return None
        return self.arrays[group][first : first + len(places)]

    def arguments_with(
        self, number: int, arrays: Sequence[Array], samples: int
    ) -> NDArray[np.uint64]:
        """Return the arguments of a nest's kernel, for these arrays behind its accesses."""
        kernel, program = self.native.kernels[number], self.native.program
        words, distances = [], []
        for access, array in zip(kernel.accesses, arrays, strict=True):
            distance = array.shape[1] if program.buffers[access.buffer].batched else 1
            # With a table, the offset is a place in the table, which the kernel adds itself.
            offset = 0 if access.table is not None else access.offset * distance
            words.append(int(array.ctypes.data) + offset * array.itemsize)
            distances.append(distance)
        tables = [program.tables[table].ctypes.data for table in kernel.tables]
        return np.array([*words, samples, *distances, *tables], np.uint64)

    def _allocate(self, buffer: Buffer, arrays: Mapping[int, Array]) -> Array:
        if buffer.group in arrays:
            assert buffer.layout is None
            return arrays[buffer.group]
        kind = np.int64 if buffer.role == "index" else np.dtype(self.native.dtype)
        if buffer.role == "constant":
            constants = self.native.constants[buffer.group]
            array = zeros(constants.shape, kind)
            array[...] = constants
            return array
        shape = (buffer.size, self.samples) if buffer.batched else (buffer.size,)
        return zeros(shape, kind)


Part = tuple[NDArray[np.uint64], ctypes.c_void_p, ctypes.c_int64]
"""Pairs of a kernel and its arguments, with their address and number."""
