"""Native: a program's kernels bound to memory, ready to run."""

import ctypes
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad.lift.llvm import Kernel, kernel
from liftgrad.lift.machine_code import MachineCode
from liftgrad.lift.program import Access, Buffer, Program

Array = NDArray[Any]


class NativeProgram:
    """A scheduled program with its buffers.

    Args:
        program: the nests.
        constants: the numbers of each constant group, by group number.
        code: where kernels are compiled.
        dtype: float64 or float32.
        samples: the size of the batch, for batched buffers.
        arrays: memory that is to be used for some buffers, by group number.

    """

    def __init__(
        self,
        program: Program,
        constants: Mapping[int, Array],
        code: MachineCode,
        dtype: str = "float64",
        samples: int = 1,
        arrays: Mapping[int, Array] | None = None,
    ) -> None:
        self.program, self.code, self.dtype, self.samples = program, code, dtype, samples
        self.buffers = [self._allocate(b, constants, arrays or {}) for b in program.buffers]
        self.arrays = {b.group: a for b, a in zip(program.buffers, self.buffers, strict=True)}
        self.layouts = {b.group: b.layout for b in program.buffers}
        kernels = [kernel(nest, program.buffers, code.target, dtype) for nest in program.nests]
        self.kernels = len({k.text for k in kernels})
        addresses = code.kernels(kernels)
        self.arguments = [self._arguments(k) for k in kernels]
        pairs = [[a, x.ctypes.data] for a, x in zip(addresses, self.arguments, strict=True)]
        self.plan = np.array(pairs, np.uint64).reshape(-1)
        self.plan_address = ctypes.c_void_p(self.plan.ctypes.data)
        self.count = ctypes.c_int64(len(kernels))

    def run(self) -> None:
        """Run all kernels; the GIL is released."""
        self.code.run(self.plan_address, self.count)

    def set(self, group: int, numbers: Array) -> None:
        """Copy a leaf group's numbers, of shape (size,) or (size, samples), to its buffer."""
        layout = self.layouts[group]
        if layout is None:
            self.arrays[group][...] = numbers
        else:
            self.arrays[group][layout] = numbers

    def get(self, group: int) -> Array:
        """Return a copy of a group's numbers, in the group's order."""
        layout = self.layouts[group]
        return self.arrays[group].copy() if layout is None else self.arrays[group][layout]

    def _allocate(
        self, buffer: Buffer, constants: Mapping[int, Array], arrays: Mapping[int, Array]
    ) -> Array:
        if buffer.group in arrays:
            return arrays[buffer.group]
        kind = np.int64 if buffer.role == "index" else np.dtype(self.dtype)
        if buffer.role == "constant":
            return constants[buffer.group].astype(kind)
        shape = (buffer.size, self.samples) if buffer.batched else (buffer.size,)
        return np.zeros(shape, kind)

    def _arguments(self, kernel: Kernel) -> NDArray[np.uint64]:
        words = [self._address(access) for access in kernel.accesses]
        distances = [
            self.samples if self.program.buffers[access.buffer].batched else 1
            for access in kernel.accesses
        ]
        tables = [self.program.tables[table].ctypes.data for table in kernel.tables]
        return np.array([*words, self.samples, *distances, *tables], np.uint64)

    def _address(self, access: Access) -> int:
        array = self.buffers[access.buffer]
        distance = self.samples if self.program.buffers[access.buffer].batched else 1
        offset = 0 if access.table is not None else access.offset * distance * array.itemsize
        return int(array.ctypes.data) + offset
