"""What memory the same step takes with NumPy, the gradient by hand."""

import sys

from common import MOONS, checksum, layers, memory_of, moons, report
from moons_numpy import gradients


def main(task: str) -> None:
    """Run one task: unrolled (100 points) or cloud (a million)."""
    X, y = moons(100 if task == "unrolled" else 1_000_000)
    weights = [w.T.copy() for w, _ in layers(MOONS)]
    biases = [b for _, b in layers(MOONS)]
    found = []

    def step() -> None:
        _, of_weights, of_biases = gradients(weights, biases, X, y)
        found.extend([*of_weights, *of_biases])

    taken = memory_of(step, arrays=task == "unrolled")
    report(checksum(found), taken)


if __name__ == "__main__":
    main(sys.argv[1])
