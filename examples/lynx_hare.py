"""How lynxes and hares lived on each other: Lotka and Volterra's equations fitted to furs.

The Hudson's Bay Company's pelts of 1900 to 1920, in thousands. Parameters, populations at the
beginning and noise are those of Bob Carpenter's case study for Stan (2018), which gives the means
and intervals of a Bayesian posterior. Here the likelihood is made largest, by gradients through all
steps of Runge and Kutta's method, and its second derivatives there say how sure the rates are.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from liftgrad import Trainer, Value, functional, hessian, lift, optim

# Hares, lynxes; https://mc-stan.org/users/documentation/case-studies/lotka-volterra-predator-prey
PELTS = np.array(
    [
        *((30.0, 4.0), (47.2, 6.1), (70.2, 9.8), (77.4, 35.2), (36.3, 59.4), (20.6, 41.7)),
        *((18.1, 19.0), (21.4, 13.0), (22.0, 8.3), (25.4, 9.1), (27.1, 7.4), (40.3, 8.0)),
        *((57.0, 12.3), (76.6, 19.5), (52.3, 45.7), (19.5, 51.1), (11.2, 29.7), (7.6, 15.8)),
        *((14.6, 9.7), (16.2, 10.1), (24.7, 8.6)),
    ]
)

PUBLISHED = {
    "births of hares": (0.55, 0.47, 0.63),
    "hares caught, by lynx": (0.028, 0.023, 0.033),
    "deaths of lynxes": (0.80, 0.69, 0.91),
    "births of lynxes, by hare": (0.024, 0.020, 0.029),
}
"""Each rate's posterior mean, and between which numbers it is with a probability of 0.8."""
NORMAL = statistics.NormalDist().inv_cdf(0.9)

START = (0.5, 0.02, 1.0, 0.02, 30.0, 4.0)
"""The four rates to begin with, and both populations in 1900."""


def change(state: Sequence[Any], rates: Sequence[Any]) -> tuple[Any, Any]:
    """Return the yearly change of both populations."""
    hares, lynxes = state
    birth, catch, death, growth = rates
    return (birth - catch * lynxes) * hares, (growth * hares - death) * lynxes


def ahead(state: Sequence[Any], slope: Sequence[Any], h: float) -> list[Any]:
    """Return where a straight line leads."""
    return [s + h * d for s, d in zip(state, slope, strict=True)]


def step(state: Sequence[Any], rates: Sequence[Any], h: float) -> list[Any]:
    """Return the populations h years later, by Runge and Kutta's method of order 4."""
    a = change(state, rates)
    b = change(ahead(state, a, h / 2), rates)
    c = change(ahead(state, b, h / 2), rates)
    d = change(ahead(state, c, h), rates)
    slope = [(p + 2 * q + 2 * r + s) / 6 for p, q, r, s in zip(a, b, c, d, strict=True)]
    return ahead(state, slope, h)


@lift
def loss(logarithms: Sequence[Any], pelts: Any, steps: int) -> Any:
    """Return the negative log-likelihood, but for a constant, with `steps` steps a year.

    The logarithm of a count is normal around that of the population, with a variance for each
    species: at the likelihood's maximum their mean squares.

    """
    *rates, hares, lynxes = [functional.exp(x) for x in logarithms]
    state = [hares, lynxes]
    populations = [state]
    for _ in range(len(pelts) - 1):
        for _ in range(steps):
            state = step(state, rates, 1 / steps)
        populations.append(state)
    cost = 0.0
    for k in range(2):
        pairs = zip(populations, pelts, strict=True)
        errors = [functional.log(state[k] / counts[k]) for state, counts in pairs]
        cost = cost + 0.5 * len(pelts) * functional.log(functional.mean(e * e for e in errors))
    return cost


@lift
def curvature(logarithms: Any, pelts: Any, steps: int) -> Any:
    """Return the loss's second derivatives."""
    return hessian(lambda p: loss(p, pelts, steps))(logarithms)


def main() -> None:
    """Fit, and print the rates beside the published ones."""
    parser = argparse.ArgumentParser(description="Fit Lotka-Volterra's equations to pelts.")
    parser.add_argument("--steps", type=int, default=5, help="of the simulation, a year")
    arguments = parser.parse_args()
    if arguments.steps < 1:
        parser.error("take at least 1 step a year.")
    logarithms = [Value(float(np.log(x))) for x in START]
    rate = optim.linear(0.02, 0.0, steps=1000)
    trainer = Trainer(loss, optim.Adam(logarithms, lr=rate))

    start = time.perf_counter()
    trainer.run(1, logarithms, PELTS, arguments.steps)
    compiled = time.perf_counter()
    rest = trainer.run(999, logarithms, PELTS, arguments.steps)
    trained = time.perf_counter()
    found = np.array([x.data for x in logarithms])
    rows = curvature(found, PELTS, arguments.steps)
    errors = np.sqrt(np.diag(np.linalg.inv([[x.data for x in row] for row in rows])))
    low, best, high = np.exp([found - NORMAL * errors, found, found + NORMAL * errors])
    second = time.perf_counter()
    for i, (name, (mean, least, most)) in enumerate(PUBLISHED.items()):
        print(f"{name:25} {best[i]:.4f} a year, within [{low[i]:.4f}, {high[i]:.4f}]", end="")
        print(f"; published {mean}, [{least}, {most}]")
    print(f"in 1900: {best[4]:.1f} thousand hares, {best[5]:.1f} thousand lynxes")
    print(f"negative log-likelihood {rest.loss[0]:.3f} -> {rest.loss[-1]:.3f}")
    print(
        f"first step {compiled - start:.2f} s, with compilation; "
        f"{(trained - compiled) / 999 * 1e6:.1f} µs each of 999 more; "
        f"second derivatives {second - trained:.2f} s"
    )


if __name__ == "__main__":
    main()
