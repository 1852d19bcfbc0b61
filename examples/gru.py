"""An echo by gated recurrent units written out by hand (Cho et al., 2014), as PyTorch defines them.

The network hears a bit at each step and says the one that it heard some steps before: it has to
keep all of those in between in mind, and to move them on at each step.
"""

import argparse
import math
import random
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from liftgrad import Trainer, Value, functional, lift, nn, optim, vmap
from liftgrad.functional import dot, sigmoid, tanh


class GRU(nn.Module):
    """The units' weights and biases: rows for what is heard, and for the units' own state."""

    def __init__(self, inputs: int, hidden: int) -> None:
        def row(length: int) -> list[Value]:
            bound = 1.0 / math.sqrt(hidden)
            return [Value(random.uniform(-bound, bound)) for _ in range(length)]

        self.heard = {gate: [row(inputs + 1) for _ in range(hidden)] for gate in "rzn"}
        self.state = {gate: [row(hidden + 1) for _ in range(hidden)] for gate in "rzn"}

    def step(self, x: Sequence[Any], h: Sequence[Any]) -> list[Any]:
        """Return the state after an input: mostly the old one, or mostly a new one."""
        heard = {gate: affine(rows, x) for gate, rows in self.heard.items()}
        state = {gate: affine(rows, h) for gate, rows in self.state.items()}
        reset = [sigmoid(a + b) for a, b in zip(heard["r"], state["r"], strict=True)]
        keep = [sigmoid(a + b) for a, b in zip(heard["z"], state["z"], strict=True)]
        new = [tanh(a + r * b) for a, r, b in zip(heard["n"], reset, state["n"], strict=True)]
        return [(1.0 - z) * n + z * old for z, n, old in zip(keep, new, h, strict=True)]


def affine(rows: Sequence[Sequence[Any]], x: Sequence[Any]) -> list[Any]:
    """Return the rows' products with x, of which each begins with the row's last number."""
    return [dot(row[:-1], x, start=row[-1]) for row in rows]


class Echo(nn.Module):
    """A GRU, and what it takes the bit of some steps ago to be."""

    def __init__(self, hidden: int) -> None:
        self.gru = GRU(1, hidden)
        self.head = [Value(random.gauss(0.0, 0.1)) for _ in range(hidden + 1)]

    def __call__(self, bits: Any) -> list[Any]:
        """Return for each step the log-odds that an earlier bit was 1."""
        state: list[Any] = [0.0] * (len(self.head) - 1)
        odds = []
        for t in range(len(bits)):
            state = self.gru.step([bits[t]], state)
            odds += affine([self.head], state)
        return odds


@lift
def loss(model: Echo, bits: Any, delay: int) -> Any:
    """Return the mean cross-entropy of the answers, which begin after `delay` steps."""

    def cost(bits: Any) -> Any:
        answers = model(bits)[delay:]
        return functional.mean(
            [functional.softplus(o) - bits[t] * o for t, o in enumerate(answers)]
        )

    return functional.mean(vmap(cost)(bits))


@lift
def odds(model: Echo, bits: Any) -> Any:
    """Return for each step an array of the log-odds for all sequences."""
    return vmap(model)(bits)


def main() -> None:
    """Train, and print how many bits of new sequences are right."""
    parser = argparse.ArgumentParser(description="Learn to repeat bits, with a GRU by hand.")
    parser.add_argument("--delay", type=int, default=4, help="how many steps later to repeat a bit")
    parser.add_argument("--length", type=int, default=60, help="of the sequences")
    parser.add_argument("--hidden", type=int, default=8, help="how many units")
    parser.add_argument("--steps", type=int, default=2000)
    arguments = parser.parse_args()
    delay, length = arguments.delay, arguments.length
    if not 0 <= delay < length or arguments.hidden < 1 or arguments.steps < 2:
        parser.error("take at least 2 steps, with 1 unit or more, and a delay below the length.")
    bits = np.random.default_rng(0).integers(0, 2, (2000, length)).astype(float)
    random.seed(0)
    model = Echo(arguments.hidden)
    rate = optim.linear(0.02, 0.0, arguments.steps)
    optimizer = optim.Adam(model.parameters(), lr=rate)
    trainer = Trainer(loss, optimizer, batch_size=32)

    start = time.perf_counter()
    first = trainer.run(1, model, bits, delay)
    compiled = time.perf_counter()
    rest = trainer.run(arguments.steps - 1, model, bits, delay)
    trained = time.perf_counter()
    unseen = np.random.default_rng(1).integers(0, 2, (1000, length))
    answers = np.transpose(odds(model, unseen.astype(float)))[:, delay:] > 0.0
    right = np.mean(answers == unseen[:, : length - delay])
    print(f"cross-entropy {first.loss[0]:.4f} -> {np.mean(rest.loss[-100:]):.4f}")
    print(f"{right:.2%} of the bits of new sequences are right")
    print(
        f"first step {compiled - start:.2f} s, with compilation; "
        f"{(trained - compiled) / (arguments.steps - 1) * 1e3:.2f} ms each of "
        f"{arguments.steps - 1} more"
    )


if __name__ == "__main__":
    main()
