"""What the programs of a task share: the data, the first parameters, the clock, the report."""

import itertools
import json
import math
import os
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Layers = list[tuple[Array, Array]]

MOONS = [2, 16, 32, 1]
DIGITS = [64, 128, 10]
WIDE = [784, 256, 128, 10]

QUICK = bool(os.environ.get("LIFT_QUICK"))
"""Whether to run for a moment only, to see that everything works."""
CLOUD = 100_000 if QUICK else 1_000_000
"""How many points the tasks with many have."""

clock = time.process_time if os.environ.get("LIFT_CLOCK") == "processor" else time.perf_counter


def moons(count: int) -> tuple[Array, Array]:
    """Return two interleaving half circles, of shape (count, 2), with labels 1 and -1."""
    angle = np.pi * (np.arange(count) // 2) / max(count // 2 - 1, 1)
    second = np.arange(count) % 2 == 1
    points = np.stack([np.cos(angle), np.sin(angle)], 1)
    points[second] = [1.0, 0.5] - points[second]
    noise = np.random.default_rng(0).normal(0.0, 0.1, points.shape)
    return points + noise, np.where(second, 1.0, -1.0)


def digits() -> tuple[Array, Array]:
    """Return scikit-learn's digits, 1792 of them (28 batches of 64): (1792, 64) and (1792,)."""
    from sklearn.datasets import load_digits  # noqa: PLC0415, other tasks do without

    points, labels = load_digits(return_X_y=True)
    return (points[:1792] / 16.0).astype(np.float32), labels[:1792].astype(np.int64)


def pictures(count: int = 128) -> tuple[Array, Array]:
    """Return made-up pictures of 784 points, with labels that can be told from them."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, count)
    points = rng.normal(size=(count, 784)) + rng.normal(size=(10, 784))[labels]
    return points.astype(np.float32), labels


def texts(block: int, count: int = 200) -> tuple[Array, Array]:
    """Return made-up texts of up to `block` tokens: (count, block + 1), with weights as in gpt.py.

    A text's tokens are 0 to 25; 26 stands before it and after it, as often as there is room.
    """
    rng = np.random.default_rng(0)
    ends = rng.integers(1, block, count, endpoint=True)[:, None]
    places = np.arange(block + 1)
    letters = rng.integers(0, 26, (count, block + 1))
    tokens = np.where((places > 0) & (places < ends), letters, 26)
    return tokens, np.where(places[1:] <= ends, 1.0 / ends, 0.0)


def layers(sizes: list[int], dtype: str = "float64") -> Layers:
    """Return the first weights, of shape (outputs, inputs), and biases of each layer."""
    rng = np.random.default_rng(1337)
    return [
        (rng.uniform(-1.0, 1.0, (b, a)).astype(dtype) / math.sqrt(a), np.zeros(b, dtype))
        for a, b in itertools.pairwise(sizes)
    ]


def set_parameters(parameters: Sequence[Any], sizes: list[int]) -> None:
    """Give the parameters of an MLP of Values, neuron by neuron, the first weights."""
    numbers = [x for w, b in layers(sizes) for row, c in zip(w, b, strict=True) for x in (*row, c)]
    for parameter, number in zip(parameters, numbers, strict=True):
        parameter.data = float(number)


def transformer(block: int, width: int = 16) -> dict[str, Array]:
    """Return the first weights of microgpt's transformer for 27 tokens, drawn in its order."""
    random.seed(42)
    sizes = {"token": (27, width), "position": (block, width), "head": (27, width)}
    sizes |= dict.fromkeys(("query", "key", "value", "mix"), (width, width))
    sizes |= {"expand": (4 * width, width), "contract": (width, 4 * width)}
    return {
        name: np.array([[random.gauss(0.0, 0.08) for _ in range(c)] for _ in range(r)])
        for name, (r, c) in sizes.items()
    }


def rate(step: int) -> float:
    """Return the moons demo's learning rate: from 1 to 0.1 within 100 steps."""
    return 1.0 - 0.9 * min(step, 100) / 100


def checksum(numbers: Any) -> float:
    """Return the sum of the squares of all parameters, to compare systems by."""
    return float(sum(np.square(np.asarray(x, np.float64)).sum() for x in numbers))


def fastest(function: Callable[[], object], seconds: float = 1.0) -> float:
    """Return the seconds of the fastest of the calls that fit, at least 3, after one to warm up."""
    least = 3
    if QUICK:
        seconds, least = 0.0, 1
    function()
    times: list[float] = []
    end = clock() + seconds
    while len(times) < least or clock() < end:
        start = clock()
        function()
        times.append(clock() - start)
    return min(times)


def fastest_step(step: Callable[..., object], count: int, *arguments: Any) -> float:
    """Return the seconds of a step, by the fastest of the loops of `count` that fit."""

    def steps() -> None:
        for _ in range(count):
            step(*arguments)

    return fastest(steps) / count


def report(check: float, measured: float | None = None) -> None:
    """Print the result as JSON.

    Args:
        check: a number on which all systems of a task must agree.
        measured: seconds or bytes; None: the whole process is what counts.

    """
    print(json.dumps({"check": float(check), "measured": measured}))


def memory_of(step: Callable[[], object]) -> float:
    """Return the bytes by which a step makes the process grow at its peak (on Linux)."""
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    before = _status("VmRSS")
    step()
    return _status("VmHWM") - before


def _status(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(field))) * 1024
