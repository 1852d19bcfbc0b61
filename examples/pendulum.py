"""The length and friction of a pendulum, recovered from a noisy record of its angle.

The simulation is a Python loop; its lifted loss is differentiated through all the steps.
"""

import argparse
import random
import time
from typing import Any

import numpy as np

from liftgrad import Trainer, Value, functional, lift, optim

GRAVITY = 9.81
LENGTH, FRICTION = 1.3, 0.25  # the truth: metres, and 1/seconds
ANGLE = 2.0  # at the start, at rest
STEP = 0.01  # seconds
NOISE = 0.02  # standard deviation of a measured angle


def simulate(length: Any, friction: Any, steps: int) -> list[Any]:
    """Return the angle after each step by semi-implicit Euler for a'' = -g/length·sin a - c·a'."""
    angle, speed = ANGLE, 0.0
    angles = []
    for _ in range(steps):
        speed = speed - STEP * (GRAVITY / length * functional.sin(angle) + friction * speed)
        angle = angle + STEP * speed
        angles.append(angle)
    return angles


@lift
def loss(parameters: list[Value], record: Any) -> Any:
    """Return the mean squared difference of the simulation and the record."""
    length, friction = parameters
    angles = simulate(length, friction, len(record))
    return functional.mean([(a - b) ** 2 for a, b in zip(angles, record, strict=True)])


def measure(steps: int) -> Any:
    """Return the record of a pendulum: its true angles, with noise."""
    noise = [random.gauss(0.0, NOISE) for _ in range(steps)]
    return np.array(simulate(LENGTH, FRICTION, steps)) + noise


def main() -> None:
    """Recover both numbers and print them."""
    parser = argparse.ArgumentParser(description="Recover a pendulum from a record of its angle.")
    parser.add_argument("--steps", type=int, default=300, help="of the simulation, 0.01 s each")
    arguments = parser.parse_args()
    if arguments.steps < 1:
        parser.error("simulate at least 1 step.")
    random.seed(0)
    record = measure(arguments.steps)
    parameters = [Value(1.0), Value(0.0)]
    rate = optim.linear(0.02, 0.0, steps=500)
    trainer = Trainer(loss, optim.Adam(parameters, lr=rate))

    start = time.perf_counter()
    first = trainer.run(1, parameters, record)
    compiled = time.perf_counter()
    trainer.run(499, parameters, record)
    trained = time.perf_counter()
    length, friction = (p.data for p in parameters)
    error = loss(parameters, record).data ** 0.5
    print(f"length   {length:.4f} m, in truth {LENGTH}")
    print(f"friction {friction:.4f} /s, in truth {FRICTION}")
    print(f"off by {first.loss[0] ** 0.5:.4f} at first, {error:.4f} now, the noise being {NOISE}")
    print(
        f"first step {compiled - start:.2f} s, with compilation; "
        f"{(trained - compiled) / 499 * 1e6:.1f} µs each of 499 more"
    )


if __name__ == "__main__":
    main()
