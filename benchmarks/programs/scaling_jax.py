"""A step of moons networks of any size on any number of points with JAX, in `lax.scan`."""

import sys
from typing import Any

import jax
import jax.numpy as jnp
from common import checksum, fastest, layers, moons, report

jax.config.update("jax_enable_x64", True)


def main(points: int, sizes: list[int]) -> None:
    """Take steps of gradient descent."""
    X, y = (jnp.asarray(x) for x in moons(points))
    first = [(jnp.asarray(w.T), jnp.asarray(b)) for w, b in layers(sizes)]

    def loss(parameters: Any) -> Any:
        h = X
        for i, (w, b) in enumerate(parameters):
            h = h @ w + b
            if i < len(parameters) - 1:
                h = jax.nn.relu(h)
        hinge = jax.nn.relu(1 - y * h[:, 0]).mean()
        return hinge + 1e-4 * sum((w * w).sum() + (b * b).sum() for w, b in parameters)

    def update(parameters: Any, _: Any) -> Any:
        value, gradient = jax.value_and_grad(loss)(parameters)
        return jax.tree.map(lambda p, g: p - 0.01 * g, parameters, gradient), value

    count = sum(w.size + b.size for w, b in first)
    repeats = max(1, round(1e7 / (points * count)))
    steps = {n: jax.jit(lambda p, n=n: jax.lax.scan(update, p, length=n)) for n in (5, repeats)}
    last, _ = steps[5](first)
    check = checksum(jax.tree.leaves(last))
    report(check, fastest(lambda: jax.block_until_ready(steps[repeats](last))) / repeats)


if __name__ == "__main__":
    main(int(sys.argv[1]), [int(x) for x in sys.argv[2:]])
