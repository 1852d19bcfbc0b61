"""`liftgrad gpt`: train a character transformer on names and invent new ones."""

import json
import math
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np

from liftgrad import optim
from liftgrad.cli.display import duration, lines_above, progress_bar, say
from liftgrad.cli.options import Finite, check_outputs, file_path, writes
from liftgrad.gpt import GPT, Alphabet, example, loss, next_token, save
from liftgrad.lift.function import lift
from liftgrad.trainer import Trainer

_REPORT = 100
"""Steps between reports of the loss."""
_MOST_CHARACTERS = 4096
"""Each has a score at every position: tracing this many takes a quarter of a minute."""


@click.command(short_help="Train a transformer on names and invent new ones.")
@click.argument(
    "names", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="NAMES"
)
@click.option(
    "--steps",
    type=click.IntRange(1),
    default=1000,
    metavar="N",
    help="Number of steps of Adam, each on one name.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=42,
    metavar="N",
    help="Seed of the names' order, the initial weights and the new names.",
)
@click.option(
    "--samples",
    type=click.IntRange(0),
    default=20,
    metavar="N",
    help="Number of names to invent.",
)
@click.option(
    "--temperature",
    type=Finite(0.01, 100),
    default=0.5,
    metavar="X",
    help="Below 1 for more likely names, above 1 for more variety.",
)
@click.option(
    "-o",
    "--output",
    callback=file_path,
    default="gpt.json",
    metavar="FILE",
    help="Where to save the characters and the parameters, as JSON.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON instead of text.")
def gpt(
    names: Path,
    steps: int,
    seed: int,
    samples: int,
    temperature: float,
    output: Path,
    as_json: bool,
) -> int:
    """Train a transformer on NAMES, a text file with a name on each line, and invent new ones.

    The network is that of Karpathy's microgpt, written on single numbers: one block of width 16
    with 4 heads and a context of 16 characters. The same seed and names give microgpt's losses.
    """
    check_outputs({"NAMES": names}, {"--output": output})
    random.seed(seed)
    texts = _texts(names)
    random.shuffle(texts)
    alphabet = Alphabet(texts)
    if len(alphabet) > _MOST_CHARACTERS:
        raise click.ClickException(
            f"'{names}' has {alphabet.end:,} different characters; at most "
            f"{_MOST_CHARACTERS - 1:,} are possible."
        )
    model = GPT(len(alphabet))
    training = _Training(model, [alphabet.encode(text) for text in texts[:steps]], steps)
    try:
        with progress_bar() as bar:
            line = lines_above(bar, quiet=as_json)
            line(f"Number of names: {len(texts):,}, of tokens: {len(alphabet)}")
            line(f"Number of parameters: {len(model.parameters())}")
            task = bar.add_task("Training", total=steps)
            for first, last in _blocks(steps):
                losses = training.run(last - first)
                _check(losses, first)
                line(f"Step {last} loss {losses[-1]:.4f}{_mean(losses)}")
                bar.update(task, completed=last)
            bar.update(task, description="Sampling")
            if not all(math.isfinite(p.data) for p in model.parameters()):
                raise click.ClickException("The parameters overflowed; take fewer steps.")
            _save(model, alphabet, output)
            invented = []
            for _ in range(samples):
                invented.append(_name(model, alphabet, temperature))
                line(f"  {invented[-1]}")
        if as_json:
            results = {
                "names": len(texts),
                "tokens": len(alphabet),
                "parameters": len(model.parameters()),
                "steps": steps,
                "loss": losses[-1],
                "made_up": invented,
                "model": str(output),
                **training.figures(),
            }
            click.echo(json.dumps(results))
        else:
            say(f"Characters and parameters saved as '{output}'")
            say(training.summary())
    except KeyboardInterrupt:
        click.echo("Interrupted; nothing was saved.", err=True)
        return 130
    return 0


