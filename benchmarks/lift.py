"""The speed of lifted programs against JAX, PyTorch, scikit-learn and NumPy.

    python benchmarks/lift.py [--task moons-scan ...] [--rounds 5] [--json PATH] [--clock processor]
        [--quick]

Each system runs a task in a process of its own, the systems taking turns over several rounds, so
that a drift of the machine meets all of them, on one thread unless the task says otherwise. Where
a program times itself it reports the fastest of many repeats; the table shows the median over the
rounds and the spread. All systems of a task start from the same numbers and must agree about the
result. `pip install liftgrad torch jax scikit-learn` installs all of them; a system that is not
installed is left out. On a machine that others use, `--clock processor` counts the time that the
processor worked for a program, not the time that passed. `--quick` runs the smaller tasks for a
moment, without a round to warm up: it shows that they run, not how fast. The programs are in
`benchmarks/programs`, short, and run by themselves.
"""

import argparse
import importlib.metadata
import json
import math
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from eager import installed

PROGRAMS = Path(__file__).parent / "programs"
PACKAGES = {
    "jax": "jax",
    "torch": "torch",
    "sklearn": "scikit-learn",
    "numpy": "numpy",
    "micrograd": "micrograd",
    "casadi": "casadi",
    "numba": "numba",
    "c": "gcc",
}
"""What is measured, by the last word of a program's name."""
FLOPS = 3392
"""Operations of a moons point's matrix products: 2 × (576 forward, 544 and 576 backward)."""

NO_FIGURES = "A quick run: it shows that everything works, and its figures say nothing."


@dataclass(frozen=True)
class System:
    """One row of the table: a program, its arguments, and how it is called."""

    label: str
    program: str
    arguments: tuple[str, ...]
    cold: bool = False
    """Whether each run starts with an empty kernel cache."""
    threads: int | None = 1
    """How many processors it may run on; None: all."""

    @property
    def package(self) -> str:
        """The package that the program measures."""
        return PACKAGES.get(self.program.rsplit("_", 1)[1], "liftgrad")


@dataclass(frozen=True)
class Task:
    """Something that several systems do."""

    title: str
    systems: tuple[System, ...]
    peer: str | None = None
    """The label of the system that all are compared with."""
    unit: str = "s"
    """Of the numbers: s, B or FLOP/s."""
    whole: bool = False
    """Whether the process's time counts, not what the program timed."""
    tolerance: float = 1e-6
    """How far the systems' results may be apart, relatively."""


def systems(program: str, task: str, *names: tuple[str, str]) -> tuple[System, ...]:
    """Return the systems that do a task of programs named program_system."""
    return tuple(System(label, f"{program}_{name}", (task,)) for label, name in names)


def start(label: str, name: str, task: str = "start", *, cold: bool = False) -> System:
    """Return a system whose start is measured, on all processors: some use them to compile."""
    return System(label, f"moons_{name}", (task,), cold=cold, threads=None)


LIFTGRAD, JAX, TORCH = ("liftgrad", "liftgrad"), ("JAX, `lax.scan`", "jax"), ("PyTorch", "torch")
TASKS: dict[str, Task] = {
    "moons-scan": Task(
        "moons step, all steps in one call",
        systems("moons", "scan", LIFTGRAD, JAX, TORCH, ("NumPy by hand", "numpy")),
        peer="JAX, `lax.scan`",
    ),
    "moons-step": Task(
        "moons step, each called from Python",
        systems("moons", "step", LIFTGRAD, ("JAX, `jit`", "jax")),
        peer="JAX, `jit`",
    ),
    "moons-start": Task(
        "process start to 100 moons steps",
        (
            start("liftgrad, empty cache", "liftgrad", cold=True),
            start("liftgrad, warm cache", "liftgrad"),
            start("liftgrad with vmap, empty cache", "liftgrad", "start-vmap", cold=True),
            start("liftgrad with vmap, warm cache", "liftgrad", "start-vmap"),
            start("JAX, `lax.scan`", "jax"),
            start("PyTorch", "torch"),
        ),
        peer="JAX, `lax.scan`",
        whole=True,
    ),
    "tracing": Task(
        "tracing and rolling, a scalar operation",
        tuple(
            System(f"{name}, {count:,}", "tracing_liftgrad", (task, str(count)))
            for task, name in (("network", "a network"), ("orbit", "a chain"))
            for count in (10_000, 100_000, 1_000_000, 2_000_000)
        ),
        tolerance=math.inf,  # the programs differ
    ),
    "digits": Task(
        "digits 64-128-10, batch 64, Adam, float32, an epoch",
        systems("classifier", "digits", LIFTGRAD, JAX, TORCH, ("scikit-learn", "sklearn")),
        peer="JAX, `lax.scan`",
        tolerance=0.03,  # of the accuracy after 20 epochs; orders of the samples differ
    ),
    "wide": Task(
        "784-256-128-10, batch 128, SGD, float32, a step",
        systems("classifier", "wide", LIFTGRAD, TORCH, JAX),
        peer="PyTorch",
    ),
    "gpt": Task(
        "microgpt's network, a text of up to 16 tokens, Adam, a step",
        (
            System("liftgrad", "gpt_liftgrad", ("16",)),
            System("JAX, `lax.scan`", "gpt_jax", ("16",)),
            System("JAX, `lax.scan`, float32", "gpt_jax", ("16", "float32")),
            System("PyTorch", "gpt_torch", ("16",)),
        ),
        peer="JAX, `lax.scan`",
    ),
    "cloud": Task(
        "moons loss and gradient, 1,000,000 points",
        (
            System("liftgrad, 1 thread", "moons_liftgrad", ("cloud-1",)),
            System("liftgrad, 2 threads", "moons_liftgrad", ("cloud-2",), threads=2),
            System("JAX, `jit`, 1 thread", "moons_jax", ("cloud-1",)),
        ),
        peer="liftgrad, 1 thread",
    ),
    "peak": Task(
        "multiply-adds in full vectors, float64",
        (System("the machine, 1 thread", "peak_llvm", ()),),
        unit="FLOP/s",
    ),
    "memory": Task(
        "memory of moons loss and gradient, 1,000,000 points",
        (
            System("liftgrad", "memory_liftgrad", ()),
            System("NumPy by hand", "memory_numpy", ()),
        ),
        peer="NumPy by hand",
        unit="B",
    ),
}


