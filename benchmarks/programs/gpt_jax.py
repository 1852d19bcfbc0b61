"""The same character transformer with JAX, the steps in one `lax.scan`."""

import sys
from typing import Any

import jax
import jax.numpy as jnp
from adam_jax import adam
from common import fastest, report, texts, transformer

jax.config.update("jax_enable_x64", True)

WIDTH, HEADS = 16, 4


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


def main(block: int, dtype: str = "float64") -> None:
    """Take steps of Adam, a text each."""
    first = {name: jnp.asarray(x, dtype) for name, x in transformer(block).items()}
    tokens, weights = texts(block)
    data = (jnp.asarray(tokens), jnp.asarray(weights.astype(dtype)))
    zeros = jax.tree.map(jnp.zeros_like, first)
    step = adam(loss, 0.01, (0.85, 0.99))
    steps = jax.jit(lambda state: jax.lax.scan(step, state, data))
    state, losses = steps((first, zeros, zeros, jnp.zeros((), dtype)))
    measured = fastest(lambda: jax.block_until_ready(steps(state)))
    report(float(losses[-1]), measured / len(tokens))


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
