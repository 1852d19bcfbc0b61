"""Two moons with NumPy, the gradient by hand."""

import sys

import numpy as np
from common import MOONS, Array, checksum, fastest_step, layers, moons, rate, report


def gradients(
    weights: list[Array], biases: list[Array], X: Array, y: Array
) -> tuple[float, list[Array], list[Array]]:
    """Return the loss and its gradients, as one writes them with arrays."""
    activations = [X]
    for i, (w, b) in enumerate(zip(weights, biases, strict=True)):
        h = activations[-1] @ w + b
        activations.append(np.maximum(h, 0) if i < len(weights) - 1 else h)
    margins = 1 - y[:, None] * activations[-1]
    loss = np.maximum(margins, 0).mean() + 1e-4 * checksum([*weights, *biases])
    g = (margins > 0) * -y[:, None] / len(X)
    of_weights: list[Array] = []
    of_biases: list[Array] = []
    for i in reversed(range(len(weights))):
        of_weights.insert(0, activations[i].T @ g + 2e-4 * weights[i])
        of_biases.insert(0, g.sum(0) + 2e-4 * biases[i])
        if i:
            g = (g @ weights[i].T) * (activations[i] > 0)
    return float(loss), of_weights, of_biases


def main(_: str) -> None:
    """Measure a step."""
    X, y = moons(100)
    weights = [w.T.copy() for w, _ in layers(MOONS)]
    biases = [b for _, b in layers(MOONS)]

    def step(r: float) -> None:
        _, of_weights, of_biases = gradients(weights, biases, X, y)
        for p, g in zip([*weights, *biases], [*of_weights, *of_biases], strict=True):
            p -= r * g  # noqa: PLW2901, in place

    for k in range(100):
        step(rate(k))
    check = checksum([*weights, *biases])
    report(check, fastest_step(step, 100, 0.1))


if __name__ == "__main__":
    main(sys.argv[1])
