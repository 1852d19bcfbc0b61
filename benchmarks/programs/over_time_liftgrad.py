"""Programs over time with liftgrad: plain loops over scalars, and `scan`."""

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from common import QUICK, Array
from over_time_common import (
    LONG,
    RATES,
    TEN,
    Result,
    bodies,
    measure,
    observed,
    recurrent,
    series,
    steps,
)

from liftgrad import Value, hessian, lift, scan
from liftgrad.functional import dot, logsumexp, sigmoid, sqrt, tanh


def runge_kutta(
    change: Callable[..., tuple[Any, Any]], x: Any, y: Any, h: float
) -> tuple[Any, Any]:
    """Return the state a step later."""
    a, b = change(x, y)
    c, d = change(x + h / 2 * a, y + h / 2 * b)
    e, f = change(x + h / 2 * c, y + h / 2 * d)
    g, i = change(x + h * e, y + h * f)
    return x + h / 6 * (a + 2 * c + 2 * e + g), y + h / 6 * (b + 2 * d + 2 * f + i)


def lotka(p: Sequence[Any], x: Any, y: Any) -> tuple[Any, Any]:
    """Return how prey and predators change."""
    return p[0] * x - p[1] * x * y, p[3] * x * y - p[2] * y


def lotka_volterra(p: Sequence[Any], seen: Any) -> Any:
    """Return the mean squared difference of the populations and what was seen of them."""
    x, y = 10.0, 5.0  # globals would be looked up at each call: they may have changed
    total: Any = 0.0
    for prey, predators in seen:
        x, y = runge_kutta(lambda x, y: lotka(p, x, y), x, y, 0.05)
        total = total + (x - prey) ** 2 + (y - predators) ** 2
    return total / len(seen)


def scanned(p: Sequence[Any], seen: Any) -> Any:
    """Return the same, traced for one step."""

    def step(state: tuple[Any, Any, Any], counts: Any) -> tuple[Any, None]:
        x, y, total = state
        x, y = runge_kutta(lambda x, y: lotka(p, x, y), x, y, 0.05)
        return (x, y, total + (x - counts[0]) ** 2 + (y - counts[1]) ** 2), None

    (_, _, total), _ = scan(step, (10.0, 5.0, 0.0), seen)
    return total / len(seen)


def gru(parameters: tuple[dict[str, Any], Any], inputs: Any, targets: Any) -> Any:
    """Return the mean squared error of a network of gated recurrent units, without biases."""
    weights, head = parameters
    h: list[Any] = [0.0] * 8
    total: Any = 0.0
    for x, target in zip(inputs, targets, strict=True):
        seen = [*x, *h]
        keep = [sigmoid(dot(row, seen)) for row in weights["z"]]
        reset = [sigmoid(dot(row, seen)) for row in weights["r"]]
        rest = [*x, *[r * a for r, a in zip(reset, h, strict=True)]]
        new = [tanh(dot(row, rest)) for row in weights["n"]]
        h = [(1 - z) * n + z * a for z, n, a in zip(keep, new, h, strict=True)]
        total = total + (dot(head, h) - target) ** 2
    return total / len(targets)


def ten(p: Sequence[Any], seen: Any) -> Any:
    """Return a loss of ten parameters, by 50 steps of Lotka and Volterra's equations."""

    def change(x: Any, y: Any) -> tuple[Any, Any]:
        dx, dy = lotka(p, x, y)
        return dx - p[6] * x * x, dy + p[7]

    x, y = p[4], p[5]
    total: Any = 0.0
    for prey, predators in seen:
        x, y = runge_kutta(change, x, y, 0.05)
        total = total + (x - prey) ** 2 * p[8] + (y - predators) ** 2 * p[9]
    return total


def heat(conductivity: Any, first: Any, count: int) -> Any:
    """Return the squares of a rod's temperatures, both ends of which stay as they are."""
    u = list(first)
    for _ in range(count):
        inner = [
            b + conductivity * (a - 2 * b + c) for a, b, c in zip(u, u[1:], u[2:], strict=False)
        ]
        u = [u[0], *inner, u[-1]]
    return dot(u, u)


def integrator(p: Sequence[Any], count: int) -> Any:
    """Return a sum of every 100th of the squares of an oscillation."""
    x, y = 1.0, 0.5
    total: Any = 0.0
    for t in range(count):
        x, y = x + 0.01 * p[0] * y, y - 0.01 * p[1] * x
        if t % 100 == 0:
            total = total + x * x
    return total


def soft_dtw(gamma: Any, x: Any, y: Any) -> Any:
    """Return the soft minimum over all alignments of two series."""
    above: list[Any] = [0.0] + [1e6] * len(y)
    for a in x:
        row: list[Any] = [1e6]
        for j, b in enumerate(y):
            costs = [-above[j + 1] / gamma, -row[j] / gamma, -above[j] / gamma]
            row.append((a - b) ** 2 - gamma * logsumexp(costs))
        above = row
    return above[-1]


