"""One training step of micrograd's moons demo: liftgrad's eager engine against micrograd.

    python benchmarks/eager.py [--runs 5] [--steps 5]

`--runs 1 --steps 1` only shows that it works.

Each run is an interpreter process of its own, the systems taking turns, so that neither warms
the other's memory and a drift of the machine meets both. A run trains a few steps of
MLP(2, [16, 16, 1]) on 100 points with the loss written as in the demo, and reports its fastest
step; the table shows the median run and the spread. All systems must agree on the loss. Without
micrograd (`pip install micrograd`) its row is left out.
"""

import argparse
import functools
import gc
import importlib
import importlib.metadata
import json
import math
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from typing import Any

SYSTEMS = {
    "micrograd": "micrograd",
    "liftgrad": "liftgrad",
    "liftgrad, neuron written with operators": "liftgrad",
}


def main() -> None:
    """Run all systems in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=5, help="processes for each system")
    parser.add_argument("--steps", type=int, default=5, help="training steps in each process")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--collector", choices=["on", "off"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(measure(options.worker, options.collector, options.steps)))
        return

    systems = [name for name, package in SYSTEMS.items() if installed(package)]
    times: dict[tuple[str, str], list[float]] = {}
    losses = set()
    for _ in range(options.runs):
        for collector in ("on", "off"):
            for system in systems:
                seconds, loss = run(system, collector, options.steps)
                times.setdefault((system, collector), []).append(seconds)
                losses.add(round(loss, 9))
    if len(losses) != 1:
        sys.exit(f"the systems disagree about the last loss: {sorted(losses)}")
    print(table(times, options.runs))


def run(system: str, collector: str, steps: int) -> tuple[float, float]:
    """Measure one system in a process of its own."""
    command = [sys.executable, __file__, "--worker", system, "--collector", collector]
    result = subprocess.run(
        [*command, "--steps", str(steps)], capture_output=True, text=True, check=True
    )
    seconds, loss = json.loads(result.stdout)
    return seconds, loss


def measure(system: str, collector: str, steps: int) -> tuple[float, float]:
    """Return the seconds of the fastest step and the loss of the last."""
    package = SYSTEMS[system]
    value = importlib.import_module(f"{package}.engine").Value
    nn = importlib.import_module(f"{package}.nn")
    random.seed(1337)
    model = nn.MLP(2, [16, 16, 1])
    if system.endswith("operators"):
        nn.Neuron.__call__ = micrograd_neuron
    points, labels = moons(100)
    if collector == "off":
        gc.disable()
    times, loss = [], 0.0
    for k in range(steps):
        start = time.perf_counter()
        loss = step(value, model, points, labels, 1.0 - 0.9 * k / 100)
        times.append(time.perf_counter() - start)
    return min(times), loss


def step(
    value: Any, model: Any, points: list[list[float]], labels: list[float], rate: float
) -> float:
    """Take one step of gradient descent, as in micrograd's demo.ipynb, and return the loss."""
    inputs = [list(map(value, row)) for row in points]
    scores = list(map(model, inputs))
    losses = [(1 + -yi * score).relu() for yi, score in zip(labels, scores, strict=True)]
    data_loss = sum(losses) * (1.0 / len(losses))
    total = data_loss + 1e-4 * sum(p * p for p in model.parameters())
    model.zero_grad()
    total.backward()
    for p in model.parameters():
        p.data -= rate * p.grad
    return float(total.data)


def micrograd_neuron(self: Any, x: list[Any]) -> Any:
    """Return what micrograd's Neuron computes, a chain of products and sums."""
    act = sum((wi * xi for wi, xi in zip(self.w, x, strict=True)), self.b)
    return act.relu() if self.nonlin else act


def moons(n: int) -> tuple[list[list[float]], list[float]]:
    """Return two interleaving half circles with labels 1 and -1."""
    noise = random.Random(0)
    points, labels = [], []
    for i in range(n):
        angle = math.pi * (i // 2) / (n // 2 - 1)
        x, y = math.cos(angle), math.sin(angle)
        if i % 2:
            x, y = 1.0 - x, 0.5 - y
        points.append([x + noise.gauss(0.0, 0.1), y + noise.gauss(0.0, 0.1)])
        labels.append(1.0 if i % 2 else -1.0)
    return points, labels


def table(times: dict[tuple[str, str], list[float]], runs: int) -> str:
    """Return the results in markdown, with what they were measured on."""
    lines = [
        "| step of the moons demo | collector on | × | collector off | × |",
        "|---|---|---|---|---|",
    ]
    for system in dict.fromkeys(system for system, _ in times):
        cells = [system]
        for collector in ("on", "off"):
            milliseconds = [1e3 * t for t in times[system, collector]]
            median = statistics.median(milliseconds)
            spread = f"{min(milliseconds):.1f}-{max(milliseconds):.1f}"
            cells += [
                f"{median:.1f} ms ({spread})",
                ratio(times.get(("micrograd", collector)), median),
            ]
        lines.append(f"| {' | '.join(cells)} |")
    measured = (
        f"Median of {runs} processes each (lowest-highest); {packages()}; "
        f"Python {platform.python_version()}; {processor()}, {os.cpu_count()} cores, "
        f"{platform.system()}."
    )
    return "\n".join([*lines, "", measured])


@functools.cache
def installed(package: str) -> bool:
    """Return whether a package can be measured, and say on standard error if it cannot."""
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        print(f"{package} is not installed and left out", file=sys.stderr)
        return False
    return True


def ratio(peer: list[float] | None, median: float) -> str:
    """Return how many times less than the peer's median this is, in milliseconds."""
    return "" if peer is None else f"{1e3 * statistics.median(peer) / median:.1f}"


def packages() -> str:
    """Return the versions of what is compared."""
    names = [name for name in ("micrograd", "liftgrad") if installed(name)]
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)


def processor() -> str:
    """Return the processor's name as well as the system tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
            names = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    main()
