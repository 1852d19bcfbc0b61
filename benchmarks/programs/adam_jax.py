"""A step of Adam with JAX."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def adam(
    loss: Callable[..., Any], rate: float, betas: tuple[float, float]
) -> Callable[[Any, Any], Any]:
    """Return the step for `lax.scan`: (state, the loss's data) to the new state and the loss."""
    kept, kept_squares = betas

    def step(state: Any, data: Any) -> Any:
        parameters, mean, square, count = state
        value, gradient = jax.value_and_grad(loss)(parameters, *data)
        mean = jax.tree.map(lambda m, g: kept * m + (1 - kept) * g, mean, gradient)
        square = jax.tree.map(
            lambda v, g: kept_squares * v + (1 - kept_squares) * g * g, square, gradient
        )
        count += 1
        a, b = rate / (1 - kept**count), jnp.sqrt(1 - kept_squares**count)
        parameters = jax.tree.map(
            lambda p, m, v: p - a * m / (jnp.sqrt(v) / b + 1e-8), parameters, mean, square
        )
        return (parameters, mean, square, count), value

    return step
