"""Programs over time and their gradients by hand in C, compiled here."""

import ctypes
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from common import Array
from over_time_common import (
    FIRST,
    LONG,
    RATES,
    STEP,
    UNITS,
    Result,
    flat,
    measure,
    observed,
    recurrent,
    series,
    steps,
)

SOURCE = Path(__file__).with_name("over_time.c")
# With sums in any order, exponentials of eight units are taken at once.
FAST = ("-O3", "-march=native", "-mprefer-vector-width=512", "-ffast-math", "-fopenmp-simd")


def built() -> ctypes.CDLL:
    """Return the compiled programs."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "over_time.so"
        command = ["gcc", *FAST, "-shared", "-fPIC", str(SOURCE), "-o", str(library), "-lm"]
        subprocess.run(command, check=True)
        return ctypes.CDLL(str(library))


def address(array: Array) -> ctypes.c_void_p:
    """Return where an array's numbers are."""
    return ctypes.c_void_p(array.ctypes.data)


def main(task: str, what: str) -> None:
    """Measure one task's first call or each."""
    if task.startswith("gru"):
        weights, head = recurrent()
        parameters = flat([*(weights[gate] for gate in "zrn"), head])
        inputs, targets = series(steps(int(task[3:])))
        count, kept = len(targets), np.empty((len(targets) + 1, 5 * UNITS))
        data = [address(inputs), address(targets), ctypes.c_long(count)]
    else:
        parameters, first = np.array(RATES), np.array(FIRST)
        seen = observed(LONG if task == "scan" else steps(1000))
        count, kept = len(seen), np.empty((len(seen) + 1, 2))
        data = [address(seen), ctypes.c_long(count), ctypes.c_double(STEP), address(first)]
    gradient = np.empty(len(parameters))
    arguments = [address(parameters), *data, address(gradient), address(kept)]

    def prepare() -> Callable[[], Result]:
        library = built()
        function = library.gru if task.startswith("gru") else library.lotka
        function.restype = ctypes.c_double
        return lambda: (function(*arguments), gradient)

    measure(prepare, what, np.copy)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
