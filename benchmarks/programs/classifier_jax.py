"""Classifiers with JAX in float32, the steps of an epoch in one `lax.scan`."""

import sys
from typing import Any

import jax
import jax.numpy as jnp
from adam_jax import adam
from common import DIGITS, WIDE, checksum, digits, fastest, layers, pictures, report


def cost(parameters: Any, X: Any, y: Any) -> Any:
    """Return the mean cross-entropy of a batch."""
    log_probabilities = jax.nn.log_softmax(scores(parameters, X))
    return -jnp.take_along_axis(log_probabilities, y[:, None], 1).mean()


def scores(parameters: Any, X: Any) -> Any:
    """Return the classes' scores."""
    for w, b in parameters[:-1]:
        X = jax.nn.relu(X @ w + b)
    w, b = parameters[-1]
    return X @ w + b


def main(task: str) -> None:
    """Run one task: digits (an epoch of Adam) or wide (a step of SGD)."""
    first = [
        (jnp.asarray(w.T), jnp.asarray(b))
        for w, b in layers(DIGITS if task == "digits" else WIDE, "float32")
    ]
    X, y = (jnp.asarray(x) for x in (digits() if task == "digits" else pictures()))
    if task == "wide":

        def descend(parameters: Any, _: Any) -> Any:
            value, gradient = jax.value_and_grad(cost)(parameters, X, y)
            return jax.tree.map(lambda p, g: p - 0.01 * g, parameters, gradient), value

        steps = {n: jax.jit(lambda p, n=n: jax.lax.scan(descend, p, length=n)) for n in (10, 20)}
        last, _ = steps[10](first)
        check = checksum(jax.tree.leaves(last))
        report(check, fastest(lambda: jax.block_until_ready(steps[20](last))) / 20)
        return

    step = adam(cost, 1e-3, (0.9, 0.999))

    def epoch(state: Any, key: Any) -> Any:
        order = jax.random.permutation(key, len(X)).reshape(-1, 64)
        return jax.lax.scan(lambda s, rows: step(s, (X[rows], y[rows])), state, order)

    run = jax.jit(epoch)
    zeros = jax.tree.map(jnp.zeros_like, first)
    state = (first, zeros, zeros, 0.0)
    for k in range(20):
        state, _ = run(state, jax.random.PRNGKey(k))
    right = scores(state[0], X).argmax(1) == y
    key = jax.random.PRNGKey(20)
    report(float(right.mean()), fastest(lambda: jax.block_until_ready(run(state, key))))


if __name__ == "__main__":
    main(sys.argv[1])
