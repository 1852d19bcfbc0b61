"""`liftgrad circles`, `spirals`, `blobs` and `digits`: train a network on a known set."""

import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np

from liftgrad import data, losses, optim, plot
from liftgrad.cli.display import duration, failure, say
from liftgrad.cli.options import Finite, check_parameters, layer_sizes, picture_path, writes
from liftgrad.errors import NonFiniteLossError
from liftgrad.functional import mean
from liftgrad.lift.function import lift
from liftgrad.lift.stand_ins.vmap import vmap
from liftgrad.nn import MLP
from liftgrad.trainer import Trainer

_HELD = 0.25
"""The fraction of the samples that is held out to evaluate the network."""


def _network_options(hidden: str, epochs: int) -> Callable[[Any], Any]:
    """Return a decorator that adds the options that the commands of all sets have."""
    options = [
        click.option(
            "--seed",
            type=click.IntRange(0, 2**32 - 1),
            default=1337,
            metavar="N",
            help="Seed of the samples, the initial weights and the batches.",
        ),
        click.option(
            "--hidden",
            callback=layer_sizes,
            default=hidden,
            metavar="N,N,...",
            help="Number of neurons in each hidden layer.",
        ),
        click.option(
            "--epochs",
            type=click.IntRange(1),
            default=epochs,
            metavar="N",
            help="Passes over the samples.",
        ),
        click.option(
            "--rate", type=Finite(0), default=0.01, metavar="X", help="Learning rate of Adam."
        ),
        click.option(
            "-o",
            "--output",
            callback=picture_path,
            default="decision_regions.png",
            metavar="FILE",
            help="The picture; the extension decides its format: .png, .pdf, .svg and more.",
        ),
        click.option(
            "--json", "as_json", is_flag=True, help="Print one line of JSON instead of text."
        ),
    ]

    def decorate(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def _points_options(noise: float, meaning: str) -> Callable[[Any], Any]:
    """Return a decorator that adds the options of synthetic sets."""

    def decorate(command: Any) -> Any:
        command = click.option(
            "--noise", type=Finite(0, 1e6), default=noise, metavar="X", help=meaning
        )(command)
        return click.option(
            "--samples",
            type=click.IntRange(8, 10**7),
            default=600,
            metavar="N",
            help="Number of points.",
        )(command)

    return decorate


@click.command(short_help="Classify the points of two concentric circles.")
@_points_options(0.05, "Standard deviation of their noise.")
@_network_options("16,16", 60)
def circles(samples: int, noise: float, **network: Any) -> None:
    """Train a network to classify the points of two concentric circles, and draw its regions."""
    X, y = data.make_circles(samples, noise, seed=network["seed"])
    _learn(X, (y > 0.0).astype(np.int64), **network)


@click.command(short_help="Classify the points of a spiral by their arms.")
@_points_options(0.05, "Standard deviation of their noise.")
@click.option(
    "--arms", type=click.IntRange(2, 10), default=3, metavar="N", help="Number of classes."
)
@_network_options("32,32", 200)
def spirals(samples: int, noise: float, arms: int, **network: Any) -> None:
    """Train a network to classify the points of a spiral by their arms, and draw its regions."""
    _learn(*data.make_spirals(samples, arms, noise, seed=network["seed"]), **network)


@click.command(short_help="Classify points by their clouds.")
@_points_options(1.0, "Standard deviation of each cloud.")
@click.option(
    "--centers", type=click.IntRange(2, 10), default=4, metavar="N", help="Number of classes."
)
@_network_options("16", 60)
def blobs(samples: int, noise: float, centers: int, **network: Any) -> None:
    """Train a network to classify points by their normal clouds, and draw its regions."""
    X, y = data.make_blobs(samples, 2, centers, noise, seed=network["seed"])
    _learn(X, y, **network)


@click.command(short_help="Classify handwritten digits.")
@_network_options("32", 40)
def digits(**network: Any) -> None:
    """Train a network to classify handwritten digits, 1,797 images of 8 by 8 pixels.

    They come with scikit-learn. The picture shows the plane of their two leading principal
    components, where the classes overlap more than in the space of the network's 64 inputs.
    """
    try:
        X, y = data.load_digits()
    except ImportError as error:
        raise click.ClickException(str(error)) from None
    _learn(X / 16.0, y, **network)


@lift
def loss(model: MLP, X: Any, y: Any) -> Any:
    """Return the mean cross-entropy."""
    return mean(vmap(lambda x, label: losses.cross_entropy(model(x), label))(X, y))


@lift
def scores(model: MLP, X: Any) -> Any:
    """Return a list of arrays, each with one class's score of each sample."""
    return vmap(model)(X)


def _learn(
    X: Any,
    y: Any,
    *,
    seed: int,
    hidden: list[int],
    epochs: int,
    rate: float,
    output: Path,
    as_json: bool,
) -> None:
    """Train on three quarters of the samples, evaluate on the others, draw and report."""
    check_parameters(X.shape[1], hidden, int(y.max()) + 1)
    order = np.random.default_rng(seed).permutation(len(X))
    held, training = np.split(order, [round(_HELD * len(X))])
    random.seed(seed)
    model = MLP(X.shape[1], [*hidden, int(y.max()) + 1], activation="relu", init="he")
    optimizer = optim.Adam(model.parameters(), lr=rate)
    trainer = Trainer(loss, optimizer, batch_size=32, seed=seed)
    start = time.perf_counter()
    try:
        history = trainer.fit(epochs, model, X[training], y[training], progress=not as_json)
    except NonFiniteLossError as error:
        raise click.ClickException(failure(error)) from None
    seconds = time.perf_counter() - start
    if not len(history.loss):
        raise click.Abort  # Ctrl-C came before the first step: there is nothing to draw
    # Interrupted in its first epoch, training has losses of steps only.
    epoch_losses = history.epochs.get("loss", history.loss.mean(keepdims=True))

    def accuracy(rows: Any) -> float:
        chosen = np.argmax(scores(model, X[rows]), axis=0)
        return float(np.mean(chosen == y[rows]))

    results = {
        "samples": len(X),
        "classes": int(y.max()) + 1,
        "parameters": len(optimizer.params),
        "epochs": len(epoch_losses),
        "seconds": seconds,
        "loss": float(epoch_losses[-1]),
        "training_accuracy": accuracy(training),
        "validation_accuracy": accuracy(held),
        "picture": str(output),
    }
    picture = plot.decision_regions(model, X, y)
    with writes(output):
        plot.save(picture.figure_, output)
    if as_json:
        click.echo(json.dumps(results))
    else:
        say(f"{len(X):,} samples of {results['classes']} classes, {len(held):,} held out")
        say(
            f"Trained {results['parameters']:,} parameters for {results['epochs']:,} epochs in "
            f"{duration(seconds)}, loss {results['loss']:.4g}"
        )
        say(
            f"Accuracy {results['validation_accuracy']:.1%} on the held-out samples, "
            f"{results['training_accuracy']:.1%} on the others"
        )
        say(f"Decision regions saved as '{output}'")
    if history.interrupted:
        raise click.exceptions.Exit(130)
