"""How steps and tracing grow with the program, against JAX, PyTorch and micrograd, as a picture.

    python benchmarks/scaling.py [--task parameters-25 ...] [--rounds 1] [--json PATH] [--quick]

How it is measured is said in `benchmarks/lift.py`. With all tasks it draws their curves into
`docs/images/scaling.png`, for which it needs matplotlib.
"""

import itertools
import sys
from pathlib import Path

from lift import Result, System, Task, main

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "scaling.png"
HIDDEN = {25: 3, 337: 16, 9_895: 97, 98_905: 312, 1_000_995: 998}
"""The parameters of a network 2-h-h-1, and h."""
POINTS = (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000)
LENGTHS = (2, 4, 8, 16, 32, 64)
OPERATIONS = (1_204, 12_040, 120_400, 2_000_000)
NAMES = {"liftgrad": "liftgrad", "JAX": "jax", "PyTorch": "torch", "micrograd": "micrograd"}


def network(title: str, points: int, hidden: list[int], *, most: int) -> Task:
    """Return the task of a step; micrograd takes part where it has no more than `most` products."""
    sizes = [2, *hidden, 1]
    products = points * sum(a * b for a, b in itertools.pairwise(sizes))
    arguments = tuple(str(x) for x in (points, *sizes))
    systems = tuple(
        System(label, f"scaling_{name}", arguments)
        for label, name in NAMES.items()
        if label != "micrograd" or products <= most
    )
    return Task(title, systems, peer="JAX")


def text(length: int) -> Task:
    """Return the task of a step of a transformer."""
    systems = tuple(
        System(label, f"gpt_{NAMES[label]}", (str(length),)) for label in ("liftgrad", "JAX")
    )
    return Task(f"transformer, {length} tokens", systems, peer="JAX")


def tracing(count: int) -> Task:
    """Return a task for each number of operations to trace and roll."""
    systems = [
        System("a network", "tracing_liftgrad", ("network", str(count))),
        System("a chain", "tracing_liftgrad", ("orbit", str(count))),
        System("computed by the eager engine", "tracing_liftgrad", ("eager", str(count))),
    ]
    return Task(f"{count:,} operations, for each", tuple(systems), tolerance=1.0)


TASKS = {
    **{
        f"parameters-{n}": network(f"{n:,} parameters, 32 points", 32, [h, h], most=10**5)
        for n, h in HIDDEN.items()
    },
    **{
        f"batch-{n}": network(f"2-16-32-1, a batch of {n:,}", n, [16, 32], most=10**5)
        for n in POINTS
    },
    **{f"tokens-{n}": text(n) for n in LENGTHS},
    **{f"operations-{n}": tracing(n) for n in OPERATIONS},
}
PANELS = {
    "parameters": ("a training step, 32 points", "parameters"),
    "batch": ("a training step, 625 parameters", "points in the batch"),
    "tokens": ("a transformer's training step", "tokens"),
    "operations": ("tracing and rolling, each operation", "scalar operations"),
}


def draw(results: dict[str, list[Result]]) -> None:
    """Draw the curves, a panel for each kind of task."""
    from matplotlib import pyplot as plt  # noqa: PLC0415, only with all tasks

    figure, axes = plt.subplots(2, 2, figsize=(9, 7), layout="constrained")
    for (kind, (title, along)), panel in zip(PANELS.items(), axes.flat, strict=True):
        curves: dict[str, list[tuple[int, float]]] = {}
        for name, rows in results.items():
            if name.startswith(f"{kind}-"):
                for row in rows:
                    point = (int(name.removeprefix(f"{kind}-")), row.median)
                    curves.setdefault(row.system, []).append(point)
        for label, points in curves.items():
            panel.loglog(*zip(*points, strict=True), "o-", label=label, markersize=4)
        panel.set(title=title, xlabel=along, ylabel="seconds")
        if kind == "tokens":  # two decades: matplotlib would name the minor ticks, too
            panel.set_xticks(LENGTHS, [str(n) for n in LENGTHS])
            panel.minorticks_off()
        panel.grid(alpha=0.3)
        panel.legend()
    figure.savefig(PICTURE, dpi=110)
    print(f"The curves are in {PICTURE}", file=sys.stderr)


if __name__ == "__main__":
    smallest = {name.partition("-")[0]: name for name in reversed(TASKS)}
    found = main(TASKS, __doc__, quick=list(smallest.values()))
    if found.keys() == TASKS.keys():
        draw(found)