@dataclass
class Result:
    """What the rounds of a system gave."""

    task: str
    system: str
    measured: list[float] = field(default_factory=list)
    checks: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The median over the rounds."""
        return statistics.median(self.measured)


def main(tasks: dict[str, Task], description: str, quick: Sequence[str]) -> dict[str, list[Result]]:
    """Run the tasks, print the table, and return the results.

    Args:
        tasks: by name.
        description: of the benchmark.
        quick: the tasks that `--quick` runs.

    """
    parser = argparse.ArgumentParser(description=description.split("\n", maxsplit=1)[0])
    parser.add_argument("--task", nargs="+", choices=tasks)
    parser.add_argument("--rounds", type=int, default=5, help="processes for each system")
    parser.add_argument("--quick", action="store_true", help="only show that small tasks run")
    parser.add_argument("--clock", choices=["wall", "processor"], default="wall")
    parser.add_argument("--json", type=Path, help="write all measurements to this file")
    options = parser.parse_args()
    os.environ["LIFT_CLOCK"] = options.clock
    if options.quick:
        os.environ["LIFT_QUICK"] = "1"
    chosen = options.task or (quick if options.quick else list(tasks))
    rounds = range(1, 2) if options.quick else range(options.rounds + 1)
    results = {name: run(name, tasks[name], rounds) for name in chosen}
    print(table(results, tasks))
    print()
    on = machine(options.rounds, {s.package for name in chosen for s in tasks[name].systems})
    print(NO_FIGURES if options.quick else on)
    if options.json:
        rows = [asdict(r) for rows in results.values() for r in rows]
        text = json.dumps({"machine": on, "results": rows}, indent=1)
        options.json.write_text(text + "\n")
    wrong = [
        message
        for name, rows in results.items()
        for message in disagreements(name, tasks[name], rows)
    ]
    if wrong:
        sys.exit("\n".join(wrong))
    return results


def run(name: str, task: Task, rounds: range) -> list[Result]:
    """Run a task's systems in turn; round 0 does not count."""
    present = [s for s in task.systems if version(s.package)]
    results = [Result(name, s.label) for s in present]
    with tempfile.TemporaryDirectory() as cache:
        for turn in rounds:
            for system, result in zip(present, results, strict=True):
                print(f"{name}: {system.label}, round {turn} of {rounds[-1]}", file=sys.stderr)
                measured, check = once(system, task, cache, turn)
                if turn:
                    result.measured.append(measured)
                    result.checks.append(check)
    return results


def once(system: System, task: Task, cache: str, turn: int) -> tuple[float, float]:
    """Run a system's program in a process of its own; return what it measured, and its check."""
    with tempfile.TemporaryDirectory() as empty:
        environment = {
            **single_threaded(dict(os.environ)),
            "LIFTGRAD_CACHE_DIR": empty if system.cold else cache,
            "LIFT_SEED": str(turn),
        }
        if task.unit == "B":  # memory that is not in use goes back to the system at once
            environment["MALLOC_MMAP_THRESHOLD_"] = environment["MALLOC_TRIM_THRESHOLD_"] = "65536"
        command = [sys.executable, str(PROGRAMS / f"{system.program}.py"), *system.arguments]
        with processors(system.threads):
            before = process_clock()
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, env=environment
            )
            seconds = process_clock() - before
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    report = json.loads(done.stdout.splitlines()[-1])
    return (seconds if task.whole else report["measured"]), report["check"]


