"""A differential equation solved by a network: u'' = -π²·sin(πx) with u(0) = u(1) = 0.

The network's second derivative stands in the loss (Raissi et al., 2019), which is then
differentiated by the weights. The solution is known, sin(πx).
"""

import argparse
import math
import random
import time
from typing import Any

import numpy as np

from liftgrad import Trainer, functional, grad, lift, nn, optim, vmap


def solution(model: nn.MLP, x: Any) -> Any:
    """Return u(x), which is 0 at both ends whatever the network says."""
    return x * (1.0 - x) * model([x])


@lift
def loss(model: nn.MLP, points: Any) -> Any:
    """Return the mean squared residual of the equation."""
    curvature = grad(grad(lambda x: solution(model, x)))

    def residual(x: Any) -> Any:
        return curvature(x) + math.pi**2 * functional.sin(math.pi * x)

    return functional.mean(vmap(lambda x: residual(x) ** 2)(points))


@lift
def solutions(model: nn.MLP, points: Any) -> Any:
    """Return u at each of the points."""
    return vmap(lambda x: solution(model, x))(points)


def main() -> None:
    """Solve, and print how far from the truth the solution is."""
    parser = argparse.ArgumentParser(description="Solve a differential equation by a network.")
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--hidden", type=int, default=16, help="how many neurons in both layers")
    arguments = parser.parse_args()
    if arguments.steps < 2 or arguments.hidden < 2:
        parser.error("take at least 2 steps, with 2 hidden neurons or more.")
    random.seed(0)
    sizes = [arguments.hidden, arguments.hidden, 1]
    model = nn.MLP(1, sizes, activation="tanh", init="xavier")
    points = np.linspace(0.0, 1.0, 64)
    rate = optim.linear(0.01, 0.0, arguments.steps)
    trainer = Trainer(loss, optim.Adam(model.parameters(), lr=rate))

    start = time.perf_counter()
    first = trainer.run(1, model, points)
    compiled = time.perf_counter()
    rest = trainer.run(arguments.steps - 1, model, points)
    trained = time.perf_counter()
    between = np.linspace(0.0, 1.0, 1001)
    error = np.max(np.abs(solutions(model, between) - np.sin(math.pi * between)))
    print(f"mean squared residual {first.loss[0]:.3g} -> {rest.loss[-1]:.3g}")
    print(f"largest error of u {error:.3g}")
    print(
        f"first step {compiled - start:.2f} s, with compilation; "
        f"{(trained - compiled) / (arguments.steps - 1) * 1e6:.1f} µs each of "
        f"{arguments.steps - 1} more"
    )


if __name__ == "__main__":
    main()
