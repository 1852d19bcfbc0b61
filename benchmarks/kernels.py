"""Time every loop nest of a lifted training step by itself.

    python benchmarks/kernels.py {moons,digits,wide,cloud,gpt} [--ir NEST] [--seconds 0.05]

A line per nest: its time, its share of the step, GFLOP/s, then the nest as `ir/text.py` prints it.
A step that runs in portions is timed on one portion of its samples.
"""

import argparse
import random
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, assert_never

import numpy as np

from liftgrad import Trainer, functional, gpt, lift, nn, optim, vmap
from liftgrad.lift.ir.nests import Apply, Expression, Load, Nest, Number, Reduce, nests_of
from liftgrad.lift.ir.text import text_of_nest
from liftgrad.lift.native.memory import Instance, NativeProgram
from liftgrad.lift.run.portions import Portions


def main() -> None:
    """Print the table of one task."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--ir", type=int, help="print this nest's LLVM IR instead")
    parser.add_argument("--seconds", type=float, default=0.05, help="time to spend on each nest")
    options = parser.parse_args()
    random.seed(1337)
    trainer, arguments = TASKS[options.task]()
    trainer.run(1, *arguments)
    training = trainer._state.training
    assert training is not None
    step = training.programs[max(training.programs)]
    if step.native is None:
        sys.exit("There is no LLVM here, and so no kernel; see the warning above.")
    native = step.native.instance.native
    if options.ir is not None:
        print(native.kernels[options.ir].text)
        return
    portions, samples = step.native.portions, step.data.samples
    if isinstance(portions, Portions):
        print(f"{options.task}: {portions.portion} samples of {samples}")
        samples = portions.portion
    else:
        print(f"{options.task}: {samples} samples")
    report(native, samples, step.native.instance, options.seconds)


def report(native: NativeProgram, samples: int, original: Instance, seconds: float) -> None:
    """Time the nests of a program, on memory of its own filled with a trained step's numbers."""
    program = native.program
    instance = native.bind(samples, {})
    for target, source in zip(instance.buffers, original.buffers, strict=True):
        if source.shape == target.shape:
            target[...] = source
        elif target.dtype.kind == "f":
            target[...] = np.random.default_rng(0).normal(size=target.shape)
    whole = per_run(instance, range(len(program.nests)), seconds)
    rows = []
    for number, statement in enumerate(program.nests):
        took = per_run(instance, [number], seconds)
        count = sum(work(nest, samples) for nest in nests_of(statement))
        rows.append((took, count, number, statement))
    total, operations = sum(row[0] for row in rows), sum(row[1] for row in rows)
    for took, count, number, statement in sorted(rows, key=lambda row: -row[0]):
        numbers = f"{took * 1e6:9.2f} µs {took / total:6.1%} {count / took / 1e9:7.1f} GFLOP/s"
        print(f"{number:>4} {numbers}  {text_of_nest(statement, program)}")
    print(
        f"all together {whole * 1e6:.2f} µs, one by one {total * 1e6:.2f} µs, "
        f"{operations / 1e6:.3f} million operations, {operations / whole / 1e9:.1f} GFLOP/s, "
        f"{sum(b.nbytes for b in instance.buffers):,} bytes"
    )


def per_run(instance: Instance, nests: Sequence[int], seconds: float) -> float:
    """Return the fastest time of some nests, called as often as fits."""
    # Repeated, so that the call from Python does not count; the numbers are put back afterwards.
    kept = [array.copy() for array in instance.buffers]
    plan = instance.plan(nests)
    start = time.perf_counter()
    plan.run()
    repeats = max(1, int(1e-3 / max(time.perf_counter() - start, 1e-7)))
    plan = instance.plan(list(nests) * repeats)
    best, end = np.inf, time.perf_counter() + seconds
    while time.perf_counter() < end or best == np.inf:
        start = time.perf_counter()
        plan.run()
        best = min(best, (time.perf_counter() - start) / repeats)
    for target, source in zip(instance.buffers, kept, strict=True):
        target[...] = source
    return float(best)


