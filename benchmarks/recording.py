"""Undecorated programs in recording mode, against the originals.

    python benchmarks/recording.py [--names FILE] [--runs 5]

Two programs: a step of micrograd's moons demo (see eager.py), and one of a character transformer
in the manner of microgpt (programs/microgpt_scalar.py), which needs a file of names, one a line.
Each run is an interpreter process of its own, the systems taking turns. A run reports its median
step; the table shows the median run and the spread. All systems must agree on the losses.
"""

import argparse
import contextlib
import gc
import importlib
import importlib.metadata
import itertools
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import eager
from programs import microgpt_scalar

SYSTEMS = {
    "moons": (
        "micrograd",
        "liftgrad, eager",
        "liftgrad, recording",
        "liftgrad, neuron written with operators, eager",
        "liftgrad, neuron written with operators, recording",
    ),
    "microgpt": ("its own Value", "liftgrad, eager", "liftgrad, recording"),
}
STEPS = {"moons": 8, "microgpt": 12}


def main() -> None:
    """Run all systems in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=5, help="processes for each system")
    parser.add_argument("--names", type=Path, help="a file of names for microgpt, one a line")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(measure(*options.worker, options.names)))
        return

    programs = ["moons", "microgpt"] if options.names else ["moons"]
    times: dict[tuple[str, str, str], list[float]] = {}
    losses: dict[str, list[float]] = {}
    for _ in range(options.runs):
        for program in programs:
            for collector in ("on", "off"):
                for system in SYSTEMS[program]:
                    seconds, loss = run(program, system, collector, options.names)
                    times.setdefault((program, system, collector), []).append(seconds)
                    losses.setdefault(program, []).append(loss)
    for program, found in losses.items():
        if max(found) - min(found) > 1e-9 * abs(max(found)):
            sys.exit(f"the systems disagree about the last loss of {program}: {sorted(found)}")
    print(table(programs, times, options.runs))


def run(program: str, system: str, collector: str, names: Path | None) -> tuple[float, float]:
    """Measure one system in a process of its own."""
    command = [sys.executable, __file__, "--worker", program, system, collector]
    if names:
        command += ["--names", str(names)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, loss = json.loads(result.stdout)
    return seconds, loss


def measure(program: str, system: str, collector: str, names: Path | None) -> tuple[float, float]:
    """Return the seconds of the median step and the loss of the last."""
    if collector == "off":
        gc.disable()
    mode: Any = contextlib.nullcontext
    if system.endswith("recording"):
        mode = importlib.import_module("liftgrad").recording
    with mode():
        if program == "moons":
            return moons(system.partition(",")[0], operators="operators" in system)
        assert names is not None
        return microgpt(system, names)


def moons(package: str, *, operators: bool) -> tuple[float, float]:
    """Train micrograd's demo."""
    value = importlib.import_module(f"{package}.engine").Value
    nn = importlib.import_module(f"{package}.nn")
    random.seed(1337)
    model = nn.MLP(2, [16, 16, 1])
    if operators:
        nn.Neuron.__call__ = eager.micrograd_neuron
    points, labels = eager.moons(100)
    times, loss = [], 0.0
    for k in range(STEPS["moons"]):
        start = time.perf_counter()
        loss = eager.step(value, model, points, labels, 1.0 - 0.9 * k / 100)
        times.append(time.perf_counter() - start)
    return statistics.median(times), loss


def microgpt(system: str, names: Path) -> tuple[float, float]:
    """Train on the same first names, whose lengths differ: 3 to 9 letters."""
    texts = [x for x in names.read_text(encoding="utf-8").splitlines() if x]
    kind: Any = microgpt_scalar.Value
    if system.startswith("liftgrad"):
        kind = importlib.import_module("liftgrad").Value
    ends, losses = [time.perf_counter()], []

    def after(loss: float) -> None:
        ends.append(time.perf_counter())
        losses.append(loss)

    microgpt_scalar.train(kind, texts, STEPS["microgpt"], after)
    # The first step also draws the parameters, and loads the machine.
    times = [b - a for a, b in itertools.pairwise(ends)][1:]
    return statistics.median(times), losses[-1]


def table(programs: list[str], times: dict[tuple[str, str, str], list[float]], runs: int) -> str:
    """Return the results in markdown, with what they were measured on."""
    lines = [
        "| step | system | collector on | × | collector off | × |",
        "|---|---|---|---|---|---|",
    ]
    for program in programs:
        first = SYSTEMS[program][0]
        for system in SYSTEMS[program]:
            cells = [program, system]
            for collector in ("on", "off"):
                milliseconds = [1e3 * t for t in times[program, system, collector]]
                median = statistics.median(milliseconds)
                spread = f"{min(milliseconds):.1f}-{max(milliseconds):.1f}"
                base = 1e3 * statistics.median(times[program, first, collector])
                cells += [f"{median:.1f} ms ({spread})", f"{base / median:.1f}"]
            lines.append(f"| {' | '.join(cells)} |")
    packages = ", ".join(f"{p} {importlib.metadata.version(p)}" for p in ("micrograd", "liftgrad"))
    measured = (
        f"Median of {runs} processes each (lowest-highest), of each its median step; {packages}; "
        f"Python {platform.python_version()}; {eager.processor()}, {os.cpu_count()} cores, "
        f"{platform.system()}."
    )
    return "\n".join([*lines, "", measured])


if __name__ == "__main__":
    main()
