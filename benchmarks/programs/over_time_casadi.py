"""Programs over time with CasADi: a step of scalars, mapped over time as one node."""

import sys
from collections.abc import Callable
from typing import Any

import casadi
import numpy as np
from over_time_common import (
    FIRST,
    LONG,
    RATES,
    STEP,
    TEN,
    UNITS,
    Result,
    flat,
    measure,
    observed,
    recurrent,
    series,
    steps,
)

BY_GCC = {
    "jit": True,
    "compiler": "shell",
    "jit_options": {"compiler": "gcc", "flags": ["-O3", "-march=native"], "verbose": False},
}


def lotka(p: Any, state: Any) -> Any:
    """Return how prey and predators change."""
    x, y = state[0], state[1]
    return casadi.vertcat(p[0] * x - p[1] * x * y, p[3] * x * y - p[2] * y)


def runge_kutta(change: Callable[[Any], Any], state: Any, h: float) -> Any:
    """Return the state a step later."""
    a = change(state)
    b = change(state + h / 2 * a)
    c = change(state + h / 2 * b)
    return state + h / 6 * (a + 2 * b + 2 * c + change(state + h * c))


def over_steps(step: Any, first: Any, parameters: Any, given: Any) -> Any:
    """Return the sum of a step's costs over time; `given` has a column for each step."""
    count = given.shape[1]
    _, costs = step.mapaccum("steps", count)(first, casadi.repmat(parameters, 1, count), given)
    return casadi.sum2(costs)


def lotka_volterra(p: Any, seen: Any) -> Any:
    """Return the mean squared difference of the populations and what was seen of them."""
    state, rates, counts = (casadi.SX.sym(n, k) for n, k in (("s", 2), ("p", 4), ("c", 2)))
    after = runge_kutta(lambda s: lotka(rates, s), state, STEP)
    step = casadi.Function("step", [state, rates, counts], [after, casadi.sumsqr(after - counts)])
    return over_steps(step, casadi.DM(FIRST), p, casadi.DM(seen.T)) / len(seen)


def gru(p: Any, inputs: Any, targets: Any) -> Any:
    """Return the mean squared error of a network of gated recurrent units, without biases."""
    h, x, target = casadi.SX.sym("h", UNITS), casadi.SX.sym("x", 3), casadi.SX.sym("t")
    weights = casadi.SX.sym("w", p.shape[0])
    rows = UNITS * (3 + UNITS)
    z, r, n = (
        casadi.reshape(weights[k * rows : (k + 1) * rows], 3 + UNITS, UNITS).T for k in range(3)
    )
    seen = casadi.vertcat(x, h)
    keep, reset = (1.0 / (1.0 + casadi.exp(-(w @ seen))) for w in (z, r))
    new = casadi.tanh(n @ casadi.vertcat(x, reset * h))
    after = (1 - keep) * new + keep * h
    cost = (casadi.dot(weights[3 * rows :], after) - target) ** 2
    given = casadi.vertcat(x, target)
    step = casadi.Function("step", [h, weights, given], [after, cost])
    columns = np.vstack([inputs.T, targets])
    return over_steps(step, casadi.DM.zeros(UNITS), p, casadi.DM(columns)) / len(targets)


def ten(p: Any, seen: Any) -> Any:
    """Return a loss of ten parameters, by 50 steps of Lotka and Volterra's equations."""
    state, q, counts = (casadi.SX.sym(n, k) for n, k in (("s", 2), ("p", 10), ("c", 2)))

    def change(s: Any) -> Any:
        return lotka(q, s) + casadi.vertcat(-q[6] * s[0] * s[0], q[7])

    after = runge_kutta(change, state, STEP)
    cost = casadi.dot((after - counts) ** 2, q[8:])
    step = casadi.Function("step", [state, q, counts], [after, cost])
    return over_steps(step, p[4:6], p, casadi.DM(seen.T))


def main(task: str, what: str, compiler: str = "") -> None:
    """Measure one task's first call or each, interpreted or compiled by gcc."""
    seen = observed(LONG if task == "scan" else steps(1000))
    loss: Callable[[Any], Any] = lambda p: lotka_volterra(p, seen)  # noqa: E731
    first = np.array(RATES)
    if task == "hessian":
        loss, first = (lambda p: ten(p, observed(steps(50)))), np.array(TEN)
    elif task.startswith("gru"):
        weights, head = recurrent()
        first = flat([*(weights[gate] for gate in "zrn"), head])
        loss = lambda p: gru(p, *series(steps(int(task[3:]))))  # noqa: E731

    def prepare() -> Callable[[], Result]:
        p = casadi.MX.sym("p", len(first))
        total = loss(p)
        if task == "hessian":
            results = [casadi.MX(0.0), casadi.hessian(total, p)[0]]
        else:
            results = [total, casadi.gradient(total, p)]
        compute = casadi.Function("compute", [p], results, BY_GCC if compiler else {})
        value = casadi.DM(first)
        return lambda: compute(value)

    measure(prepare, what, lambda gradient: gradient.full().ravel())


if __name__ == "__main__":
    main(*sys.argv[1:])