@contextmanager
def processors(count: int | None) -> Iterator[None]:
    """Confine processes started meanwhile to these processors, the only limit that JAX obeys."""
    if count is None or not hasattr(os, "sched_setaffinity"):
        yield
        return
    every = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(every)[-count:])
    try:
        yield
    finally:
        os.sched_setaffinity(0, every)


def process_clock() -> float:
    """Return the time, or the processor's time for all processes that were run so far."""
    if os.environ["LIFT_CLOCK"] == "processor":
        times = os.times()
        return times.children_user + times.children_system
    return time.perf_counter()


def single_threaded(environment: dict[str, str]) -> dict[str, str]:
    """Return the environment in which all systems use one thread and no settings of the user's."""
    # Installed packages have compiled modules: those of a source folder may be kept, too.
    for name in ("OPENBLAS_CORETYPE", "LIFTGRAD_VECTOR_BITS", "PYTHONDONTWRITEBYTECODE"):
        environment.pop(name, None)
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    return {**environment, **threads, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}


def disagreements(name: str, task: Task, rows: list[Result]) -> list[str]:
    """Return a sentence for each system whose result is not that of the first."""
    expected = rows[0].checks[0]
    return [
        f"{name}: {row.system} gets {row.checks[0]!r}, {rows[0].system} {expected!r}"
        for row in rows
        if not math.isclose(row.checks[0], expected, rel_tol=task.tolerance)
    ]


def table(results: dict[str, list[Result]], tasks: dict[str, Task]) -> str:
    """Return the results in markdown; the last column is the peer's median over the system's."""
    lines = ["| task | system | median | lowest - highest | × |", "|---|---|---|---|---|"]
    peak = results["peak"][0].median if "peak" in results else None
    for name, rows in results.items():
        task = tasks[name]
        peer = next((row for row in rows if row.system == task.peer), None)
        for row in rows:
            low, high = (quantity(f(row.measured), task.unit) for f in (min, max))
            ratio = "" if peer is None or not row.median else f"{peer.median / row.median:.2f}"
            if name == "cloud" and peak:
                threads = next(s.threads or 1 for s in task.systems if s.label == row.system)
                ratio += f", {FLOPS * 1e6 / row.median / (threads * peak):.0%} of the peak"
            title = task.title if row is rows[0] else ""
            median = quantity(row.median, task.unit)
            lines.append(f"| {title} | {row.system} | {median} | {low} - {high} | {ratio} |")
    return "\n".join(lines)


def quantity(number: float, unit: str) -> str:
    """Return a number with its unit, three digits of it.

    >>> quantity(0.0000123, "s"), quantity(58.1e9, "FLOP/s")
    ('12.3 µs', '58.1 GFLOP/s')
    """
    units = [("G", 1e9), ("M", 1e6), ("", 1.0), ("m", 1e-3), ("µ", 1e-6)]
    if unit == "s":  # seconds are not counted in thousands
        units = units[2:]
    prefix, factor = next((u for u in units if number >= u[1]), units[-1])
    return f"{number / factor:.3g} {prefix}{unit}"


def machine(rounds: int, measured: set[str]) -> str:
    """Return what was measured, on what."""
    names = ["liftgrad", *(n for n in PACKAGES.values() if n in measured), "llvmlite"]
    versions = {name: version(name) for name in names}
    packages = ", ".join(f"{name} {number}" for name, number in versions.items() if number)
    return (
        f"Median of {rounds} processes each, after one to warm up (lowest - highest); ×: how many "
        f"times less than the peer. {packages}; Python {platform.python_version()}; {processor()}, "
        f"{os.cpu_count()} cores, vectors of {vector_bits()} bits; {platform.system()}; "
        f"{os.environ['LIFT_CLOCK']} time."
    )


def version(package: str) -> str | None:
    """Return the version of what can be measured; say on standard error if it cannot."""
    if package != "gcc":
        return importlib.metadata.version(package) if installed(package) else None
    if (compiler := shutil.which(package)) is None:
        print("gcc is not installed, and programs in C are left out", file=sys.stderr)
        return None
    command = [compiler, "-dumpfullversion"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def processor() -> str:
    """Return the processor's name as well as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    return next((x.split(": ")[1] for x in lines if x.startswith("model name")), platform.machine())


def vector_bits() -> int:
    """Return the width of the vectors that liftgrad's kernels use here."""
    from liftgrad.lift.native.compiler import host  # noqa: PLC0415, loads LLVM

    return host().vector_bits


if __name__ == "__main__":
    main(TASKS, __doc__, quick=[name for name in TASKS if name != "tracing"])
