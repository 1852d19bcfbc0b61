"""micrograd's demo, its notebook line by line: only the import is another.

The same program runs three ways to the same numbers: on the eager engine, recorded, and lifted by
a decorator. It also writes the graph of one neuron for Graphviz, with drawing code that was written
for micrograd. https://github.com/karpathy/micrograd/blob/master/demo.ipynb
"""

import argparse
import contextlib
import math
import random
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import liftgrad
from liftgrad.data import make_moons
from liftgrad.engine import Value
from liftgrad.files import check_writable
from liftgrad.nn import MLP, Neuron


def loss(model: MLP, X: Any, y: Any) -> tuple[Any, list[Any]]:
    """Return the loss, and the scores, as the notebook computes them."""
    inputs = [list(map(Value, xrow)) for xrow in X]

    # forward the model to get scores
    scores = list(map(model, inputs))

    # svm "max-margin" loss
    losses = [(1 + -yi * scorei).relu() for yi, scorei in zip(y, scores, strict=True)]
    data_loss = sum(losses) * (1.0 / len(losses))
    # L2 regularization
    alpha = 1e-4
    reg_loss = alpha * sum(p * p for p in model.parameters())
    total_loss = data_loss + reg_loss
    return total_loss, scores


def train(
    loss: Callable[..., Any], points: int, steps: int
) -> tuple[list[tuple[float, float]], float]:
    """Return the loss and the accuracy at each step, and the seconds of the fastest."""
    random.seed(1337)
    X, y = make_moons(points, noise=0.1, seed=1337)  # labels are 1 and -1 already
    model = MLP(2, [16, 16, 1])  # 2-layer neural network
    said, seconds = [], math.inf
    for k in range(steps):
        start = time.perf_counter()

        # forward
        total_loss, scores = loss(model, X, y)
        accuracy = [(yi > 0) == (s.data > 0) for yi, s in zip(y, scores, strict=True)]
        acc = sum(accuracy) / len(accuracy)

        # backward
        model.zero_grad()
        total_loss.backward()

        # update by gradient descent
        learning_rate = 1.0 - 0.9 * k / 100
        for p in model.parameters():
            p.data -= learning_rate * p.grad

        said.append((float(total_loss.data), acc))
        seconds = min(seconds, time.perf_counter() - start)
    return said, seconds


def trace(root: Any) -> tuple[set[Any], set[tuple[Any, Any]]]:
    """Return the nodes and edges of a graph, as in micrograd's trace_graph.ipynb."""
    nodes, edges = set(), set()

    def build(v: Any) -> None:
        if v not in nodes:
            nodes.add(v)
            for child in v._prev:
                edges.add((child, v))
                build(child)

    build(root)
    return nodes, edges


def dot(root: Any) -> str:
    """Return a graph in Graphviz's language: numbers are boxes, operations are circles."""

    def lines() -> Iterable[str]:
        nodes, edges = trace(root)
        for n in nodes:
            yield f'{id(n)} [shape=record label="{{ data {n.data:.4f} | grad {n.grad:.4f} }}"]'
            if n._op:
                yield f'{id(n)}1 [label="{n._op}"]'
                yield f"{id(n)}1 -> {id(n)}"
        for n1, n2 in edges:
            yield f"{id(n1)} -> {id(n2)}1"

    return "digraph {\n  rankdir=LR\n  " + "\n  ".join(sorted(lines())) + "\n}\n"


def main() -> None:
    """Train three ways; write a neuron's graph."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--points", type=int, default=100)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--graph", type=Path, help="where to write a neuron's graph, for Graphviz")
    options = parser.parse_args()
    if options.points < 2 or options.steps < 1:
        parser.error("take at least 1 step, with 2 points or more.")
    if options.graph:
        try:
            check_writable(options.graph)
        except OSError as error:
            parser.error(str(error))
    ways: dict[str, tuple[Callable[..., Any], Callable[[], AbstractContextManager[object]]]] = {
        "eager": (loss, contextlib.nullcontext),
        "recorded": (loss, liftgrad.recording),
        "lifted": (liftgrad.lift(loss), contextlib.nullcontext),
    }
    for way, (function, context) in ways.items():
        with context():
            said, seconds = train(function, options.points, options.steps)
        for k in sorted({*range(0, options.steps, 20), options.steps - 1}):
            print(f"{way}: step {k} loss {said[k][0]:.12f}, accuracy {said[k][1]:.0%}")
        print(f"{way}: {1e3 * seconds:.3g} ms a step")
    if options.graph:
        random.seed(1337)
        y = Neuron(2)([Value(1.0), Value(-2.0)])
        y.backward()
        options.graph.write_text(dot(y), encoding="utf-8")
        print(f"The graph is in {options.graph}: dot -Tsvg {options.graph} -o neuron.svg draws it.")


if __name__ == "__main__":
    main()
