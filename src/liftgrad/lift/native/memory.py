"""Memory: a scheduled program's kernels, and the buffers on which they run."""

import ctypes
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad.lift.ir.nests import Buffer, Program
from liftgrad.lift.kernels.llvm.writer import kernels
from liftgrad.lift.kernels.writer import Kernel
from liftgrad.lift.native.alignment import zeros
from liftgrad.lift.native.machine_code import MachineCode

Array = NDArray[Any]
BRIEF = 4096
"""As many elements as a simple loop handles in about a microsecond."""


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
        self.kernels = kernels(program, code.target, dtype)
        self.loaded = code.kernels(self.kernels)
        """Keeps the kernels in memory, at their addresses."""
        self.addresses = [one.address for one in self.loaded]

    @cached_property
    def used(self) -> set[int]:
        """The buffers that kernels read or write; loops over time keep others in registers."""
        return {access.buffer for kernel in self.kernels for access in kernel.accesses}

    @property
    def different(self) -> int:
        """The number of different kernels."""
        return len({kernel.text for kernel in self.kernels})

    def bind(
        self, samples: int, arrays: Mapping[int, Array], without: Collection[int] = ()
    ) -> "Instance":
        """Return the program with memory to run in.

        Args:
            samples: the size of the batch, for batched buffers.
            arrays: the memory of some groups, by group number, with their elements in order.
            without: buffers that are not used and get no memory.

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
        self.buffers = self._allocate(arrays, without)
        self.arrays = {b.group: a for b, a in zip(program.buffers, self.buffers, strict=True)}
        self.layouts = {b.group: b.layout for b in program.buffers}
        self._tables = [table.ctypes.data for table in program.tables]
        places = _Places(program.buffers, self.buffers)
        words: list[int] = []
        begins = []
        for kernel in native.kernels:
            begins.append(len(words))
            which = [access.buffer for access in kernel.accesses]
            words += self._words(kernel, which, places, samples)
        arguments = np.array(words, np.uint64)
        self.arguments = [arguments]
        """The kernels' arguments, one after another, and those of sums."""
        self.calls = np.empty((len(begins), 2), np.uint64)
        """For each nest the address of its kernel and that of the kernel's arguments."""
        self.calls[:, 0] = native.addresses
        self.calls[:, 1] = np.array(begins, np.uint64) * 8 + arguments.ctypes.data

    def plan(self, nests: Sequence[int], *, brief: bool = False) -> "Plan":
        """Return a plan that runs some nests; brief ones run without releasing the GIL."""
        return Plan(self.native.code, self.calls[list(nests)], brief=brief)

    def set(self, group: int, numbers: Array) -> None:
        """Copy a group's numbers, of shape (size,) or (size, samples), to its buffer.

        A leaf that no nest reads has no buffer.
        """
        if group not in self.arrays:
            return
        layout, array = self.layouts[group], self.arrays[group]
        if layout is None:
            array[...] = numbers
        else:
            array[layout] = numbers

    def target(self, group: int, shape: tuple[int, ...]) -> Array | None:
        """Return a group's buffer as an array of this shape, samples first.

        Copying an array there does what `set` does with its elements, and costs less. None if no
        strides describe the order of the buffer.
        """
        if group not in self.arrays or 0 in shape:
            return None
        array, layout = self.arrays[group], self.layouts[group]
        samples = shape[:1] if array.ndim > 1 else ()
        inner = shape[len(samples) :]
        positions = np.arange(len(array)) if layout is None else layout
        if positions.size != math.prod(inner):
            return None
        positions = positions.reshape(inner)
        first = int(positions.flat[0])
        corner = (0,) * len(inner)
        steps = [
            int(positions[(*corner[:d], 1, *corner[d + 1 :])]) - first if extent > 1 else 0
            for d, extent in enumerate(inner)
        ]
        expected = first + sum(
            step * index for step, index in zip(steps, np.indices(inner), strict=True)
        )
        if (positions != expected).any():
            return None
        row, item = array.strides[0], array.itemsize
        strides = (*[item] * len(samples), *[step * row for step in steps])
        return np.lib.stride_tricks.as_strided(array[first:], shape, strides)

    def sums(self, pairs: Sequence[tuple[Array, Array]]) -> "Plan":
        """Return a plan that adds each pair's second array to its first."""
        code = self.native.code
        address = code.addresses[f"add{8 * pairs[0][0].itemsize}"]
        arguments = [np.array([a.ctypes.data, b.ctypes.data, len(a)], np.uint64) for a, b in pairs]
        self.arguments += arguments  # the plan holds their addresses
        brief = sum(len(a) for a, _ in pairs) <= BRIEF
        return Plan(code, [[address, words.ctypes.data] for words in arguments], brief=brief)

    def get(self, group: int, positions: NDArray[np.int64]) -> Array:
        """Return a copy of some elements of a group."""
        layout = self.layouts[group]
        return self.arrays[group][positions if layout is None else layout[positions]]

    def contiguous(self, group: int, positions: NDArray[np.int64]) -> Array | None:
        """Return some elements of a group, if they are contiguous, as a view of its buffer."""
        layout = self.layouts[group]
        rows = positions if layout is None else layout[positions]
        first = int(rows[0]) if len(rows) else 0
        if (rows != np.arange(first, first + len(rows))).any():
            return None
        return self.arrays[group][first : first + len(rows)]

    def arguments_with(
        self, nest: int, arrays: Sequence[Array], samples: int
    ) -> NDArray[np.uint64]:
        """Return the arguments of a nest's kernel, given the array behind each of its accesses."""
        kernel, buffers = self.native.kernels[nest], self.native.program.buffers
        used = [buffers[access.buffer] for access in kernel.accesses]
        words = self._words(kernel, range(len(used)), _Places(used, arrays), samples)
        return np.array(words, np.uint64)

    def _words(
        self, kernel: Kernel, which: Sequence[int], places: "_Places", samples: int
    ) -> list[int]:
        """Return a kernel's arguments, given which of the places each access is in."""
        addresses, distances, widths = places.addresses, places.distances, places.widths
        words = []
        for access, i in zip(kernel.accesses, which, strict=True):
            # With a table, the offset is a position in the table, which the kernel adds itself.
            offset = 0 if access.table is not None else access.offset * widths[i]
            words.append(addresses[i] + offset)
        words.append(samples)
        words += [distances[i] for i in which]
        words += [self._tables[table] for table in kernel.tables]
        return words if kernel.steps is None else [*words, kernel.steps]

    def _allocate(self, arrays: Mapping[int, Array], without: Collection[int]) -> list[Array]:
        """Return the memory of each buffer."""
        buffers, dtype = self.native.program.buffers, np.dtype(self.native.dtype)
        # A chain's thousands of single numbers lie close together, not each in a line of its own.
        single = [
            i
            for i, b in enumerate(buffers)
            if b.size == 1 and b.role in ("temporary", "constant") and not b.batched
        ]
        together = zeros((len(single),), dtype)
        own = {i: together[k : k + 1] for k, i in enumerate(single)}
        result = []
        for i, buffer in enumerate(buffers):
            if i in without or (i not in self.native.used and buffer.role == "temporary"):
                array = np.zeros((buffer.size, 0))
            elif buffer.group in arrays:
                assert buffer.layout is None
                array = arrays[buffer.group]
            elif i in own:
                array = own[i]
            else:
                shape = (buffer.size, self.samples) if buffer.batched else (buffer.size,)
                array = zeros(shape, np.int64 if buffer.role == "index" else dtype)
            if buffer.role == "constant":
                with np.errstate(over="ignore"):
                    array[...] = self.native.constants[buffer.group]
            result.append(array)
        return result


class _Places:
    """Where buffers are in memory."""

    def __init__(self, buffers: Sequence[Buffer], arrays: Sequence[Array]) -> None:
        self.addresses = [int(array.ctypes.data) for array in arrays]
        self.distances = [
            array.shape[1] if buffer.batched else 1
            for buffer, array in zip(buffers, arrays, strict=True)
        ]
        """Between the elements of each, in elements."""
        self.widths = [
            distance * array.itemsize
            for distance, array in zip(self.distances, arrays, strict=True)
        ]
        """The same in bytes."""


class Plan:
    """Kernels to run one after another, as pairs of a kernel's address and its arguments'."""

    __slots__ = ("run", "words")

    def __init__(
        self, code: MachineCode, pairs: Sequence[Sequence[int]] | Array, *, brief: bool = False
    ) -> None:
        self.words = np.append(np.uint64(len(pairs)), np.array(pairs, np.uint64).reshape(-1))
        pointer = self.words.ctypes.data_as(ctypes.c_void_p)  # which keeps the words alive
        self.run: Callable[[], None] = partial(code.run_briefly if brief else code.run, pointer)
        """Runs the kernels; the GIL is released unless they are brief."""
