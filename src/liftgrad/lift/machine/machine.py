"""Machines that compute recordings: in machine code, or in Python where LLVM is missing.

A recording is computed as it is, node by node, so that a graph that never repeats costs no
compiling.
"""

import ctypes
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad.lift.machine import kernels
from liftgrad.lift.machine.nodes import INPUT, OPERATION_OF, Arrays, operands, unpack
from liftgrad.lift.native.host import machine_code


class PythonMachine:
    """Computes with the operations' functions on floats."""

    def forward(self, arrays: Arrays, first: int, last: int) -> None:
        """Compute the values first, ..., last - 1."""
        values = arrays.values
        for i in range(first, last):
            node = unpack(arrays.nodes[i])
            if node.code == INPUT:
                values[i] = arrays.inputs[node.b]
            else:
                operation = OPERATION_OF[node.code]
                values[i] = operation.forward(*values[operands(node, arrays.sequences)].tolist())

    def backward(
        self, arrays: Arrays, grads: NDArray[np.float64], reached: NDArray[np.uint8], last: int
    ) -> None:
        """Add the adjoints of nodes before `last` that are reached to their operands' adjoints."""
        values = arrays.values
        for i in range(last - 1, -1, -1):
            node = unpack(arrays.nodes[i])
            if not reached[i] or node.code == INPUT or OPERATION_OF[node.code].constant:
                continue
            indices = operands(node, arrays.sequences)
            pullback = OPERATION_OF[node.code].pullback
            assert pullback is not None
            adjoints = pullback(float(grads[i]), float(values[i]), *values[indices].tolist())
            for operand, adjoint in zip(indices, adjoints, strict=True):
                with np.errstate(all="ignore"):
                    grads[operand] += adjoint
                reached[operand] = 1


class NativeMachine:
    """Computes in machine code, with the GIL released."""

    def __init__(self, code: Any) -> None:
        self._loaded = forward, backward = code.kernels([kernels.forward(), kernels.backward()])
        pointer, number = ctypes.c_void_p, ctypes.c_int64
        self._forward = ctypes.CFUNCTYPE(None, *[pointer] * 4, number, number)(forward.address)
        self._backward = ctypes.CFUNCTYPE(None, *[pointer] * 6, number)(backward.address)

    def forward(self, arrays: Arrays, first: int, last: int) -> None:
        """Compute the values first, ..., last - 1."""
        self._forward(*[x.ctypes.data for x in arrays], first, last)

    def backward(
        self, arrays: Arrays, grads: NDArray[np.float64], reached: NDArray[np.uint8], last: int
    ) -> None:
        """Add the adjoints of nodes before `last` that are reached to their operands' adjoints."""
        self._backward(*[x.ctypes.data for x in (*arrays, grads, reached)], last)


def machine() -> NativeMachine | PythonMachine:
    """Return this process's machine: in machine code, or in Python where LLVM is missing."""
    return _machine(machine_code())


@lru_cache
def _machine(code: Any) -> NativeMachine | PythonMachine:
    return PythonMachine() if code is None else NativeMachine(code)
