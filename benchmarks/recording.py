"""Undecorated programs in recording mode, against the originals.

    python benchmarks/recording.py [--names FILE] [--runs 5] [--steps 8]

Two programs: a step of micrograd's moons demo (see eager.py), and one of a character transformer
in the manner of microgpt (microgpt_scalar.py), which needs a file of names, one a line.
Each run is an interpreter process of its own, the systems taking turns. A run reports its median
step; the table shows the median run and the spread. All systems must agree on the losses. Without
micrograd its row is left out. `--runs 1 --steps 2` only shows that it works.
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
import microgpt_scalar

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


def main() -> None:
    """Run all systems in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=5, help="processes for each system")
    parser.add_argument("--names", type=Path, help="a file of names for microgpt, one a line")
    parser.add_argument("--steps", type=int, default=8, help="training steps in each process")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        program, system, collector = options.worker
        print(json.dumps(measure(program, system, collector, options.names, options.steps)))
        return

    programs = ["moons", "microgpt"] if options.names else ["moons"]
    has_micrograd = eager.installed("micrograd")
    times: dict[tuple[str, str, str], list[float]] = {}
    losses: dict[str, list[float]] = {}
    for _ in range(options.runs):
        for program in programs:
            for collector in ("on", "off"):
                for system in SYSTEMS[program]:
                    if system == "micrograd" and not has_micrograd:
                        continue
                    arguments = (program, system, collector, options.names, options.steps)
                    seconds, loss = run(*arguments)
                    times.setdefault((program, system, collector), []).append(seconds)
                    losses.setdefault(program, []).append(loss)
    for program, found in losses.items():
        if max(found) - min(found) > 1e-9 * abs(max(found)):
            sys.exit(f"the systems disagree about the last loss of {program}: {sorted(found)}")
    print(table(programs, times, options.runs))


def run(
    program: str, system: str, collector: str, names: Path | None, steps: int
) -> tuple[float, float]:
    """Measure one system in a process of its own."""
    command = [sys.executable, __file__, "--worker", program, system, collector]
    command += ["--steps", str(steps)]
    if names:
        command += ["--names", str(names)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, loss = json.loads(result.stdout)
    return seconds, loss


def measure(
    program: str, system: str, collector: str, names: Path | None, steps: int
) -> tuple[float, float]:
    """Return the seconds of the median step and the loss of the last."""
    if collector == "off":
        gc.disable()
    mode: Any = contextlib.nullcontext
    if system.endswith("recording"):
        mode = importlib.import_module("liftgrad").recording
    with mode():
        if program == "moons":
            return moons(system.partition(",")[0], steps, operators="operators" in system)
        assert names is not None
        return microgpt(system, names, steps + 4)


def moons(package: str, steps: int, *, operators: bool) -> tuple[float, float]:
    """Train micrograd's demo."""
    value = importlib.import_module(f"{package}.engine").Value
    nn = importlib.import_module(f"{package}.nn")
    random.seed(1337)
    model = nn.MLP(2, [16, 16, 1])
    if operators:
        nn.Neuron.__call__ = eager.micrograd_neuron
    points, labels = eager.moons(100)
    times, loss = [], 0.0
    for k in range(steps):
        start = time.perf_counter()
        loss = eager.step(value, model, points, labels, 1.0 - 0.9 * k / 100)
        times.append(time.perf_counter() - start)
    return statistics.median(times), loss


def microgpt(system: str, names: Path, steps: int) -> tuple[float, float]:
    """Train on the same first names, whose lengths differ: 3 to 9 letters."""
    texts = [x for x in names.read_text(encoding="utf-8").splitlines() if x]
    kind: Any = microgpt_scalar.Value
    if system.startswith("liftgrad"):
        kind = importlib.import_module("liftgrad").Value
    ends, losses = [time.perf_counter()], []

    def after(loss: float) -> None:
        ends.append(time.perf_counter())
        losses.append(loss)

    microgpt_scalar.train(kind, texts, steps, after)
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
        for system in dict.fromkeys(system for of, system, _ in times if of == program):
            cells = [program, system]
            for collector in ("on", "off"):
                milliseconds = [1e3 * t for t in times[program, system, collector]]
                median = statistics.median(milliseconds)
                spread = f"{min(milliseconds):.1f}-{max(milliseconds):.1f}"
                peer = times.get((program, first, collector))
                cells += [f"{median:.1f} ms ({spread})", eager.ratio(peer, median)]
            lines.append(f"| {' | '.join(cells)} |")
    measured = (
        f"Median of {runs} processes each (lowest-highest), of each its median step; "
        f"{eager.packages()}; Python {platform.python_version()}; {eager.processor()}, "
        f"{os.cpu_count()} cores, {platform.system()}."
    )
    return "\n".join([*lines, "", measured])


if __name__ == "__main__":
    main()
