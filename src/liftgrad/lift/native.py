"""Native: a scheduled program's kernels, and the memory that they are bound to."""

import ctypes
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad.lift.llvm import kernel
from liftgrad.lift.machine_code import MachineCode
from liftgrad.lift.program import Access, Buffer, Program

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

    def bind(self, samples: int, arrays: Mapping[int, Array]) -> "Instance":
        """Return the program with memory to run in.

        Args:
            samples: the size of the batch, for batched buffers.
            arrays: memory that is to be used for some groups, by group number, laid out in order.

        """
        return Instance(self, samples, arrays)


class Instance:
    """A native program bound to memory."""

    def __init__(self, native: NativeProgram, samples: int, arrays: Mapping[int, Array]) -> None:
        self.native, self.samples = native, samples
        program = native.program
        self.buffers = [self._allocate(b, arrays) for b in program.buffers]
        self.arrays = {b.group: a for b, a in zip(program.buffers, self.buffers, strict=True)}
        self.layouts = {b.group: b.layout for b in program.buffers}
        self.arguments = [self._arguments(number) for number in range(len(program.nests))]
        pairs = [
            [address, words.ctypes.data]
            for address, words in zip(native.addresses, self.arguments, strict=True)
        ]
        self.plan = np.array(pairs, np.uint64).reshape(-1)

    def slice(self, first: int, last: int) -> tuple[ctypes.c_void_p, ctypes.c_int64]:
        """Return the plan of nests first, ..., last - 1, for `run`."""
        address = self.plan.ctypes.data + 16 * first
        return ctypes.c_void_p(address), ctypes.c_int64(last - first)

    def run(self, part: tuple[ctypes.c_void_p, ctypes.c_int64]) -> None:
        """Run part of the plan; the GIL is released."""
        self.native.code.run(*part)

    def set(self, group: int, numbers: Array) -> None:
        """Copy a group's numbers, of shape (size,) or (size, samples), to its buffer."""
        layout = self.layouts[group]
        if layout is None:
            self.arrays[group][...] = numbers
        else:
            self.arrays[group][layout] = numbers

    def get(self, group: int, positions: NDArray[np.int64]) -> Array:
        """Return a copy of some of a group's numbers."""
        layout = self.layouts[group]
        return self.arrays[group][positions if layout is None else layout[positions]]

    def _allocate(self, buffer: Buffer, arrays: Mapping[int, Array]) -> Array:
        if buffer.group in arrays:
            assert buffer.layout is None
            return arrays[buffer.group]
        kind = np.int64 if buffer.role == "index" else np.dtype(self.native.dtype)
        if buffer.role == "constant":
            return self.native.constants[buffer.group].astype(kind)
        shape = (buffer.size, self.samples) if buffer.batched else (buffer.size,)
        return np.zeros(shape, kind)

    def _arguments(self, number: int) -> NDArray[np.uint64]:
        kernel, program = self.native.kernels[number], self.native.program
        words = [self._address(access) for access in kernel.accesses]
        distances = [self._distance(access) for access in kernel.accesses]
        tables = [program.tables[table].ctypes.data for table in kernel.tables]
        return np.array([*words, self.samples, *distances, *tables], np.uint64)

    def _distance(self, access: Access) -> int:
        return self.samples if self.native.program.buffers[access.buffer].batched else 1

    def _address(self, access: Access) -> int:
        array = self.buffers[access.buffer]
        # With a table, the offset is a place in the table, which the kernel adds itself.
        offset = 0 if access.table is not None else access.offset * self._distance(access)
        return int(array.ctypes.data) + offset * array.itemsize
