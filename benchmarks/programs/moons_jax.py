"""Two moons with JAX in float64: one jitted call a step, or the whole loop in `lax.scan`."""

import sys
from typing import Any

import jax
import jax.numpy as jnp
from common import CLOUD, MOONS, checksum, fastest, layers, moons, rate, report

jax.config.update("jax_enable_x64", True)


X, y = (jnp.asarray(x) for x in moons(CLOUD if sys.argv[1] == "cloud-1" else 100))


def loss(parameters: Any) -> Any:
    """Return the hinge loss with an L2 penalty."""
    h = X
    for i, (w, b) in enumerate(parameters):
        h = h @ w + b
        if i < 2:
            h = jax.nn.relu(h)
    hinge = jax.nn.relu(1 - y * h[:, 0]).mean()
    return hinge + 1e-4 * sum((w * w).sum() + (b * b).sum() for w, b in parameters)


def update(parameters: Any, r: Any) -> Any:
    """Take a step."""
    value, gradient = jax.value_and_grad(loss)(parameters)
    return jax.tree.map(lambda p, g: p - r * g, parameters, gradient), value


def main(task: str) -> None:
    """Run one task: scan, step, start, or cloud-1."""
    first = [(jnp.asarray(w.T), jnp.asarray(b)) for w, b in layers(MOONS)]
    if task == "cloud-1":
        gradient = jax.jit(jax.grad(loss))
        check = checksum(jax.tree.leaves(gradient(first)))
        report(check, fastest(lambda: jax.block_until_ready(gradient(first))))
        return
    if task == "step":
        step = jax.jit(update, donate_argnums=0)
        state = first
        for k in range(100):
            state, _ = step(state, rate(k))
        check = checksum(jax.tree.leaves(state))

        def steps() -> None:
            nonlocal state
            for _ in range(200):
                state, _ = step(state, 0.1)
            jax.block_until_ready(state)

        report(check, fastest(steps) / 200)
        return
    scan = jax.jit(lambda parameters, rates: jax.lax.scan(update, parameters, rates))
    last, losses = scan(first, jnp.asarray([rate(k) for k in range(100)]))
    losses.block_until_ready()
    check = checksum(jax.tree.leaves(last))
    if task == "scan":
        rates = jnp.full(1000, 0.1)
        report(check, fastest(lambda: jax.block_until_ready(scan(last, rates))) / 1000)
    else:
        report(check)


if __name__ == "__main__":
    main(sys.argv[1])
