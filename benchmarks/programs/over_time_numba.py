"""Programs over time and their gradients by hand with numba: as in over_time.c, in Python."""

import sys
from typing import Any, TypeVar

import numpy as np
from common import Array
from numba import njit
from over_time_common import (
    FIRST,
    INPUTS,
    LONG,
    RATES,
    STEP,
    UNITS,
    Result,
    flat,
    measure,
    observed,
    recurrent,
    series,
    steps,
)

Function = TypeVar("Function")


def compiled(function: Function) -> Function:
    """Return what numba makes of a function when it is called."""
    made: Function = njit(fastmath=True)(function)
    return made


@compiled
def change(p: Array, x: float, y: float) -> tuple[float, float]:
    """Return how prey and predators change."""
    return p[0] * x - p[1] * x * y, p[3] * x * y - p[2] * y


@compiled
def pull(p: Array, x: float, y: float, u: float, v: float, g: Array) -> tuple[float, float]:
    """Return the adjoints of (x, y), of which (u, v) are those of their change; add those of p."""
    g[0] += u * x
    g[1] -= u * x * y
    g[2] -= v * y
    g[3] += v * x * y
    return u * (p[0] - p[1] * y) + v * p[3] * y, v * (p[3] * x - p[2]) - u * p[1] * x


@compiled
def lotka_volterra(p: Array, seen: Array, h: float, first: Array) -> tuple[float, Array]:
    """Return the mean squared difference from what was seen, and its gradient by the rates."""
    n, total, g = len(seen), 0.0, np.zeros(4)
    x, y = first
    states = np.empty((n + 1, 2))
    states[0] = first
    for t in range(n):
        a, b = change(p, x, y)
        c, d = change(p, x + h / 2 * a, y + h / 2 * b)
        e, f = change(p, x + h / 2 * c, y + h / 2 * d)
        i, j = change(p, x + h * e, y + h * f)
        x += h / 6 * (a + 2 * c + 2 * e + i)
        y += h / 6 * (b + 2 * d + 2 * f + j)
        states[t + 1, 0], states[t + 1, 1] = x, y
        total += (x - seen[t, 0]) ** 2 + (y - seen[t, 1]) ** 2
    sx, sy = 0.0, 0.0
    for t in range(n - 1, -1, -1):
        sx += 2.0 / n * (states[t + 1, 0] - seen[t, 0])
        sy += 2.0 / n * (states[t + 1, 1] - seen[t, 1])
        x, y = states[t, 0], states[t, 1]
        a, b = change(p, x, y)
        x2, y2 = x + h / 2 * a, y + h / 2 * b
        a, b = change(p, x2, y2)
        x3, y3 = x + h / 2 * a, y + h / 2 * b
        a, b = change(p, x3, y3)
        u4, v4 = pull(p, x + h * a, y + h * b, h / 6 * sx, h / 6 * sy, g)
        u3, v3 = pull(p, x3, y3, h / 3 * sx + h * u4, h / 3 * sy + h * v4, g)
        u2, v2 = pull(p, x2, y2, h / 3 * sx + h / 2 * u3, h / 3 * sy + h / 2 * v3, g)
        u1, v1 = pull(p, x, y, h / 6 * sx + h / 2 * u2, h / 6 * sy + h / 2 * v2, g)
        sx += u1 + u2 + u3 + u4
        sy += v1 + v2 + v3 + v4
    return total / n, g


@compiled
def product(columns: Array, x: Array, h: Array, out: Array) -> None:
    """Put a gate's products with an input and a state into `out`."""
    out[:] = 0.0
    for k in range(INPUTS):
        for i in range(UNITS):
            out[i] += columns[k, i] * x[k]
    for k in range(UNITS):
        for i in range(UNITS):
            out[i] += columns[INPUTS + k, i] * h[k]


@compiled
def back(columns: Array, adjoint: Array, x: Array, h: Array, gradient: Array, state: Array) -> None:
    """Add to the gradient by a gate's weights, and to the adjoints of the state."""
    for k in range(INPUTS):
        for i in range(UNITS):
            gradient[k, i] += adjoint[i] * x[k]
    for k in range(UNITS):
        total = 0.0
        for i in range(UNITS):
            gradient[INPUTS + k, i] += adjoint[i] * h[k]
            total += columns[INPUTS + k, i] * adjoint[i]
        state[k] += total


@compiled
def gru(gates: Array, head: Array, inputs: Array, targets: Array) -> tuple[float, Array, Array]:
    """Return the mean squared error of a GRU, and its gradient by gates (3, 11, 8) and head."""
    steps, total = len(targets), 0.0
    h, z, r, n, held = np.zeros((5, steps + 1, UNITS))
    for t in range(steps):
        product(gates[0], inputs[t], h[t], z[t])
        product(gates[1], inputs[t], h[t], r[t])
        for i in range(UNITS):
            z[t, i] = 1.0 / (1.0 + np.exp(-z[t, i]))
            r[t, i] = 1.0 / (1.0 + np.exp(-r[t, i]))
            held[t, i] = r[t, i] * h[t, i]
        product(gates[2], inputs[t], held[t], n[t])
        answer = 0.0
        for i in range(UNITS):
            n[t, i] = np.tanh(n[t, i])
            h[t + 1, i] = (1.0 - z[t, i]) * n[t, i] + z[t, i] * h[t, i]
            answer += head[i] * h[t + 1, i]
        total += (answer - targets[t]) ** 2
    by_gates, by_head = np.zeros_like(gates), np.zeros(UNITS)
    state, by_z, by_r, by_n, by_held = np.zeros((5, UNITS))
    for t in range(steps - 1, -1, -1):
        answer = 0.0
        for i in range(UNITS):
            answer += head[i] * h[t + 1, i]
        error = 2.0 / steps * (answer - targets[t])
        for i in range(UNITS):
            by_head[i] += error * h[t + 1, i]
            state[i] += error * head[i]
            by_z[i] = state[i] * (h[t, i] - n[t, i]) * z[t, i] * (1.0 - z[t, i])
            by_n[i] = state[i] * (1.0 - z[t, i]) * (1.0 - n[t, i] * n[t, i])
            by_held[i] = 0.0
        back(gates[2], by_n, inputs[t], held[t], by_gates[2], by_held)
        for i in range(UNITS):
            by_r[i] = by_held[i] * h[t, i] * r[t, i] * (1.0 - r[t, i])
            state[i] = state[i] * z[t, i] + by_held[i] * r[t, i]
        back(gates[0], by_z, inputs[t], h[t], by_gates[0], state)
        back(gates[1], by_r, inputs[t], h[t], by_gates[1], state)
    return total / steps, by_gates, by_head


def main(task: str, what: str) -> None:
    """Measure one task's first call or each."""
    arguments: tuple[Any, ...]
    if task.startswith("gru"):
        weights, head = recurrent()
        gates = np.stack([weights[gate].T for gate in "zrn"])
        arguments = (gates, head, *series(steps(int(task[3:]))))
    else:
        seen = observed(LONG if task == "scan" else steps(1000))
        arguments = (np.array(RATES), seen, STEP, np.array(FIRST))

    def compute() -> Result:
        if task.startswith("gru"):
            value, by_gates, by_head = gru(*arguments)
            return value, (by_gates, by_head)
        return lotka_volterra(*arguments)

    def read(gradient: Any) -> Array:
        if task.startswith("gru"):
            return flat([gradient[0].transpose(0, 2, 1), gradient[1]])
        return flat(gradient)

    measure(lambda: compute, what, read)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
