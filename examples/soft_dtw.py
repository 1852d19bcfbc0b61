"""The mean of gestures that were not made at the same time: soft dynamic time warping.

Bumps that come early or late have an average with many low bumps. Aligned in time, they have a mean
that is a bump: it minimizes the soft-DTW of Cuturi & Blondel (2017), a soft minimum of the costs
of all alignments of two series, filled in as a table from corner to corner.
"""

import argparse
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from liftgrad import Trainer, Value, functional, lift, optim, vmap

FAR = 1e9  # the cost of what lies outside of the table


def soft_min(costs: Sequence[Any], gamma: float) -> Any:
    """Return a smooth minimum; the smaller gamma, the closer to the least of the numbers."""
    return -gamma * functional.logsumexp([-cost / gamma for cost in costs])


def soft_dtw(x: Sequence[Any], y: Sequence[Any], gamma: float) -> Any:
    """Return the soft minimum over all alignments of two series of their squared differences."""
    above = [0.0] + [FAR] * len(y)
    for a in x:
        row = [FAR]
        for j, b in enumerate(y):
            row.append((a - b) ** 2 + soft_min([above[j], above[j + 1], row[j]], gamma))
        above = row
    return above[-1]


@lift
def distance(x: Sequence[Any], y: Sequence[Any], gamma: float) -> Any:
    """Return the soft-DTW of two series."""
    return soft_dtw(x, y, gamma)


@lift
def loss(center: list[Value], gestures: Any, gamma: float) -> Any:
    """Return the mean soft-DTW of a series and each of the gestures."""
    return functional.mean(vmap(lambda gesture: soft_dtw(center, gesture, gamma))(gestures))


def bumps(count: int, length: int) -> Any:
    """Return gestures (count, length): a bump of height 1 at different times."""
    middles = np.linspace(0.3, 0.7, count)[:, None]
    return np.exp(-(((np.linspace(0.0, 1.0, length) - middles) / 0.08) ** 2))


def main() -> None:
    """Find the mean of some gestures, and print how it differs from the average."""
    parser = argparse.ArgumentParser(description="Average gestures by soft time warping.")
    parser.add_argument("--length", type=int, default=60, help="of the series")
    parser.add_argument("--gestures", type=int, default=6)
    parser.add_argument("--gamma", type=float, default=0.001, help="how soft the minimum is")
    arguments = parser.parse_args()
    if arguments.length < 2 or arguments.gestures < 1 or arguments.gamma <= 0.0:
        parser.error("take a gesture or more of at least 2 numbers, and a positive gamma.")
    gestures = bumps(arguments.gestures, arguments.length)
    center = [Value(float(x)) for x in gestures.mean(axis=0)]
    rate = optim.linear(0.02, 0.0, steps=300)
    trainer = Trainer(loss, optim.Adam(center, lr=rate))

    start = time.perf_counter()
    first = trainer.run(1, center, gestures, arguments.gamma)
    compiled = time.perf_counter()
    rest = trainer.run(299, center, gestures, arguments.gamma)
    trained = time.perf_counter()
    print(f"mean soft-DTW {first.loss[0]:.4f} of the average, {rest.loss[-1]:.4f} of the mean")
    print(f"highest number {gestures.mean(axis=0).max():.2f}, {max(c.data for c in center):.2f}")
    print(
        f"first step {compiled - start:.2f} s, with compilation; "
        f"{(trained - compiled) / 299 * 1e3:.2f} ms each of 299 more"
    )


if __name__ == "__main__":
    main()
