"""`liftgrad moons`: train a network on two moons and draw its decision boundary."""

import math
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from liftgrad import losses, optim, plot
from liftgrad.cli.options import Finite, check_pixels, layer_sizes, picture_path
from liftgrad.data import Array, make_moons
from liftgrad.nn import MLP


@click.command(short_help="Train a network on two moons and draw its decision boundary.")
@click.option(
    "--samples", type=click.IntRange(1, 10**7), default=100, metavar="N", help="Number of points."
)
@click.option(
    "--noise", type=Finite(0), default=0.1, metavar="X", help="Standard deviation of their noise."
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
    help="Learning rate that it falls to, linearly.",
)
@click.option("--l2", type=Finite(0), default=1e-4, metavar="X", help="Factor of the L2 penalty.")
@click.option(
    "-o",
    "--output",
    callback=picture_path,
    default="decision_boundary.png",
    metavar="FILE",
    help="The picture; the ending says its format: .png, .pdf, .svg and more.",
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
) -> int:
    """Train a network on two moons and draw its decision boundary.

    The points lie on two interleaving half circles, one for each class. A multi-layer
    perceptron with ReLU learns to score them by gradient descent on all of them at once, on the
    hinge loss with an L2 penalty.
    """
    check_pixels(size, dpi)
    random.seed(seed)
    X, y = make_moons(samples, noise, seed)
    model = MLP(2, [*hidden, 1])
    optimizer = optim.SGD(model.parameters(), lr=optim.linear(rate, final_rate, steps))
    try:
        with _bar() as bar:
            say = bar.console.out
            say(f"Number of parameters: {len(optimizer.params)}")
            task = bar.add_task("Training", total=steps)
            for step, (loss, accuracy) in enumerate(train(model, X, y, optimizer, steps, l2)):
                if step % 10 == 0 or step == steps - 1 or not math.isfinite(loss):
                    say(f"Step {step} loss {loss}, accuracy {_percent(accuracy)}")
                if not math.isfinite(loss):
                    raise click.ClickException(
                        f"The loss became {loss} at step {step}; try a smaller --rate."
                    )
                bar.update(task, completed=step + 1)
            scores = [model(point) for point in X]
            say(f"Final accuracy {_percent(_accuracy(scores, y))}")
            bar.update(task, description="Drawing")
            _draw(model, X, y, output, size, dpi)
        click.echo(f"Decision boundary plot saved as '{output}'")
    except KeyboardInterrupt:
        click.echo("Interrupted; no picture was written.", err=True)
        return 130
    return 0


def train(
    model: MLP, X: Array, y: Array, optimizer: optim.Optimizer, steps: int, l2: float
) -> Iterator[tuple[float, float]]:
    """Train on all points at every step; yield the loss and the accuracy before each step."""
    points, targets = X.tolist(), y.tolist()
    for _ in range(steps):
        scores = [model(point) for point in points]
        loss = losses.hinge(scores, targets) + losses.l2(optimizer.params, l2)
        yield loss.data, _accuracy(scores, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def _accuracy(scores: Sequence[Any], targets: Sequence[float] | Array) -> float:
    """Return the part of the scores that have their target's sign."""
    right = [(score > 0.0) == (y > 0.0) for score, y in zip(scores, targets, strict=True)]
    return float(sum(right) / len(right))


def _percent(part: float) -> str:
    return f"{100.0 * part:.4g}%"


def _draw(
    model: MLP, X: Array, y: Array, output: Path, size: tuple[float, float], dpi: int
) -> None:
    try:
        picture = plot.decision_boundary(model, X, y, size=size)
        assert picture.figure_ is not None
        plot.save(picture.figure_, output, dpi=dpi)
    except ValueError as error:  # the last step led to scores beyond all numbers
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"'{output}' cannot be written: {error.strerror}.") from None


def _bar() -> Progress:
    """Return a progress bar that shows on a terminal only, and vanishes at the end."""
    console = Console(highlight=False)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.file.isatty(),
        transient=True,
    )
