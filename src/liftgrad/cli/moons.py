"""`liftgrad moons`: train a network on two moons and draw its decision boundary."""

import json
import math
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np

from liftgrad import losses, optim, plot
from liftgrad.cli.display import duration, lines_above, progress_bar, say
from liftgrad.cli.options import (
    Finite,
    check_parameters,
    check_pixels,
    layer_sizes,
    picture_path,
    writes,
)
from liftgrad.data import Array, make_moons
from liftgrad.functional import mean
from liftgrad.lift.function import LiftedFunction, lift
from liftgrad.lift.stand_ins.vmap import vmap
from liftgrad.nn import MLP
from liftgrad.trainer import Trainer

_REPORT = 10
"""Steps between reports of the loss and the accuracy."""
_UNROLLED = 256
"""Up to this many points the loss loops over them, as micrograd does; beyond, it uses `vmap`."""


@click.command(short_help="Train a network on two moons and draw its decision boundary.")
@click.option(
    "--samples", type=click.IntRange(1, 10**7), default=100, metavar="N", help="Number of points."
)
@click.option(
    "--noise",
    type=Finite(0, 1e6),
    default=0.1,
    metavar="X",
    help="Standard deviation of their noise.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=1337,
    metavar="N",
    help="Seed of the points and of the initial weights.",
)
@click.option(
    "--hidden",
    callback=layer_sizes,
    default="16,32",
    metavar="N,N,...",
    help="Number of neurons in each hidden layer.",
)
@click.option(
    "--steps",
    type=click.IntRange(1),
    default=100,
    metavar="N",
    help="Number of steps of gradient descent.",
)
@click.option(
    "--rate", type=Finite(0), default=1.0, metavar="X", help="Learning rate of the first step."
)
@click.option(
    "--final-rate",
    type=Finite(0),
    default=0.1,
    metavar="X",
    help="Learning rate after the last step, to which it falls linearly.",
)
@click.option("--l2", type=Finite(0), default=1e-4, metavar="X", help="Factor of the L2 penalty.")
@click.option(
    "-o",
    "--output",
    callback=picture_path,
    default="decision_boundary.png",
    metavar="FILE",
    help="The picture; the extension decides its format: .png, .pdf, .svg and more.",
)
@click.option(
    "--size",
    type=(Finite(3, 100), Finite(2.5, 100)),
    default=(6.4, 3.6),
    metavar="WIDTH HEIGHT",
    help="Size of the picture in inches.",
)
@click.option(
    "--dpi",
    type=click.IntRange(20, 2400),
    default=150,
    metavar="N",
    help="Pixels of the picture per inch.",
)
@click.option(
    "--engine",
    type=click.Choice(["lift", "eager"]),
    default="lift",
    help="Compile the scalar program, or compute one number at a time.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON instead of text.")
def moons(
    samples: int,
    noise: float,
    seed: int,
    hidden: list[int],
    steps: int,
    rate: float,
    final_rate: float,
    l2: float,
    output: Path,
    size: tuple[float, float],
    dpi: int,
    engine: str,
    as_json: bool,
) -> int:
    """Train a network on two moons and draw its decision boundary.

    The points lie on two interleaving half circles, one for each class. A multi-layer perceptron
    with ReLU learns to score them by gradient descent on all points at once, minimising the hinge
    loss with an L2 penalty.
    """
    check_pixels(size, dpi)
    check_parameters(2, hidden, 1)
    random.seed(seed)
    X, y = make_moons(samples, noise, seed)
    model = MLP(2, [*hidden, 1])
    optimizer = optim.SGD(model.parameters(), lr=optim.linear(rate, final_rate, steps))
    training = (Eager if engine == "eager" else Lifted)(model, X, y, optimizer, l2)
    try:
        with progress_bar() as bar:
            line = lines_above(bar, quiet=as_json)
            line(f"Number of parameters: {len(optimizer.params)}")
            task = bar.add_task("Training", total=steps)
            for first, last in _blocks(steps):
                accuracy = training.accuracy()
                for step, loss in enumerate(training.run(last - first), first):
                    if step == first or not math.isfinite(loss):
                        line(f"Step {step} loss {loss:.12g}, accuracy {_percent(accuracy)}")
                    if not math.isfinite(loss):
                        raise click.ClickException(
                            f"The loss became {loss} at step {step}; try a smaller --rate."
                        )
                    bar.update(task, completed=step + 1)
            accuracy = training.accuracy()
            line(f"Final accuracy {_percent(accuracy)}")
            bar.update(task, description="Drawing")
            _draw(model, X, y, output, size, dpi)
        if as_json:
            results = {
                "samples": samples,
                "classes": 2,
                "parameters": len(optimizer.params),
                "steps": steps,
                "loss": loss,
                "training_accuracy": accuracy,
                "picture": str(output),
                **training.figures(),
            }
            click.echo(json.dumps(results))
        else:
            say(f"Decision boundary plot saved as '{output}'")
            say(training.summary())
    except KeyboardInterrupt:
        click.echo("Interrupted; no picture was written.", err=True)
        return 130
    return 0


