"""How well a rod conducts heat, recovered from how it cools: u_t = k·u_xx, both ends at 0.

A rod that is warmest in the middle, sin(πx), keeps that shape: u = exp(-k·π²·t)·sin(πx). The
simulation goes forward in small steps; its lifted loss is differentiated through all of them.
"""

import argparse
import math
import time
from typing import Any

import numpy as np

from liftgrad import Trainer, Value, functional, lift, optim

CONDUCTIVITY = 0.7  # the truth
TIME = 0.1  # when the rod is measured


def simulate(first: Any, conductivity: Any, steps: int) -> list[Any]:
    """Return the temperatures, of which the first and the last stay, after `steps` equal steps."""
    u = list(first)
    gain = conductivity * (TIME / steps * (len(u) - 1) ** 2)
    for _ in range(steps):
        inner = [b + gain * (a - 2.0 * b + c) for a, b, c in zip(u, u[1:], u[2:], strict=False)]
        u = [u[0], *inner, u[-1]]
    return u


@lift
def loss(parameters: list[Value], first: Any, measured: Any, steps: int) -> Any:
    """Return the mean squared difference of the simulation and what was measured at its end."""
    (conductivity,) = parameters
    u = simulate(first, conductivity, steps)
    return functional.mean([(a - b) ** 2 for a, b in zip(u, measured, strict=True)])


def recovered(points: int, steps: int) -> float:
    """Return the conductivity that the simulation finds, by its own analytic solution.

    A sine is an eigenvector of the differences, too: a step multiplies it by
    1 - 4·k·(Δt/Δx²)·sin²(π·Δx/2).

    """
    length = 1.0 / (points - 1)
    factor = math.exp(-CONDUCTIVITY * math.pi**2 * TIME / steps)
    return (1.0 - factor) * length**2 * steps / (4.0 * TIME * math.sin(math.pi * length / 2) ** 2)


def main() -> None:
    """Recover the conductivity and print it."""
    parser = argparse.ArgumentParser(description="Recover a rod's conductivity from its cooling.")
    parser.add_argument("--points", type=int, default=50, help="of the rod")
    parser.add_argument("--steps", type=int, default=1000, help="of the simulation")
    arguments = parser.parse_args()
    points, steps = arguments.points, arguments.steps
    if points < 3 or steps < 4 * TIME * (points - 1) ** 2:
        least = math.ceil(4 * TIME * (max(points, 3) - 1) ** 2)
        parser.error(f"take 3 points or more; {max(points, 3)} are stable from {least} steps on.")
    first = np.sin(math.pi * np.linspace(0.0, 1.0, points))
    measured = first * math.exp(-CONDUCTIVITY * math.pi**2 * TIME)
    parameters = [Value(0.2)]
    trainer = Trainer(loss, optim.Adam(parameters, lr=optim.linear(0.05, 0.0, steps=300)))

    start = time.perf_counter()
    trainer.run(1, parameters, first, measured, steps)
    compiled = time.perf_counter()
    rest = trainer.run(299, parameters, first, measured, steps)
    trained = time.perf_counter()
    expected = recovered(points, steps)
    print(f"conductivity {parameters[0].data:.6f}, in truth {CONDUCTIVITY}")
    print(f"by the simulation's own analytic solution {expected:.6f}")
    print(f"mean squared difference {rest.loss[0]:.3g} -> {rest.loss[-1]:.3g}")
    print(
        f"first step {compiled - start:.2f} s, with compilation; "
        f"{(trained - compiled) / 299 * 1e6:.1f} µs each of 299 more"
    )


if __name__ == "__main__":
    main()