def gaussian_process(p: Sequence[Any], y: Any) -> Any:
    """Return a surprise, up to constants, by the Cholesky factor of a covariance matrix."""
    lower: list[list[Any]] = []
    rest: list[Any] = []
    for i in range(len(y)):
        row: list[Any] = []
        for j in range(i + 1):
            s = p[0] * math.exp(-((i - j) ** 2) / 9) + (p[1] if i == j else 0.0)
            for k in range(j):
                s = s - row[k] * (row if i == j else lower[j])[k]
            row.append(sqrt(s) if i == j else s / lower[j][j])
        lower.append(row)
        s = y[i]
        for k in range(i):
            s = s - row[k] * rest[k]
        rest.append(s / row[i])
    return dot(rest, rest) + sum(lower[i][i].log() for i in range(len(y)))


def hidden_markov(parameters: tuple[Any, Any], seen: Any) -> Any:
    """Return the surprise of a series by the forward algorithm, of scores that are not normed."""
    moves, places = parameters
    forward = [-((seen[0] - place) ** 2) for place in places]
    for x in seen[1:]:
        forward = [
            logsumexp([a + row[s] for a, row in zip(forward, moves, strict=True)])
            - (x - places[s]) ** 2
            for s in range(len(places))
        ]
    return -logsumexp(forward)


def orbits(masses: Any, places: Any, velocities: Any, count: int) -> Any:
    """Return the squared places of bodies that attract each other, after some steps."""
    q, v = [list(row) for row in places], [list(row) for row in velocities]
    for _ in range(count):
        for i, (x, y) in enumerate(q):
            pull = [0.0, 0.0]
            for j, other in enumerate(q):
                if i != j:
                    dx, dy = other[0] - x, other[1] - y
                    force = masses[j] * (dx * dx + dy * dy + 0.01) ** -1.5
                    pull = [pull[0] + force * dx, pull[1] + force * dy]
            v[i] = [a + 0.01 * b for a, b in zip(v[i], pull, strict=True)]
        q = [[a + 0.01 * b for a, b in zip(*rows, strict=True)] for rows in zip(q, v, strict=True)]
    return sum(x * x + y * y for x, y in q)


def values(numbers: Any) -> Any:
    """Return an array's numbers as Values, in lists."""
    if np.ndim(numbers) == 0:
        return Value(float(numbers))
    return [values(x) for x in numbers]


def gradient(
    loss: Callable[..., Any], parameters: Any, *data: Any
) -> Callable[[], Callable[[], Result]]:
    """Return what lifts a loss, and then computes it and its gradient."""

    def prepare() -> Callable[[], Result]:
        lifted = lift(loss)

        def compute() -> Result:
            total = lifted(parameters, *data)
            total.backward()  # gradients add up; only those of the first call are looked at
            return total.data, parameters

        return compute

    return prepare


def grads(parameters: Any) -> Array:
    """Return the gradients of Values in lists, tuples and dicts."""

    def leaves(x: Any) -> Iterator[Value]:
        if isinstance(x, Value):
            yield x
        else:
            for part in x.values() if isinstance(x, dict) else x:
                yield from leaves(part)

    return np.array([p.grad for p in leaves(parameters)])


def second() -> Callable[[], Result]:
    """Return what computes the Hessian of `ten`."""
    lifted = lift(lambda p, seen: hessian(lambda q: ten(q, seen))(p))
    p, seen = np.array(TEN), observed(steps(50))
    return lambda: (0.0, lifted(p, seen))


def main(task: str, what: str) -> None:
    """Measure one task's first call or each."""
    if task == "hessian":
        measure(
            second, what, lambda rows: np.array([[x.data for x in row] for row in rows]).ravel()
        )
        return
    rng = np.random.default_rng(4)
    if task.startswith("gru"):
        weights, head = recurrent()
        parameters = ({gate: values(rows) for gate, rows in weights.items()}, values(head))
        prepare = gradient(gru, parameters, *series(steps(int(task[3:]))))
    elif task == "heat":
        prepare = gradient(heat, Value(0.1), rng.uniform(size=64), steps(200))
    elif task == "integrator":
        prepare = gradient(integrator, values((1.0, 2.0)), 300 if QUICK else 1500)
    elif task == "soft-dtw":
        prepare = gradient(soft_dtw, Value(1.0), *rng.uniform(size=(2, steps(100))))
    elif task == "cholesky":
        prepare = gradient(gaussian_process, values((1.0, 0.1)), rng.uniform(size=steps(48)))
    elif task == "hmm":
        hidden = (values(rng.normal(0.0, 0.3, (16, 16))), values(rng.normal(0.0, 0.3, 16)))
        prepare = gradient(hidden_markov, hidden, rng.uniform(size=steps(500)))
    elif task == "bodies":
        masses, *state = bodies()
        prepare = gradient(orbits, values(masses), *state, steps(100))
    elif task == "scan":
        prepare = gradient(scanned, values(RATES), observed(LONG))
    else:
        prepare = gradient(lotka_volterra, values(RATES), observed(steps(1000)))
    measure(prepare, what, lambda p: grads([p] if isinstance(p, Value) else p))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
