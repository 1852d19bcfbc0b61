"""The same character transformer with JAX, the steps in one `lax.scan`."""

import random
import sys
from typing import Any

import jax
import jax.numpy as jnp
from common import fastest, report, texts

jax.config.update("jax_enable_x64", True)

WIDTH, HEADS = 16, 4


def first_parameters(block: int, dtype: str) -> dict[str, Any]:
    """Return what microgpt's seed gives, matrix by matrix in its order."""
    random.seed(42)
    sizes = {"token": (27, WIDTH), "position": (block, WIDTH), "head": (27, WIDTH)}
    sizes |= dict.fromkeys(("query", "key", "value", "mix"), (WIDTH, WIDTH))
    sizes |= {"expand": (4 * WIDTH, WIDTH), "contract": (WIDTH, 4 * WIDTH)}
    return {
        name: jnp.array([[random.gauss(0.0, 0.08) for _ in range(c)] for _ in range(r)], dtype)
        for name, (r, c) in sizes.items()
    }


def normalised(x: Any) -> Any:
    """Return x divided by its root mean square."""
    return x * ((x * x).mean(-1, keepdims=True) + 1e-5) ** -0.5


def loss(p: dict[str, Any], tokens: Any, weights: Any) -> Any:
    """Return the weighted surprise of a text."""
    length = len(weights)
    x = normalised(p["token"][tokens[:-1]] + p["position"])
    y = normalised(x)
    q, k, v = ((y @ p[name].T).reshape(length, HEADS, -1) for name in ("query", "key", "value"))
    scores = jnp.einsum("ihd,jhd->hij", q, k) / (WIDTH // HEADS) ** 0.5
    scores = jnp.where(jnp.tril(jnp.ones((length, length), bool)), scores, -jnp.inf)
    attended = jnp.einsum("hij,jhd->ihd", jax.nn.softmax(scores), v).reshape(length, WIDTH)
    x = x + attended @ p["mix"].T
    x = x + jax.nn.relu(normalised(x) @ p["expand"].T) @ p["contract"].T
    rows = jax.nn.log_softmax(x @ p["head"].T)
    return -(jnp.take_along_axis(rows, tokens[1:, None], 1)[:, 0] * weights).sum()


def adam(state: Any, text: Any) -> Any:
    """Take a step."""
    parameters, mean, square, step = state
    value, gradient = jax.value_and_grad(loss)(parameters, *text)
    mean = jax.tree.map(lambda m, g: 0.85 * m + 0.15 * g, mean, gradient)
    square = jax.tree.map(lambda v, g: 0.99 * v + 0.01 * g * g, square, gradient)
    step += 1
    a, b = 0.01 / (1 - 0.85**step), jnp.sqrt(1 - 0.99**step)
    parameters = jax.tree.map(
        lambda p, m, v: p - a * m / (jnp.sqrt(v) / b + 1e-8), parameters, mean, square
    )
    return (parameters, mean, square, step), value


def main(block: int, dtype: str = "float64") -> None:
    """Take steps of Adam, a text each."""
    first = first_parameters(block, dtype)
    tokens, weights = texts(block)
    data = (jnp.asarray(tokens), jnp.asarray(weights.astype(dtype)))
    zeros = jax.tree.map(jnp.zeros_like, first)
    steps = jax.jit(lambda state: jax.lax.scan(adam, state, data))
    state, losses = steps((first, zeros, zeros, jnp.zeros((), dtype)))
    measured = fastest(lambda: jax.block_until_ready(steps(state)))
    report(float(losses[-1]), measured / len(tokens))


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