def work(nest: Nest, samples: int) -> int:
    """Return how many operations on numbers a nest takes."""
    rows = int(np.prod(nest.extents)) * (samples if nest.batched else 1)
    return rows * (operations(nest.body, samples) + nest.accumulate)


def operations(expression: Expression, samples: int) -> int:
    """Return how many operations one row takes."""
    match expression:
        case Reduce(extents=extents, body=body, samples=over):
            return (
                int(np.prod(extents)) * (samples if over else 1) * (1 + operations(body, samples))
            )
        case Apply(operands=operands):
            return 1 + sum(operations(x, samples) for x in operands)
        case Load() | Number():
            return 0
        case _:
            assert_never(expression)


# --- the tasks -------------------------------------------------------------------------------


def moons() -> tuple[Trainer, tuple[Any, ...]]:
    """Return two moons, 2-16-32-1, 100 points, the batch unrolled, float64, SGD."""

    @lift
    def loss(model: Any, X: Any, y: Any) -> Any:
        scores = [model(x) for x in X]
        hinge = sum((1 - yi * s).relu() for yi, s in zip(y, scores, strict=True)) / len(scores)
        return hinge + 1e-4 * sum(p * p for p in model.parameters())

    model = nn.MLP(2, [16, 32, 1])
    rng = np.random.default_rng(0)
    return (
        Trainer(loss, optim.SGD(model.parameters(), lr=0.01)),
        (model, rng.normal(size=(100, 2)), np.sign(rng.normal(size=100))),
    )


def classifier(sizes: list[int], batch: int, adam: bool) -> tuple[Trainer, tuple[Any, ...]]:
    """Return a classifier by vmap, float32."""

    @lift(dtype="float32")
    def loss(model: Any, X: Any, y: Any) -> Any:
        def cost(x: Any, target: Any) -> Any:
            return -functional.take(functional.log_softmax(model(x)), target)

        return functional.mean(vmap(cost)(X, y))

    model = nn.MLP(sizes[0], sizes[1:])
    rng = np.random.default_rng(0)
    parameters = model.parameters()
    optimizer = optim.Adam(parameters) if adam else optim.SGD(parameters, lr=0.01)
    X = rng.normal(size=(4 * batch, sizes[0]))
    y = rng.integers(0, sizes[-1], 4 * batch)
    return Trainer(loss, optimizer, batch_size=batch), (model, X, y)


def cloud() -> tuple[Trainer, tuple[Any, ...]]:
    """Return two moons by vmap, 2-16-32-1, a million points, float64."""

    @lift
    def loss(model: Any, X: Any, y: Any) -> Any:
        def margin(x: Any, target: Any) -> Any:
            return (1 - target * model(x)).relu()

        return functional.mean(vmap(margin)(X, y))

    model = nn.MLP(2, [16, 32, 1])
    rng = np.random.default_rng(0)
    count = 1_000_000
    return (
        Trainer(loss, optim.SGD(model.parameters(), lr=0.01)),
        (model, rng.normal(size=(count, 2)), np.sign(rng.normal(size=count))),
    )


def transformer() -> tuple[Trainer, tuple[Any, ...]]:
    """Return microgpt, one random text of 5 to 15 characters a step, float64, Adam."""

    @lift
    def loss(model: Any, tokens: Any, weights: Any) -> Any:
        return gpt.loss(model, tokens[0], weights[0])

    model = gpt.GPT(27)
    texts = [[random.randrange(27) for _ in range(random.randint(7, 17))] for _ in range(100)]
    padded = [gpt.example(text, model.block) for text in texts]
    tokens, weights = (np.array(column) for column in zip(*padded, strict=True))
    optimizer = optim.Adam(model.parameters(), lr=0.01, betas=(0.85, 0.99))
    return Trainer(loss, optimizer, batch_size=1), (model, tokens, weights)


TASKS: dict[str, Callable[[], tuple[Trainer, tuple[Any, ...]]]] = {
    "moons": moons,
    "digits": lambda: classifier([64, 128, 10], 64, adam=True),
    "wide": lambda: classifier([784, 256, 128, 10], 128, adam=False),
    "cloud": cloud,
    "gpt": transformer,
}


if __name__ == "__main__":
    main()