class Eager:
    """Training on all points at every step, one number at a time."""

    def __init__(
        self, model: MLP, X: Array, y: Array, optimizer: optim.Optimizer, l2: float
    ) -> None:
        self.model, self.optimizer, self.l2 = model, optimizer, l2
        self.points, self.targets = X.tolist(), y.tolist()
        self.seconds: list[float] = []

    def run(self, steps: int) -> Iterator[float]:
        """Take steps; yield the loss before each."""
        for _ in range(steps):
            start = time.perf_counter()
            scores = [self.model(point) for point in self.points]
            loss = losses.hinge(scores, self.targets) + losses.l2(self.optimizer.params, self.l2)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.seconds.append(time.perf_counter() - start)
            yield loss.data

    def accuracy(self) -> float:
        """Return the fraction of the points whose score has the sign of their class."""
        right = [
            (self.model(point) > 0.0) == (y > 0.0)
            for point, y in zip(self.points, self.targets, strict=True)
        ]
        return float(sum(right) / len(right))

    def figures(self) -> dict[str, Any]:
        """Return the time of a step."""
        return {"seconds_per_step": float(np.median(self.seconds))}

    def summary(self) -> str:
        """Return the figures as a sentence."""
        return f"One number at a time, {duration(self.figures()['seconds_per_step'])} per step"


class Lifted:
    """The same training, compiled from the scalar program."""

    def __init__(
        self, model: MLP, X: Array, y: Array, optimizer: optim.Optimizer, l2: float
    ) -> None:
        self.model, self.X, self.y, self.l2 = model, X, y, l2
        self.loss = unrolled_loss if len(X) <= _UNROLLED else mapped_loss
        self.trainer = Trainer(self.loss, optimizer)
        self.seconds: list[float] = []

    def run(self, steps: int) -> Iterator[float]:
        """Take steps; yield the loss before each."""
        start = time.perf_counter()
        history = self.trainer.run(steps, self.model, self.X, self.y, self.l2)
        self.seconds.append((time.perf_counter() - start) / steps)
        yield from history.loss.tolist()

    def accuracy(self) -> float:
        """Return the fraction of the points whose score has the sign of their class."""
        return float(((scores(self.model, self.X) > 0.0) == (self.y > 0.0)).mean())

    def figures(self) -> dict[str, Any]:
        """Return the sizes of the scalar and the tensor program, and the time of a step."""
        stats = self.loss.stats
        return {
            "scalar_operations": stats.scalar_operations,
            "tensor_operations": stats.tensor_operations,
            "seconds_per_step": float(np.median(self.seconds)),
        }

    def summary(self) -> str:
        """Return the figures as a sentence."""
        figures = self.figures()
        each = "" if self.loss is unrolled_loss else " for each point"
        return (
            f"{figures['scalar_operations']:,} scalar operations{each} became "
            f"{figures['tensor_operations']} tensor operations, "
            f"{duration(figures['seconds_per_step'])} per step"
        )


def _unrolled(model: MLP, X: Array, y: Array, l2: float) -> object:
    return losses.hinge([model(x) for x in X], y) + losses.l2(model.parameters(), l2)


def _mapped(model: MLP, X: Array, y: Array, l2: float) -> object:
    def margin(x: Array, target: float) -> object:
        return losses.hinge([model(x)], [target])

    return mean(vmap(margin)(X, y)) + losses.l2(model.parameters(), l2)


unrolled_loss: LiftedFunction = lift(_unrolled)
mapped_loss: LiftedFunction = lift(_mapped)


@lift
def scores(model: MLP, X: Array) -> Array:
    """Return the model's score of each point, as an array."""
    return vmap(model)(X)  # type: ignore[no-any-return]


def _blocks(steps: int) -> Iterator[tuple[int, int]]:
    """Yield (first, last + 1) of the steps between reports; the last step is reported alone."""
    for first in range(0, steps - 1, _REPORT):
        yield first, min(first + _REPORT, steps - 1)
    yield steps - 1, steps


def _percent(fraction: float) -> str:
    return f"{100.0 * fraction:.4g}%"


def _draw(
    model: MLP, X: Array, y: Array, output: Path, size: tuple[float, float], dpi: int
) -> None:
    try:
        picture = plot.decision_boundary(model, X, y, size=size)
        with writes(output):
            plot.save(picture.figure_, output, dpi=dpi)
    except ValueError as error:  # scores overflowed in the last step
        raise click.ClickException(str(error)) from None
