"""Programs over time with JAX, in `lax.scan`."""

import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from over_time_common import (
    FIRST,
    LONG,
    RATES,
    STEP,
    TEN,
    UNITS,
    bodies,
    flat,
    measure,
    observed,
    recurrent,
    series,
    steps,
)

jax.config.update("jax_enable_x64", True)


def runge_kutta(change: Callable[[Any], Any], state: Any, h: float) -> Any:
    """Return the state a step later."""
    a = change(state)
    b = change(state + h / 2 * a)
    c = change(state + h / 2 * b)
    return state + h / 6 * (a + 2 * b + 2 * c + change(state + h * c))


def lotka(p: Any, state: Any) -> Any:
    """Return how prey and predators change."""
    x, y = state
    return jnp.stack([p[0] * x - p[1] * x * y, p[3] * x * y - p[2] * y])


def lotka_volterra(p: Any, seen: Any) -> Any:
    """Return the mean squared difference of the populations and what was seen of them."""

    def step(state: Any, counts: Any) -> Any:
        state = runge_kutta(lambda s: lotka(p, s), state, STEP)
        return state, ((state - counts) ** 2).sum()

    return jax.lax.scan(step, jnp.array(FIRST), seen)[1].sum() / len(seen)


def gru(parameters: Any, inputs: Any, targets: Any) -> Any:
    """Return the mean squared error of a network of gated recurrent units, without biases."""
    weights, head = parameters

    def step(h: Any, given: Any) -> Any:
        x, target = given
        seen = jnp.concatenate([x, h])
        keep, reset = jax.nn.sigmoid(weights["z"] @ seen), jax.nn.sigmoid(weights["r"] @ seen)
        new = jnp.tanh(weights["n"] @ jnp.concatenate([x, reset * h]))
        h = (1 - keep) * new + keep * h
        return h, (head @ h - target) ** 2

    return jax.lax.scan(step, jnp.zeros(UNITS), (inputs, targets))[1].mean()


def ten(p: Any, seen: Any) -> Any:
    """Return a loss of ten parameters, by 50 steps of Lotka and Volterra's equations."""

    def change(state: Any) -> Any:
        return lotka(p, state) + jnp.stack([-p[6] * state[0] * state[0], p[7]])

    def step(state: Any, counts: Any) -> Any:
        state = runge_kutta(change, state, STEP)
        return state, (state - counts) ** 2 @ p[8:]

    return jax.lax.scan(step, p[4:6], seen)[1].sum()


def heat(count: int) -> Callable[[Any, Any], Any]:
    """Return the squares of a rod's temperatures after so many steps; both ends stay."""

    def loss(conductivity: Any, first: Any) -> Any:
        def step(u: Any, _: None) -> Any:
            return u.at[1:-1].add(conductivity * (u[:-2] - 2 * u[1:-1] + u[2:])), None

        u, _ = jax.lax.scan(step, first, length=count)
        return u @ u

    return loss


def hidden_markov(parameters: Any, seen: Any) -> Any:
    """Return the surprise of a series by the forward algorithm, of scores that are not normed."""
    moves, places = parameters

    def step(forward: Any, x: Any) -> Any:
        return jax.nn.logsumexp(forward[:, None] + moves, axis=0) - (x - places) ** 2, None

    forward, _ = jax.lax.scan(step, -((seen[0] - places) ** 2), seen[1:])
    return -jax.nn.logsumexp(forward)


def orbits(count: int) -> Callable[[Any, Any, Any], Any]:
    """Return the squared places of bodies that attract each other, after so many steps."""

    def loss(masses: Any, places: Any, velocities: Any) -> Any:
        def step(state: Any, _: None) -> Any:
            q, v = state
            apart = q[None] - q[:, None]
            force = masses * ((apart**2).sum(-1) + 0.01) ** -1.5
            v = v + 0.01 * jnp.einsum("ij,ijk->ik", force, apart)
            return (q + 0.01 * v, v), None

        (q, _), _ = jax.lax.scan(step, (places, velocities), length=count)
        return (q**2).sum()

    return loss


def computing(function: Callable[..., Any], *arguments: Any) -> Callable[[], Callable[[], Any]]:
    """Return what compiles a function, and then waits for its results."""

    def prepare() -> Callable[[], Any]:
        compiled = jax.jit(function)
        return lambda: jax.block_until_ready(compiled(*arguments))

    return prepare


def main(task: str, what: str) -> None:
    """Measure one task's first call or each."""
    rng = np.random.default_rng(4)
    loss: Callable[..., Any]
    arguments: tuple[Any, ...]
    if task == "hessian":
        loss, arguments = ten, (jnp.array(TEN), jnp.array(observed(steps(50))))
        hessian = computing(lambda p, seen: (0.0, jax.hessian(loss)(p, seen)), *arguments)
        measure(hessian, what)
        return
    if task.startswith("gru"):
        loss = gru
        weights, head = recurrent()
        arguments = ((weights, head), *series(steps(int(task[3:]))))
    elif task == "heat":
        loss, arguments = heat(steps(200)), (0.1, rng.uniform(size=64))
    elif task == "hmm":
        loss = hidden_markov
        hidden = (rng.normal(0.0, 0.3, (16, 16)), rng.normal(0.0, 0.3, 16))
        arguments = (hidden, rng.uniform(size=steps(500)))
    elif task == "bodies":
        loss, arguments = orbits(steps(100)), bodies()
    else:
        loss = lotka_volterra
        arguments = (jnp.array(RATES), observed(LONG if task == "scan" else steps(1000)))
    arguments = jax.tree.map(jnp.asarray, arguments)
    measure(
        computing(jax.value_and_grad(loss), *arguments),
        what,
        lambda gradient: (
            flat([gradient[0][g] for g in "zrn"] + [gradient[1]])
            if task.startswith("gru")
            else flat(jax.tree.leaves(gradient))
        ),
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
