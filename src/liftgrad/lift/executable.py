"""Executable: a built program, ready to be called with numbers, natively or by NumPy."""

import time
import warnings
from collections import OrderedDict
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from liftgrad.lift.build import Built, Stats, constants_of
from liftgrad.lift.groups import View
from liftgrad.lift.numpy_executor import execute
from liftgrad.lift.parameters import Parameters
from liftgrad.lift.program import Program
from liftgrad.lift.schedule import schedule

Array = NDArray[Any]
Backend = Literal["native", "numpy"]


class Executable:
    """Runs a built program forward, and backward from given adjoints of its results."""

    def __init__(self, built: Built, dtype: str, backend: Backend, stats: Stats) -> None:
        self.built, self.dtype = built, dtype
        rolled = built.rolled
        self.results = rolled.outputs[: built.outputs]
        rolled.outputs = [*self.results, *built.gradients]
        since = time.perf_counter()
        self.program: Program = schedule(rolled)
        since = stats.time("schedule", since)
        stats.tensor_operations = len(self.program.nests)
        self.instances: OrderedDict[tuple[int, ...], Any] = OrderedDict()
        self.native = None
        code = machine_code() if backend == "native" else None
        if code is not None:
            from liftgrad.lift.native import NativeProgram  # noqa: PLC0415, loads LLVM

            self.native = NativeProgram(self.program, constants_of(rolled), code, dtype)
            stats.kernels = len({k.text for k in self.native.kernels})
            stats.time("compile", since)
        groups = [self.program.buffers[nest.out.buffer].group for nest in self.program.nests]
        self.forward_nests = sum(group < built.forward for group in groups)

    def start(self, samples: int, parameters: dict[int, Parameters]) -> "NativeRun | NumpyRun":
        """Return something to run the program in, for these parameters (by argument group)."""
        if self.native is None:
            return NumpyRun(self, samples, parameters)
        key = (samples, *[id(p.store) for p in parameters.values()])
        run = self.instances.get(key)
        if run is None:
            run = self.instances[key] = NativeRun(self, samples, parameters)
            if len(self.instances) > 8:
                self.instances.popitem(last=False)
        self.instances.move_to_end(key)
        return run


class NativeRun:
    """One native instance: inputs in, results and gradients out."""

    def __init__(
        self, executable: Executable, samples: int, parameters: dict[int, Parameters]
    ) -> None:
        assert executable.native is not None
        built = executable.built
        own = {
            built.leaf_of[i]: p.store.numbers
            for i, p in parameters.items()
            if p.store is not None
        }
        # The stores are kept alive: the kernels hold their addresses.
        self.stores = [p.store for p in parameters.values()]
        self.executable = executable
        self.instance = executable.native.bind(samples, own)
        count = len(executable.program.nests)
        self.forward_part = self.instance.slice(0, executable.forward_nests)
        self.backward_part = self.instance.slice(executable.forward_nests, count)
        if built.sizes is not None:
            self.instance.set(built.sizes, np.array([samples]))
        self.owner: Any = None
        """The call whose numbers the memory holds."""

    def feed(self, group: int, numbers: Array) -> None:
        """Set a leaf group of the rolled program."""
        self.instance.set(group, numbers)

    def forward(self) -> None:
        """Compute the results."""
        self.instance.run(self.forward_part)

    def backward(self, seeds: Array) -> None:
        """Compute the gradients."""
        assert self.executable.built.seed is not None
        self.instance.set(self.executable.built.seed, seeds)
        self.instance.run(self.backward_part)

    def numbers(self, view: View) -> Array:
        """Return a result's or gradient's numbers."""
        return self.instance.get(view.group, view.positions)


class NumpyRun:
    """The same with NumPy, on the program as it was before it was fused."""

    def __init__(
        self, executable: Executable, samples: int, parameters: dict[int, Parameters]
    ) -> None:
        self.executable = executable
        self.built = executable.built
        self.parameters = parameters
        self.leaves: dict[int, Array] = {}
        if self.built.sizes is not None:
            self.leaves[self.built.sizes] = np.array([samples], executable.dtype)
        self.arrays: list[Array] = []
        self.owner: Any = None

    def feed(self, group: int, numbers: Array) -> None:
        """Set a leaf group of the rolled program."""
        dtype = numbers.dtype if numbers.dtype.kind == "i" else self.executable.dtype
        self.leaves[group] = np.array(numbers, dtype)

    def forward(self) -> None:
        """Compute the results."""
        for i, parameters in self.parameters.items():
            self.feed(self.built.leaf_of[i], parameters.numbers())
        rolled = self.built.rolled
        self.arrays = execute(
            rolled.groups[: self.built.forward], self.leaves, self.executable.dtype
        )

    def backward(self, seeds: Array) -> None:
        """Compute the gradients."""
        assert self.built.seed is not None
        self.feed(self.built.seed, seeds)
        self.arrays = execute(
            self.built.rolled.groups, self.leaves, self.executable.dtype, self.arrays
        )

    def numbers(self, view: View) -> Array:
        """Return a result's or gradient's numbers."""
        return self.arrays[view.group][view.positions]  # type: ignore[no-any-return]


@lru_cache
def machine_code(vector_bits: int | None = None) -> Any:
    """Return this process's compiled kernels, or None, with a warning, where LLVM is missing."""
    try:
        from liftgrad.lift.machine_code import MachineCode  # noqa: PLC0415, loads LLVM
        from liftgrad.lift.target import host  # noqa: PLC0415
    except (ImportError, OSError) as error:
        warnings.warn(
            f"LLVM cannot be loaded ({error}); lifted functions run on NumPy, more slowly. "
            "Install llvmlite for native speed.",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    return MachineCode(host(vector_bits))