class _Training:
    """Training on one text a step, in order, with microgpt's learning rates."""

    def __init__(self, model: GPT, texts: list[list[int]], steps: int) -> None:
        # Padded to one length, for one program; padding has no weight.
        padded = [example(tokens, model.block) for tokens in texts]
        self.tokens = np.array([tokens for tokens, _ in padded])
        self.weights = np.array([weights for _, weights in padded])
        self.model = model
        rate = optim.linear(0.01, 0.0, steps)
        optimizer = optim.Adam(model.parameters(), lr=rate, betas=(0.85, 0.99))
        self.trainer = Trainer(text_loss, optimizer, batch_size=1, shuffle=False)
        self.seconds: list[float] = []

    def run(self, steps: int) -> list[float]:
        """Take steps; return the loss before each."""
        start = time.perf_counter()
        history = self.trainer.run(steps, self.model, self.tokens, self.weights)
        self.seconds.append((time.perf_counter() - start) / steps)
        return list(history.loss.tolist())

    def figures(self) -> dict[str, Any]:
        """Return the sizes of the scalar and the tensor program, and the time of a step."""
        stats = text_loss.stats
        return {
            "scalar_operations": stats.scalar_operations,
            "tensor_operations": stats.tensor_operations,
            # The first run is one step, and compiles.
            "seconds_per_step": float(np.median(self.seconds[1:] or self.seconds)),
        }

    def summary(self) -> str:
        """Return the figures as a sentence."""
        figures = self.figures()
        return (
            f"{figures['scalar_operations']:,} scalar operations became "
            f"{figures['tensor_operations']} tensor operations, "
            f"{duration(figures['seconds_per_step'])} per step"
        )


@lift
def text_loss(model: GPT, tokens: Any, weights: Any) -> Any:
    """Return the loss of a batch of one text."""
    return loss(model, tokens[0], weights[0])


@lift
def probabilities(model: GPT, tokens: Any, last: Any, temperature: float) -> list[Any]:
    """Return the probability that each token comes after tokens[last], without a gradient."""
    return [p.data for p in next_token(model, tokens, last, temperature)]


def _texts(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError:
        raise click.ClickException(
            f"'{path}' is not a text in UTF-8; save it in that encoding."
        ) from None
    except OSError as error:
        raise click.ClickException(f"'{path}' cannot be read: {error.strerror}.") from None
    texts = [line.strip() for line in lines if line.strip()]
    if not texts:
        raise click.ClickException(f"'{path}' has no names; write one on each line.")
    return texts


def _blocks(steps: int) -> Iterator[tuple[int, int]]:
    """Yield (first, last + 1) of the steps between reports; the first step is reported alone."""
    yield 0, 1
    for first in range(0, steps, _REPORT):
        if max(first, 1) < steps:
            yield max(first, 1), min(first + _REPORT, steps)


def _check(losses: list[float], first: int) -> None:
    for step, number in enumerate(losses, first + 1):
        if not math.isfinite(number):
            raise click.ClickException(f"The loss became {number} at step {step}.")


def _mean(losses: list[float]) -> str:
    """Return the mean of several losses as text: a single name's loss says little."""
    return "" if len(losses) == 1 else f", mean of {len(losses)} {sum(losses) / len(losses):.4f}"


def _name(model: GPT, alphabet: Alphabet, temperature: float) -> str:
    """Return a new name, a character at a time until the end is drawn or the block is full."""
    tokens = np.full(model.block, alphabet.end)
    name = ""
    for last in range(model.block):
        weights = probabilities(model, tokens, np.array(last), temperature)
        token = random.choices(range(len(alphabet)), weights=[p.data for p in weights])[0]
        if token == alphabet.end:
            break
        name += alphabet.characters[token]
        if last + 1 < model.block:
            tokens[last + 1] = token
    return name


def _save(model: GPT, alphabet: Alphabet, output: Path) -> None:
    with writes(output):
        save(model, alphabet, output)
